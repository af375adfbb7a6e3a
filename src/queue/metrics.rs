//! `queue_targets{lane}` and `queue_oldest_seconds`, read at the time of a scrape.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;

use super::Queue;
use crate::domain::Timestamp;
use crate::work::Lane;

impl Lane {
    /// Returns the lane as metric labels and JSON have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Reader => "reader",
            Self::Backfill => "backfill",
        }
    }
}

impl Collector for Queue {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let (depths, journal) = self.depths();
        let mut family = encoder.encode_descriptor(
            "queue_targets",
            "Targets that wait in memory.",
            None,
            prometheus_client::metrics::MetricType::Gauge,
        )?;
        for depth in &depths {
            let gauge = ConstGauge::new(depth.targets as i64);
            gauge.encode(family.encode_family(&[("lane", depth.lane.as_str())])?)?;
        }
        let now = Timestamp::now();
        let oldest = depths.iter().filter_map(|depth| depth.next_due).map(|due| now.since(due).as_secs_f64());
        let oldest = ConstGauge::new(oldest.fold(0.0, f64::max));
        let family = encoder.encode_descriptor(
            "queue_oldest_seconds",
            "How long the oldest due target has been waiting.",
            None,
            prometheus_client::metrics::MetricType::Gauge,
        )?;
        oldest.encode(family)?;
        let entries = ConstGauge::new(i64::try_from(journal).unwrap_or(i64::MAX));
        let family = encoder.encode_descriptor(
            "journal_entries",
            "Entries in the journal.",
            None,
            prometheus_client::metrics::MetricType::Gauge,
        )?;
        entries.encode(family)
    }
}
