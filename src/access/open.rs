//! Who may read: the rule of `access.mode = open` (design, section 4.6).
//!
//! Open means open to people and programs on this machine. It guarantees that a read which came through a proxy, or by
//! a name that is not this machine's own (also one that a web page had resolved to 127.0.0.1), is refused unless
//! `access.allow_open_network` says that the network may read; then nothing is asked of this module.
//!
//! It deliberately does not look at the peer's address: a proxy on this machine has a loopback address too.

use std::net::{Ipv4Addr, Ipv6Addr};

use actix_web::http::header::{HOST, HeaderMap};

/// Why a read is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It was asked for by a name that is not this machine's own.
    Host,
    /// It came through a proxy.
    Proxied,
}

impl Refusal {
    pub(super) fn message(self) -> String {
        let what = match self {
            Self::Host => "this was asked for by a host name that is not localhost, 127.0.0.0/8 or [::1]",
            Self::Proxied => "this came through a proxy (Forwarded, X-Forwarded-* or Via)",
        };
        format!(
            "403 Forbidden: with access.mode = open only programs on Cistern's own machine may read, and {what}. \
             To open the cache to the network, set access.allow_open_network."
        )
    }
}

/// `authority` is that of a request line in absolute form, which goes before `Host` (RFC 9112, section 3.2.2).
pub(super) fn judge(authority: Option<&str>, headers: &HeaderMap) -> Result<(), Refusal> {
    let proxied = |name: &str| name == "forwarded" || name == "via" || name.starts_with("x-forwarded-");
    if headers.keys().any(|name| proxied(name.as_str())) {
        return Err(Refusal::Proxied);
    }
    if names_this_machine(authority, headers) { Ok(()) } else { Err(Refusal::Host) }
}

/// Returns whether a request asks for this machine by a name that can only be its own.
pub(super) fn names_this_machine(authority: Option<&str>, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST);
    let host = hosts.next().and_then(|host| host.to_str().ok());
    hosts.next().is_none() && host.is_some_and(is_loopback) && authority.is_none_or(is_loopback)
}

/// Returns whether a `Host`, with or without a port, can only mean this machine.
fn is_loopback(host: &str) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        return address.parse().is_ok_and(|address: Ipv6Addr| address.is_loopback()) && is_port_suffix(port);
    }
    let (name, port) = host.find(':').map_or((host, ""), |colon| host.split_at(colon));
    let named = name.eq_ignore_ascii_case("localhost");
    (named || name.parse().is_ok_and(|address: Ipv4Addr| address.is_loopback())) && is_port_suffix(port)
}

fn is_port_suffix(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn only_names_of_this_machine_are_loopback() {
        for host in [
            "localhost",
            "LocalHost:8080",
            "127.0.0.1",
            "127.0.0.1:8080",
            "127.255.3.4:1",
            "[::1]",
            "[::1]:8080",
            "[0:0:0:0:0:0:0:1]:80",
            "localhost:",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            "cistern.example",
            "localhost.example",
            "localhost.",
            "127.0.0.1.example",
            "127.1",
            "128.0.0.1",
            "0.0.0.0",
            "10.0.0.1:8080",
            "[::]",
            "[::2]:80",
            "[::1",
            "::1",
            "[::1]x",
            "localhost:80@example",
            "localhost:80:80",
            "user@localhost",
            "localhost/",
            "[::ffff:127.0.0.1]",
            " localhost",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn proxies_foreign_names_and_doubled_hosts_are_refused() {
        let local = ("host", "localhost:8080");
        let cases = [
            (vec![local], None, Ok(())),
            (vec![local], Some("127.0.0.1:8080"), Ok(())),
            (vec![local], Some("evil.example"), Err(Refusal::Host)),
            (vec![], None, Err(Refusal::Host)),
            (vec![local, ("host", "evil.example")], None, Err(Refusal::Host)),
            (vec![("host", "evil.example")], None, Err(Refusal::Host)),
            (vec![local, ("forwarded", "for=10.0.0.1")], None, Err(Refusal::Proxied)),
            (vec![local, ("via", "1.1 proxy")], None, Err(Refusal::Proxied)),
            (vec![local, ("x-forwarded-for", "10.0.0.1")], None, Err(Refusal::Proxied)),
            (vec![local, ("x-forwarded-anything-new", "")], None, Err(Refusal::Proxied)),
            (vec![local, ("x-forward", "")], None, Ok(())),
        ];
        for (pairs, authority, expected) in cases {
            let headers = headers(&pairs);
            assert_eq!(judge(authority, &headers), expected, "{pairs:?}");
        }
    }
}
