//! What can go wrong inside one operation, before it becomes the store's [`Kind`].

use mongodb::error::{Error, ErrorKind, RETRYABLE_WRITE_ERROR, WriteFailure};

use crate::store::Kind;

/// What the server answers when it has no primary, or not yet again.
const NOT_PRIMARY: [i32; 8] = [10107, 13435, 10058, 11600, 11602, 13436, 189, 91];

/// The server's code of a unique index that refused a document.
pub(super) const DUPLICATE_KEY: i32 = 11000;

/// Codes of a server that can be read and not written: its disk is full, its users' writes are blocked, an Atlas quota is used up.
const NOT_WRITABLE: [i32; 3] = [14031, 371, 8000];

/// A failure of one operation.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// The driver or the server said no.
    #[error(transparent)]
    Driver(#[from] Error),
    /// The time limit of the operation passed.
    #[error("the database did not answer in time")]
    TimedOut,
    /// The caller could not wait any longer; what it wanted may happen yet.
    #[error("the database did not confirm it in time")]
    Slow,
    /// The server refused a write, with this code.
    #[error("the database refused a write ({0})")]
    Refused(i32),
    /// Too few members of the replica set confirmed a write in time: it may happen yet.
    #[error("the database has too few members that confirm writes ({0})")]
    Unconfirmed(i32),
    /// Nothing is tried, because the database did not answer a moment ago; the heartbeat keeps trying.
    #[error("{0}")]
    Away(String),
    /// The blob or lease that this write relied on belongs to somebody else now.
    #[error("the lease was lost: it ran out, or another process took it over")]
    FenceLost,
    /// A fact was published whose job or pipeline is not stored: it was removed meanwhile.
    #[error("the {0} it belongs to is not stored")]
    NoSuchRow(&'static str),
    /// A stored value that no version of Cistern writes.
    #[error("a stored {0} is not readable: the database was changed by another program")]
    Unreadable(&'static str),
    /// An entry with this id exists.
    #[error("the id is taken")]
    Duplicate,
    /// Other processes wrote the same document all the time.
    #[error("other processes write the same document")]
    Contended,
    /// The database cannot be used as it is: a sentence that says what to do.
    #[error("{0}")]
    Unusable(String),
    /// A bug of ours; the store goes on without that one operation.
    #[error("an internal error")]
    Panicked,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl Trouble {
    /// Returns what the caller is told.
    pub(super) fn into_kind(self) -> Kind {
        match self {
            Self::FenceLost => Kind::FenceLost,
            Self::Closed => Kind::Closed,
            Self::Unreadable(_) | Self::Unusable(_) => Kind::Unusable(self.to_string()),
            other => Kind::Away(other.reason()),
        }
    }

    /// Returns why, in few words and without what a server or driver might quote.
    pub(super) fn reason(&self) -> String {
        let Self::Driver(error) = self else { return self.to_string() };
        match &*error.kind {
            ErrorKind::Authentication { .. } => {
                "the database refuses the user name or password of store.url".to_owned()
            }
            ErrorKind::ServerSelection { .. } => {
                "no primary of the database answers: check the hosts, replicaSet and TLS options of store.url, or have cistern \
                 check find out which"
                    .to_owned()
            }
            ErrorKind::Io(error) => format!("the connection to the database broke: {}", error.kind()),
            ErrorKind::ConnectionPoolCleared { .. } => "the connection to the database broke".to_owned(),
            ErrorKind::DnsResolve { .. } => "the database's host name does not resolve".to_owned(),
            ErrorKind::InvalidTlsConfig { .. } => "the TLS options of store.url cannot be used".to_owned(),
            ErrorKind::Command(command) if command.code == 13 || command.code == 18 => {
                "the user of store.url lacks a right: it needs readWrite on the database".to_owned()
            }
            ErrorKind::Command(command) => format!("the database answered {} ({})", command.code_name, command.code),
            ErrorKind::Write(WriteFailure::WriteConcernError(concern)) => {
                format!("the database has too few members that confirm writes ({})", concern.code)
            }
            ErrorKind::Write(WriteFailure::WriteError(write)) => {
                format!("the database refused a write ({})", write.code)
            }
            ErrorKind::Transaction { .. } => "a transaction could not be made".to_owned(),
            ErrorKind::InsertMany(refused) => {
                let codes = refused.write_errors.iter().flatten().map(|error| error.code);
                let code = codes.chain(refused.write_concern_error.iter().map(|error| error.code)).next();
                format!("the database refused a write ({})", code.unwrap_or_default())
            }
            ErrorKind::IncompatibleServer { .. } => "the database's version is not supported".to_owned(),
            _ => "the database's driver failed".to_owned(),
        }
    }

    /// Returns the code with which the server refused a write through the driver.
    fn refused_with(&self) -> Option<i32> {
        let Self::Driver(error) = self else { return None };
        match &*error.kind {
            ErrorKind::Command(command) => Some(command.code),
            ErrorKind::Write(WriteFailure::WriteError(write)) => Some(write.code),
            ErrorKind::InsertMany(refused) => refused.write_errors.iter().flatten().map(|error| error.code).next(),
            _ => None,
        }
    }

    /// Returns whether it says something about the database and not only about this one operation.
    pub(super) fn means_down(&self) -> bool {
        match self {
            Self::Driver(error) => {
                error.contains_label(RETRYABLE_WRITE_ERROR)
                    || self.is_not_primary()
                    || matches!(
                        &*error.kind,
                        ErrorKind::Authentication { .. }
                            | ErrorKind::ServerSelection { .. }
                            | ErrorKind::Io(_)
                            | ErrorKind::ConnectionPoolCleared { .. }
                            | ErrorKind::DnsResolve { .. }
                    )
                    || self.refused_with().is_some_and(|code| NOT_WRITABLE.contains(&code))
            }
            Self::Refused(code) => NOT_WRITABLE.contains(code),
            Self::TimedOut | Self::Unconfirmed(_) | Self::Away(_) | Self::Unusable(_) => true,
            _ => false,
        }
    }

    /// Returns whether the driver found no primary, which may have many reasons.
    pub(super) fn means_no_primary(&self) -> bool {
        match self {
            Self::Driver(error) => matches!(&*error.kind, ErrorKind::ServerSelection { .. } | ErrorKind::Io(_)),
            _ => false,
        }
    }

    /// Returns whether trying the same idempotent command once more may help at once, as the driver does for those it retries.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Driver(error) => {
                error.contains_label(RETRYABLE_WRITE_ERROR)
                    || self.is_not_primary()
                    || matches!(&*error.kind, ErrorKind::Io(_) | ErrorKind::ConnectionPoolCleared { .. })
            }
            _ => false,
        }
    }

    fn is_not_primary(&self) -> bool {
        match self {
            Self::Driver(error) => match &*error.kind {
                ErrorKind::Command(command) => NOT_PRIMARY.contains(&command.code),
                _ => false,
            },
            _ => false,
        }
    }
}

/// Returns whether a unique index refused the document.
pub(super) fn is_duplicate(error: &Error) -> bool {
    match &*error.kind {
        ErrorKind::Write(WriteFailure::WriteError(write)) => write.code == DUPLICATE_KEY,
        ErrorKind::Command(command) => command.code == DUPLICATE_KEY,
        _ => false,
    }
}
