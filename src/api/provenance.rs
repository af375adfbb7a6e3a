//! Where an answer came from and how old it is.

use std::fmt;

use crate::domain::{Document, Timestamp};
use crate::store::Page;

/// Something of the cache, and where it came from.
#[derive(Debug, Clone)]
pub(super) struct Held<T> {
    /// The thing.
    pub(super) row: T,
    /// Where it came from.
    pub(super) provenance: Provenance,
}

/// A page of a list, and what is known of the list.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    /// The page.
    pub(super) page: Page<Document>,
    /// Where it came from.
    pub(super) provenance: Provenance,
    /// Whether everything that GitLab has of what was asked for is in the list.
    pub(super) complete: Complete,
    /// Whether `page.total` is how many rows there are; otherwise it only tells whether there are more.
    pub(super) counted: bool,
}

/// Whether a list is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Complete {
    /// Something lacks, or nobody knows.
    No,
    /// From a time on, and what was asked for begins before that.
    Since(Timestamp),
    /// All of what was asked for.
    Yes,
}

impl Complete {
    /// Returns what holds for two lists that are shown as one.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Since(one), Self::Since(other)) => Self::Since(one.max(other)),
            (Self::Since(since), Self::Yes) | (Self::Yes, Self::Since(since)) => Self::Since(since),
            (Self::Yes, Self::Yes) => Self::Yes,
        }
    }
}

impl From<bool> for Complete {
    fn from(complete: bool) -> Self {
        if complete { Self::Yes } else { Self::No }
    }
}

/// The value of `X-Cistern-Complete`: `true`, `since=` and a time, or `false`.
impl fmt::Display for Complete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::No => f.write_str("false"),
            Self::Since(time) => write!(f, "since={time}"),
            Self::Yes => f.write_str("true"),
        }
    }
}

/// Where an answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Provenance {
    /// What was done for it.
    pub(super) source: Source,
    /// GitLab's clock when GitLab said so; `None` when it never did.
    pub(super) as_of: Option<Timestamp>,
}

/// What was done for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Nothing: it is final, or young enough.
    Hit,
    /// It was held, and GitLab was asked for what changed.
    Refreshed,
    /// It is older than it should be: GitLab did not answer, or no longer has it.
    Stale,
    /// It was not held, and GitLab had it.
    Miss,
}

impl Source {
    /// Returns the word of `X-Cistern-Cache`.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Refreshed => "refreshed",
            Self::Stale => "stale",
            Self::Miss => "miss",
        }
    }
}

impl Provenance {
    /// It was held already.
    pub(super) fn hit(as_of: impl Into<Option<Timestamp>>) -> Self {
        Self { source: Source::Hit, as_of: as_of.into() }
    }
}
