//! `event_to_cached_seconds`: what an event's sender experiences.

use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Measurements of the workers.
#[derive(Debug, Clone)]
pub struct Metrics {
    pub(super) event_to_cached: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        let buckets = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0];
        Self { event_to_cached: Histogram::new(buckets) }
    }
}

impl Metrics {
    /// Registers the measurements.
    pub fn register(&self, registry: &mut Registry) {
        let help = "From the acceptance of an event to everything it announced being cached.";
        registry.register_with_unit("event_to_cached", help, Unit::Seconds, self.event_to_cached.clone());
    }
}
