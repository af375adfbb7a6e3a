//! What the store tells about itself.
//!
//! It does not count rows: that would cost a scan.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// The store's metrics.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    /// 1 while the last operation worked.
    pub(super) up: Gauge,
    in_flight: Gauge,
    seconds: Family<Labels, Histogram, fn() -> Histogram>,
}

/// What an operation is called: a word for metrics and a sentence part for errors.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operation(pub(super) &'static str, pub(super) &'static str);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    operation: &'static str,
}

/// Counts an operation as in flight while it lives.
pub(super) struct InFlight<'a>(&'a Gauge);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// Returns metrics of a store that is up.
    pub(super) fn new() -> Self {
        let metrics = Self {
            up: Gauge::default(),
            in_flight: Gauge::default(),
            // 0.25 ms to 8 s: from a cached row to a store that is away.
            seconds: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_25, 2.0, 16))),
        };
        metrics.up.set(1);
        metrics
    }

    /// Registers them.
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("store_up", "Whether the last store operation worked", self.up.clone());
        registry.register("store_in_flight", "Store operations in flight", self.in_flight.clone());
        registry.register("store_seconds", "Duration of store operations, waiting included", self.seconds.clone());
    }

    /// Counts an operation in flight until the guard is dropped.
    pub(super) fn enter(&self) -> InFlight<'_> {
        self.in_flight.inc();
        InFlight(&self.in_flight)
    }

    /// Notes how long an operation took.
    pub(super) fn observe(&self, operation: Operation, elapsed: Duration) {
        self.seconds.get_or_create(&Labels { operation: operation.0 }).observe(elapsed.as_secs_f64());
    }
}
