//! What a person told us to forget is no work and no gap.

use std::collections::{HashMap, HashSet};

use super::{PassError, Reconciler};
use crate::domain::{JobKey, Pipeline, PipelineId, PipelineKey, Project, Subject};
use crate::store::{Failure, Gap, PipelineState};

impl Reconciler {
    /// Leaves forgotten projects out.
    pub(super) async fn projects_to_keep(&self, projects: Vec<Project>) -> Result<Vec<Project>, PassError> {
        let subject = |project: &Project| Subject::Project { project: project.id };
        let forgotten = self.forgotten(projects.iter().map(subject).collect()).await?;
        Ok(projects.into_iter().filter(|project| !forgotten.contains(&subject(project))).collect())
    }

    /// Leaves forgotten pipelines out; what is stored is none.
    pub(super) async fn pipelines_to_keep(
        &self,
        rows: Vec<Pipeline>,
        stored: &HashMap<PipelineId, PipelineState>,
    ) -> Result<Vec<Pipeline>, PassError> {
        let new = rows.iter().filter(|row| !stored.contains_key(&row.key.pipeline));
        let forgotten = self.forgotten(new.map(|row| Subject::Pipeline(row.key)).collect()).await?;
        Ok(rows.into_iter().filter(|row| !forgotten.contains(&Subject::Pipeline(row.key))).collect())
    }

    /// Leaves out what failed and is being forgotten: as long as some of it is stored, so is its failure.
    pub(super) async fn failures_to_keep(&self, failures: Vec<Failure>) -> Result<Vec<Failure>, PassError> {
        let subjects = |failure: &Failure| failure.target.subjects();
        let forgotten = self.forgotten(failures.iter().flat_map(subjects).collect()).await?;
        let is_forgotten = |failure: &Failure| subjects(failure).iter().any(|subject| forgotten.contains(subject));
        Ok(failures.into_iter().filter(|failure| !is_forgotten(failure)).collect())
    }

    /// Leaves gaps out that are there because a person wanted them.
    pub(super) async fn real_gaps(&self, gaps: Vec<Gap>) -> Result<Vec<Gap>, PassError> {
        let forgotten = self.forgotten(gaps.iter().flat_map(subjects).collect()).await?;
        Ok(gaps.into_iter().filter(|gap| !subjects(gap).iter().any(|subject| forgotten.contains(subject))).collect())
    }

    async fn forgotten(&self, subjects: Vec<Subject>) -> Result<HashSet<Subject>, PassError> {
        if subjects.is_empty() {
            return Ok(HashSet::new());
        }
        Ok(self.store.forgotten(subjects).await?)
    }
}

fn subjects(gap: &Gap) -> Vec<Subject> {
    let pipeline = Subject::Pipeline(PipelineKey { project: gap.project, pipeline: gap.pipeline });
    let job = gap.job.map(|job| Subject::Job(JobKey { project: gap.project, job }));
    std::iter::once(pipeline).chain(job).collect()
}
