//! `pruned_total{kind}` and `pruned_bytes_total{kind}`.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::{Registry, Unit};

use super::Report;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

/// Counters of what was removed.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pruned: Family<Kind, Counter>,
    bytes: Family<Kind, Counter>,
}

impl Metrics {
    /// Registers the counters.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Logs, archives, reports and pipelines that retention removed.";
        registry.register("pruned", help, self.pruned.clone());
        registry.register_with_unit("pruned", "Bytes that these took.", Unit::Bytes, self.bytes.clone());
    }

    pub(super) fn count(&self, report: &Report) {
        for (kind, part) in report.parts() {
            self.pruned.get_or_create(&Kind { kind }).inc_by(part.count);
            self.bytes.get_or_create(&Kind { kind }).inc_by(part.bytes);
        }
    }
}
