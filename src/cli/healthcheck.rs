//! `healthcheck`: asks the running service whether it is ready, for containers without a shell.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::Exit;
use super::args::Healthcheck;
use crate::config::Config;
use crate::loopback;
use crate::progress::tell;

/// Asks `/readyz`; done when it is answered with 200.
pub(super) async fn run(config: &Config, args: Healthcheck) -> Exit {
    let (address, path) = match args.url {
        None => (reachable(config.server.listen), "/readyz".to_owned()),
        Some(url) => match url.socket_addrs(|| None) {
            Ok(addresses) if url.scheme() == "http" && !addresses.is_empty() => (addresses[0], url.path().to_owned()),
            _ => {
                tell("cistern: --url has to be http:// and name a host that is known");
                return Exit::Usage;
            }
        },
    };
    match loopback::send(address, "GET", &path, &[], b"").await {
        Ok(answer) if answer.status == 200 => Exit::Done,
        Ok(answer) => {
            tell(format_args!("cistern: {address}{path} answers {}", answer.status));
            Exit::Incomplete
        }
        Err(error) => {
            tell(format_args!("cistern: {address}{path} does not answer: {error}"));
            Exit::CouldNotRun
        }
    }
}

/// A service that listens on every address is asked on loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() { SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), listen.port()) } else { listen }
}
