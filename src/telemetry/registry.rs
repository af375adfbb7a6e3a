//! The metrics of a process as one page.

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{self, Unit};

use crate::domain::Timestamp;

/// The media type of [`Registry::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Every metric of this process; their names begin with `cistern_`.
#[derive(Debug)]
pub struct Registry(registry::Registry);

impl Registry {
    /// Returns a registry with `cistern_build_info` and `cistern_process_start_time_seconds`.
    pub fn new(started: Timestamp) -> Self {
        let mut metrics = registry::Registry::with_prefix("cistern");
        metrics.register("build", "What runs", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        let seconds = Gauge::<i64>::default();
        seconds.set(started.as_millis() / 1000);
        let help = "When this process started, since the Unix epoch";
        metrics.register_with_unit("process_start_time", help, Unit::Seconds, seconds);
        Self(metrics)
    }

    /// Returns where components register theirs, before the registry is shared.
    pub fn metrics(&mut self) -> &mut registry::Registry {
        &mut self.0
    }

    /// Returns the registry itself, for those who encode it.
    pub fn into_metrics(self) -> registry::Registry {
        self.0
    }

    /// Returns the page for Prometheus. A metric that cannot be written ends it early, without the closing `# EOF`, so
    /// that no reader takes it for whole.
    pub fn encode(&self) -> String {
        let mut page = String::new();
        if encode(&mut page, &self.0).is_err() {
            tracing::error!("a metric cannot be written; the metrics page is cut there");
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::*;

    #[test]
    fn names_begin_with_cistern_and_end_with_their_unit() {
        let mut registry = Registry::new(Timestamp::from_millis(1_795_392_000_500));
        let requests = Counter::<u64>::default();
        registry.metrics().register("webhook_requests", "Deliveries", requests.clone());
        requests.inc();
        let page = registry.encode();
        let build = format!("cistern_build_info{{version=\"{}\"}} 1\n", env!("CARGO_PKG_VERSION"));
        assert!(page.contains(&build), "{page}");
        assert!(page.contains("cistern_process_start_time_seconds 1795392000\n"), "{page}");
        assert!(page.contains("cistern_webhook_requests_total 1\n"), "{page}");
        assert!(page.ends_with("# EOF\n"), "{page}");
    }
}
