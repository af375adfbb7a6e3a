//! The part of the contract by which derived facts are made again: what is outdated, and writing it if its bytes are still there.

use super::{Error, Store};
use crate::domain::{BlobId, JobKey};

/// Some jobs whose log's index is of an older version, or that have none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outdated {
    /// The jobs; there may be none on a page that is not the last.
    pub logs: Vec<JobKey>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<OutdatedPlace>,
}

/// A place among what is outdated. Each store has an order of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutdatedPlace {
    /// The version of the last index; 0 for none.
    pub(super) version: u8,
    /// Its job.
    pub(super) job: u64,
}

contract! {
    /// Jobs that hold a log whose index is of a version before this one: some `limit` of them, after this place.
    fn outdated_logs(version: u8, after: Option<OutdatedPlace>, limit: u64) -> Result<Outdated, Error>;

    /// Writes the index of a job's log; false when the log is no longer this blob.
    fn save_log_index(key: JobKey, blob: BlobId, index: Box<[u8]>) -> Result<bool, Error>;
}
