//! Where facts, blobs, the journal, watermarks and leases are kept: one SQLite file ([`Sqlite`]), or one MongoDB that several
//! processes share ([`Mongo`]). The methods of [`Store`] are the contract of both.
//!
//! What it guarantees: when [`Store::apply`] returns `Ok` its list of changes is durable, and no document or blob is ever half
//! written. A blob is complete before anything points to it (law 11). The order within a slot (design, section 4.5) is judged
//! in `slots`, so that two writers of one job cannot make it worse. All times of processes and leases are the database's.
//!
//! What it does not do: it never talks to GitLab and never decides what to fetch. A call that failed is the caller's to repeat.

pub(crate) mod change;
#[macro_use]
mod contract;
mod deriving;
mod error;
mod forgetting;
mod keeping;
mod kept;
mod lease;
mod metrics;
mod mongo;
mod rows;
mod share;
mod slots;
mod sound;
mod sqlite;
mod standing;
mod told;
mod verdicts;

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::Serialize;

use crate::domain::Timestamp;

pub use change::{Change, Entry, EntryId, Suspicion};
pub use contract::Store;
pub use deriving::{Outdated, OutdatedPlace};
pub use error::{Error, Kind};
pub use kept::{
    BlobKind, Documents, Forgotten, KeptBlob, Owner as WorkOwner, PipelineAge, Removed, Room, Usage, Waiting,
    WorkFilter,
};
pub use lease::{Fence, Lease};
pub use mongo::Mongo;
pub use rows::{
    COUNTED, Failure, Gap, JobFilter, JobRow, JobTally, ListOf, Listing, Page, PipelineFilter, PipelineOrder,
    PipelineRow, PipelineScope, PipelineState, PipelineTally, Progress, ProjectJobFilter, Slice, Span,
};
pub use share::{Claimant, Grant, grant};
pub use sound::StoredChunk;
use sound::chunk_sum;
pub use sqlite::Sqlite;
pub use verdicts::{About, Answer, TokenHash, Verdict};

/// Raw bytes in each independent zstd frame of a stored log; the last frame may hold fewer.
pub const FRAME_BYTES: usize = 256 * 1024;

/// Bytes in each stored chunk of a blob; the last chunk may hold fewer.
pub const CHUNK_BYTES: usize = 256 * 1024;

/// Chunks of one blob that are worth writing at once: while one is confirmed the next ones are on their way.
pub const CHUNKS_AT_ONCE: usize = 4;

/// Where a store is.
#[derive(Debug, Clone)]
pub enum Place {
    /// The database file.
    Sqlite(PathBuf),
    /// A connection string that names a database; it may hold a password.
    Mongo(SecretString),
}

impl Place {
    /// Takes a `mongodb://` or `mongodb+srv://` connection string that names a database, or says what is wrong with it without
    /// quoting it.
    pub fn mongo(url: &str) -> Result<Self, &'static str> {
        mongo::problem_of(url).map_or_else(|| Ok(Self::Mongo(url.into())), Err)
    }
}

/// Where the store is and how it is used.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it is.
    pub place: Place,
    /// How long a process may be silent before others take its work over.
    pub lease: Duration,
    /// How many operations may be in flight. Journal entries, heartbeats and leases are bounded apart.
    pub operations: usize,
    /// Bytes that page caches may fill, all connections of a file together; `None` leaves it to the database.
    pub cache: Option<u64>,
    /// `serve`, `backfill`, …: what this process calls itself.
    pub kind: &'static str,
}

/// What `/status` tells of a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    /// `sqlite` or `mongodb`.
    pub engine: &'static str,
    /// Whether it can be written.
    pub up: bool,
    /// Since when it cannot.
    pub since: Option<Timestamp>,
    /// What is wrong, as a sentence without secrets.
    pub problem: Option<String>,
}

/// How much room there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that the store takes.
    pub used: u64,
    /// Bytes that may still be written to its disk; `None` where the database does not tell.
    pub free: Option<u64>,
}

/// What a process is known by in a store.
#[derive(Debug, Clone, Copy)]
struct Owner {
    id: i64,
    kind: &'static str,
    lease: Duration,
    lease_millis: i64,
}

impl Owner {
    fn new(config: &Config) -> Self {
        let lease_millis = i64::try_from(config.lease.as_millis()).unwrap_or(i64::MAX >> 1);
        Self { id: fastrand::i64(1..), kind: config.kind, lease: config.lease, lease_millis }
    }
}
