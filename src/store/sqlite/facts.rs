//! Writing documents: which of two documents of one thing stays, and what a job's document says about its slots.

use deadpool_sqlite::rusqlite::{Connection, OptionalExtension, params};

use super::apply::Touched;
use super::columns::{self, integer};
use super::slots::{self, Expected};
use super::trouble::Trouble;
use super::{blobs, journal, publish};
use crate::domain::{Job, Piece, Pipeline, PipelineId, PipelineKey, PipelinePhase, Project, Reason, Timestamp};
use crate::work::Target;

/// Inserts or replaces a project's document if this one is not older.
pub(super) fn project(connection: &Connection, project: &Project) -> Result<(), Trouble> {
    connection
        .prepare_cached(
            "INSERT INTO projects (id, path, as_of, doc) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (id) DO UPDATE SET path = excluded.path, as_of = excluded.as_of, doc = excluded.doc
             WHERE excluded.as_of >= projects.as_of",
        )?
        .execute(params![
            integer(project.id.0),
            project.path,
            project.document.as_of.as_millis(),
            project.document.text
        ])?;
    Ok(())
}

/// Inserts or replaces a pipeline's document: later `updated_at`, then ended over not ended, then later `as_of`.
pub(super) fn pipeline(connection: &Connection, pipeline: &Pipeline, touched: &mut Touched) -> Result<(), Trouble> {
    let (project, id) = columns::pipeline(pipeline.key);
    let phase = pipeline.phase();
    // Its jobs were not listed yet, and perhaps it has not ended; `refresh` corrects it for one that was known.
    let open = 2 + if phase == PipelinePhase::Ended { 0 } else { 4 };
    let changed = connection
        .prepare_cached(
            "INSERT INTO pipelines (project, id, status, phase, open, source, ref, sha, created_at, updated_at, as_of, doc)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
             ON CONFLICT (project, id) DO UPDATE SET
                 status = excluded.status, phase = excluded.phase, source = coalesce(excluded.source, source),
                 ref = excluded.ref, sha = excluded.sha, created_at = excluded.created_at,
                 updated_at = excluded.updated_at, as_of = excluded.as_of, doc = excluded.doc
             WHERE (excluded.updated_at, excluded.phase = 2, excluded.as_of)
                 >= (pipelines.updated_at, pipelines.phase = 2, pipelines.as_of)",
        )?
        .execute(params![
            project,
            id,
            pipeline.status.as_str(),
            columns::pipeline_phase(phase),
            open,
            pipeline.source,
            pipeline.ref_,
            pipeline.sha,
            pipeline.created_at.as_millis(),
            pipeline.updated_at.as_millis(),
            pipeline.document.as_of.as_millis(),
            pipeline.document.text,
        ])?;
    if changed > 0 {
        touched.pipeline(pipeline.key);
    }
    Ok(())
}

/// Records that a pipeline's jobs were listed to the end; never goes back.
pub(super) fn jobs_listed(
    connection: &Connection,
    key: PipelineKey,
    at: Timestamp,
    touched: &mut Touched,
) -> Result<(), Trouble> {
    let (project, id) = columns::pipeline(key);
    let changed = connection
        .prepare_cached(
            "UPDATE pipelines SET jobs_listed_at = max(coalesce(jobs_listed_at, ?3), ?3) WHERE project = ?1 AND id = ?2",
        )?
        .execute(params![project, id, at.as_millis()])?;
    if changed == 0 {
        return Err(Trouble::NoSuchRow("pipeline"));
    }
    touched.pipeline(key);
    Ok(())
}

/// What is known of a job before its new document.
struct Known {
    ended: bool,
    expected: Expected,
    as_of: Timestamp,
    log: Piece,
    log_blob: Option<i64>,
    archive: Piece,
    archive_blob: Option<i64>,
    pipeline: PipelineId,
}

