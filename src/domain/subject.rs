//! What a person can ask to be forgotten.

use std::fmt;

use serde::Serialize;

use super::{JobKey, PipelineKey, ProjectId};

/// A job, or a pipeline with all its jobs, or a project with all its pipelines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Subject {
    /// A project and everything of it.
    Project {
        /// Which one.
        project: ProjectId,
    },
    /// A pipeline, its report and its jobs.
    Pipeline(PipelineKey),
    /// A job, its log and its archive.
    Job(JobKey),
}

impl Subject {
    /// Returns the project it belongs to, or is.
    pub fn project(self) -> ProjectId {
        match self {
            Self::Project { project } => project,
            Self::Pipeline(key) => key.project,
            Self::Job(key) => key.project,
        }
    }

    /// Returns `project`, `pipeline` or `job`.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Project { .. } => "project",
            Self::Pipeline(_) => "pipeline",
            Self::Job(_) => "job",
        }
    }

    /// Returns its own id.
    pub fn id(self) -> u64 {
        match self {
            Self::Project { project } => project.0,
            Self::Pipeline(key) => key.pipeline.0,
            Self::Job(key) => key.job.0,
        }
    }

    /// Returns the subject of a stored kind and ids, if there is such a kind.
    pub fn from_parts(kind: &str, project: ProjectId, id: u64) -> Option<Self> {
        match kind {
            "project" => Some(Self::Project { project }),
            "pipeline" => Some(Self::Pipeline(PipelineKey { project, pipeline: super::PipelineId(id) })),
            "job" => Some(Self::Job(JobKey { project, job: super::JobId(id) })),
            _ => None,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Project { project } => write!(f, "project {project}"),
            Self::Pipeline(key) => write!(f, "pipeline {} of project {}", key.pipeline, key.project),
            Self::Job(key) => write!(f, "job {} of project {}", key.job, key.project),
        }
    }
}
