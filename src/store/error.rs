//! What can go wrong with a store, by what the caller can do about it.

/// A store operation that did not happen.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {kind}")]
pub struct Error {
    /// What was tried, for example `append to the journal`.
    pub operation: &'static str,
    /// What is wrong.
    pub kind: Kind,
}

/// The kinds of failure, by what can be done.
#[derive(Debug, thiserror::Error)]
pub enum Kind {
    /// It may work later: the disk is full, the file is busy, an IO error.
    #[error("the store is away ({0})")]
    Away(String),
    /// The file is damaged or is no Cistern store.
    #[error("{0}")]
    Unusable(String),
    /// The lease ran out, or another process took it over.
    #[error("the lease was lost: it ran out, or another process took it over")]
    FenceLost,
    /// What is stored is not what was stored.
    #[error("what is stored does not match its checksum")]
    Damaged,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl Kind {
    /// Names the place that is away; the other kinds name it themselves.
    pub(super) fn at(self, place: &impl std::fmt::Display) -> Self {
        match self {
            Self::Away(why) => Self::Away(format!("{place}: {why}")),
            other => other,
        }
    }
}

impl Error {
    /// Makes an error of an operation and its kind.
    pub fn new(operation: &'static str, kind: Kind) -> Self {
        Self { operation, kind }
    }

    /// Returns whether trying again later can help.
    pub fn is_temporary(&self) -> bool {
        matches!(self.kind, Kind::Away(_) | Kind::Closed)
    }
}
