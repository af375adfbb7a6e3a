//! Where an archive's directory is: read from the records at its end.

use super::entry::RECORD_BYTES;
use super::{ENTRY_BYTES, Refused, number, short};

/// The end record without its comment.
const END_BYTES: usize = 22;

/// The zip64 record and the locator before the end record.
const END64_BYTES: usize = 56;
const LOCATOR_BYTES: usize = 20;

/// How many of an archive's last bytes have to be looked at: all records with the longest comment.
pub const TAIL_BYTES: usize = END64_BYTES + LOCATOR_BYTES + END_BYTES + u16::MAX as usize;

/// Where an archive's directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    /// Its first byte.
    pub offset: u64,
    /// How long it is.
    pub bytes: u64,
    /// How many entries it has.
    pub entries: u64,
}

impl Location {
    /// Finds it in the last [`TAIL_BYTES`] of an archive of `size` bytes, or in all of a shorter one.
    pub fn find(tail: &[u8], size: u64) -> Result<Self, Refused> {
        let at = end_record(tail).ok_or(Refused::NoZip)?;
        let end = &tail[at..];
        let begin = size.checked_sub(tail.len() as u64).ok_or(Refused::Damaged("it is shorter than its end"))?;
        let mut records_begin = begin + at as u64;
        let mut found =
            Self { offset: number::<4>(end, 16), bytes: number::<4>(end, 12), entries: number::<2>(end, 10) };
        let mut disks = [number::<2>(end, 4), number::<2>(end, 6)];
        let mut entries_here = number::<2>(end, 8);
        let locator = at.checked_sub(LOCATOR_BYTES).map(|at| &tail[at..]).filter(|l| l.starts_with(b"PK\x06\x07"));
        if let Some(locator) = locator {
            let offset = number::<8>(locator, 8);
            let inside = offset.checked_sub(begin).and_then(|at| usize::try_from(at).ok());
            let record = inside.and_then(|inside| tail.get(inside..at - LOCATOR_BYTES));
            let record = record.filter(|record| record.len() >= END64_BYTES && record.starts_with(b"PK\x06\x06"));
            let record = record.ok_or(Refused::Damaged("its zip64 record is not where it says"))?;
            records_begin = offset;
            found = Self {
                offset: number::<8>(record, 48),
                bytes: number::<8>(record, 40),
                entries: number::<8>(record, 32),
            };
            disks = [number::<4>(record, 16), number::<4>(record, 20)];
            entries_here = number::<8>(record, 24);
        }
        if disks != [0, 0] || entries_here != found.entries {
            return Err(Refused::Split);
        }
        found.check(records_begin)
    }

    /// Returns it unless it is too large for a reader who allows so many entries.
    pub fn within(self, most: u64) -> Result<Self, Refused> {
        if self.entries > most {
            return Err(Refused::TooManyEntries { entries: self.entries, most });
        }
        let most = most.saturating_mul(ENTRY_BYTES).max(1 << 20);
        if self.bytes > most { Err(Refused::DirectoryTooLarge { bytes: self.bytes, most }) } else { Ok(self) }
    }

    /// Writes it.
    pub fn encode(self) -> Box<[u8]> {
        [self.offset, self.bytes, self.entries].iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    /// Reads what [`encode`](Self::encode) wrote; `None` for anything else, or what cannot be in an archive of this size.
    pub fn decode(bytes: &[u8], size: u64) -> Option<Self> {
        let ([offset, bytes, entries], []) = bytes.as_chunks::<8>() else { return None };
        let [offset, bytes, entries] = [offset, bytes, entries].map(|number| u64::from_le_bytes(*number));
        Self { offset, bytes, entries }.check(size).ok()
    }

    /// Checks it against the place where it has to have ended.
    fn check(self, end: u64) -> Result<Self, Refused> {
        if self.offset.checked_add(self.bytes).is_none_or(|directory_end| directory_end > end) {
            return Err(Refused::Damaged("its directory goes beyond its end"));
        }
        if self.bytes < self.entries.saturating_mul(RECORD_BYTES as u64) {
            return Err(Refused::Damaged("its directory is too short for its entries"));
        }
        Ok(self)
    }
}

/// Finds the last end record whose comment ends with the archive.
fn end_record(tail: &[u8]) -> Option<usize> {
    let last = tail.len().checked_sub(END_BYTES)?;
    (0..=last).rev().find(|at| {
        let end = &tail[*at..];
        end.starts_with(b"PK\x05\x06") && usize::from(short(end, 20)) == end.len() - END_BYTES
    })
}
