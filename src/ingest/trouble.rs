//! Why a task did not get everything, by what may help.

use crate::domain::Timestamp;
use crate::{gitlab, store};

/// What stood in the way. Which part was not got is in its text, never content.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// GitLab does not answer properly, or asks to wait: try again later.
    #[error(transparent)]
    Gitlab(#[from] gitlab::Error),
    /// The store does not answer: try again later, and leave everyone waiting for a moment.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// An event said that it ended and GitLab does not say so yet (replica lag).
    #[error("GitLab does not know yet what an event announced")]
    NotYet,
    /// GitLab does not have it (any more).
    #[error("GitLab does not have it")]
    Gone,
    /// GitLab listed rows that are not readable.
    #[error("GitLab listed {0} rows that are not readable")]
    Unreadable(usize),
    /// GitLab lists more of them than Cistern holds.
    #[error("GitLab lists more {0} than Cistern holds")]
    TooMany(&'static str),
    /// GitLab fails to make a test report, its most expensive answer, which is not asked for again at once.
    #[error("GitLab could not make the test report: {0}")]
    NoReport(String),
    /// The answer contradicts what GitLab lists; it may be whole the next time.
    #[error("{0}")]
    Incomplete(String),
}

/// What may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Asking again after a while.
    Later,
    /// The same, but a person has to act first: nobody should wait for it.
    Person,
    /// Asking again, but not before this time; with `everyone` nothing else may be asked before it either.
    NotBefore {
        /// Not before.
        until: Timestamp,
        /// Whether it holds for all questions.
        everyone: bool,
    },
    /// Asking again a few times soon, then leaving it to the passes.
    Soon,
    /// Asking again as often as that, then it fails for good.
    Perhaps,
    /// The store has to come back first.
    Store,
    /// Nothing: it is gone, and that is an answer.
    Gone,
    /// Nothing: it fails for good.
    Nothing,
}

impl Remedy {
    /// Returns the word that traces have for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Later | Self::NotBefore { .. } | Self::Soon | Self::Perhaps => "postponed",
            Self::Person => "token_refused",
            Self::Store => "store_away",
            Self::Gone => "gone",
            Self::Nothing => "failed",
        }
    }
}

impl Trouble {
    /// Returns what may help (contract, section 8).
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Store(error) if error.is_temporary() => Remedy::Store,
            Self::Store(_) => Remedy::Later,
            Self::NotYet => Remedy::Soon,
            Self::Gone => Remedy::Gone,
            Self::Incomplete(_) => Remedy::Perhaps,
            Self::Unreadable(_) | Self::TooMany(_) | Self::NoReport(_) => Remedy::Nothing,
            Self::Gitlab(error) => match &error.kind {
                gitlab::Kind::NotFound => Remedy::Gone,
                gitlab::Kind::Unavailable(_) => Remedy::Later,
                gitlab::Kind::TokenRefused(_) | gitlab::Kind::HooksTokenRefused(_) | gitlab::Kind::Withheld { .. } => {
                    Remedy::Person
                }
                gitlab::Kind::Throttled { until, everything } => {
                    Remedy::NotBefore { until: *until, everyone: *everything }
                }
                gitlab::Kind::Forbidden
                | gitlab::Kind::Rejected(_)
                | gitlab::Kind::Refused { .. }
                | gitlab::Kind::Malformed(_)
                | gitlab::Kind::Endless(_)
                | gitlab::Kind::PlainStorage(_)
                | gitlab::Kind::Redirect(_) => Remedy::Nothing,
            },
        }
    }

    /// Of two troubles with one task, returns the one that decides what happens: what may heal before what cannot, so that
    /// a target is not set aside while a part of it can still be got.
    #[must_use]
    pub fn or(self, other: Option<Self>) -> Self {
        match other {
            Some(other) if self.hope() == 0 || self.hope() < other.hope() => other,
            _ => self,
        }
    }

    /// Orders troubles by what may come of trying again.
    fn hope(&self) -> u8 {
        match self.remedy() {
            Remedy::Nothing | Remedy::Gone => 0,
            Remedy::Perhaps => 1,
            Remedy::Later | Remedy::Person | Remedy::NotBefore { .. } | Remedy::Soon | Remedy::Store => 2,
        }
    }
}
