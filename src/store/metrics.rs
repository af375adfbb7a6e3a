//! What the store tells about itself.
//!
//! It does not count rows: that would cost a scan.

use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use super::sound::Damages;
use super::standing::Standing;
use super::{Kind, Space};
use crate::domain::Alarm;

/// An operation that takes longer is worth a word, at most one in this time.
const SLOW: Duration = Duration::from_secs(2);
const WARN_EVERY: Duration = Duration::from_secs(10);

/// The store's metrics.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    pub(super) standing: Standing,
    in_flight: Gauge,
    seconds: Family<Labels, Histogram, fn() -> Histogram>,
    errors: Family<Trouble, Counter>,
    used_bytes: Gauge,
    free_bytes: Gauge,
    pub(super) damages: Damages,
    /// `limits.store_ops`.
    most: i64,
    slow: Arc<Alarm>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Trouble {
    kind: &'static str,
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
    pub(super) fn new(operations: usize) -> Self {
        let metrics = Self {
            standing: Standing::new(),
            in_flight: Gauge::default(),
            // 0.25 ms to 8 s: from a cached row to a store that is away.
            seconds: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_25, 2.0, 16))),
            errors: Family::default(),
            used_bytes: Gauge::default(),
            free_bytes: Gauge::default(),
            damages: Damages::default(),
            most: i64::try_from(operations).unwrap_or(i64::MAX),
            slow: Arc::new(Alarm::new(WARN_EVERY)),
        };
        metrics.free_bytes.set(-1);
        for kind in ["away", "unusable", "fence_lost"] {
            // There from the start, so that the first one is an increase.
            drop(metrics.errors.get_or_create(&Trouble { kind }));
        }
        metrics
    }

    /// Registers them.
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("store_up", "Whether the store can be written", self.standing.up.clone());
        registry.register("store_in_flight", "Store operations in flight", self.in_flight.clone());
        registry.register("store_seconds", "Duration of store operations, waiting included", self.seconds.clone());
        registry.register(
            "store_errors",
            "Store operations that did not happen, by what was wrong",
            self.errors.clone(),
        );
        registry.register(
            "store_used_bytes",
            "What the store takes; 0 before it was first looked at",
            self.used_bytes.clone(),
        );
        let help = "Room that the store's disk has left; -1 where it is not known";
        registry.register("store_free_bytes", help, self.free_bytes.clone());
        self.damages.register(registry);
    }

    /// Counts an operation that did not happen. After closing nothing does, and that is no error.
    pub(super) fn failed(&self, kind: &Kind) {
        let kind = match kind {
            Kind::Away(_) => "away",
            Kind::Unusable(_) => "unusable",
            Kind::FenceLost => "fence_lost",
            // Counted where it is found.
            Kind::Closed | Kind::Damaged => return,
        };
        self.errors.get_or_create(&Trouble { kind }).inc();
    }

    /// Notes how much room there is.
    pub(super) fn room(&self, space: Space) {
        let number = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.used_bytes.set(number(space.used));
        self.free_bytes.set(space.free.map_or(-1, number));
    }

    /// Counts an operation in flight until the guard is dropped.
    pub(super) fn enter(&self) -> InFlight<'_> {
        self.in_flight.inc();
        InFlight(&self.in_flight)
    }

    /// Notes how long an operation took.
    pub(super) fn observe(&self, operation: Operation, elapsed: Duration) {
        self.seconds.get_or_create(&Labels { operation: operation.0 }).observe(elapsed.as_secs_f64());
        if elapsed < SLOW {
            return;
        }
        if let Some(operations) = self.slow.ring(Instant::now()) {
            let in_flight = self.in_flight.get();
            let reason = match in_flight >= self.most {
                true => "all of limits.store_ops were in use",
                false => "the store itself took long",
            };
            tracing::warn!(
                operations,
                operation = operation.1,
                took_ms = elapsed.as_millis() as u64,
                in_flight,
                reason,
                "slow store operations since the last warning, the last one so"
            );
        }
    }
}
