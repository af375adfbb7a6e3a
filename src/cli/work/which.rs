//! Which work is meant.

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::config::ProjectRef;
use crate::work::Cause;

/// Which work.
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub(in crate::cli) struct Which {
    /// Only of this project; may be given several times
    #[arg(long = "project", value_name = "ID|PATH")]
    pub(super) projects: Vec<ProjectRef>,
    /// Only of this kind
    #[arg(long, value_enum)]
    pub(super) kind: Option<Kind>,
    /// Only in this state
    #[arg(long, value_enum)]
    pub(super) state: Option<State>,
    /// Only with this cause; what failed has none
    #[arg(long, value_enum)]
    pub(super) cause: Option<Why>,
}

/// What is to be cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Kind {
    /// A pipeline and its jobs' documents
    Pipeline,
    /// A job's log and archive
    Job,
    /// A pipeline's test report
    Report,
    /// A pipeline's trigger jobs
    Bridges,
    /// A project's document
    Project,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::cli) enum State {
    /// It is done when it is due
    Waiting,
    /// A process has begun with it
    Running,
    /// It failed for good and is set aside
    Failed,
}

/// Why it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Why {
    /// An event said that it ended
    Ended,
    /// An event said that it changed
    Changed,
    /// An incremental pass missed it
    Planned,
    /// A log or report is looked at again
    Look,
    /// A full pass, or `work retry`, asked for it
    Full,
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Pipeline => "pipeline",
            Self::Job => "job",
            Self::Report => "report",
            Self::Bridges => "bridges",
            Self::Project => "project",
        }
    }
}

impl Why {
    pub(super) fn cause(self) -> Cause {
        match self {
            Self::Ended => Cause::Ended,
            Self::Changed => Cause::Changed,
            Self::Planned => Cause::Planned,
            Self::Look => Cause::Look,
            Self::Full => Cause::Full,
        }
    }
}

impl Which {
    pub(super) fn is_all(&self) -> bool {
        *self == Self::default()
    }
}
