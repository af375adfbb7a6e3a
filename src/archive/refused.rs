//! Why an archive, or a file of it, is not read.

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
    /// It has more than [`MAX_ENTRIES`](super::MAX_ENTRIES) entries.
    #[error("it has more than 100,000 entries")]
    TooManyEntries,
    /// Its directory has more than [`MAX_DIRECTORY_BYTES`](super::MAX_DIRECTORY_BYTES).
    #[error("its directory has more than 32 MiB")]
    DirectoryTooLarge,
    /// A name has more than [`MAX_NAME_BYTES`](super::MAX_NAME_BYTES).
    #[error("a name in it has more than 4 KiB")]
    NameTooLong,
    /// Two of its files share bytes.
    #[error("files in it overlap")]
    Overlapping,
    /// The file's name is no plain relative path: absolute, with `..` or `\`, with control characters, or no UTF-8.
    #[error("its name is no plain relative path")]
    UnsafePath,
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
    /// It becomes more than [`MAX_RATIO`](super::MAX_RATIO) times larger than it is stored.
    #[error("it becomes more than 1,000 times larger than it is stored")]
    Bomb,
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
            Self::TooManyEntries => "too_many_entries",
            Self::DirectoryTooLarge => "directory_too_large",
            Self::NameTooLong => "name_too_long",
            Self::Overlapping => "overlapping",
            Self::UnsafePath => "unsafe_path",
            Self::Ambiguous => "ambiguous",
            Self::Symlink => "symlink",
            Self::Encrypted => "encrypted",
            Self::UnknownMethod(_) => "unknown_method",
            Self::TooLarge => "too_large",
            Self::Bomb => "bomb",
            Self::WrongSize => "wrong_size",
            Self::WrongChecksum => "wrong_checksum",
        }
    }

    /// Returns whether the file may be sound and only cannot be read here, which HTTP calls 415.
    pub fn is_unsupported(self) -> bool {
        matches!(self, Self::Split | Self::Encrypted | Self::UnknownMethod(_) | Self::Symlink)
    }
}
