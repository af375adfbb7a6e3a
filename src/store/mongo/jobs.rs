//! Reading jobs.

use std::collections::HashMap;

use mongodb::bson::doc;
use serde::Deserialize;

use super::Mongo;
use super::documents::JobDocument;
use super::query::Query;
use super::reach::Collections;
use super::schema::{JOBS, JOBS_BY_ID, JOBS_BY_STATUS, JOBS_OF_PIPELINE};
use super::states;
use super::trouble::Trouble;
use super::values::{integer, time};
use crate::domain::{Document, JobKey, PipelineKey, ProjectId};
use crate::store::metrics::Operation;
use crate::store::{Error, JobFilter, JobRow, Page, ProjectJobFilter, Slice};

/// What a list of jobs is made of: all of it is in one index.
#[derive(Debug, Deserialize)]
pub(super) struct Listed {
    #[serde(rename = "_id")]
    pub(super) id: i64,
    pub(super) pipeline: i64,
    pub(super) name: Box<str>,
    status: Box<str>,
    pub(super) junit: bool,
}

/// GitLab's own document.
#[derive(Debug, Deserialize)]
pub(super) struct Text {
    #[serde(rename = "_id")]
    pub(super) id: i64,
    doc: Box<str>,
    as_of: mongodb::bson::DateTime,
}

impl Text {
    pub(super) fn document(self) -> Document {
        Document { text: self.doc, as_of: time(self.as_of) }
    }
}

impl Mongo {
    pub(in crate::store) async fn pipeline_jobs(
        &self,
        key: PipelineKey,
        filter: JobFilter,
        slice: Slice,
    ) -> Result<Page<Document>, Error> {
        self.read(Operation("pipeline_jobs", "list a pipeline's jobs"), |collections| async move {
            let mut jobs = listed(&collections, integer(key.project.0), &[integer(key.pipeline.0)]).await?;
            if !filter.include_retried {
                // An earlier attempt is one with a later job of the same name.
                let latest = latest(&jobs);
                jobs.retain(|job| latest.contains(&job.id));
            }
            if !filter.scope.is_empty() {
                jobs.retain(|job| filter.scope.iter().any(|status| **status == *job.status));
            }
            jobs.sort_unstable_by_key(|job| std::cmp::Reverse(job.id));
            let total = jobs.len() as u64;
            let (offset, limit) = (to_usize(slice.offset), to_usize(slice.limit));
            let ids: Vec<i64> = jobs.iter().skip(offset).take(limit).map(|job| job.id).collect();
            let found = Query::of(doc! { "_id": { "$in": &ids } }).fields(doc! { "doc": 1, "as_of": 1 });
            let found: Vec<Text> = collections.rows(JOBS, found).await?;
            let mut texts: HashMap<i64, Text> = found.into_iter().map(|text| (text.id, text)).collect();
            let rows = ids.iter().filter_map(|id| texts.remove(id)).map(Text::document).collect();
            Ok(Page { rows, total })
        })
        .await
    }

    pub(in crate::store) async fn project_jobs(
        &self,
        project: ProjectId,
        filter: ProjectJobFilter,
        slice: Slice,
    ) -> Result<Page<Document>, Error> {
        self.read(Operation("project_jobs", "list a project's jobs"), |collections| async move {
            let mut of = doc! { "project": integer(project.0) };
            if let Some(below) = filter.below {
                of.insert("_id", doc! { "$lt": integer(below.0) });
            }
            // With statuses the index gives the newest of each, which are merged.
            let index = if filter.scope.is_empty() { JOBS_BY_ID } else { JOBS_BY_STATUS };
            if !filter.scope.is_empty() {
                of.insert("status", doc! { "$in": filter.scope });
            }
            let found = Query::of(of).sort(doc! { "_id": -1 }).fields(doc! { "doc": 1, "as_of": 1 }).index(index);
            let found = found.skip(slice.offset).limit(integer(slice.limit + 1));
            let found: Vec<Text> = collections.rows(JOBS, found).await?;
            Ok(Page::uncounted(found.into_iter().map(Text::document).collect(), slice))
        })
        .await
    }

    pub(in crate::store) async fn jobs_of(&self, key: PipelineKey) -> Result<Vec<JobRow>, Error> {
        self.read(Operation("jobs_of", "read a pipeline's jobs"), |collections| async move {
            let of = doc! { "project": integer(key.project.0), "pipeline": integer(key.pipeline.0) };
            let found: Vec<JobDocument> = collections.rows(JOBS, Query::of(of).index(JOBS_OF_PIPELINE)).await?;
            let gone = is_gone(&collections, &found).await?;
            let mut jobs: Vec<JobRow> = found.into_iter().map(|job| job.into_row(gone)).collect();
            jobs.sort_unstable_by_key(|job| job.key);
            Ok(jobs)
        })
        .await
    }

    pub(in crate::store) async fn job(&self, key: JobKey) -> Result<Option<JobRow>, Error> {
        self.read(Operation("job", "read a job"), |collections| async move {
            let job = doc! { "_id": integer(key.job.0), "project": integer(key.project.0) };
            let Some(found) = collections.one::<JobDocument>(JOBS, Query::of(job)).await? else { return Ok(None) };
            let gone = is_gone(&collections, std::slice::from_ref(&found)).await?;
            Ok(Some(found.into_row(gone)))
        })
        .await
    }
}

/// Returns whether the pipeline of these jobs is gone. It is only asked when one of them lacks something: else nobody cares.
async fn is_gone(collections: &Collections, jobs: &[JobDocument]) -> Result<bool, Trouble> {
    let lacking = jobs.iter().find(|job| !job.ended || job.open > 0).map(|job| job.pipeline);
    Ok(!states::gone(collections, lacking).await?.is_empty())
}

/// Returns all jobs of some pipelines of a project, from the index alone.
pub(super) async fn listed(collections: &Collections, project: i64, pipelines: &[i64]) -> Result<Vec<Listed>, Trouble> {
    let of = doc! { "project": project, "pipeline": { "$in": pipelines } };
    let keys = doc! { "_id": 1, "pipeline": 1, "name": 1, "status": 1, "junit": 1 };
    collections.rows(JOBS, Query::of(of).fields(keys).index(JOBS_OF_PIPELINE)).await
}

/// Returns the latest attempt of each name in each pipeline.
pub(super) fn latest(jobs: &[Listed]) -> std::collections::HashSet<i64> {
    let mut latest: HashMap<(i64, &str), i64> = HashMap::new();
    for job in jobs {
        let id = latest.entry((job.pipeline, &*job.name)).or_insert(job.id);
        *id = job.id.max(*id);
    }
    latest.into_values().collect()
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
