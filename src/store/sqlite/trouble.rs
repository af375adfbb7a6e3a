//! What can go wrong inside one operation, before it becomes the store's [`Kind`].

use deadpool_sqlite::rusqlite::{self, ErrorCode};

use crate::store::Kind;

/// A failure of one operation.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// SQLite said no.
    #[error(transparent)]
    Sql(#[from] rusqlite::Error),
    /// The blob or lease that this write relied on belongs to somebody else now.
    #[error("the lease was lost: it ran out, or another process took it over")]
    FenceLost,
    /// A fact was published whose job or pipeline is not stored: it was removed meanwhile.
    #[error("the {0} it belongs to is not stored")]
    NoSuchRow(&'static str),
    /// A stored value that no version of Cistern writes.
    #[error("a stored {0} is not readable: the file was changed by another program")]
    Unreadable(&'static str),
    /// A bug of ours; the writer goes on without that one operation.
    #[error("an internal error")]
    Panicked,
    /// The transaction that it was part of did not happen.
    #[error("{0}")]
    Abandoned(String),
}

impl Trouble {
    /// Returns what the caller is told.
    pub(super) fn into_kind(self) -> Kind {
        match &self {
            Self::FenceLost => Kind::FenceLost,
            Self::Unreadable(_) => Kind::Unusable(self.to_string()),
            Self::Sql(error) => match error.sqlite_error_code() {
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                    Kind::Unusable("the store file is damaged: stop, move it away and start again".to_owned())
                }
                _ if is_unreadable(error) => Kind::Unusable(format!(
                    "a stored value is not readable ({error}): the file is damaged or was changed by another program"
                )),
                _ => Kind::Away(self.reason()),
            },
            _ => Kind::Away(self.reason()),
        }
    }

    /// Returns why a transaction did not happen, in few words.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Sql(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull) => {
                "the disk is full: make room".to_owned()
            }
            other => other.to_string(),
        }
    }

    /// Returns whether it says something about the store and not only about this one operation.
    pub(super) fn means_down(&self) -> bool {
        match self {
            Self::Sql(error) => {
                error.sqlite_error_code() != Some(ErrorCode::ConstraintViolation) && !is_unreadable(error)
            }
            Self::Abandoned(_) => true,
            Self::Unreadable(_) | Self::FenceLost | Self::NoSuchRow(_) | Self::Panicked => false,
        }
    }
}

/// Returns whether a value was there and not what a version of Cistern writes.
fn is_unreadable(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::Utf8Error(..)
    )
}
