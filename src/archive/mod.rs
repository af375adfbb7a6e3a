//! A job's archive, a zip, read by parts: where its directory is, which files it has, one file without the others.
//!
//! An archive is hostile: whoever can run a job writes it. Everything here takes bytes that somebody else read and has no IO, so
//! that it can be tried with anything. What is read is bounded (reliability, R39): so many entries as its reader allows,
//! [`ENTRY_BYTES`] of the directory for each, names of 4 KiB, files of [`MAX_FILE_BYTES`]; sizes are counted and not believed, and
//! files that share bytes are refused. What is refused has a name, [`Refused`]. No path of an archive ever touches the file
//! system, so that it may be whatever a file of Linux may be called; no archive within an archive is opened.
//!
//! The order: [`Location::find`] in the archive's last bytes; the bytes of the location through a [`DirectoryReader`]; of an
//! [`Entry`] its header, then its data through an [`Extractor`]. [`crate::parts`] does that with a store.
//!
//! Zip64, data descriptors, stored and deflated files can be read. Other methods, encrypted and split archives cannot.

mod directory;
mod entry;
mod extract;
mod left_out;
mod location;
mod media;
mod refused;
mod shown;
mod tree;

pub use directory::{Directory, DirectoryReader, ENTRY_BYTES, Keep, MAX_NAME_BYTES};
pub use entry::{Entry, Kind, Method};
pub use extract::{Extractor, MAX_FILE_BYTES, PIECE_BYTES};
pub use left_out::{LeftOut, LeftOutCounts};
pub use location::{Location, TAIL_BYTES};
pub use media::media_type;
pub use refused::Refused;
pub use shown::{encoded, shown};
pub use tree::{Node, Tree};

/// Reads a little-endian number of at most 8 bytes at a place of a record; 0 where the record ends before.
fn number<const LENGTH: usize>(record: &[u8], at: usize) -> u64 {
    let bytes = record.get(at..at + LENGTH).unwrap_or_default();
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Reads a little-endian number of 2 bytes.
fn short(record: &[u8], at: usize) -> u16 {
    u16::try_from(number::<2>(record, at)).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests;
