//! An archive's directory: its entries, in the order of their paths.

use super::entry::{Entry, RECORD_BYTES};
use super::{LeftOutCounts, Location, Refused, short};

/// How long a directory may be for each entry that its reader allows; it may have a MiB in any case.
pub const ENTRY_BYTES: u64 = 336;

/// The longest name.
pub const MAX_NAME_BYTES: usize = 4096;

/// Which entries are kept in memory. All of them are read and judged in any case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keep {
    /// Those of this path.
    Path(Box<[u8]>),
    /// Those whose paths begin so.
    Below(Box<[u8]>),
}

impl Keep {
    /// Keeps every entry.
    pub fn all() -> Self {
        Self::Below(Box::default())
    }

    fn takes(&self, path: &[u8]) -> bool {
        match self {
            Self::Path(kept) => path == &**kept,
            Self::Below(prefix) => path.starts_with(prefix),
        }
    }
}

/// The kept entries of an archive. Each takes its name and some 100 bytes.
#[derive(Debug, Default)]
pub struct Directory {
    /// In the order of their paths' bytes.
    entries: Vec<Entry>,
    left_out: LeftOutCounts,
}

/// Reads a directory that comes in pieces. Of an entry that is not kept it holds 16 bytes.
#[derive(Debug)]
pub struct DirectoryReader {
    location: Location,
    keep: Keep,
    held: Vec<u8>,
    entries: Vec<Entry>,
    /// Where the local header of each entry begins, and the least of where its data ends.
    spans: Vec<(u64, u64)>,
    left_out: LeftOutCounts,
}

impl DirectoryReader {
    /// Begins with where it is, and what of it is kept.
    pub fn new(location: Location, keep: Keep) -> Self {
        let (held, entries, spans, left_out) = Default::default();
        Self { location, keep, held, entries, spans, left_out }
    }

    /// Takes the next piece.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), Refused> {
        self.held.extend_from_slice(piece);
        let mut done = 0;
        // What is behind the last entry is a signature, or nothing of ours.
        while (self.spans.len() as u64) < self.location.entries
            && let Some(length) = record_bytes(&self.held[done..])?
        {
            let Some(record) = self.held.get(done..done + length) else { break };
            let entry = Entry::parse(record)?;
            self.spans.push((entry.header, entry.least_end().ok_or(Refused::Overlapping)?));
            if let Some(Refused::UnsafePath(why)) = entry.refused {
                self.left_out.add(why);
            }
            if self.keep.takes(&entry.path) {
                self.entries.push(entry);
            }
            done += length;
        }
        self.held.drain(..done);
        if self.spans.len() as u64 == self.location.entries {
            self.held.clear();
        }
        Ok(())
    }

    /// Returns the directory, whose files share no bytes. It sorts, which may take long.
    pub fn finish(self) -> Result<Directory, Refused> {
        let Self { location, mut entries, mut spans, left_out, .. } = self;
        if spans.len() as u64 != location.entries {
            return Err(Refused::Damaged("its directory ends too early"));
        }
        spans.sort_unstable();
        let nexts = spans.iter().skip(1).map(|(header, _)| *header).chain([location.offset]);
        if spans.iter().zip(nexts).any(|((_, end), next)| *end > next) {
            return Err(Refused::Overlapping);
        }
        for entry in &mut entries {
            let behind = spans.partition_point(|(header, _)| *header <= entry.header);
            entry.end = spans.get(behind).map_or(location.offset, |(header, _)| *header);
        }
        entries.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        for at in 1..entries.len() {
            if entries[at].path == entries[at - 1].path {
                for twin in [at - 1, at] {
                    entries[twin].refused.get_or_insert(Refused::Ambiguous);
                }
            }
        }
        Ok(Directory { entries, left_out })
    }
}

impl Directory {
    /// Returns every kept entry, in the order of the paths' bytes.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns how many entries of the whole archive are in no tree, because their names are no paths within it.
    pub fn left_out(&self) -> LeftOutCounts {
        self.left_out
    }

    /// Returns the file of a path, if there is one; it may be refused.
    pub fn file(&self, path: &[u8]) -> Option<&Entry> {
        let found = self.entries.binary_search_by(|entry| (*entry.path).cmp(path)).ok()?;
        self.entries.get(found).filter(|_| !path.ends_with(b"/"))
    }
}

/// Returns how long the record at the beginning of a text is; `None` when more has to come to tell.
fn record_bytes(text: &[u8]) -> Result<Option<usize>, Refused> {
    if text.len() < RECORD_BYTES {
        return Ok(None);
    }
    if !text.starts_with(b"PK\x01\x02") {
        return Err(Refused::Damaged("its directory holds something else than entries"));
    }
    let name = usize::from(short(text, 28));
    if name > MAX_NAME_BYTES {
        return Err(Refused::NameTooLong);
    }
    Ok(Some(RECORD_BYTES + name + usize::from(short(text, 30)) + usize::from(short(text, 32))))
}
