//! What GitLab said about a reader, as every store keeps it (design, section 4.6).
//!
//! No token is here, only what [`crate::access`] made of it with the deployment's key.

use std::time::Duration;

use crate::domain::{JobKey, ProjectId};

/// A reader's token as a keyed hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash(pub [u8; 32]);

/// What was asked about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum About {
    /// Whether the token is one.
    Token,
    /// Whether a path, in small letters, leads to a project.
    Path(Box<str>),
    /// Whether the project can be seen, and as whom.
    Project(ProjectId),
    /// Whether its pipelines and jobs can be.
    Builds(ProjectId),
    /// Whether a job's log can be.
    Log(JobKey),
    /// Whether a job's archive can be.
    Archive(JobKey),
}

/// What GitLab answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Yes, to a member of Reporter role or above.
    Member,
    /// Yes.
    Granted,
    /// 404.
    NotFound,
    /// 403.
    Forbidden,
    /// 401: the token is none, or none any more.
    Unauthorized,
}

/// A kept answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What GitLab answered.
    pub answer: Answer,
    /// The project that a path leads to.
    pub project: Option<ProjectId>,
    /// GitLab's words about the reader: the document of the user whose token it is, where the token itself was asked about, and the
    /// `permissions` of a project's document.
    pub told: Option<Box<str>>,
    /// How long ago it was asked, by the database's clock. Where that was set back to before the question, the answer is none: it
    /// would hold for as long again.
    pub age: Duration,
}

impl About {
    /// Returns the word for what kind of question it is.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Path(_) => "path",
            Self::Project(_) => "project",
            Self::Builds(_) => "builds",
            Self::Log(_) => "log",
            Self::Archive(_) => "archive",
        }
    }

    /// Returns the text that it is kept under.
    pub(super) fn key(&self) -> String {
        let kind = self.kind();
        match self {
            Self::Token => kind.to_owned(),
            Self::Path(path) => format!("{kind} {path}"),
            Self::Project(project) | Self::Builds(project) => format!("{kind} {project}"),
            Self::Log(key) | Self::Archive(key) => format!("{kind} {} {}", key.project, key.job),
        }
    }
}

impl Answer {
    /// Returns the word that it is kept as.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Granted => "granted",
            Self::NotFound => "not_found",
            Self::Forbidden => "forbidden",
            Self::Unauthorized => "unauthorized",
        }
    }

    /// Returns the answer of a word; one that no version writes lets nobody in.
    pub(super) fn from_word(word: &str) -> Self {
        match word {
            "member" => Self::Member,
            "granted" => Self::Granted,
            "not_found" => Self::NotFound,
            "forbidden" => Self::Forbidden,
            _ => Self::Unauthorized,
        }
    }

    /// Returns whether it lets its reader in.
    pub fn is_positive(self) -> bool {
        matches!(self, Self::Member | Self::Granted)
    }
}
