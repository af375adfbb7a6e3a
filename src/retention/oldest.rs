//! What is older than it may become.

use std::time::Duration;

use serde::Deserialize;

use super::{Run, report::Report};
use crate::domain::{
    Ages, ArchiveRecord, Document, JobId, JobKey, LogRecord, Piece, PipelineId, PipelineKey, ProjectId, Reason,
    ReportRecord, Subject, Timestamp, lenient,
};
use crate::store::{BlobKind, Change, Error, KeptBlob, Slice};

/// Blobs, pipelines or projects read at a time.
const PAGE: u64 = 200;

/// When something was created and when its age began; `None` when its row is gone.
struct Times {
    created_at: Timestamp,
    since: Timestamp,
}

#[derive(Deserialize)]
struct Dates {
    created_at: Timestamp,
    #[serde(default, deserialize_with = "lenient")]
    finished_at: Option<Timestamp>,
}

impl Run<'_> {
    /// Removes blobs of a kind, oldest first, up to the first that no project's age reaches.
    pub(super) async fn old_blobs(&mut self, kind: BlobKind) -> Result<(), Error> {
        let Some(shortest) = age(self.retention.config.shortest, kind) else { return Ok(()) };
        let now = Timestamp::now();
        let mut after = None;
        loop {
            let page = self.retention.store.oldest_blobs(kind, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.target);
            let mut old = Vec::new();
            for blob in page {
                let Some(times) = self.times(kind, &blob).await? else { continue };
                if now.since(times.created_at) < shortest {
                    // Whatever was created later is younger still.
                    return self.remove(kind, old).await;
                }
                let age = age(self.ages_of(blob.project).await?, kind);
                if Ages::is_over(age, times.since, now) {
                    old.push(blob);
                }
            }
            self.remove(kind, old).await?;
        }
    }

    /// Removes pipelines with everything of them, oldest first.
    pub(super) async fn old_documents(&mut self) -> Result<(), Error> {
        if self.retention.config.shortest.documents.is_none() {
            return Ok(());
        }
        let mut offset = 0;
        loop {
            let page = self.retention.store.projects(Slice { offset, limit: PAGE }).await?;
            if page.rows.is_empty() {
                return Ok(());
            }
            offset += page.rows.len() as u64;
            for (project, _) in page.rows {
                if let Some(age) = self.ages_of(project).await?.documents {
                    self.old_pipelines(project, age).await?;
                }
            }
        }
    }

    async fn old_pipelines(&mut self, project: ProjectId, age: Duration) -> Result<(), Error> {
        let now = Timestamp::now();
        let mut after = None;
        loop {
            let page = self.retention.store.pipeline_ages(project, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.id);
            for pipeline in page {
                if now.since(pipeline.created_at) < age {
                    return Ok(());
                }
                if now.since(pipeline.updated_at) >= age {
                    self.old_pipeline(PipelineKey { project, pipeline: pipeline.id }).await?;
                }
            }
        }
    }

    async fn old_pipeline(&mut self, key: PipelineKey) -> Result<(), Error> {
        let bytes = if self.dry { 0 } else { self.retention.store.remove(Subject::Pipeline(key)).await?.bytes };
        self.report.documents.add(bytes);
        if self.dry {
            // What would go with it is not counted once more by itself.
            self.counted.insert((BlobKind::Report, key.pipeline.0));
            for job in self.retention.store.jobs_of(key).await? {
                self.counted.extend([(BlobKind::Log, job.key.job.0), (BlobKind::Archive, job.key.job.0)]);
            }
        }
        Ok(())
    }

    /// Removes blobs and leaves the reason; a dry run counts them.
    pub(super) async fn remove(&mut self, kind: BlobKind, blobs: Vec<KeptBlob>) -> Result<(), Error> {
        let mut changes = Vec::new();
        for blob in blobs {
            if self.dry {
                if !self.counted.insert((kind, blob.target)) {
                    continue;
                }
            } else {
                let Some(change) = self.pruned(kind, &blob).await? else { continue };
                changes.push(change);
            }
            Report::of(&mut self.report, kind).add(blob.stored);
        }
        self.retention.store.apply(changes).await
    }

    /// Returns what leaves the reason in a blob's place; `None` where there must be none: the log of a running job would be taken
    /// for pruned when the job ends.
    async fn pruned(&self, kind: BlobKind, blob: &KeptBlob) -> Result<Option<Change>, Error> {
        let piece = Piece::Absent(Reason::Pruned);
        let (project, job) = (blob.project, JobId(blob.target));
        let key = JobKey { project, job };
        Ok(match kind {
            BlobKind::Log => {
                let row = self.retention.store.job(key).await?.filter(|row| row.log.piece != Piece::Partial);
                row.map(|_| Change::Log { key, record: LogRecord { piece, ..LogRecord::missing() }, bytes: None })
            }
            BlobKind::Archive => {
                Some(Change::Archive { key, record: ArchiveRecord { piece, ..ArchiveRecord::missing() }, bytes: None })
            }
            BlobKind::Report => {
                let key = PipelineKey { project, pipeline: PipelineId(blob.target) };
                // It stays pruned as long as the same attempts would make it.
                self.retention.store.pipeline(key).await?.map(|row| {
                    let record = ReportRecord::none(piece, row.report.build_ids);
                    Change::Report { key, record, bytes: None }
                })
            }
        })
    }

    async fn times(&self, kind: BlobKind, blob: &KeptBlob) -> Result<Option<Times>, Error> {
        let store = &self.retention.store;
        if kind == BlobKind::Report {
            let row = store.pipeline(PipelineKey { project: blob.project, pipeline: PipelineId(blob.target) }).await?;
            return Ok(row.and_then(|row| {
                let created_at = dates(&row.document)?.created_at;
                Some(Times { created_at, since: row.updated_at })
            }));
        }
        let row = store.job(JobKey { project: blob.project, job: JobId(blob.target) }).await?;
        Ok(row
            .and_then(|row| dates(&row.document))
            .map(|Dates { created_at, finished_at }| Times { created_at, since: finished_at.unwrap_or(created_at) }))
    }
}

fn dates(document: &Document) -> Option<Dates> {
    serde_json::from_str(&document.text).ok()
}

fn age(ages: Ages, kind: BlobKind) -> Option<Duration> {
    match kind {
        BlobKind::Log => ages.logs,
        BlobKind::Archive => ages.artifacts,
        BlobKind::Report => ages.reports,
    }
}
