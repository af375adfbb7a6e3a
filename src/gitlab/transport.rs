//! The connections: two HTTP clients, and what their errors mean.
//!
//! Guarantees that neither follows redirects, retries or sends a `Referer`, and that no error text holds a URL. Neither
//! holds the token: [`super::http`] adds it, call by call.

use std::error::Error as _;
use std::sync::Arc;

use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls_platform_verifier::Verifier;

use super::address::{OutOfReach, Resolver};
use super::pinned::Pinned;
use super::{Config, Kind, Timeouts};
use crate::domain::Malformed;

/// Builds a client. GitLab and its storage get one each, so that no connection is shared.
///
/// Reads `ca_file`; needs a default TLS provider.
pub(super) fn client(config: &Config, timeouts: Timeouts, resolver: Resolver) -> Result<Client, Kind> {
    let Some(provider) = CryptoProvider::get_default() else {
        return Err(unusable("the TLS configuration", "no provider is installed".to_owned()));
    };
    let named = named_certificates(config)?;
    let builder = || settings(config, timeouts, resolver.clone());
    let unfit = |error: reqwest::Error| unusable("the TLS configuration", innermost(&error));
    if !named.is_empty() {
        let tls = trusting(Arc::clone(provider), named)
            .map_err(|error| unusable("the TLS configuration", error.to_string()))?;
        return builder().tls_backend_preconfigured(tls).build().map_err(unfit);
    }
    match builder().build() {
        Ok(client) => Ok(client),
        // A machine without certificates can still talk to an instance without TLS (the demo on a bare container).
        Err(_) if config.url.scheme() == "http" => builder().tls_certs_only([]).build().map_err(unfit),
        Err(error) => Err(unfit(error)),
    }
}

/// Trusts the system's authorities and these certificates, as authorities and as servers' own.
fn trusting(
    provider: Arc<CryptoProvider>,
    named: Vec<CertificateDer<'static>>,
) -> Result<rustls::ClientConfig, rustls::Error> {
    let usual = Verifier::new_with_extra_roots(named.iter().cloned(), Arc::clone(&provider))?;
    let verifier = Arc::new(Pinned::new(Arc::new(usual), named));
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut tls = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(tls)
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

/// Reads `ca_file`; empty when none is named.
fn named_certificates(config: &Config) -> Result<Vec<CertificateDer<'static>>, Kind> {
    let Some(path) = &config.ca_file else { return Ok(Vec::new()) };
    let unreadable = |why: String| unusable("gitlab.ca_file", format!("{}: {why}", path.display()));
    let pem = std::fs::read(path).map_err(|error| unreadable(error.kind().to_string()))?;
    match CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>() {
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
