//! What the fake GitLab knows about projects, pipelines, jobs and trigger jobs: plain data without behaviour of its own.

use super::people::Visibility;
use crate::demo::fake::content::{Archive, Junit, Log};
use crate::domain::{JobId, PipelineId, ProjectId, Timestamp};

/// A project.
#[derive(Debug)]
pub(crate) struct Project {
    pub(crate) id: ProjectId,
    /// `group/sub/name`.
    pub(crate) path: String,
    pub(crate) created_at: Timestamp,
    pub(crate) last_activity_at: Timestamp,
    pub(crate) archived: bool,
    pub(crate) topics: Vec<String>,
    /// Whether the token is a member: a public project is shown to everybody, but not listed among memberships.
    pub(crate) member: bool,
    /// False when CI/CD is switched off in the project's settings.
    pub(crate) ci_enabled: bool,
    pub(crate) repository_enabled: bool,
    pub(crate) visibility: Visibility,
    /// Whether everybody who sees the project may see its pipelines and jobs.
    pub(crate) public_pipelines: bool,
    /// In the order of creation, child pipelines included.
    pub(crate) pipelines: Vec<PipelineId>,
    /// The role of the reading credential, as GitLab numbers them: 20 is Reporter.
    pub(crate) role: u8,
    /// The role of the credential that manages webhooks; its groups' role is that of an owner.
    pub(crate) hooks_role: u8,
}

/// A pipeline, child pipelines included.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) id: PipelineId,
    pub(crate) iid: u64,
    pub(crate) project: ProjectId,
    pub(crate) name: Option<String>,
    pub(crate) ref_name: String,
    pub(crate) sha: String,
    pub(crate) tag: bool,
    pub(crate) source: String,
    pub(crate) status: String,
    pub(crate) yaml_errors: Option<String>,
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
    /// In the order of creation, retried attempts included.
    pub(crate) jobs: Vec<JobId>,
    pub(crate) bridges: Vec<JobId>,
    /// The trigger job that made this pipeline, for a child.
    pub(crate) parent: Option<Parent>,
}

/// Where a child pipeline comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parent {
    pub(crate) pipeline: PipelineId,
    pub(crate) bridge: JobId,
}

/// One attempt of a job that a runner runs.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: JobId,
    pub(crate) project: ProjectId,
    pub(crate) pipeline: PipelineId,
    pub(crate) name: String,
    pub(crate) stage: String,
    pub(crate) status: String,
    pub(crate) allow_failure: bool,
    pub(crate) manual: bool,
    pub(crate) coverage: Option<f64>,
    pub(crate) tags: Vec<String>,
    pub(crate) failure_reason: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
    pub(crate) erased_at: Option<Timestamp>,
    pub(crate) artifacts_expire_at: Option<Timestamp>,
    /// True once a newer attempt of the same name exists.
    pub(crate) retried: bool,
    pub(crate) retries_count: u64,
    pub(crate) log: Log,
    /// Bytes at the end of the log that cannot be read before it is archived.
    pub(crate) late_log_bytes: usize,
    pub(crate) trace_archived: bool,
    /// How the log is answered although it is listed; `None`: as it is.
    pub(crate) log_hidden: Option<HiddenLog>,
    pub(crate) archive: Option<Archive>,
    pub(crate) archive_expired: bool,
    pub(crate) junit: Option<Junit>,
    pub(crate) junit_expired: bool,
    /// The log is refused with 403, as of a job in debug mode.
    pub(crate) log_forbidden: bool,
    /// The artifacts are refused with 403, as under `artifacts:access`.
    pub(crate) artifacts_forbidden: bool,
    /// Log and artifacts are refused with 403 to who is below reporter.
    pub(crate) files_restricted: bool,
}

/// How GitLab answers for a log that it lists and does not find, as object storage lags or while logs are migrated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HiddenLog {
    /// 200 with an empty body.
    Empty,
    /// 404.
    NotFound,
}

impl Job {
    /// Returns true when the attempt has ended: its results exist and change no more.
    pub(crate) fn is_ended(&self) -> bool {
        matches!(self.status.as_str(), "success" | "failed" | "canceled")
    }

    /// Returns true when the attempt left results behind that nobody has erased.
    fn has_results(&self) -> bool {
        self.is_ended() && self.started_at.is_some() && self.erased_at.is_none()
    }

    /// Returns true when the archive can be downloaded now.
    pub(crate) fn has_archive(&self) -> bool {
        self.archive.is_some() && self.has_results() && !self.archive_expired
    }

    /// Returns true when the artifacts' time is over at `now`: `artifacts_file` is left out then, also of what is kept.
    pub(crate) fn is_past_expiry(&self, now: Timestamp) -> bool {
        self.artifacts_expire_at.is_some_and(|at| at <= now)
    }

    /// Returns true when the JUnit file can be parsed now.
    pub(crate) fn has_junit(&self) -> bool {
        self.junit.is_some() && self.has_results() && !self.junit_expired
    }

    /// Returns true when the summary counts this job's tests: kept in GitLab's database, it outlives the file.
    pub(crate) fn has_test_summary(&self) -> bool {
        self.junit.is_some() && self.is_ended() && self.started_at.is_some()
    }

    /// Returns seconds from start to end, to the millisecond.
    pub(crate) fn duration_secs(&self) -> Option<f64> {
        Some(self.finished_at?.since(self.started_at?).as_secs_f64())
    }

    /// Returns seconds from creation to start.
    pub(crate) fn queued_secs(&self) -> Option<f64> {
        Some(self.started_at?.since(self.created_at).as_secs_f64())
    }
}

/// A trigger job. It shares the number space of jobs, but the job endpoints do not know it.
#[derive(Debug)]
pub(crate) struct Bridge {
    pub(crate) id: JobId,
    pub(crate) pipeline: PipelineId,
    pub(crate) name: String,
    pub(crate) created_at: Timestamp,
    pub(crate) downstream: PipelineId,
}
