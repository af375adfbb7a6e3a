//! Names that cannot stand for a file below an archive's root, and how many an archive has.

use std::fmt;

/// Why an entry's name stands for no file below the archive's root, so that nobody can ask for it.
///
/// Everything else is a name: backslashes, colons, control characters, bytes that are no UTF-8. GitLab leaves out the same but for
/// what is no UTF-8 (contract, section 5.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftOut {
    /// It begins with `/`.
    Absolute,
    /// A part of it is `..`.
    Parent,
    /// A part of it is empty or `.`, or all of it is empty.
    NoName,
    /// It holds a NUL.
    Nul,
}

impl LeftOut {
    /// Every reason, in the order in which they are told.
    const ALL: [Self; 4] = [Self::Absolute, Self::Parent, Self::NoName, Self::Nul];

    /// Returns why a name is left out; `None` for a path below the root.
    pub(super) fn of(name: &[u8]) -> Option<Self> {
        let mut parts = name.strip_suffix(b"/").unwrap_or(name).split(|byte| *byte == b'/');
        if name.contains(&0) {
            Some(Self::Nul)
        } else if name.starts_with(b"/") {
            Some(Self::Absolute)
        } else if parts.clone().any(|part| part == b"..") {
            Some(Self::Parent)
        } else if parts.any(|part| matches!(part, b"" | b".")) {
            Some(Self::NoName)
        } else {
            None
        }
    }

    /// Returns the word that headers use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Absolute => "absolute",
            Self::Parent => "parent",
            Self::NoName => "no_name",
            Self::Nul => "nul",
        }
    }

    /// Returns what is wrong with the name, for people.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Absolute => "it begins with /",
            Self::Parent => "it has a part ..",
            Self::NoName => "it has an empty part or a part .",
            Self::Nul => "it holds a NUL",
        }
    }
}

/// How many entries of an archive are left out, by reason.
///
/// It is shown as a header tells it: `3;absolute=1;parent=2`, and `0` when there are none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeftOutCounts([u64; LeftOut::ALL.len()]);

impl LeftOutCounts {
    /// Counts one more.
    pub(super) fn add(&mut self, why: LeftOut) {
        self.0[why as usize] += 1;
    }

    /// Reads what [`Display`](fmt::Display) wrote; what it does not know is none.
    pub fn parse(text: &str) -> Self {
        let mut counts = Self::default();
        for (word, count) in text.split(';').filter_map(|part| part.split_once('=')) {
            if let (Some(why), Ok(count)) = (LeftOut::ALL.iter().find(|why| why.as_str() == word), count.parse()) {
                counts.0[*why as usize] = count;
            }
        }
        counts
    }

    /// Returns how many there are.
    pub fn total(self) -> u64 {
        self.0.iter().sum()
    }

    /// Returns those of each reason that has any.
    pub fn each(self) -> impl Iterator<Item = (LeftOut, u64)> {
        LeftOut::ALL.into_iter().zip(self.0).filter(|(_, count)| *count > 0)
    }
}

impl fmt::Display for LeftOutCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.total().fmt(f)?;
        self.each().try_for_each(|(why, count)| write!(f, ";{}={count}", why.as_str()))
    }
}
