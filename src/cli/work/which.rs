//! Which work is meant.

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::config::ProjectRef;
use crate::work::{Cause, Target};

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
    /// Only of this job, also what GitLab refuses of it
    #[arg(long, value_name = "ID")]
    pub(super) job: Option<u64>,
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
    /// A pipeline's own document
    Detail,
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
    /// GitLab refuses a piece of it to the token; each full pass asks again for one of a project
    Forbidden,
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
    /// GitLab refused it to the token, and is asked again
    Recheck,
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Pipeline => "pipeline",
            Self::Job => "job",
            Self::Report => "report",
            Self::Detail => "detail",
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
            Self::Recheck => Cause::Recheck,
        }
    }
}

impl Which {
    pub(super) fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// Returns whether it may be about a target.
    pub(super) fn takes(&self, target: &Target) -> bool {
        self.job.is_none_or(|job| matches!(target, Target::Job(key) if key.job.0 == job))
    }

    /// Returns whether what GitLab refuses is meant: there may be much of it, so that it has to be said.
    pub(super) fn takes_refused(&self) -> bool {
        let meant = self.state == Some(State::Forbidden) || (self.state.is_none() && self.job.is_some());
        meant && self.cause.is_none()
    }
}
