//! Parts of what is stored: some lines of a log, one file of an archive, by reading only the chunks that hold them.
//!
//! It joins [`crate::log`] and [`crate::archive`], which know what is where, with the [`Store`](crate::store::Store), which has
//! the bytes. A log's index and the place of an archive's directory are kept beside them when they are stored; of what was
//! stored before that, and of what they cannot be decoded of, they are found again by reading, at each request.
//!
//! It guarantees that a part is the same as that part of the whole, that memory is bounded whatever is read, and that dropping
//! a stream ends its work. A blob that is replaced while it is read stays readable for 10 min (design, section 4.5); what cannot
//! be completed ends with an error, never as if it were whole.

mod archive;
mod aside;
mod blob;
mod frames;
mod log;
mod reading;

pub(crate) use aside::aside;

pub use archive::{ArchiveReader, FileReader};
pub use log::LogReader;
pub use reading::Reading;

use crate::archive::Refused;
use crate::store;
use reading::SEARCH_SECONDS;

/// Why a part cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store does not answer.
    #[error("read a chunk")]
    Store(#[from] store::Error),
    /// The blob was removed meanwhile: replaced, erased or pruned.
    #[error("it is not held any more")]
    Gone,
    /// Searching took as long as one search may.
    #[error(
        "searching this log for this pattern takes more than {SEARCH_SECONDS} s: use smaller counts in {{…}}, a plainer pattern, or search a part of the log (tail, lines, section)"
    )]
    Slow,
    /// Too many searches that take long wait for their turn.
    #[error("too many searches that take long are under way: ask again soon, or for plain words")]
    Busy,
    /// This process stops.
    #[error("it was not read to its end")]
    Stopped(#[from] std::io::Error),
    /// What is stored is not what was stored.
    #[error("the stored log is damaged: {0}")]
    Damaged(&'static str),
    /// The log has no such section.
    #[error("the log has no section of this name")]
    NoSection,
    /// The archive has no such file.
    #[error("the archive has no such file")]
    NoFile,
    /// The archive has no such directory.
    #[error("the archive has no such directory")]
    NoDirectory,
    /// The archive, or this file of it, is not read.
    #[error("the archive or this file of it is not read: {0}")]
    Refused(#[from] Refused),
}
