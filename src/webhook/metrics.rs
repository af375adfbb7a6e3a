//! What is counted about deliveries.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use super::answer::{Outcome, Refused};
use super::event::Kind;
use super::refusal::Refusal;

/// Counters of the webhook route. Clones share their values.
#[derive(Debug, Clone)]
pub struct Metrics {
    requests: Family<[(&'static str, &'static str); 2], Counter>,
    refusals: Family<[(&'static str, &'static str); 1], Counter>,
    seconds: Histogram,
    event_lag_seconds: Histogram,
}

/// What a delivery turned out to be, as far as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    /// A pipeline or job event.
    Hint(Kind),
    /// Another event.
    Other,
    /// A pipeline or job event without a readable identity.
    Unreadable,
}

impl Label {
    fn as_str(self) -> &'static str {
        match self {
            Self::Hint(Kind::Pipeline) => "pipeline",
            Self::Hint(Kind::Job) => "job",
            Self::Other => "other",
            Self::Unreadable => "unreadable",
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            refusals: Family::default(),
            // 0.5 ms to 8 s: the whole path ends within 9 s.
            seconds: Histogram::new(exponential_buckets(0.0005, 2.0, 15)),
            // 0.25 s to 68 min: a delivery that waited in GitLab's queue shows here.
            event_lag_seconds: Histogram::new(exponential_buckets(0.25, 2.0, 15)),
        }
    }
}

impl Metrics {
    /// Registers everything under its name without the registry's prefix.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("webhook_requests", "Deliveries by event and outcome", self.requests.clone());
        // There from the start: a rate sees the first one only if a zero was before it.
        for refusal in Refusal::ALL {
            drop(self.refusals.get_or_create(&[("reason", refusal.as_str())]));
        }
        registry.register("webhook_refusals", "Deliveries that were not believed, by reason", self.refusals.clone());
        registry.register("webhook_seconds", "Time from a delivery's arrival to its answer", self.seconds.clone());
        registry.register(
            "webhook_event_lag_seconds",
            "Time from the end of a job or pipeline, by GitLab's clock, to the arrival of its event",
            self.event_lag_seconds.clone(),
        );
    }

    pub(super) fn answered(&self, label: Label, outcome: Outcome, took: Duration) {
        self.count(label.as_str(), outcome.as_str(), took);
    }

    /// Counts a delivery that was refused before its event was known.
    pub(super) fn refused(&self, refused: &Refused, took: Duration) {
        if let Refused::Unverified(refusal) = refused {
            self.refusals.get_or_create(&[("reason", refusal.as_str())]).inc();
        }
        self.count("unknown", refused.as_str(), took);
    }

    pub(super) fn lag(&self, lag: Duration) {
        self.event_lag_seconds.observe(lag.as_secs_f64());
    }

    fn count(&self, event: &'static str, outcome: &'static str, took: Duration) {
        self.requests.get_or_create(&[("event", event), ("outcome", outcome)]).inc();
        self.seconds.observe(took.as_secs_f64());
    }
}
