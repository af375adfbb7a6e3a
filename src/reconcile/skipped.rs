//! What a look goes past because GitLab did not answer about it: one bad thing stops only itself.

use serde::Serialize;

use super::{PassError, Reconciler};
use crate::domain::{JobId, Pipeline, PipelineId, Project, ProjectId};
use crate::gitlab::{Circuit, Kind};

/// Something that could not be looked at. Its keys are those of a [`Gap`](crate::store::Gap), and some more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The project; `None` for one that is only named, and for rows of the list of projects that are not readable.
    pub project: Option<ProjectId>,
    /// The project's path or name.
    pub path: Option<Box<str>>,
    /// The pipeline; `None` for all of the project.
    pub pipeline: Option<PipelineId>,
    /// The job; `None` for all of the pipeline.
    pub job: Option<JobId>,
    /// `projects`, `project`, `pipelines`, `pipeline`, `jobs`, `log` or `archive`.
    pub kind: &'static str,
    /// `unknown`: neither cached nor a gap, as far as was found out.
    pub state: &'static str,
    /// Why.
    pub problem: String,
}

impl Skipped {
    fn new(kind: &'static str, problem: String) -> Self {
        Self { project: None, path: None, pipeline: None, job: None, kind, state: "unknown", problem }
    }

    /// Notes a project.
    pub(super) fn project(project: &Project, kind: &'static str, problem: String) -> Self {
        Self { project: Some(project.id), path: Some(project.path.clone()), ..Self::new(kind, problem) }
    }

    /// Notes a project of which only the name is known.
    pub(super) fn named(name: &impl ToString, problem: String) -> Self {
        Self { path: Some(name.to_string().into()), ..Self::new("project", problem) }
    }

    /// Notes a pipeline, or a job's log or archive.
    pub(super) fn piece(
        project: ProjectId,
        pipeline: PipelineId,
        job: Option<JobId>,
        kind: &'static str,
        problem: String,
    ) -> Self {
        Self { project: Some(project), pipeline: Some(pipeline), job, ..Self::new(kind, problem) }
    }

    /// Notes a pipeline, or its list of jobs.
    pub(super) fn pipeline(pipeline: &Pipeline, kind: &'static str, problem: String) -> Self {
        Self::piece(pipeline.key.project, pipeline.key.pipeline, None, kind, problem)
    }

    /// Notes rows of the list of projects that are not readable.
    pub(super) fn projects(rows: usize) -> Self {
        Self::new("projects", unreadable(rows))
    }
}

/// Says that rows of a listing could not be read.
pub(super) fn unreadable(rows: usize) -> String {
    format!("GitLab listed {rows} that are not readable")
}

impl std::fmt::Display for Skipped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.project, &self.path) {
            (Some(project), Some(path)) => write!(f, "project {project} ({path})")?,
            (Some(project), None) => write!(f, "project {project}")?,
            (None, Some(path)) => write!(f, "project {path}")?,
            (None, None) => write!(f, "all projects")?,
        }
        if let Some(pipeline) = self.pipeline {
            write!(f, ", pipeline {pipeline}")?;
        }
        if let Some(job) = self.job {
            write!(f, ", job {job}")?;
        }
        write!(f, ": {} {} ({})", self.kind, self.state, self.problem)
    }
}

impl Reconciler {
    /// Returns what was read, or what a trouble with it alone is; what concerns everything ends the look: a refused token, a
    /// GitLab that does not answer at all, the store.
    pub(super) fn or_problem<T>(&self, read: Result<T, impl Into<PassError>>) -> Result<Result<T, String>, PassError> {
        let error = match read {
            Ok(read) => return Ok(Ok(read)),
            Err(error) => error.into(),
        };
        match &error {
            PassError::Gitlab(alone) if !self.concerns_all(&alone.kind) => Ok(Err(alone.to_string())),
            _ => Err(error),
        }
    }

    fn concerns_all(&self, kind: &Kind) -> bool {
        match kind {
            kind if kind.is_of_the_token() => true,
            Kind::Unavailable(_) => self.gitlab.circuit() != Circuit::Closed,
            _ => false,
        }
    }
}
