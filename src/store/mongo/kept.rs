//! What is stored, by project, kind, day and age: answered from GridFS's list of files and from indexes, never from GitLab's
//! documents.

use std::collections::HashMap;

use mongodb::bson::{Bson, DateTime, Document, doc};
use serde::Deserialize;

use super::calls::Urgency;
use super::query::Query;
use super::schema::{BLOBS_OF, FILES, JOBS, JOBS_OF_PIPELINE, PIPELINES, PIPELINES_BY_ID};
use super::trouble::Trouble;
use super::values::{date, integer, natural, time};
use super::{Mongo, blobs};
use crate::domain::{BlobId, JobId, JobKey, PipelineId, ProjectId, Timestamp};
use crate::store::metrics::Operation;
use crate::store::{BlobKind, Documents, Error, KeptBlob, PipelineAge, Room, StoredChunk, Usage};
use crate::work::Target;

/// Files that are picked for each job at random: some are reports, some were replaced, some are of one job.
const PICKS: u64 = 6;

#[derive(Debug, Deserialize)]
struct Of {
    kind: Box<str>,
    id: i64,
}

#[derive(Debug, Deserialize)]
struct About {
    of: Of,
}

#[derive(Debug, Deserialize)]
struct File {
    length: i64,
    filename: Box<str>,
    metadata: About,
}

impl File {
    /// A blob's project is in its name: `projects/7/jobs/700/trace.zst`.
    fn project(&self) -> Result<ProjectId, Trouble> {
        project_of(self.filename.split('/').nth(1))
    }
}

fn project_of(text: Option<&str>) -> Result<ProjectId, Trouble> {
    text.and_then(|id| id.parse().ok()).ok_or(Trouble::Unreadable("file name"))
}

/// Files that a document points to.
fn published() -> Document {
    doc! {
        "metadata.of": { "$exists": true }, "metadata.owner": { "$exists": false },
        "metadata.replaced_at": { "$exists": false },
    }
}

fn word(kind: BlobKind) -> &'static str {
    kind.as_str()
}

impl Mongo {
    pub(in crate::store) async fn usage(&self, since: Timestamp) -> Result<Vec<Usage>, Error> {
        #[derive(Deserialize)]
        struct Group {
            project: Box<str>,
            kind: Box<str>,
            day: Option<DateTime>,
        }
        #[derive(Deserialize)]
        struct Sum {
            #[serde(rename = "_id")]
            group: Group,
            count: i64,
            raw: i64,
            stored: i64,
        }
        self.run(Operation("usage", "add up what is stored"), Urgency::Survey, |collections| async move {
            let day = doc! { "$dateTrunc": { "date": "$uploadDate", "unit": "day" } };
            let stages = [
                doc! { "$match": published() },
                doc! { "$group": {
                    "_id": {
                        "project": { "$arrayElemAt": [{ "$split": ["$filename", "/"] }, 1] },
                        "kind": "$metadata.of.kind",
                        "day": { "$cond": [{ "$gte": ["$uploadDate", date(since)] }, day, Bson::Null] },
                    },
                    "count": { "$sum": 1_i64 },
                    "raw": { "$sum": { "$ifNull": ["$metadata.raw", "$length"] } },
                    "stored": { "$sum": "$length" },
                } },
            ];
            let sums: Vec<Sum> = collections.aggregated(FILES, stages, None).await?;
            let usage = sums.into_iter().map(|sum| {
                // A summary that is too large for its document is a part of its report.
                let (kind, part) = match &*sum.group.kind {
                    "log" => (BlobKind::Log, false),
                    "archive" => (BlobKind::Archive, false),
                    kind => (BlobKind::Report, kind == "summary"),
                };
                Ok(Usage {
                    project: project_of(Some(&sum.group.project))?,
                    kind,
                    day: sum.group.day.map(time),
                    count: if part { 0 } else { natural(sum.count) },
                    raw: natural(sum.raw),
                    stored: natural(sum.stored),
                })
            });
            usage.collect()
        })
        .await
    }

    pub(in crate::store) async fn documents(&self) -> Result<HashMap<ProjectId, Documents>, Error> {
        #[derive(Deserialize)]
        struct Count {
            #[serde(rename = "_id")]
            project: i64,
            count: i64,
        }
        self.run(Operation("documents", "count documents"), Urgency::Survey, |collections| async move {
            let stages = || [doc! { "$group": { "_id": "$project", "count": { "$sum": 1_i64 } } }];
            let (pipelines, jobs) = tokio::try_join!(
                collections.aggregated::<Count>(PIPELINES, stages(), Some(PIPELINES_BY_ID)),
                collections.aggregated::<Count>(JOBS, stages(), Some(JOBS_OF_PIPELINE)),
            )?;
            let mut counted: HashMap<ProjectId, Documents> = HashMap::new();
            for Count { project, count } in pipelines {
                counted.entry(ProjectId(natural(project))).or_default().pipelines = natural(count);
            }
            for Count { project, count } in jobs {
                counted.entry(ProjectId(natural(project))).or_default().jobs = natural(count);
            }
            Ok(counted)
        })
        .await
    }

