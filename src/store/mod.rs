//! Where facts, blobs, the journal, watermarks and leases are kept.
//!
//! What it guarantees: a [`Change`] list is applied whole or not at all; when the call returns `Ok` it is durable. A blob
//! is complete before anything points to it (law 11). The order within a slot (design, section 4.5) is judged here, so
//! that two writers of one job cannot make it worse.
//!
//! What it does not do: it never talks to GitLab, never decides what to fetch and never retries.

mod change;
mod error;
mod rows;
mod share;
mod sqlite;

pub use change::{Change, Entry, EntryId};
pub use error::{Error, Kind};
pub use rows::{
    Failure, Fence, Gap, JobFilter, JobRow, Lease, Page, PipelineFilter, PipelineRow, PipelineState, Progress, Slice,
};
pub use share::{Claimant, Grant, grant};
pub use sqlite::{Config, Sqlite as Store};

/// Raw bytes in each independent zstd frame of a stored log; the last frame may hold fewer.
pub const FRAME_BYTES: usize = 256 * 1024;

/// Bytes in each stored chunk of a blob; the last chunk may hold fewer.
pub const CHUNK_BYTES: usize = 256 * 1024;
