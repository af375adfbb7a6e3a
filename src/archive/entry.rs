//! One entry of a directory, judged by what it says of itself.

use std::ops::Range;

use super::{LeftOut, Refused, number, short};

/// A directory's record without name, extra fields and comment.
pub(super) const RECORD_BYTES: usize = 46;

/// A local header without name and extra fields.
const HEADER_BYTES: u64 = 30;

/// How a file is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// As it is.
    Stored,
    /// By deflate.
    Deflated,
    /// By something else.
    Other(u16),
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A directory.
    Directory,
}

/// A file or directory of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path as the archive has it, which need not be UTF-8; that of a directory ends with `/`.
    pub path: Box<[u8]>,
    /// Its size, as the archive says.
    pub size: u64,
    /// Its size in the archive, as the archive says.
    pub stored_size: u64,
    /// The CRC-32 of its content, as the archive says.
    pub crc32: u32,
    /// How it is stored.
    pub method: Method,
    /// Its Unix mode; 0 when the archive was made elsewhere.
    pub mode: u32,
    /// Why it is not read.
    pub refused: Option<Refused>,
    /// Where its local header begins.
    pub(super) header: u64,
    name_bytes: u16,
    /// Where the next entry's header, or the directory, begins.
    pub(super) end: u64,
}

impl Entry {
    /// Reads a record, which is whole.
    pub(super) fn parse(record: &[u8]) -> Result<Self, Refused> {
        let name_bytes = short(record, 28);
        let name_end = RECORD_BYTES + usize::from(name_bytes);
        let name = record.get(RECORD_BYTES..name_end).unwrap_or_default();
        let extra = record.get(name_end..name_end + usize::from(short(record, 30))).unwrap_or_default();
        let mut entry = Self {
            path: name.into(),
            size: number::<4>(record, 24),
            stored_size: number::<4>(record, 20),
            crc32: u32::try_from(number::<4>(record, 16)).unwrap_or_default(),
            method: match short(record, 10) {
                0 => Method::Stored,
                8 => Method::Deflated,
                other => Method::Other(other),
            },
            mode: if short(record, 4) >> 8 == 3 { u32::from(short(record, 40)) } else { 0 },
            refused: None,
            header: number::<4>(record, 42),
            name_bytes,
            end: 0,
        };
        entry.take_zip64(extra)?;
        if short(record, 34) != 0 {
            return Err(Refused::Split);
        }
        let encrypted = short(record, 8) & 0x2041 != 0;
        entry.refused = LeftOut::of(name).map(Refused::UnsafePath).or_else(|| entry.judge(encrypted));
        Ok(entry)
    }

    /// Returns whether it is a file or a directory.
    pub fn kind(&self) -> Kind {
        if self.path.ends_with(b"/") { Kind::Directory } else { Kind::File }
    }

    /// Returns the bytes of its local header that [`data`](Self::data) has to see.
    pub fn header(&self) -> Range<u64> {
        self.header..self.header_end()
    }

    /// Returns where its data is, by its local header, which must say the same as the directory.
    pub fn data(&self, header: &[u8]) -> Result<Range<u64>, Refused> {
        if !header.starts_with(b"PK\x03\x04") || header.len() as u64 != HEADER_BYTES + u64::from(self.name_bytes) {
            return Err(Refused::Damaged("a file's header is not where the directory says"));
        }
        let method = match self.method {
            Method::Stored => 0,
            Method::Deflated => 8,
            Method::Other(other) => other,
        };
        let name = &header[HEADER_BYTES as usize..];
        if short(header, 8) != method || short(header, 26) != self.name_bytes || *name != *self.path {
            return Err(Refused::Damaged("a file's header contradicts the directory"));
        }
        if short(header, 6) & 0x2041 != 0 {
            return Err(Refused::Encrypted);
        }
        let begin = self.header_end() + number::<2>(header, 28);
        let end = begin.checked_add(self.stored_size).filter(|end| *end <= self.end).ok_or(Refused::Overlapping)?;
        Ok(begin..end)
    }

    /// Returns the end of the least that it takes of the archive; its header's extra fields are not known yet.
    pub(super) fn least_end(&self) -> Option<u64> {
        self.header_end().checked_add(self.stored_size)
    }

    fn header_end(&self) -> u64 {
        self.header.saturating_add(HEADER_BYTES + u64::from(self.name_bytes))
    }

    /// Takes the numbers that did not fit into the record from the zip64 extra field, in its fixed order.
    fn take_zip64(&mut self, mut extra: &[u8]) -> Result<(), Refused> {
        let full = u64::from(u32::MAX);
        let mut missing: Vec<&mut u64> = [&mut self.size, &mut self.stored_size, &mut self.header]
            .into_iter()
            .filter(|value| **value == full)
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        while extra.len() >= 4 {
            let (id, length) = (short(extra, 0), usize::from(short(extra, 2)));
            let field = extra.get(4..4 + length).ok_or(Refused::Damaged("an extra field goes beyond its record"))?;
            if id == 1 && length >= 8 * missing.len() {
                for (at, value) in missing.iter_mut().enumerate() {
                    **value = number::<8>(field, 8 * at);
                }
                return Ok(());
            }
            extra = &extra[4 + length..];
        }
        Err(Refused::Damaged("a file of 4 GiB has no zip64 field"))
    }

    /// Finds what speaks against reading it.
    fn judge(&self, encrypted: bool) -> Option<Refused> {
        const FILE_TYPE: u32 = 0o170_000;
        const SYMLINK: u32 = 0o120_000;
        if self.mode & FILE_TYPE == SYMLINK {
            return Some(Refused::Symlink);
        }
        if encrypted {
            return Some(Refused::Encrypted);
        }
        match self.method {
            Method::Other(method) => Some(Refused::UnknownMethod(method)),
            Method::Stored if self.size != self.stored_size => Some(Refused::WrongSize),
            Method::Stored | Method::Deflated => None,
        }
    }
}
