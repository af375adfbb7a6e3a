//! An archive's directory: all its entries, in the order of their paths.

use super::entry::{Entry, RECORD_BYTES};
use super::{Location, Refused, short};

/// The most entries of an archive.
pub const MAX_ENTRIES: u64 = 100_000;

/// The longest directory.
pub const MAX_DIRECTORY_BYTES: u64 = 32 << 20;

/// The longest name.
pub const MAX_NAME_BYTES: usize = 4096;

/// The entries of an archive. It takes no more memory than four times the directory.
#[derive(Debug, Default)]
pub struct Directory {
    /// In the order of their paths' bytes.
    entries: Vec<Entry>,
}

/// Reads a directory that comes in pieces.
#[derive(Debug)]
pub struct DirectoryReader {
    location: Location,
    held: Vec<u8>,
    entries: Vec<Entry>,
}

impl DirectoryReader {
    /// Begins with where it is.
    pub fn new(location: Location) -> Self {
        Self { location, held: Vec::new(), entries: Vec::new() }
    }

    /// Takes the next piece.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), Refused> {
        self.held.extend_from_slice(piece);
        let mut done = 0;
        // What is behind the last entry is a signature, or nothing of ours.
        while (self.entries.len() as u64) < self.location.entries
            && let Some(length) = record_bytes(&self.held[done..])?
        {
            let Some(record) = self.held.get(done..done + length) else { break };
            self.entries.push(Entry::parse(record)?);
            done += length;
        }
        self.held.drain(..done);
        if self.entries.len() as u64 == self.location.entries {
            self.held.clear();
        }
        Ok(())
    }

    /// Returns the directory, whose files share no bytes.
    pub fn finish(self) -> Result<Directory, Refused> {
        let Self { location, mut entries, .. } = self;
        if entries.len() as u64 != location.entries {
            return Err(Refused::Damaged("its directory ends too early"));
        }
        entries.sort_unstable_by_key(|entry| entry.header);
        let mut next = location.offset;
        for entry in entries.iter_mut().rev() {
            if entry.least_end().is_none_or(|end| end > next) {
                return Err(Refused::Overlapping);
            }
            entry.end = next;
            next = entry.header;
        }
        entries.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        for at in 1..entries.len() {
            if entries[at].path == entries[at - 1].path {
                for twin in [at - 1, at] {
                    entries[twin].refused.get_or_insert(Refused::Ambiguous);
                }
            }
        }
        Ok(Directory { entries })
    }
}

impl Directory {
    /// Returns every entry, in the order of the paths' bytes.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns the file of a path, if there is one; it may be refused.
    pub fn file(&self, path: &str) -> Option<&Entry> {
        let found = self.entries.binary_search_by(|entry| (*entry.path).cmp(path)).ok()?;
        self.entries.get(found).filter(|_| !path.ends_with('/'))
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
