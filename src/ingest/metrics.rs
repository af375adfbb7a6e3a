//! `ingest_total{kind,outcome}` and `ingest_bytes_total{kind}`.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::{Registry, Unit as MetricUnit};

use super::{Unit, UnitOutcome};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindOutcome {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

/// Counters of what was ingested.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    units: Family<KindOutcome, Counter>,
    bytes: Family<Kind, Counter>,
    masked: Family<Kind, Counter>,
}

impl Metrics {
    /// Registers the counters.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "ingest",
            "Logs, archives, reports, pipelines' own documents, trigger jobs and job lists, by what became of them.",
            self.units.clone(),
        );
        let help = "Bytes cached, uncompressed.";
        registry.register_with_unit("ingest", help, MetricUnit::Bytes, self.bytes.clone());
        let help = "Secrets replaced before they were stored, by what they stood in; each fetch counts them anew.";
        registry.register("ingest_masked", help, self.masked.clone());
        // There from the start, so that its absence is no answer.
        for kind in ["log", "report", "document"] {
            drop(self.masked.get_or_create(&Kind { kind }));
        }
    }

    pub(super) fn masked(&self, kind: &'static str, secrets: u64) {
        if secrets > 0 {
            self.masked.get_or_create(&Kind { kind }).inc_by(secrets);
        }
    }

    pub(super) fn count(&self, unit: &Unit) {
        let outcome = match unit.outcome {
            UnitOutcome::Cached { bytes, .. } => {
                self.bytes.get_or_create(&Kind { kind: unit.kind }).inc_by(bytes);
                "cached"
            }
            UnitOutcome::Listed { .. } => "listed",
            UnitOutcome::Absent(reason) => reason.as_str(),
            UnitOutcome::Failed(_) => "error",
        };
        self.units.get_or_create(&KindOutcome { kind: unit.kind, outcome }).inc();
    }
}
