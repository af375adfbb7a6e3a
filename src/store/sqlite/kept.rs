//! What is stored, by project, kind, day and age: answered from the list of blobs and from indexes, never from documents.

use std::collections::HashMap;

use deadpool_sqlite::rusqlite::{self, Connection, OptionalExtension, params};

use super::Sqlite;
use super::blobs::chunk_key;
use super::columns::{self, integer, natural};
use crate::domain::{BlobId, JobId, JobKey, PipelineId, ProjectId, Timestamp};
use crate::store::metrics::Operation;
use crate::store::{BlobKind, Documents, Error, KeptBlob, PipelineAge, Room, StoredChunk, Usage};
use crate::work::Target;

/// Tries for each job that is picked at random: most hold something.
const TRIES: u64 = 4;

impl Sqlite {
    pub(in crate::store) async fn usage(&self, since: Timestamp) -> Result<Vec<Usage>, Error> {
        self.read(Operation("usage", "add up what is stored"), move |connection| {
            // Added up here: SQLite would sort all of them first.
            let mut sums: HashMap<(i64, i64, Option<Timestamp>), [u64; 3]> = HashMap::new();
            let mut statement = connection.prepare_cached(
                "SELECT project, kind, coalesce(raw, size), size, created_at FROM blobs NOT INDEXED
                 WHERE kind IS NOT NULL AND owner IS NULL AND replaced_at IS NULL",
            )?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let stored_at = Timestamp::from_millis(row.get(4)?);
                let day = (stored_at >= since).then(|| stored_at.day());
                let [count, raw, stored] = sums.entry((row.get(0)?, row.get(1)?, day)).or_default();
                *count += 1;
                *raw += natural(row.get(2)?);
                *stored += natural(row.get(3)?);
            }
            let usage = sums.into_iter().map(|((project, kind, day), [count, raw, stored])| Usage {
                project: ProjectId(natural(project)),
                kind: columns::read_blob_kind(kind),
                day,
                count,
                raw,
                stored,
            });
            Ok(usage.collect())
        })
        .await
    }

    pub(in crate::store) async fn documents(&self) -> Result<HashMap<ProjectId, Documents>, Error> {
        self.read(Operation("documents", "count documents"), |connection| {
            let mut counted: HashMap<ProjectId, Documents> = HashMap::new();
            for (project, count) in counts(connection, "pipeline_tallies")? {
                counted.entry(project).or_default().pipelines = count;
            }
            for (project, count) in counts(connection, "job_tallies")? {
                counted.entry(project).or_default().jobs = count;
            }
            Ok(counted)
        })
        .await
    }

    pub(in crate::store) async fn room(&self) -> Result<Room, Error> {
        self.read(Operation("room", "measure the file"), |connection| {
            let number = |name| connection.pragma_query_value(None, name, |row| row.get(0).map(natural));
            let (page, pages, free) = (number("page_size")?, number("page_count")?, number("freelist_count")?);
            Ok(Room { bytes: page * pages, free_bytes: page * free })
        })
        .await
    }

    pub(in crate::store) async fn oldest_blobs(
        &self,
        kind: BlobKind,
        after: Option<u64>,
        limit: u64,
    ) -> Result<Vec<KeptBlob>, Error> {
        self.read(Operation("oldest_blobs", "find the oldest blobs"), move |connection| {
            let found = connection
                .prepare_cached(
                    "SELECT target, project, size FROM blobs INDEXED BY blobs_of
                     WHERE kind = ?1 AND target > ?2 AND owner IS NULL AND replaced_at IS NULL ORDER BY target LIMIT ?3",
                )?
                .query_map([columns::blob_kind(kind), after.map_or(-1, integer), integer(limit)], |row| {
                    Ok(KeptBlob {
                        target: natural(row.get(0)?),
                        project: ProjectId(natural(row.get(1)?)),
                        stored: natural(row.get(2)?),
                    })
                })?
                .collect::<rusqlite::Result<_>>()?;
            Ok(found)
        })
        .await
    }

    pub(in crate::store) async fn pipeline_ages(
        &self,
        project: ProjectId,
        after: Option<PipelineId>,
        limit: u64,
    ) -> Result<Vec<PipelineAge>, Error> {
        self.read(Operation("pipeline_ages", "find the oldest pipelines"), move |connection| {
            let found = connection
                .prepare_cached(
                    "SELECT id, created_at, updated_at FROM pipelines WHERE project = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
                )?
                .query_map([integer(project.0), after.map_or(-1, |id| integer(id.0)), integer(limit)], |row| {
                    Ok(PipelineAge {
                        id: PipelineId(natural(row.get(0)?)),
                        created_at: Timestamp::from_millis(row.get(1)?),
                        updated_at: Timestamp::from_millis(row.get(2)?),
                    })
                })?
                .collect::<rusqlite::Result<_>>()?;
            Ok(found)
        })
        .await
    }

    pub(in crate::store) async fn random_jobs(
        &self,
        project: Option<ProjectId>,
        count: u64,
    ) -> Result<Vec<JobKey>, Error> {
        self.read(Operation("random_jobs", "pick jobs"), move |connection| {
            // Rows are numbered as they come; a row that was removed passes its chance on to the next one.
            let last: i64 = connection.query_row("SELECT coalesce(max(rowid), 0) FROM jobs", [], |row| row.get(0))?;
            let mut statement = connection.prepare_cached(
                "SELECT project, id FROM (SELECT project, id, log_blob, archive_blob FROM jobs
                 WHERE rowid >= ?1 AND (?2 IS NULL OR project = ?2) ORDER BY rowid LIMIT 1)
                 WHERE log_blob IS NOT NULL OR archive_blob IS NOT NULL",
            )?;
            let mut picked = Vec::new();
            for _ in 0..count.saturating_mul(TRIES) {
                let from = fastrand::i64(0..=last);
                let found = statement
                    .query_row(params![from, project.map(|id| integer(id.0))], |row| {
                        Ok(JobKey { project: ProjectId(natural(row.get(0)?)), job: JobId(natural(row.get(1)?)) })
                    })
                    .optional()?;
                picked.extend(found.filter(|found| !picked.contains(found)));
                if picked.len() as u64 >= count {
                    break;
                }
            }
            Ok(picked)
        })
        .await
    }

    pub(in crate::store) async fn stored_chunk(&self, blob: BlobId, number: u32) -> Result<Option<StoredChunk>, Error> {
        self.read(Operation("chunk", "read a chunk"), move |connection| {
            let found = connection
                .prepare_cached("SELECT data, sum FROM chunks WHERE id = ?1")?
                .query_row([chunk_key(blob, number)?], |row| {
                    Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Option<i64>>(1)?))
                })
                .optional()?;
            Ok(found.map(|(data, sum)| StoredChunk::new(blob, number, data.into(), sum)))
        })
        .await
    }

    pub(in crate::store) async fn blob_of(&self, blob: BlobId) -> Result<Option<(BlobKind, Target)>, Error> {
        self.read(Operation("blob_of", "find what a blob is of"), move |connection| {
            let found = connection
                .prepare_cached(
                    "SELECT kind, project, target FROM blobs
                     WHERE id = ?1 AND kind IS NOT NULL AND owner IS NULL AND replaced_at IS NULL",
                )?
                .query_row([blob.0], |row| {
                    let kind = columns::read_blob_kind(row.get(0)?);
                    Ok((kind, kind.target(ProjectId(natural(row.get(1)?)), natural(row.get(2)?))))
                })
                .optional()?;
            Ok(found)
        })
        .await
    }
}

/// Returns how many rows of a kind each project has, as its tallies tell.
fn counts(connection: &Connection, table: &'static str) -> rusqlite::Result<Vec<(ProjectId, u64)>> {
    connection
        .prepare_cached(&format!("SELECT project, sum(count) FROM {table} GROUP BY project HAVING sum(count) > 0"))?
        .query_map([], |row| Ok((ProjectId(natural(row.get(0)?)), natural(row.get(1)?))))?
        .collect()
}
