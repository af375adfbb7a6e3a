//! `reconcile_seconds`, `reconcile_gaps` and what passes found.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::Report;

/// Measurements of the reconciler.
#[derive(Debug, Clone)]
pub struct Metrics {
    seconds: Histogram,
    passes_failed: Counter,
    planned: Counter,
    gaps: Gauge,
    last_success: Gauge<f64, AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            seconds: Histogram::new([0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0]),
            passes_failed: Counter::default(),
            planned: Counter::default(),
            gaps: Gauge::default(),
            last_success: Gauge::default(),
        }
    }
}

impl Metrics {
    /// Registers the measurements.
    pub fn register(&self, registry: &mut Registry) {
        registry.register_with_unit("reconcile", "Duration of whole passes.", Unit::Seconds, self.seconds.clone());
        registry.register("reconcile_failures", "Passes that ended early.", self.passes_failed.clone());
        registry.register("reconcile_planned", "Pipelines that passes found to need work.", self.planned.clone());
        registry.register(
            "reconcile_gaps",
            "Things that should be cached and are not, as of the last pass.",
            self.gaps.clone(),
        );
        registry.register(
            "reconcile_last_success_timestamp_seconds",
            "When the last whole pass ended.",
            self.last_success.clone(),
        );
    }

    pub(super) fn gaps(&self, gaps: u64) {
        self.gaps.set(i64::try_from(gaps).unwrap_or(i64::MAX));
    }

    pub(super) fn passed(&self, report: &Report) {
        self.seconds.observe(report.seconds);
        self.planned.inc_by(report.pipelines);
        self.last_success.set(crate::domain::Timestamp::now().as_millis() as f64 / 1000.0);
    }

    pub(super) fn failed(&self) {
        self.passes_failed.inc();
    }
}
