//! What can go wrong with a question to GitLab, by what may help.

use crate::domain::{Malformed, Timestamp};

/// A question that GitLab did not answer.
#[derive(Debug, thiserror::Error)]
#[error("{question}: {kind}")]
pub struct Error {
    /// What was asked, for example `read log of job 456`.
    pub question: String,
    /// What came instead of an answer.
    pub kind: Kind,
}

/// What came instead of an answer.
#[derive(Debug, thiserror::Error)]
pub enum Kind {
    /// 404: it does not exist, or not for us.
    #[error("GitLab does not have it (404)")]
    NotFound,
    /// 403: our token may not read it.
    #[error("GitLab refuses it to this token (403)")]
    Forbidden,
    /// 403 to more than what was asked for: to everything, or to all of a project. It says nothing about the thing.
    #[error("GitLab refuses {} to this token for now (403): {reason}", if *.everything { "everything" } else { "all of the project" })]
    Withheld {
        /// Whether every question is refused.
        everything: bool,
        /// What GitLab says about it, or what may be the cause.
        reason: &'static str,
    },
    /// 401, or the scope is too small: nothing can be asked with this token.
    #[error("GitLab refuses the token: {0}")]
    TokenRefused(&'static str),
    /// The same of the token that manages webhooks, which stops nothing else.
    #[error("GitLab refuses gitlab.hooks_token, which needs scope api: {0}")]
    HooksTokenRefused(&'static str),
    /// 429, or 503 with `Retry-After`: not before this time. `everything` tells a limit of the instance from one of this endpoint.
    #[error("GitLab asks to wait until {until}")]
    Throttled {
        /// Not before.
        until: Timestamp,
        /// Whether every question has to wait.
        everything: bool,
    },
    /// Another 4xx: the question is wrong, asking again cannot help.
    #[error("GitLab answers {0}")]
    Rejected(u16),
    /// A 4xx to an order, with GitLab's reason.
    #[error("GitLab answers {status}: {message}")]
    Refused {
        /// The status.
        status: u16,
        /// What GitLab says about it.
        message: String,
    },
    /// 5xx, timeouts, broken connections, HTML instead of JSON, cut bodies: it may work later.
    #[error("GitLab is not answering properly ({0})")]
    Unavailable(String),
    /// The answer is JSON, but not what was documented.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A listing that does not end: whoever goes on gets what was there before, or ever more.
    #[error("GitLab's listing does not end, it shows {0}: does a cache before it leave out what was asked for?")]
    Endless(&'static str),
    /// A redirect of a file from https to http at this host and port, which nobody allowed.
    #[error(
        "GitLab redirects to its storage at {0} by http, without encryption; if the network between may be trusted with archives, \
         put {0} into gitlab.plain_storage_hosts"
    )]
    PlainStorage(Box<str>),
    /// A redirect that must not be followed.
    #[error("GitLab redirects to a place that must not be followed ({0})")]
    Redirect(&'static str),
}

impl Kind {
    /// Returns whether every other question would fare the same until a person acts.
    pub fn is_of_the_token(&self) -> bool {
        matches!(self, Self::TokenRefused(_) | Self::Withheld { everything: true, .. })
    }
}
