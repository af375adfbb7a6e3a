//! The answers that are no documents: GitLab's own error bodies where it has them, a sentence where it has not.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, HeaderName, RETRY_AFTER};
use actix_web::{HttpResponse, ResponseError};
use serde_json::json;
use tracing::{debug, error};

use crate::access::Denied;
use crate::archive::Refused;
use crate::domain::{Piece, Reason};
use crate::{parts, store};

/// Tells why something is not cached: a [`crate::domain::Reason`], or `missing` (law 12).
pub(super) const REASON: HeaderName = HeaderName::from_static("x-cistern-reason");

/// Seconds after which a reader may ask again while the store is away.
const RETRY_SECS: &str = "5";

/// How far lists can be paged by number that can be paged by key, too (contract, section 5.2).
pub(super) const DEEPEST_OFFSET: u64 = 50_000;

/// Why a read has no document to answer with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Problem {
    /// The token is missing or refused.
    Unauthorized,
    /// The reader's role is too low for this.
    Forbidden,
    /// Too many unknown tokens came from where this one came from.
    TooMany,
    /// Too many logs are followed at once.
    TooManyFollowers,
    /// GitLab cannot be asked whether the reader may see it.
    NotJudged,
    /// The project is not to be seen, or there is none.
    ProjectNotFound,
    /// The project is to be seen and not cached.
    NotCached,
    /// No cached pipeline ran for this commit, or for a ref of this name.
    CommitNotFound,
    /// No cached project is of this group.
    GroupNotFound,
    /// The report holds only the latest attempt of each job.
    EarlierAttempt,
    /// The pipeline or job is not cached.
    NotFound,
    /// The thing exists, but this piece of it is not held.
    NotHeld(Piece),
    /// A parameter's value is not one of its values.
    Invalid {
        /// The parameter.
        name: &'static str,
        /// GitLab's words: `is invalid` or `does not have a valid value`.
        problem: &'static str,
    },
    /// The list cannot be paged by key, or not in this order.
    NoKeyset,
    /// The page is behind where GitLab pages by number: what the list is of.
    TooDeep(&'static str),
    /// A filter or order that GitLab has and Cistern has not.
    Unsupported(&'static str),
    /// A parameter that GitLab does not have means nothing; the sentence says which and why.
    Parameter(String),
    /// The log or archive has no such part; the sentence says what is missing.
    NoPart(&'static str),
    /// The archive, or this file of it, is not read.
    Refused(Refused),
    /// Cistern has no such path.
    UnknownPath,
    /// Cistern's cache cannot be changed by its readers.
    OnlyReads,
    /// It is not cached, and GitLab cannot be asked for it now.
    Unreachable,
    /// GitLab's answer to a question that was passed on cannot be; the sentence says why.
    NotPassed(&'static str),
    /// The search takes longer than one may; the sentence says what to change.
    TooSlow(String),
    /// Too many searches that take long are under way; the sentence says what to do.
    Busy(String),
    /// The store is away for now, or what was to be read is being replaced.
    Away,
    /// The store cannot be used.
    Unusable,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unauthorized => f.write_str("401 Unauthorized"),
            Self::Forbidden => f.write_str("403 Forbidden"),
            Self::TooMany => f.write_str("429 Too Many Requests: too many unknown tokens, or questions without one. Ask again in a second."),
            Self::TooManyFollowers => f.write_str(
                "429 Too Many Requests: too many logs are followed at once, by you or by all. End some, or read them from time to time.",
            ),
            Self::NotJudged => f.write_str(
                "503 Service Unavailable: GitLab cannot be asked right now whether you may read this. Ask again soon.",
            ),
            Self::ProjectNotFound | Self::NotCached => f.write_str("404 Project Not Found"),
            Self::CommitNotFound => f.write_str("404 Commit Not Found"),
            Self::GroupNotFound => f.write_str("404 Group Not Found"),
            Self::EarlierAttempt => f.write_str(
                "404 Not found: GitLab's test report holds the latest attempt of each job only, and this job was retried.",
            ),
            // GitLab's own answer is this one, too; the header says why.
            Self::NotFound | Self::NotHeld(Piece::Absent(Reason::NoArchive | Reason::Erased | Reason::Expired)) => {
                f.write_str("404 Not found")
            }
            Self::NotHeld(why) => write!(f, "404 Not found: Cistern does not hold it ({})", why.as_str()),
            Self::NoKeyset => f.write_str("Keyset pagination is not yet available for this type of request"),
            Self::TooDeep(kind) => write!(
                f,
                "Offset pagination has a maximum allowed offset of {DEEPEST_OFFSET} for requests that return objects of \
                 type {kind}. Remaining records can be retrieved using keyset pagination."
            ),
            Self::Invalid { name, problem } => write!(f, "{name} {problem}"),
            Self::Unsupported(name) => write!(
                f,
                "400 Bad Request: Cistern does not support the parameter {name} of GitLab here yet, or not with this \
                 value. Leave it out, or ask GitLab."
            ),
            Self::Parameter(problem) => write!(f, "400 Bad Request: {problem}"),
            Self::TooSlow(why) | Self::Busy(why) => write!(f, "{}: {why}", self.status_code()),
            Self::NoPart(what) => write!(f, "404 Not found: {what}"),
            Self::Refused(why) => write!(f, "{}: {why}", self.status_code()),
            Self::UnknownPath => f.write_str(
                "404 Not Found: Cistern has no such path. It serves projects, their pipelines and jobs, test reports, \
                 logs and artifacts below /api/v4/projects, and what GitLab has no shape for below /api/cistern/v1/projects; \
                 /openapi.json lists all of it. Whether GitLab is asked for the rest, and for what of it, is api.pass_through.",
            ),
            Self::OnlyReads => {
                f.write_str(
                    "405 Method Not Allowed: Cistern is a cache and can only be read, by GET or HEAD. Send writes, uploads and \
                     GraphQL to GitLab itself.",
                )
            }
            Self::Unreachable => f.write_str(
                "503 Service Unavailable: this is not cached, and GitLab did not answer in time. Ask again soon.",
            ),
            Self::NotPassed(why) => write!(f, "502 Bad Gateway: {why}."),
            Self::Away => f.write_str("503 Service Unavailable: the cache cannot be read right now. Ask again soon."),
            Self::Unusable => f.write_str("500 Internal Server Error: the cache cannot be read. See Cistern's log."),
        }
    }
}

impl std::error::Error for Problem {}

impl Problem {
    /// Returns whether Cistern has no such answer and GitLab may have one.
    pub(super) fn is_gitlab_s_to_answer(&self) -> bool {
        matches!(self, Self::UnknownPath | Self::Unsupported(_) | Self::NotCached | Self::CommitNotFound)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::ProjectNotFound | Self::NotCached | Self::NotFound | Self::NotHeld(_) | Self::UnknownPath => {
                StatusCode::NOT_FOUND
            }
            Self::CommitNotFound | Self::GroupNotFound | Self::EarlierAttempt | Self::NoPart(_) => {
                StatusCode::NOT_FOUND
            }
            Self::Parameter(_) => StatusCode::BAD_REQUEST,
            Self::Refused(why) if why.is_unsupported() => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Refused(_) | Self::TooSlow(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Invalid { .. } | Self::Unsupported(_) => StatusCode::BAD_REQUEST,
            Self::OnlyReads | Self::NoKeyset | Self::TooDeep(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::TooMany | Self::TooManyFollowers => StatusCode::TOO_MANY_REQUESTS,
            Self::NotJudged | Self::Away | Self::Unreachable | Self::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotPassed(_) => StatusCode::BAD_GATEWAY,
            Self::Unusable => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        match self {
            Self::NotHeld(piece) => {
                response.insert_header((REASON, piece.as_str()));
            }
            Self::OnlyReads | Self::NoKeyset | Self::TooDeep(_) => {
                response.insert_header((ALLOW, "GET, HEAD"));
            }
            Self::NotJudged | Self::Away | Self::Unreachable | Self::Busy(_) => {
                response.insert_header((RETRY_AFTER, RETRY_SECS));
            }
            Self::TooMany | Self::TooManyFollowers => {
                response.insert_header((RETRY_AFTER, "1"));
            }
            Self::Refused(why) => {
                response.insert_header((REASON, why.as_str()));
            }
            _ => {}
        }
        match self {
            // GitLab's parameter checks answer with `error`, everything else with `message`.
            Self::Invalid { .. } | Self::NoKeyset | Self::TooDeep(_) => {
                response.json(json!({ "error": self.to_string() }))
            }
            _ => response.json(json!({ "message": self.to_string() })),
        }
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Unauthorized => Self::Unauthorized,
            Denied::Forbidden => Self::Forbidden,
            Denied::NotFound => Self::ProjectNotFound,
            Denied::TooMany => Self::TooMany,
            Denied::Unknown => Self::NotJudged,
            Denied::Store(error) => error.into(),
        }
    }
}

impl From<parts::Error> for Problem {
    fn from(problem: parts::Error) -> Self {
        match problem {
            parts::Error::Store(problem) => problem.into(),
            parts::Error::Gone | parts::Error::Stopped(_) => Self::Away,
            parts::Error::Slow => Self::TooSlow(problem.to_string()),
            parts::Error::Busy => Self::Busy(problem.to_string()),
            parts::Error::NoSection => Self::NoPart("the log has no section of this name"),
            parts::Error::NoFile => Self::NoPart("the archive has no such file"),
            parts::Error::NoDirectory => Self::NoPart("the archive has no such directory"),
            parts::Error::Refused(why) => Self::Refused(why),
            parts::Error::Damaged(_) => {
                error!(error = %problem, "a read was answered 500");
                Self::Unusable
            }
        }
    }
}

impl From<store::Error> for Problem {
    /// Logs the cause, which readers are not told. An outage is told by the store itself, not once more by every
    /// reader.
    fn from(problem: store::Error) -> Self {
        if problem.is_temporary() {
            debug!(error = %problem, "a read was answered 503");
            Self::Away
        } else {
            error!(error = %problem, "a read was answered 500");
            Self::Unusable
        }
    }
}
