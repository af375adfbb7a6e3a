//! Tombstones against lists of changes: what is about a forgotten subject is taken out before anything is written, so that no
//! event, pass or late fetch brings it back. The same for every store.

use std::collections::HashSet;

use super::{Change, Error, ListOf, Store};
use crate::domain::{BlobId, Job, JobId, JobKey, PipelineKey, Subject};
use crate::work::Target;

impl Store {
    /// Takes jobs out of those that GitLab lists which a person told us to forget; of what is stored none is.
    pub async fn leave_forgotten_out(
        &self,
        jobs: &mut Vec<Job>,
        is_stored: impl Fn(JobId) -> bool,
    ) -> Result<(), Error> {
        let new = jobs.iter().filter(|job| !is_stored(job.key.job));
        let new: Vec<Subject> = new.map(|job| Subject::Job(job.key)).collect();
        if !new.is_empty() {
            let forgotten = self.forgotten(new).await?;
            jobs.retain(|job| !forgotten.contains(&Subject::Job(job.key)));
        }
        Ok(())
    }
}

/// Returns every subject that a list is about.
pub(super) fn subjects(changes: &[Change]) -> HashSet<Subject> {
    changes.iter().flat_map(of).collect()
}

/// Takes out what is about `forgotten` subjects; returns the streamed blobs that it offered. Work on them ends as done.
pub(super) fn take_out(changes: &mut Vec<Change>, forgotten: &HashSet<Subject>) -> Vec<BlobId> {
    let covered = |change: &Change| of(change).iter().any(|subject| forgotten.contains(subject));
    let lost_jobs: HashSet<JobKey> = changes
        .iter()
        .filter_map(|change| match change {
            Change::Job(job) if covered(change) => Some(job.key),
            _ => None,
        })
        .collect();
    let mut blobs = Vec::new();
    changes.retain_mut(|change| {
        let piece_of_lost = match change {
            Change::Log { key, .. } | Change::Archive { key, .. } => lost_jobs.contains(key),
            Change::Fail { target: Target::Job(key), .. } => lost_jobs.contains(key),
            _ => false,
        };
        if !covered(change) && !piece_of_lost {
            return true;
        }
        match change {
            Change::Log { record, .. } => blobs.extend(record.blob),
            Change::Archive { record, .. } => blobs.extend(record.blob),
            Change::Report { record, .. } => blobs.extend(record.blob),
            Change::Fail { target, entries, .. } => {
                *change = Change::Finish(*target, std::mem::take(entries));
                return true;
            }
            _ => {}
        }
        false
    });
    blobs
}

fn of(change: &Change) -> Vec<Subject> {
    match change {
        Change::Project(project) => vec![Subject::Project { project: project.id }],
        Change::Listed(ListOf::Pipelines(project, _) | ListOf::Project(project), _)
        | Change::WithoutCi(project, Some(_)) => {
            vec![Subject::Project { project: *project }]
        }
        Change::Listed(ListOf::Projects, _) | Change::WithoutCi(_, None) => Vec::new(),
        Change::FoundAt { project, .. } => vec![Subject::Project { project: *project }],
        Change::Pipeline(pipeline) | Change::Sketch(pipeline) => of_pipeline(pipeline.key),
        Change::JobsListed(key, _) | Change::Report { key, .. } => of_pipeline(*key),
        Change::Gone(key) | Change::NoDetail(key, _) | Change::Bridges(key, _) => of_pipeline(*key),
        Change::Job(job) => {
            let mut subjects = of_pipeline(job.pipeline_key());
            subjects.push(Subject::Job(job.key));
            subjects
        }
        Change::Log { key, .. } | Change::Archive { key, .. } => of_job(*key),
        Change::Refused(target, _) | Change::Damaged(target, _) => target.subjects(),
        Change::Fail { target: Target::Job(key), .. } => of_job(*key),
        Change::Fail { target: Target::Project(project) | Target::Pipelines(project, _), .. } => {
            vec![Subject::Project { project: *project }]
        }
        Change::Fail {
            target: Target::Pipeline(key) | Target::Detail(key) | Target::Report(key) | Target::Bridges(key),
            ..
        } => of_pipeline(*key),
        Change::Fail { target: Target::Path(_) | Target::Projects, .. } => Vec::new(),
        Change::Append(_) | Change::Start(_) | Change::Postpone(..) | Change::Finish(..) => Vec::new(),
        Change::Mark(_) | Change::Unmark(..) => Vec::new(),
    }
}

fn of_pipeline(key: PipelineKey) -> Vec<Subject> {
    vec![Subject::Project { project: key.project }, Subject::Pipeline(key)]
}

fn of_job(key: JobKey) -> Vec<Subject> {
    vec![Subject::Project { project: key.project }, Subject::Job(key)]
}
