//! What is in a job's log: its lines, its sections, its colours, where it went wrong.
//!
//! Everything here is pure: bytes in, bytes or facts out, no IO and no async. What takes a whole log takes it piece by piece,
//! with bounded memory whatever the log holds, and gives the same answer wherever the pieces end. A log is hostile: whoever can
//! run a job writes it. Nothing here trusts it, panics on it, or grows with it beyond a named limit (reliability, R41).
//!
//! Logs are read by the lines of GitLab's page: an entry whose stamp has a `+` goes on with the last line of its stream, and of
//! what a `\r` took back nothing is searched or shown. A line ends with `\n`, not where the next entry goes on with it, and before
//! a section's marker; `\r` does not end one. The first line that shows something is line 1; lines that show nothing are not
//! counted. What follows the last `\n`, if anything does, is a line too.
//!
//! What it does not do: it knows nothing of frames, blobs and stores. [`crate::parts`] reads a log's part from a store.

mod entries;
mod errors;
mod escape;
mod grep;
mod index;
mod json;
mod lines;
mod live;
mod page;
mod part;
mod render;
mod request;
mod sections;
mod splitter;
mod style;
mod timestamps;
mod utf8;

pub use errors::{Failure, FailureFinder, OUTPUT_LINES, Quote, Verdict};
pub use grep::{BadPattern, Found, Grep, GrepOptions, MAX_CONTEXT, MAX_PATTERN_BYTES, Search};
pub use index::{INDEX_VERSION, Index, Indexer, MAX_INDEX_BYTES};
pub use json::JsonLines;
pub use lines::{LineIndex, line_breaks};
pub use live::LiveLines;
pub use page::LineSplitter;
pub use part::Part;
pub use render::{Ansi, Renderer};
pub use request::{BadRequest, Format, Request};
pub use sections::{MAX_DEPTH, MAX_NAME_BYTES, MAX_SECTIONS, Section, SectionScanner, Sections};
pub use splitter::{JOIN_BYTES, JOIN_LINES, Joins, LINE_PIECE_BYTES, LinePiece};
pub use style::stylesheet;
pub use timestamps::{STAMP_BYTES, Stamp, Stream, Timestamps};
