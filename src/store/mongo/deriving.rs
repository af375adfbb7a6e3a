//! Derived facts: a server cannot compare the first byte of a field, so that each log's index is looked at here, page by page.

use mongodb::bson::{Binary, Document, doc};
use serde::Deserialize;

use super::Mongo;
use super::calls::Urgency;
use super::query::Query;
use super::schema::JOBS;
use super::trouble::Trouble;
use super::values::{bytes, integer, natural, some_bytes};
use crate::domain::{BlobId, JobId, JobKey, ProjectId};
use crate::store::metrics::Operation;
use crate::store::{BlobKind, Error, Outdated, OutdatedPlace};

#[derive(Debug, Deserialize)]
struct Log {
    index: Option<Binary>,
}

#[derive(Debug, Deserialize)]
struct Job {
    #[serde(rename = "_id")]
    id: i64,
    project: i64,
    log: Log,
}

impl Mongo {
    pub(in crate::store) async fn outdated_logs(
        &self,
        version: u8,
        after: Option<OutdatedPlace>,
        limit: u64,
    ) -> Result<Outdated, Error> {
        let page = self.oldest_blobs(BlobKind::Log, after.map(|place| place.job), limit).await?;
        let next = page.last().map(|last| OutdatedPlace { version: 0, job: last.target });
        let next = next.filter(|_| page.len() as u64 >= limit);
        let ids: Vec<i64> = page.iter().map(|blob| integer(blob.target)).collect();
        self.run(
            Operation("outdated_logs", "find outdated indexes of logs"),
            Urgency::Survey,
            |collections| async move {
                let found = Query::of(doc! { "_id": { "$in": ids } }).fields(doc! { "project": 1, "log.index": 1 });
                let found: Vec<Job> = collections.rows(JOBS, found).await?;
                let is_older = |job: &Job| bytes(job.log.index.as_ref()).first().copied().unwrap_or(0) < version;
                let key = |job: Job| JobKey { project: ProjectId(natural(job.project)), job: JobId(natural(job.id)) };
                Ok::<_, Trouble>(Outdated { logs: found.into_iter().filter(is_older).map(key).collect(), next })
            },
        )
        .await
    }

    pub(in crate::store) async fn save_log_index(
        &self,
        key: JobKey,
        blob: BlobId,
        index: Box<[u8]>,
    ) -> Result<bool, Error> {
        self.run(Operation("save_log_index", "save a log's index"), Urgency::Bulk, |collections| async move {
            let same = doc! { "_id": integer(key.job.0), "project": integer(key.project.0), "log.blob": blob.0 };
            // Whoever changes the document at this moment reads it again.
            let set = doc! { "$set": { "log.index": some_bytes(&index), "rev": fastrand::i64(..) } };
            Ok(collections.of::<Document>(JOBS).update_one(same, set).await?.matched_count == 1)
        })
        .await
    }
}
