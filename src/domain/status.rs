//! Statuses are open strings (GitLab adds new ones in minor releases); what matters to us is their phase.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A job's or pipeline's status as GitLab wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Status(pub Box<str>);

/// What a job's status means for caching.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobPhase {
    /// `success`, `failed`, `canceled`: it will not change again under this id.
    Ended,
    /// `skipped`, `manual`, `scheduled`: nothing to fetch, but it may run later under the same id.
    Idle,
    /// `created`: waits for an earlier stage; idle while its pipeline is blocked, else about to run.
    Created,
    /// Everything else, unknown statuses included: it runs or is about to.
    Active,
}

/// What a pipeline's status means for caching.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PipelinePhase {
    /// `success`, `failed`, `canceled`, `skipped`: finished, though a retry can reopen it.
    Ended,
    /// `manual`, `scheduled`: waits for somebody or for a time.
    Blocked,
    /// Everything else, unknown statuses included.
    Active,
}

impl Status {
    /// Returns what this status means on a job.
    pub fn job_phase(&self) -> JobPhase {
        match &*self.0 {
            "success" | "failed" | "canceled" => JobPhase::Ended,
            "skipped" | "manual" | "scheduled" => JobPhase::Idle,
            "created" => JobPhase::Created,
            _ => JobPhase::Active,
        }
    }

    /// Returns what this status means on a pipeline.
    pub fn pipeline_phase(&self) -> PipelinePhase {
        match &*self.0 {
            "success" | "failed" | "canceled" | "skipped" => PipelinePhase::Ended,
            "manual" | "scheduled" => PipelinePhase::Blocked,
            _ => PipelinePhase::Active,
        }
    }

    /// Returns the status as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Status {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}
