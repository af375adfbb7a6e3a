//! `reconcile.*`: how often GitLab is swept, and how far back.

use std::time::Duration;

use super::keys::{
    RECONCILE_AUDIT_WINDOW, RECONCILE_FULL_INTERVAL, RECONCILE_INTERVAL, RECONCILE_OVERLAP, RECONCILE_SINCE,
};
use super::reader::Reader;

/// The longest time that is accepted: ten years.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 86_400);

/// How often GitLab is swept, and how far back (design, section 4.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconcile {
    /// `reconcile.interval`: between two incremental passes; at least 1 s.
    pub interval: Duration,
    /// `reconcile.full_interval`: between two full passes; at least 1 s.
    pub full_interval: Duration,
    /// `reconcile.since`: how far back pipelines are cached; at least 1 s.
    pub since: Duration,
    /// `reconcile.overlap`: how far before its watermark a listing starts.
    pub overlap: Duration,
    /// `reconcile.audit_window`: pipelines this young are listed again every day.
    pub audit_window: Duration,
}

impl Reconcile {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let at_least = |seconds| Duration::from_secs(seconds)..=LONGEST;
        let interval = reader.duration(&RECONCILE_INTERVAL, at_least(1));
        let full_interval = reader.duration(&RECONCILE_FULL_INTERVAL, at_least(1));
        let since = reader.duration(&RECONCILE_SINCE, at_least(1));
        let overlap = reader.duration(&RECONCILE_OVERLAP, at_least(0));
        let audit_window = reader.duration(&RECONCILE_AUDIT_WINDOW, at_least(0));
        let (interval, full_interval) = (interval?, full_interval?);
        if full_interval < interval {
            reader.warn("reconcile.full_interval is shorter than reconcile.interval: every pass is a full one");
        }
        Some(Self { interval, full_interval, since: since?, overlap: overlap?, audit_window: audit_window? })
    }
}
