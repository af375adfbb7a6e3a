//! Why an archive, or a file of it, is not read.

use super::LeftOut;

/// Why an archive, or a file of it, is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It has no end record.
    #[error("it is no zip")]
    NoZip,
    /// It is one of several volumes.
    #[error("it is one of several volumes of a zip")]
    Split,
    /// Records contradict each other or end too early.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// It has more entries than `limits.archive_entries`.
    #[error("it has {entries} entries, more than limits.archive_entries allows ({most})")]
    TooManyEntries {
        /// How many it says to have.
        entries: u64,
        /// How many are allowed.
        most: u64,
    },
    /// Its directory is longer than `limits.archive_entries` allows.
    #[error("its directory has {bytes} bytes, more than limits.archive_entries allows ({most})")]
    DirectoryTooLarge {
        /// How long it says to be.
        bytes: u64,
        /// How long it may be.
        most: u64,
    },
    /// A name has more than [`MAX_NAME_BYTES`](super::MAX_NAME_BYTES).
    #[error("a name in it has more than 4 KiB")]
    NameTooLong,
    /// Two of its files share bytes.
    #[error("files in it overlap")]
    Overlapping,
    /// The file's name is no path below the archive's root.
    #[error("its name is no path within the archive: {}", .0.in_words())]
    UnsafePath(LeftOut),
    /// Another file has the same name.
    #[error("the archive has several files of its name")]
    Ambiguous,
    /// It is a symbolic link.
    #[error("it is a symbolic link")]
    Symlink,
    /// It is encrypted.
    #[error("it is encrypted")]
    Encrypted,
    /// It is compressed by a method that Cistern does not read.
    #[error("it is compressed by method {0}; only 0 (stored) and 8 (deflate) can be read")]
    UnknownMethod(u16),
    /// It is larger than somebody wants to read.
    #[error("it is larger than the limit")]
    TooLarge,
    /// It has another size than the archive says.
    #[error("it has another size than the archive says")]
    WrongSize,
    /// It has another checksum than the archive says.
    #[error("it has another checksum than the archive says")]
    WrongChecksum,
}

impl Refused {
    /// Returns the word that JSON uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoZip => "no_zip",
            Self::Split => "split",
            Self::Damaged(_) => "damaged",
            Self::TooManyEntries { .. } => "too_many_entries",
            Self::DirectoryTooLarge { .. } => "directory_too_large",
            Self::NameTooLong => "name_too_long",
            Self::Overlapping => "overlapping",
            Self::UnsafePath(_) => "unsafe_path",
            Self::Ambiguous => "ambiguous",
            Self::Symlink => "symlink",
            Self::Encrypted => "encrypted",
            Self::UnknownMethod(_) => "unknown_method",
            Self::TooLarge => "too_large",
            Self::WrongSize => "wrong_size",
            Self::WrongChecksum => "wrong_checksum",
        }
    }

    /// Returns whether the file may be sound and only cannot be read here, which HTTP calls 415.
    pub fn is_unsupported(self) -> bool {
        matches!(self, Self::Split | Self::Encrypted | Self::UnknownMethod(_) | Self::Symlink)
    }
}
