//! `server.*`: where the service listens.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::keys::{
    SERVER_ADMIN_LISTEN, SERVER_CONNECTIONS, SERVER_CONNECTIONS_PER_ADDRESS, SERVER_CORS_ORIGINS, SERVER_DRAIN_DELAY,
    SERVER_DRAIN_TIMEOUT, SERVER_LISTEN, SERVER_PUBLIC_URL, SERVER_STALL_TIMEOUT,
};
use super::reader::Reader;
use super::units::Unfit;
use url::Url;

/// The longest drain that is accepted.
const LONGEST_DRAIN: Duration = Duration::from_secs(3600);

/// The shortest stall: what is under way through a network takes as long.
const SHORTEST_STALL: Duration = Duration::from_secs(1);

/// Where the service listens and how it stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// `server.listen`: webhooks and reads.
    pub listen: SocketAddr,
    /// `server.admin_listen`: metrics and status.
    pub admin_listen: SocketAddr,
    /// `server.public_url`: where the service is reached from outside; http or https, no query, no slash at its end.
    pub public_url: Option<Url>,
    /// `server.drain_delay`: how long to keep serving, not ready, after the first signal.
    pub drain_delay: Duration,
    /// `server.drain_timeout`: how long running work may take to end.
    pub drain_timeout: Duration,
    /// `server.connections`: connections to the main listener, in all.
    pub connections: usize,
    /// `server.connections_per_address`: those from one address, as that of a reverse proxy.
    pub connections_per_address: usize,
    /// `server.stall_timeout`: how long an answer may wait to be taken.
    pub stall_timeout: Duration,
    /// `server.cors_origins`: origins whose pages may read, as browsers write them.
    pub cors_origins: Vec<String>,
}

impl Server {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let listen = reader.required(&SERVER_LISTEN, parse_address);
        let admin_listen = reader.required(&SERVER_ADMIN_LISTEN, parse_address);
        let public_url = reader.optional(&SERVER_PUBLIC_URL, parse_public_url);
        let drain_delay = reader.duration(&SERVER_DRAIN_DELAY, Duration::ZERO..=LONGEST_DRAIN);
        let drain_timeout = reader.duration(&SERVER_DRAIN_TIMEOUT, Duration::ZERO..=LONGEST_DRAIN);
        let connections = reader.count(&SERVER_CONNECTIONS);
        let connections_per_address = reader.count(&SERVER_CONNECTIONS_PER_ADDRESS);
        let stall_timeout = reader.duration(&SERVER_STALL_TIMEOUT, SHORTEST_STALL..=LONGEST_DRAIN);
        let cors_origins = reader.list(&SERVER_CORS_ORIGINS, parse_origin);
        let (listen, admin_listen) = (listen?, admin_listen?);
        if listen == admin_listen && listen.port() != 0 {
            let unfit = Unfit::new("the same as server.listen", "give the two listeners different ports");
            reader.wrong(&SERVER_ADMIN_LISTEN, unfit);
        }
        Some(Self {
            listen,
            admin_listen,
            public_url: public_url?,
            drain_delay: drain_delay?,
            drain_timeout: drain_timeout?,
            connections: connections?,
            connections_per_address: connections_per_address?,
            stall_timeout: stall_timeout?,
            cors_origins: cors_origins?,
        })
    }
}

/// Accepts exactly what a browser writes into `Origin`; `*` and `null` would let pages in that nobody named.
fn parse_origin(text: &str) -> Result<String, Unfit> {
    let unfit = || Unfit::new("not an origin", "write it as https://dashboard.example.com, without a path");
    let url = url::Url::parse(text).map_err(|_| unfit())?;
    let origin = url.origin().ascii_serialization();
    let same = text.trim_end_matches('/').eq_ignore_ascii_case(&origin);
    if matches!(url.scheme(), "http" | "https") && same { Ok(origin) } else { Err(unfit()) }
}

/// Never quotes the text: it may hold a password.
fn parse_public_url(text: &str) -> Result<Url, Unfit> {
    let unfit =
        |problem: &str| Unfit::new(problem, "write it as https://cistern.example.com or https://example.com/cistern");
    let mut url = Url::parse(text).map_err(|error| unfit(&format!("not a URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(unfit("neither http nor https with a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(unfit("holds a user or password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(unfit("holds a query or fragment"));
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

fn parse_address(text: &str) -> Result<SocketAddr, Unfit> {
    let unfit = || Unfit::new("not an address and port", "write it as 127.0.0.1:8080, 0.0.0.0:8080 or [::]:8080");
    if let Some(port) = text.strip_prefix("localhost:") {
        let port = port.parse().map_err(|_| unfit())?;
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    text.parse().map_err(|_| unfit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_scheme_and_a_host() {
        let origin = |text: &str| parse_origin(text).ok();
        assert_eq!(origin("https://Dash.example.com/").as_deref(), Some("https://dash.example.com"));
        assert_eq!(origin("http://localhost:3000").as_deref(), Some("http://localhost:3000"));
        for bad in ["", "*", "null", "dash.example.com", "https://dash.example.com/ci", "file:///x", "https://a@b"] {
            assert_eq!(origin(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_public_url_is_an_address_and_nothing_else() {
        let url = |text: &str| parse_public_url(text).ok().map(|url| url.to_string());
        assert_eq!(url("https://ci.example/cache//").as_deref(), Some("https://ci.example/cache"));
        assert_eq!(url("http://localhost:8080").as_deref(), Some("http://localhost:8080/"));
        for bad in
            ["ci.example", "ftp://ci.example", "https://me:pw@ci.example", "https://ci.example?x=1", "https://x#y"]
        {
            assert_eq!(url(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_address_has_a_port() {
        let address = |text: &str| parse_address(text).ok().map(|address| address.to_string());
        assert_eq!(address("localhost:8080").as_deref(), Some("127.0.0.1:8080"));
        assert_eq!(address("[::]:80").as_deref(), Some("[::]:80"));
        for bad in ["", "8080", ":8080", "127.0.0.1", "example.com:80", "127.0.0.1:99999", "http://127.0.0.1:80"] {
            assert_eq!(address(bad), None, "{bad}");
        }
    }
}
