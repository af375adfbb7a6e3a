//! What a person watching a backfill sees: one unit at a time.

use std::sync::Arc;

use crate::domain::{PipelineKey, Reason};
use crate::work::Target;

/// One thing that was cached, found absent, or not got.
#[derive(Debug, Clone)]
pub struct Unit {
    /// The job or pipeline.
    pub target: Target,
    /// `log`, `archive`, `detail`, `report`, `bridges` or `jobs`.
    pub kind: &'static str,
    /// The job's name; empty for a pipeline.
    pub name: Box<str>,
    /// The pipeline it belongs to.
    pub pipeline: PipelineKey,
    /// What became of it.
    pub outcome: UnitOutcome,
}

/// What became of a unit.
#[derive(Debug, Clone)]
pub enum UnitOutcome {
    /// It is cached: so many bytes, or test cases of a report.
    Cached {
        /// Bytes, uncompressed.
        bytes: u64,
        /// Test cases or trigger jobs; 0 for logs and archives.
        count: u64,
    },
    /// A pipeline's jobs were listed.
    Listed {
        /// How many jobs it has.
        jobs: u64,
        /// How many logs, archives and reports were found to be needed.
        pieces: u64,
    },
    /// It is not there, and that is final.
    Absent(Reason),
    /// It could not be got this time.
    Failed(String),
}

/// Hears of every unit. Must return at once.
pub type Observer = Arc<dyn Fn(&Unit) + Send + Sync>;
