//! The connections: two HTTP clients, and what their errors mean.
//!
//! Guarantees that neither follows redirects, retries or sends a `Referer`, and that no error text holds a URL. Neither
//! holds the token: [`super::http`] adds it, call by call.

use std::error::Error as _;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder};

use super::address::{OutOfReach, Resolver};
use super::{Config, Kind, Timeouts};
use crate::domain::Malformed;

/// Builds a client. GitLab and its storage get one each, so that no connection is shared.
///
/// Reads `ca_file`; needs a default TLS provider.
pub(super) fn client(config: &Config, timeouts: Timeouts, resolver: Resolver) -> Result<Client, Kind> {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        return Err(unusable("the TLS configuration", "no provider is installed".to_owned()));
    }
    let authorities = authorities(config)?;
    let builder = || settings(config, timeouts, resolver.clone());
    match builder().tls_certs_merge(authorities.clone()).build() {
        Ok(client) => Ok(client),
        // A machine without certificates can still talk to an instance without TLS (the demo on a bare container).
        Err(_) if config.url.scheme() == "http" => builder()
            .tls_certs_only(authorities)
            .build()
            .map_err(|error| unusable("the TLS configuration", innermost(&error))),
        Err(error) => Err(unusable("the TLS configuration", innermost(&error))),
    }
}

/// Says why a call or body broke.
pub(super) fn unavailable(error: reqwest::Error) -> Kind {
    let error = error.without_url();
    let mut cause = error.source();
    while let Some(source) = cause {
        if source.is::<OutOfReach>() {
            return Kind::Redirect("its address is link-local, or nearer than GitLab's own");
        }
        cause = source.source();
    }
    let part = if error.is_timeout() {
        "timed out"
    } else if error.is_connect() {
        "cannot connect"
    } else if error.is_body() || error.is_decode() {
        "the body broke off"
    } else {
        "the connection broke"
    };
    Kind::Unavailable(format!("{part}: {}", innermost(&error)))
}

fn settings(config: &Config, timeouts: Timeouts, resolver: Resolver) -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("cistern/", env!("CARGO_PKG_VERSION")))
        // One body alone is faster over HTTP/1.1, and many together too (reliability, section 1.9).
        .http1_only()
        .redirect(Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .connect_timeout(timeouts.connect)
        .pool_max_idle_per_host(config.calls)
        .tcp_nodelay(true)
        .gzip(true)
        .dns_resolver(resolver)
}

fn authorities(config: &Config) -> Result<Vec<Certificate>, Kind> {
    let Some(path) = &config.ca_file else { return Ok(Vec::new()) };
    let unreadable = |why: String| unusable("gitlab.ca_file", format!("{}: {why}", path.display()));
    let pem = std::fs::read(path).map_err(|error| unreadable(error.kind().to_string()))?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if certificates.is_empty() => Err(unreadable("it holds no certificate".to_owned())),
        Ok(certificates) => Ok(certificates),
        Err(_) => Err(unreadable("it is not PEM".to_owned())),
    }
}

fn unusable(what: &'static str, problem: String) -> Kind {
    Kind::Malformed(Malformed { what, problem })
}

/// Returns the text of the first cause, which says what happened; the outer ones say only where.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
