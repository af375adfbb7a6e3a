//! Where an answer came from and how old it is.

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
    pub(super) complete: bool,
    /// Whether `page.total` is how many rows there are; otherwise it only tells whether there are more.
    pub(super) counted: bool,
}

impl Listed {
    /// Returns the word of `X-Cistern-Complete`.
    pub(super) fn completeness(&self) -> &'static str {
        if self.complete { "true" } else { "false" }
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
