//! Reading jobs.

use deadpool_sqlite::rusqlite::{self, OptionalExtension, Row, params};

use super::Sqlite;
use super::calls::snapshot;
use super::columns::{self, integer, natural, small};
use super::pipelines;
use super::trouble::Trouble;
use crate::domain::{
    ArchiveRecord, BlobId, Document, JobId, JobKey, LogNote, LogRecord, PipelineId, PipelineKey, ProjectId,
};
use crate::store::metrics::Operation;
use crate::store::{Error, JobFilter, JobRow, JobTally, Page, PipelineTally, ProjectJobFilter, Slice};

/// The columns that [`read_log`] reads, in its order.
macro_rules! log_columns {
    () => {
        "log_piece, log_blob, log_size, log_frames, log_looks, log_first_look, log_last_look, log_mismatch_since, log_note, \
         log_index, log_fetched"
    };
}
pub(super) use log_columns;

/// The columns that [`read_archive`] reads, in its order.
macro_rules! archive_columns {
    () => {
        "archive_piece, archive_blob, archive_size, archive_sha256, archive_index"
    };
}
pub(super) use archive_columns;

/// How many columns a log has.
pub(super) const LOG_COLUMNS: usize = 11;

macro_rules! job_columns {
    () => {
        concat!(
            log_columns!(),
            ", ",
            archive_columns!(),
            ", project, id, pipeline, name, status, doc, as_of, junit, junit_hidden,
             EXISTS (SELECT 1 FROM pipelines
                     WHERE pipelines.project = jobs.project AND pipelines.id = jobs.pipeline AND pipelines.gone = 1),
             refused_at"
        )
    };
}

/// An earlier attempt is one with a later job of the same name; `jobs_of_pipeline` answers all of it.
macro_rules! filtered {
    () => {
        "FROM jobs AS job INDEXED BY jobs_of_pipeline WHERE project = ?1 AND pipeline = ?2 \
         AND (?3 IS NULL OR status IN (SELECT value FROM json_each(?3))) \
         AND (?4 OR NOT EXISTS (SELECT 1 FROM jobs AS later INDEXED BY jobs_of_pipeline \
              WHERE later.project = job.project AND later.pipeline = job.pipeline AND later.name = job.name \
              AND later.id > job.id))"
    };
}

impl Sqlite {
    pub(in crate::store) async fn pipeline_jobs(
        &self,
        key: PipelineKey,
        filter: JobFilter,
        slice: Slice,
    ) -> Result<Page<Document>, Error> {
        const COUNT: &str = concat!("SELECT count(*) ", filtered!());
        // The rows are chosen and sorted in the index; only those that are returned are read.
        const ROWS: &str = concat!(
            "SELECT doc, as_of FROM (SELECT rowid AS row ",
            filtered!(),
            " ORDER BY id DESC LIMIT ?5 OFFSET ?6) JOIN jobs ON jobs.rowid = row ORDER BY jobs.id DESC"
        );
        self.read(Operation("pipeline_jobs", "list a pipeline's jobs"), move |connection| {
            let (project, pipeline) = columns::pipeline(key);
            let scope = match filter.scope.as_slice() {
                [] => None,
                scope => Some(serde_json::to_string(scope).map_err(|_| Trouble::Unreadable("filter"))?),
            };
            let retried = filter.include_retried;
            snapshot(connection, |connection| {
                let total = connection
                    .prepare_cached(COUNT)?
                    .query_row(params![project, pipeline, scope, retried], |row| row.get(0).map(natural))?;
                let (limit, offset) = (integer(slice.limit), integer(slice.offset));
                let rows = connection
                    .prepare_cached(ROWS)?
                    .query_map(params![project, pipeline, scope, retried, limit, offset], |row| {
                        columns::document(row, 0, 1)
                    })?
                    .collect::<Result<_, _>>()?;
                Ok(Page { rows, total })
            })
        })
        .await
    }

    pub(in crate::store) async fn project_jobs(
        &self,
        project: ProjectId,
        filter: ProjectJobFilter,
        slice: Slice,
    ) -> Result<Page<Document>, Error> {
        self.read(Operation("project_jobs", "list a project's jobs"), move |connection| {
            let sql = project_jobs(filter.scope.len());
            let below = filter.below.map_or(i64::MAX, |id| integer(id.0));
            let (project, last) = (integer(project.0), slice.offset.saturating_add(slice.limit).saturating_add(1));
            let (last, limit, offset) = (integer(last), integer(slice.limit + 1), integer(slice.offset));
            let mut values: Vec<&dyn rusqlite::ToSql> = vec![&project, &below, &last, &limit, &offset];
            values.extend(filter.scope.iter().map(|status| status as &dyn rusqlite::ToSql));
            snapshot(connection, |connection| {
                let ids: Vec<i64> = connection
                    .prepare_cached(&sql)?
                    .query_map(&*values, |row| row.get(0))?
                    .collect::<Result<_, _>>()?;
                let Page { rows: ids, total } = Page::uncounted(ids, slice);
                let mut one =
                    connection.prepare_cached("SELECT doc, as_of FROM jobs WHERE project = ?1 AND id = ?2")?;
                let rows = ids.iter().map(|id| one.query_row([project, *id], |row| columns::document(row, 0, 1)));
                Ok(Page { rows: rows.collect::<Result<_, _>>()?, total })
            })
        })
        .await
    }

