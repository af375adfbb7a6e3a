//! Where an answer came from and how old it is.

use crate::domain::Timestamp;

/// Something of the cache, and where it came from.
#[derive(Debug, Clone)]
pub(super) struct Held<T> {
    /// The thing.
    pub(super) row: T,
    /// Where it came from.
    pub(super) provenance: Provenance,
}

/// Where an answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Provenance {
    /// GitLab's clock when GitLab said so.
    pub(super) as_of: Timestamp,
}

impl<T> Held<T> {
    /// It was held already.
    pub(super) fn hit(row: T, as_of: Timestamp) -> Self {
        Self { row, provenance: Provenance { as_of } }
    }
}
