//! How old cached things may become.

use std::sync::Arc;
use std::time::Duration;

use super::{Pipeline, ProjectId, Timestamp};

/// The ages at which a project's things are removed; `None` keeps them for ever.
///
/// A log's and an archive's age counts from the end of their job, a report's and a document's from the last change of their
/// pipeline, all as GitLab told them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ages {
    /// Logs.
    pub logs: Option<Duration>,
    /// Archives of artifacts.
    pub artifacts: Option<Duration>,
    /// Test reports.
    pub reports: Option<Duration>,
    /// Pipelines and jobs themselves, with all that is left of them.
    pub documents: Option<Duration>,
}

/// How old each project's things may become, by its id and path.
pub type AgesOf = Arc<dyn Fn(ProjectId, &str) -> Ages + Send + Sync>;

impl Ages {
    /// Returns of each kind the shorter age.
    #[must_use]
    pub fn shorter(self, other: Self) -> Self {
        let shorter = |one: Option<Duration>, other: Option<Duration>| match (one, other) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        Self {
            logs: shorter(self.logs, other.logs),
            artifacts: shorter(self.artifacts, other.artifacts),
            reports: shorter(self.reports, other.reports),
            documents: shorter(self.documents, other.documents),
        }
    }

    /// Returns whether a pipeline would be removed at once, with all that belongs to it.
    pub fn are_over_for(&self, pipeline: &Pipeline, now: Timestamp) -> bool {
        Self::is_over(self.documents, pipeline.updated_at, now)
    }

    /// Returns whether something of this age is removed.
    pub fn is_over(age: Option<Duration>, since: Timestamp, now: Timestamp) -> bool {
        age.is_some_and(|age| now.since(since) >= age)
    }
}