    pub(in crate::store) async fn tallies(
        &self,
        project: ProjectId,
    ) -> Result<(Vec<JobTally>, Vec<PipelineTally>), Error> {
        self.read(Operation("tallies", "count a project's pieces"), move |connection| {
            let project = integer(project.0);
            snapshot(connection, |connection| {
                let jobs = connection
                    .prepare_cached(
                        "SELECT status, started, log_piece, archived, archive_piece, count
                         FROM job_tallies WHERE project = ?1 AND count > 0",
                    )?
                    .query_map([project], |row| {
                        Ok(JobTally {
                            status: columns::status(row, 0)?,
                            log_expected: row.get(1)?,
                            log: columns::piece(row, 2)?,
                            archive_expected: row.get(3)?,
                            archive: columns::piece(row, 4)?,
                            count: natural(row.get(5)?),
                        })
                    })?
                    .collect::<Result<_, _>>()?;
                Ok((jobs, pipelines::tally(connection, project)?))
            })
        })
        .await
    }

    pub(in crate::store) async fn jobs_of(&self, key: PipelineKey) -> Result<Vec<JobRow>, Error> {
        const SQL: &str = concat!(
            "SELECT ",
            job_columns!(),
            " FROM jobs INDEXED BY jobs_of_pipeline WHERE project = ?1 AND pipeline = ?2"
        );
        self.read(Operation("jobs_of", "read a pipeline's jobs"), move |connection| {
            let mut jobs = connection
                .prepare_cached(SQL)?
                .query_map(columns::pipeline(key), read_job)?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            jobs.sort_unstable_by_key(|job| job.key);
            Ok(jobs)
        })
        .await
    }

    pub(in crate::store) async fn job(&self, key: JobKey) -> Result<Option<JobRow>, Error> {
        const SQL: &str = concat!("SELECT ", job_columns!(), " FROM jobs WHERE project = ?1 AND id = ?2");
        self.look(Operation("job", "read a job"), |connection| {
            Ok(connection.prepare_cached(SQL)?.query_row(columns::job(key), read_job).optional()?)
        })
        .await
    }
}

/// Returns the statement of a page of a project's jobs. With statuses each gives its newest ones in the order of the index,
/// so that a rare one is not looked for among all jobs.
fn project_jobs(statuses: usize) -> String {
    let newest = |number: usize| {
        format!(
            "SELECT id FROM (SELECT id FROM jobs INDEXED BY jobs_by_status WHERE project = ?1 AND id < ?2 AND status = ?{} \
             ORDER BY id DESC LIMIT ?3)",
            number + 6
        )
    };
    let chosen = match statuses {
        0 => "SELECT id FROM jobs WHERE project = ?1 AND id < ?2 AND ?3 > 0".to_owned(),
        _ => (0..statuses).map(newest).collect::<Vec<_>>().join(" UNION "),
    };
    format!("{chosen} ORDER BY id DESC LIMIT ?4 OFFSET ?5")
}

/// Reads a log's record from the columns of [`log_columns`], beginning at `first`.
pub(super) fn read_log(row: &Row<'_>, first: usize) -> rusqlite::Result<LogRecord> {
    let frames = row.get_ref(first + 3)?.as_blob().map_err(|error| columns::unreadable(first + 3, error))?;
    let (frames, _) = frames.as_chunks::<4>();
    Ok(LogRecord {
        piece: columns::piece(row, first)?,
        blob: row.get::<_, Option<i64>>(first + 1)?.map(BlobId),
        size: natural(row.get(first + 2)?),
        frames: frames.iter().copied().map(u32::from_le_bytes).collect(),
        looks: small(row.get(first + 4)?),
        first_look: columns::time(row, first + 5)?,
        last_look: columns::time(row, first + 6)?,
        mismatch_since: columns::time(row, first + 7)?,
        note: row.get::<_, Option<Box<str>>>(first + 8)?.and_then(|word| LogNote::from_word(&word)),
        index: row.get::<_, Vec<u8>>(first + 9)?.into(),
        fetched: row.get::<_, Option<i64>>(first + 10)?.map(natural),
    })
}

/// Reads an archive's record from the columns of [`archive_columns`], beginning at `first`.
pub(super) fn read_archive(row: &Row<'_>, first: usize) -> rusqlite::Result<ArchiveRecord> {
    Ok(ArchiveRecord {
        piece: columns::piece(row, first)?,
        blob: row.get::<_, Option<i64>>(first + 1)?.map(BlobId),
        size: natural(row.get(first + 2)?),
        sha256: row.get(first + 3)?,
        index: row.get::<_, Vec<u8>>(first + 4)?.into(),
    })
}

fn read_job(row: &Row<'_>) -> rusqlite::Result<JobRow> {
    Ok(JobRow {
        log: read_log(row, 0)?,
        archive: read_archive(row, LOG_COLUMNS)?,
        key: JobKey { project: ProjectId(natural(row.get(16)?)), job: JobId(natural(row.get(17)?)) },
        pipeline: PipelineId(natural(row.get(18)?)),
        name: row.get(19)?,
        status: columns::status(row, 20)?,
        document: columns::document(row, 21, 22)?,
        junit: columns::junit(row, 23)?,
        gone: row.get(25)?,
        refused_at: columns::time(row, 26)?,
    })
}
