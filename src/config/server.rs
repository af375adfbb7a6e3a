//! `server.*` and `access.*`: where the service listens, and who may read.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::keys::{
    ACCESS_ALLOW_OPEN_NETWORK, ACCESS_MODE, SERVER_ADMIN_LISTEN, SERVER_DRAIN_DELAY, SERVER_DRAIN_TIMEOUT,
    SERVER_LISTEN, SERVER_PUBLIC_URL,
};
use super::reader::{Reader, one_of};
use super::units::Unfit;
use url::Url;

/// The longest drain that is accepted.
const LONGEST_DRAIN: Duration = Duration::from_secs(3600);

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
}

/// Who may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Everybody who reaches the listener.
    Open,
}

/// Who may read, and from where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// `access.mode`.
    pub mode: Mode,
    /// `access.allow_open_network`: reads through a proxy or from another machine are let through, too.
    pub allow_open_network: bool,
}

impl Server {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let listen = reader.required(&SERVER_LISTEN, parse_address);
        let admin_listen = reader.required(&SERVER_ADMIN_LISTEN, parse_address);
        let public_url = reader.optional(&SERVER_PUBLIC_URL, parse_public_url);
        let drain_delay = reader.duration(&SERVER_DRAIN_DELAY, Duration::ZERO..=LONGEST_DRAIN);
        let drain_timeout = reader.duration(&SERVER_DRAIN_TIMEOUT, Duration::ZERO..=LONGEST_DRAIN);
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
        })
    }
}

impl Access {
    pub(super) fn read(reader: &mut Reader, server: Option<&Server>) -> Option<Self> {
        let mode = reader.optional(&ACCESS_MODE, parse_mode);
        let allow_open_network = reader.switch(&ACCESS_ALLOW_OPEN_NETWORK);
        let (mode, allow_open_network) = (mode?, allow_open_network?);
        let elsewhere = server.is_some_and(|server| !server.listen.ip().is_loopback());
        if elsewhere && !(mode == Some(Mode::Open) && allow_open_network) {
            let fix = "listen on 127.0.0.1, or set access.mode = open and access.allow_open_network = true \
                       if everybody who can reach it may read every cached log";
            reader.wrong(&SERVER_LISTEN, Unfit::new("reachable from other machines, without a rule who may read", fix));
        }
        if allow_open_network {
            reader.warn("access.allow_open_network: everybody who can reach server.listen may read every cached log");
        }
        Some(Self { mode: mode.unwrap_or(Mode::Open), allow_open_network })
    }
}

fn parse_mode(text: &str) -> Result<Mode, Unfit> {
    match text {
        "open" => Ok(Mode::Open),
        "token" | "gitlab" => Err(Unfit::new("not part of this version yet", "write open")),
        _ => Err(one_of(&["open"])),
    }
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
    fn an_address_has_a_port() {
        let address = |text: &str| parse_address(text).ok().map(|address| address.to_string());
        assert_eq!(address("localhost:8080").as_deref(), Some("127.0.0.1:8080"));
        assert_eq!(address("[::]:80").as_deref(), Some("[::]:80"));
        for bad in ["", "8080", ":8080", "127.0.0.1", "example.com:80", "127.0.0.1:99999", "http://127.0.0.1:80"] {
            assert_eq!(address(bad), None, "{bad}");
        }
    }
}
