//! Removing a job, pipeline or project at once: first the documents, so that no reader finds the way, then the blobs.

use mongodb::bson::{Document, doc};
use serde::Deserialize;

use super::Mongo;
use super::blobs;
use super::journal::failure_id;
use super::listings;
use super::paths;
use super::query::Query;
use super::reach::Collections;
use super::schema::{BLOBS_OF, BRIDGES, FAILURES, FILES, JOBS, JOBS_OF_PIPELINE, MARKS, PIPELINES, PIPELINES_BY_ID};
use super::schema::{PROGRESS, PROJECTS};
use super::trouble::Trouble;
use super::values::{integer, natural};
use crate::domain::{JobId, JobKey, PipelineId, PipelineKey, ProjectId, Subject};
use crate::store::metrics::Operation;
use crate::store::{Error, Removed};
use crate::work::Target;

/// Jobs or pipelines that go at a time.
const ROWS_PER_STEP: i64 = 100;

#[derive(Debug, Deserialize)]
struct Id {
    #[serde(rename = "_id")]
    id: i64,
}

#[derive(Debug, Deserialize)]
struct File {
    #[serde(rename = "_id")]
    id: i64,
    length: i64,
}

impl Mongo {
    pub(in crate::store) async fn remove(&self, subject: Subject) -> Result<Removed, Error> {
        let mut removed = Removed::default();
        loop {
            let step = |collections: Collections| async move { step(&collections, subject).await };
            let (some, more) = self.read(Operation("remove", "remove a subject"), step).await?;
            removed += some;
            if !more {
                return Ok(removed);
            }
        }
    }
}

/// Takes some of a subject away: first jobs, then pipelines, then the project. Returns whether there is more.
async fn step(collections: &Collections, subject: Subject) -> Result<(Removed, bool), Trouble> {
    let mut removed = Removed::default();
    let (project, id) = (integer(subject.project().0), integer(subject.id()));
    let jobs = match subject {
        // Also of one whose document went already: what was replaced moments ago.
        Subject::Job(_) => vec![id],
        Subject::Pipeline(_) => {
            let of = doc! { "project": project, "pipeline": id };
            ids(collections, JOBS, Query::of(of).index(JOBS_OF_PIPELINE)).await?
        }
        Subject::Project { .. } => {
            ids(collections, JOBS, Query::of(doc! { "project": project }).index(JOBS_OF_PIPELINE)).await?
        }
    };
    if !jobs.is_empty() {
        removed.jobs = delete(collections, JOBS, project, &jobs).await?;
        remove_blobs(collections, &["log", "archive"], &jobs, &mut removed).await?;
        let target = |id: &i64| Target::Job(JobKey { project: subject.project(), job: JobId(natural(*id)) });
        forget_failures(collections, jobs.iter().map(target)).await?;
        return Ok((removed, !matches!(subject, Subject::Job(_))));
    }
    let pipelines = match subject {
        Subject::Project { .. } => {
            ids(collections, PIPELINES, Query::of(doc! { "project": project }).index(PIPELINES_BY_ID)).await?
        }
        _ => vec![id],
    };
    removed.pipelines = delete(collections, PIPELINES, project, &pipelines).await?;
    delete(collections, BRIDGES, project, &pipelines).await?;
    remove_blobs(collections, &["report", "summary"], &pipelines, &mut removed).await?;
    let key = |id: &i64| PipelineKey { project: subject.project(), pipeline: PipelineId(natural(*id)) };
    let targets = pipelines.iter().flat_map(|id| {
        [Target::Pipeline, Target::Detail, Target::Report, Target::Bridges].map(|target| target(key(id)))
    });
    forget_failures(collections, targets).await?;
    match subject {
        Subject::Project { .. } if pipelines.is_empty() => {
            remove_project(collections, subject.project()).await?;
            Ok((removed, false))
        }
        Subject::Project { .. } => Ok((removed, true)),
        _ => Ok((removed, false)),
    }
}

async fn ids(collections: &Collections, name: &str, query: Query) -> Result<Vec<i64>, Trouble> {
    let found: Vec<Id> = collections.rows(name, query.fields(doc! { "_id": 1 }).limit(ROWS_PER_STEP)).await?;
    Ok(found.into_iter().map(|found| found.id).collect())
}

async fn delete(collections: &Collections, name: &str, project: i64, ids: &[i64]) -> Result<u64, Trouble> {
    let these = doc! { "_id": { "$in": ids }, "project": project };
    Ok(collections.of::<Document>(name).delete_many(these).await?.deleted_count)
}

async fn forget_failures(collections: &Collections, targets: impl Iterator<Item = Target>) -> Result<(), Trouble> {
    let ids: Vec<String> = targets.map(|target| failure_id(&target)).collect();
    collections.of::<Document>(FAILURES).delete_many(doc! { "_id": { "$in": ids } }).await?;
    Ok(())
}

async fn remove_project(collections: &Collections, project: ProjectId) -> Result<(), Trouble> {
    let id = integer(project.0);
    paths::forget(collections, id).await?;
    for name in [PROJECTS, PROGRESS, MARKS] {
        collections.of::<Document>(name).delete_one(doc! { "_id": id }).await?;
    }
    collections.of::<Document>(FAILURES).delete_many(doc! { "project": id }).await?;
    listings::forget(collections, project).await
}

/// Removes every blob of jobs or pipelines, those included that were replaced or are still on their way.
async fn remove_blobs(
    collections: &Collections,
    kinds: &[&str],
    of: &[i64],
    removed: &mut Removed,
) -> Result<(), Trouble> {
    let these = doc! { "metadata.of.kind": { "$in": kinds }, "metadata.of.id": { "$in": of } };
    let these = Query::of(these).fields(doc! { "length": 1 }).index(BLOBS_OF);
    let files: Vec<File> = collections.rows(FILES, these).await?;
    for file in &files {
        removed.blobs += 1;
        removed.bytes += natural(file.length);
    }
    blobs::remove(collections, &files.iter().map(|file| file.id).collect::<Vec<_>>()).await
}