    pub(in crate::store) async fn room(&self) -> Result<Room, Error> {
        self.read(Operation("room", "measure the database"), |collections| async move {
            let stats = collections.database.run_command(doc! { "dbStats": 1, "freeStorage": 1 }).await?;
            // The server writes them in whichever number type they fit.
            let number = |name: &str| match stats.get(name) {
                Some(Bson::Double(value)) => *value as u64,
                Some(Bson::Int32(value)) => natural(i64::from(*value)),
                Some(Bson::Int64(value)) => natural(*value),
                _ => 0,
            };
            let bytes = number("storageSize") + number("indexSize");
            Ok(Room { bytes, free_bytes: number("totalFreeStorageSize") })
        })
        .await
    }

    pub(in crate::store) async fn oldest_blobs(
        &self,
        kind: BlobKind,
        after: Option<u64>,
        limit: u64,
    ) -> Result<Vec<KeptBlob>, Error> {
        self.read(Operation("oldest_blobs", "find the oldest blobs"), |collections| async move {
            let mut which = published();
            which.remove("metadata.of");
            which.insert("metadata.of.kind", word(kind));
            which.insert("metadata.of.id", doc! { "$gt": after.map_or(-1, integer) });
            let order = doc! { "metadata.of.kind": 1, "metadata.of.id": 1 };
            let fields = doc! { "length": 1, "filename": 1, "metadata.of": 1 };
            let oldest = Query::of(which).sort(order).fields(fields).index(BLOBS_OF).limit(integer(limit.max(1)));
            let found: Vec<File> = collections.rows(FILES, oldest).await?;
            let kept = |file: &File| {
                let (target, stored) = (natural(file.metadata.of.id), natural(file.length));
                Ok(KeptBlob { target, project: file.project()?, stored })
            };
            found.iter().map(kept).collect()
        })
        .await
    }

    pub(in crate::store) async fn pipeline_ages(
        &self,
        project: ProjectId,
        after: Option<PipelineId>,
        limit: u64,
    ) -> Result<Vec<PipelineAge>, Error> {
        #[derive(Deserialize)]
        struct Age {
            #[serde(rename = "_id")]
            id: i64,
            created_at: DateTime,
            updated_at: DateTime,
        }
        self.read(Operation("pipeline_ages", "find the oldest pipelines"), |collections| async move {
            let after = doc! { "$gt": after.map_or(-1, |id| integer(id.0)) };
            let oldest = Query::of(doc! { "project": integer(project.0), "_id": after }).sort(doc! { "_id": 1 });
            let oldest = oldest.fields(doc! { "created_at": 1, "updated_at": 1 }).index(PIPELINES_BY_ID);
            let found: Vec<Age> = collections.rows(PIPELINES, oldest.limit(integer(limit.max(1)))).await?;
            let ages = found.into_iter().map(|found| PipelineAge {
                id: PipelineId(natural(found.id)),
                created_at: time(found.created_at),
                updated_at: time(found.updated_at),
            });
            Ok(ages.collect())
        })
        .await
    }

    pub(in crate::store) async fn random_jobs(
        &self,
        project: Option<ProjectId>,
        count: u64,
    ) -> Result<Vec<JobKey>, Error> {
        self.read(Operation("random_jobs", "pick jobs"), |collections| async move {
            let of_project =
                project.map(|id| doc! { "$match": { "filename": { "$regex": format!("^projects/{id}/") } } });
            let pick = doc! { "$sample": { "size": integer(count.saturating_mul(PICKS).max(1)) } };
            let stages = of_project.into_iter().chain([pick, doc! { "$match": published() }]);
            let found: Vec<File> = collections.aggregated(FILES, stages, None).await?;
            let mut picked = Vec::new();
            for file in found.iter().filter(|file| matches!(&*file.metadata.of.kind, "log" | "archive")) {
                let key = JobKey { project: file.project()?, job: JobId(natural(file.metadata.of.id)) };
                if picked.len() as u64 >= count {
                    break;
                }
                if !picked.contains(&key) {
                    picked.push(key);
                }
            }
            Ok(picked)
        })
        .await
    }

    pub(in crate::store) async fn blob_of(&self, blob: BlobId) -> Result<Option<(BlobKind, Target)>, Error> {
        self.read(Operation("blob_of", "find what a blob is of"), |collections| async move {
            let mut which = published();
            which.insert("_id", blob.0);
            let fields = doc! { "length": 1, "filename": 1, "metadata.of": 1 };
            let found: Option<File> = collections.one(FILES, Query::of(which).fields(fields)).await?;
            let what = |file: File| {
                let of = &file.metadata.of;
                // A summary that is a blob of its own is fetched again with its report.
                let kind =
                    BlobKind::ALL.into_iter().find(|kind| kind.as_str() == &*of.kind).unwrap_or(BlobKind::Report);
                Ok((kind, kind.target(file.project()?, natural(of.id))))
            };
            found.map(what).transpose()
        })
        .await
    }

    pub(in crate::store) async fn stored_chunk(&self, blob: BlobId, number: u32) -> Result<Option<StoredChunk>, Error> {
        self.read(Operation("chunk", "read a chunk"), |collections| async move {
            blobs::read_chunk(&collections, blob.0, number).await
        })
        .await
    }
}