/// Inserts or replaces a job's document: ended over not ended, then later `as_of`, then the newcomer. Then moves the slots
/// whose state the document alone decides: erased, never had a log, expired before it was fetched.
pub(super) fn job(connection: &Connection, job: &Job, touched: &mut Touched) -> Result<(), Trouble> {
    let known = known(connection, job)?;
    let newer = known.as_ref().is_none_or(|known| (job.ended(), job.document.as_of) >= (known.ended, known.as_of));
    let mut expected =
        Expected { ended: job.ended(), log: job.started_at.is_some(), archive: job.archive.is_some() && !job.erased };
    let (mut log, mut archive) = (Piece::Missing, Piece::Missing);
    if let Some(known) = &known {
        (log, archive) = (known.log, known.archive);
        if !newer {
            expected = known.expected;
        }
        touched.job(job.key, known.pipeline);
    }
    let before = (log, archive);
    if job.erased {
        // Nobody can take an erasure back, so that an older document may tell it too.
        (log, archive) = (Piece::Absent(Reason::Erased), Piece::Absent(Reason::Erased));
        for blob in known.iter().flat_map(|known| [known.log_blob, known.archive_blob]).flatten() {
            blobs::retire(connection, blob)?;
        }
    } else if newer && job.ended() {
        if !expected.log && lacks(log) {
            log = Piece::Absent(Reason::NoLog);
        }
        let expired = job.artifacts_expire_at.is_some_and(|at| at <= job.document.as_of);
        if !expected.archive && expired && lacks(archive) {
            archive = Piece::Absent(Reason::Expired);
        }
    }
    let open = slots::open(expected, log, archive);
    if newer {
        write(connection, job, expected, open)?;
    }
    if newer && job.ended() && open == 0 {
        // What could not be got is not there any more.
        journal::finish(connection, &Target::Job(job.key), &[])?;
    }
    if before != (log, archive) || !newer {
        publish::set_pieces(connection, job.key, log, archive, open)?;
    }
    touched.pipeline(job.pipeline_key());
    Ok(())
}

/// Returns whether nothing is held and no final reason is known.
fn lacks(piece: Piece) -> bool {
    !piece.is_final() && piece != Piece::Live
}

fn known(connection: &Connection, job: &Job) -> Result<Option<Known>, Trouble> {
    let known = connection
        .prepare_cached(
            "SELECT ended, started, archived, as_of, log_piece, log_blob, archive_piece, archive_blob, pipeline
             FROM jobs WHERE project = ?1 AND id = ?2",
        )?
        .query_row(columns::job(job.key), |row| {
            let ended = row.get(0)?;
            Ok(Known {
                ended,
                expected: Expected { ended, log: row.get(1)?, archive: row.get(2)? },
                as_of: Timestamp::from_millis(row.get(3)?),
                log: columns::piece(row, 4)?,
                log_blob: row.get(5)?,
                archive: columns::piece(row, 6)?,
                archive_blob: row.get(7)?,
                pipeline: PipelineId(columns::natural(row.get(8)?)),
            })
        })
        .optional()?;
    Ok(known)
}

fn write(connection: &Connection, job: &Job, expected: Expected, open: i64) -> Result<(), Trouble> {
    let (project, id) = columns::job(job.key);
    connection
        .prepare_cached(
            "INSERT INTO jobs (project, id, pipeline, name, status, ended, started, archived, junit, open, as_of, doc)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
             ON CONFLICT (project, id) DO UPDATE SET
                 pipeline = excluded.pipeline, name = excluded.name, status = excluded.status, ended = excluded.ended,
                 started = excluded.started, archived = excluded.archived, junit = excluded.junit, open = excluded.open,
                 as_of = excluded.as_of, doc = excluded.doc",
        )?
        .execute(params![
            project,
            id,
            integer(job.pipeline.key.pipeline.0),
            job.name,
            job.status.as_str(),
            expected.ended,
            expected.log,
            expected.archive,
            job.junit,
            open,
            job.document.as_of.as_millis(),
            job.document.text,
        ])?;
    Ok(())
}
