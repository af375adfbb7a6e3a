//! How far what one reader sees is cached.

use super::View;
use crate::access::Seen;
use crate::api::answer::Problem;
use crate::api::freshness;
use crate::api::provenance::Complete;
use crate::domain::Timestamp;
use crate::store::{Entry, Failure, Gap, JobRow, JobTally, PipelineRow, PipelineTally, Progress};

/// How far a project is cached.
pub(in crate::api) struct Coverage {
    /// Its jobs, by their state.
    pub(in crate::api) jobs: Vec<JobTally>,
    /// Its pipelines, by their state.
    pub(in crate::api) pipelines: Vec<PipelineTally>,
    /// How far its passes have come.
    pub(in crate::api) progress: Option<Progress>,
    /// Since when its CI is switched off, or not for the service's token.
    pub(in crate::api) without_ci: Option<Timestamp>,
    /// What should be cached and is not.
    pub(in crate::api) gaps: Vec<Gap>,
    /// What failed for good.
    pub(in crate::api) failures: Vec<Failure>,
    /// What is to be done.
    pub(in crate::api) entries: Vec<Entry>,
}

impl View {
    /// Returns all jobs of a pipeline with the state of their pieces, lowest id first.
    pub(in crate::api) async fn jobs_of(&self, pipeline: &PipelineRow) -> Result<Vec<JobRow>, Problem> {
        Ok(self.api.store.jobs_of(pipeline.key).await?)
    }

    /// Returns whether a pipeline's trigger jobs were fetched.
    pub(in crate::api) async fn holds_bridges(&self, pipeline: &PipelineRow) -> Result<bool, Problem> {
        Ok(self.api.store.bridges(pipeline.key).await?.is_some())
    }

    /// Returns from when on passes have covered a project; not at all when a job or a list of jobs is missing.
    pub(super) async fn lists_every_job(
        &self,
        project: Seen,
        progress: Option<&Progress>,
    ) -> Result<Complete, Problem> {
        /// Where there are more gaps than this, it is not looked for one that matters here.
        const LOOKED_AT: u64 = 100;
        let id = project.project();
        let document = self.api.store.project(id).await?;
        let beginning = document.and_then(|document| freshness::created_at(&document.text));
        let covered = freshness::covers(progress, beginning);
        if covered == Complete::No {
            return Ok(covered);
        }
        let gaps = self.api.store.gaps(Some(id), LOOKED_AT).await?;
        let hides_jobs = |gap: &Gap| matches!(gap.kind, "jobs" | "job" | "pipeline");
        let is_whole = (gaps.len() as u64) < LOOKED_AT && !gaps.iter().any(hides_jobs);
        Ok(if is_whole { covered } else { Complete::No })
    }

    /// Returns what of a project failed for good and what is to be done, of the latter at most `limit`.
    pub(in crate::api) async fn unfinished(
        &self,
        project: Seen,
        limit: u64,
    ) -> Result<(Vec<Failure>, Vec<Entry>), Problem> {
        let id = project.project();
        Ok(tokio::try_join!(self.api.store.failures(Some(id)), self.api.store.entries_of(id, limit))?)
    }

    /// Returns what is known of a project's completeness, lists of at most `limit`.
    pub(in crate::api) async fn coverage(&self, project: Seen, limit: u64) -> Result<Coverage, Problem> {
        let id = project.project();
        if let Some(problem) = self.no_project(project).await {
            return Err(problem);
        }
        let (tallies, progress, without_ci, gaps) = tokio::try_join!(
            self.api.store.tallies(id),
            self.api.store.progress(id),
            self.api.store.without_ci(Some(id)),
            self.api.store.gaps(Some(id), limit),
        )?;
        let (failures, entries) = self.unfinished(project, limit).await?;
        let (jobs, pipelines) = tallies;
        let without_ci = without_ci.first().map(|(_, since)| *since);
        Ok(Coverage { jobs, pipelines, progress, without_ci, gaps, failures, entries })
    }
}
