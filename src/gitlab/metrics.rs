//! What operators see of the calls to GitLab.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::endpoint::Endpoint;
use super::question::OwnToken;
use crate::domain::Timestamp;

/// The upper bounds of the time histogram in seconds; a test report may take a minute (contract, section 5.8).
const SECONDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

/// The client's metrics.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    requests: Family<Request, Counter>,
    seconds: Family<Asked, Histogram, fn() -> Histogram>,
    /// Permits held now.
    pub(super) in_flight: Gauge,
    /// Calls that GitLab's condition allows.
    pub(super) window: Gauge,
    /// 1 while GitLab does not answer.
    pub(super) circuit_open: Gauge,
    /// 1 while GitLab refuses the token, or everything to it.
    pub(super) refused: Gauge,
    /// What GitLab's `RateLimit-Remaining` last said; -1 while it never did.
    pub(super) limit_remaining: Gauge,
    token_expiry: Family<Token, Gauge<f64, AtomicU64>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Token {
    token: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    endpoint: Endpoint,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    endpoint: Endpoint,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let limit_remaining = Gauge::default();
        limit_remaining.set(-1);
        Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            in_flight: Gauge::default(),
            window: Gauge::default(),
            circuit_open: Gauge::default(),
            refused: Gauge::default(),
            limit_remaining,
            token_expiry: Family::default(),
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("gitlab_requests", "Calls to GitLab and its storage", self.requests.clone());
        registry.register("gitlab_seconds", "Seconds until the head of an answer", self.seconds.clone());
        registry.register("gitlab_in_flight", "Calls in flight, bodies included", self.in_flight.clone());
        let help = "Calls that GitLab's condition allows: fewer when it slows down or fails";
        registry.register("gitlab_window", help, self.window.clone());
        let help = "Whether GitLab answers nothing, so that one question at a time tries";
        registry.register("gitlab_circuit_open", help, self.circuit_open.clone());
        let help = "Whether GitLab refuses the token (401), or everything to it (403)";
        registry.register("gitlab_token_refused", help, self.refused.clone());
        registry.register(
            "gitlab_limit_remaining",
            "GitLab's RateLimit-Remaining; -1 while it never sent one",
            self.limit_remaining.clone(),
        );
        let help = "When a token ends, since the Unix epoch; absent for one that never does or cannot be asked about";
        registry.register("gitlab_token_expiry_timestamp_seconds", help, self.token_expiry.clone());
    }

    /// Notes when a token ends, if it does.
    pub(super) fn token(&self, token: OwnToken, ends: Option<Timestamp>) {
        let label = match token {
            OwnToken::Reading => Token { token: "read" },
            OwnToken::Managing => Token { token: "hooks" },
        };
        match ends {
            Some(at) => drop(self.token_expiry.get_or_create(&label).set(at.as_millis() as f64 / 1000.0)),
            None => drop(self.token_expiry.remove(&label)),
        }
    }

    /// Counts one call; `status` is `None` when there was no answer.
    pub(super) fn count(&self, endpoint: Endpoint, status: Option<u16>, took: Duration) {
        let status = status.map_or("error", status_label);
        self.requests.get_or_create(&Request { endpoint, status }).inc();
        self.seconds.get_or_create(&Asked { endpoint }).observe(took.as_secs_f64());
    }
}

/// A closed set, so that no peer can make new series.
fn status_label(status: u16) -> &'static str {
    match status {
        200 => "200",
        301 => "301",
        302 => "302",
        303 => "303",
        307 => "307",
        308 => "308",
        400 => "400",
        401 => "401",
        403 => "403",
        404 => "404",
        429 => "429",
        500 => "500",
        502 => "502",
        503 => "503",
        504 => "504",
        _ => "other",
    }
}
