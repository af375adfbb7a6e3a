//! Writing documents: which of two documents of one thing stays, and what a job's document says about its slots.

use deadpool_sqlite::rusqlite::{Connection, OptionalExtension, params};

use super::apply::Touched;
use super::columns::{self, integer};
use super::trouble::Trouble;
use super::{blobs, details, journal, publish};
use crate::domain::{
    Document, Job, Junit, Piece, Pipeline, PipelineId, PipelineKey, PipelinePhase, Project, ProjectId, Timestamp,
};
use crate::store::slots::{self, Documented, Expected, Known, Learned};
use crate::work::Target;

/// Inserts or replaces a project's document if this one is not older.
pub(super) fn project(connection: &Connection, project: &Project) -> Result<(), Trouble> {
    connection
        .prepare_cached(
            "INSERT INTO projects (id, path, as_of, doc, facts) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (id) DO UPDATE SET path = excluded.path, as_of = excluded.as_of, doc = excluded.doc,
                 facts = excluded.facts
             WHERE excluded.as_of >= projects.as_of",
        )?
        .execute(params![
            integer(project.id.0),
            project.path,
            project.document.as_of.as_millis(),
            project.document.text,
            serde_json::to_string(&project.facts).ok(),
        ])?;
    found_at(connection, &project.path, project.id, project.document.as_of)
}

/// Notes where a path leads, if it did not lead elsewhere later and the project is stored.
pub(super) fn found_at(
    connection: &Connection,
    path: &str,
    project: ProjectId,
    as_of: Timestamp,
) -> Result<(), Trouble> {
    connection
        .prepare_cached(
            "INSERT INTO paths (path, project, as_of)
             SELECT ?1, ?2, ?3 WHERE EXISTS (SELECT 1 FROM projects WHERE id = ?2)
             ON CONFLICT (path) DO UPDATE SET project = excluded.project, as_of = excluded.as_of
             WHERE excluded.as_of >= paths.as_of",
        )?
        .execute(params![path, integer(project.0), as_of.as_millis()])?;
    Ok(())
}

/// Inserts or replaces a pipeline's trigger jobs if these are not older.
pub(super) fn bridges(connection: &Connection, key: PipelineKey, document: &Document) -> Result<(), Trouble> {
    let (project, pipeline) = columns::pipeline(key);
    connection
        .prepare_cached(
            "INSERT INTO bridges (project, pipeline, as_of, doc) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (project, pipeline) DO UPDATE SET as_of = excluded.as_of, doc = excluded.doc
             WHERE excluded.as_of >= bridges.as_of",
        )?
        .execute(params![project, pipeline, document.as_of.as_millis(), document.text])?;
    Ok(())
}

/// Inserts or replaces a pipeline's document: later `updated_at`, then ended over not ended, then later `as_of`.
pub(super) fn pipeline(connection: &Connection, pipeline: &Pipeline, touched: &mut Touched) -> Result<(), Trouble> {
    let (project, id) = columns::pipeline(pipeline.key);
    let phase = pipeline.phase();
    // Its jobs were not listed yet, its own document is missing, and perhaps it has not ended; `refresh` corrects it.
    let open = 2 + 8 + if phase == PipelinePhase::Ended { 0 } else { 4 };
    let mut changed = connection
        .prepare_cached(
            "INSERT INTO pipelines (project, id, status, phase, open, source, ref, sha, created_at, updated_at, as_of, doc,
                 name, tag)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
             ON CONFLICT (project, id) DO UPDATE SET
                 status = excluded.status, phase = excluded.phase, source = coalesce(excluded.source, source),
                 ref = excluded.ref, sha = excluded.sha, created_at = excluded.created_at,
                 updated_at = excluded.updated_at, as_of = excluded.as_of, doc = excluded.doc, name = excluded.name,
                 tag = coalesce(excluded.tag, tag)
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
            pipeline.name,
            pipeline.tag,
        ])?;
    // However old the document is, it was not deleted.
    changed += connection
        .prepare_cached("UPDATE pipelines SET gone = 0 WHERE project = ?1 AND id = ?2 AND gone = 1")?
        .execute([project, id])?;
    if changed > 0 {
        touched.pipeline(pipeline.key);
    }
    let learned = pipeline.detail.as_ref().map_or(Learned::Nothing, Learned::Document);
    details::learn(connection, pipeline.key, learned, touched)
}

/// Inserts a pipeline's document if none is stored.
pub(super) fn sketch(connection: &Connection, sketch: &Pipeline, touched: &mut Touched) -> Result<(), Trouble> {
    let known = connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM pipelines WHERE project = ?1 AND id = ?2)")?
        .query_row(columns::pipeline(sketch.key), |row| row.get(0))?;
    if known { Ok(()) } else { pipeline(connection, sketch, touched) }
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

/// Notes that GitLab deleted a pipeline.
pub(super) fn gone(connection: &Connection, key: PipelineKey, touched: &mut Touched) -> Result<(), Trouble> {
    connection
        .prepare_cached("UPDATE pipelines SET gone = 1 WHERE project = ?1 AND id = ?2")?
        .execute(columns::pipeline(key))?;
    Target::of_pipeline(key).iter().try_for_each(|target| journal::forget_failure(connection, target).map(drop))?;
    touched.pipeline(key);
    Ok(())
}

/// A stored job before its new document.
struct Stored {
    known: Known,
    blobs: [Option<i64>; 2],
    pipeline: PipelineId,
}

/// Inserts or replaces a job's document, if it is the better one, and moves the slots whose state the document alone decides.
pub(super) fn job(connection: &Connection, job: &Job, touched: &mut Touched) -> Result<(), Trouble> {
    let stored = stored(connection, job)?;
    let known = stored.as_ref().map(|stored| stored.known);
    let documented = slots::document(known, job);
    let Documented { newer, expected, log, archive, junit } = documented;
    if let Some(stored) = &stored {
        touched.job(job.key, stored.pipeline);
    }
    if job.erased {
        for blob in stored.iter().flat_map(|stored| stored.blobs).flatten() {
            blobs::retire(connection, blob)?;
        }
    }
    let open = slots::open(expected, log, archive);
    if newer {
        write(connection, job, (expected, junit), open)?;
    }
    if documented.is_settled() {
        // What could not be got is not there any more.
        journal::forget_failure(connection, &Target::Job(job.key))?;
    }
    let before = known.map_or((Piece::Missing, Piece::Missing), |known| (known.log, known.archive));
    if before != (log, archive) || !newer {
        publish::set_pieces(connection, job.key, log, archive, open)?;
    }
    touched.pipeline(job.pipeline_key());
    Ok(())
}

fn stored(connection: &Connection, job: &Job) -> Result<Option<Stored>, Trouble> {
    let stored = connection
        .prepare_cached(
            "SELECT ended, started, archived, as_of, log_piece, log_blob, archive_piece, archive_blob, pipeline,
                 junit, junit_hidden
             FROM jobs WHERE project = ?1 AND id = ?2",
        )?
        .query_row(columns::job(job.key), |row| {
            let expected = Expected { ended: row.get(0)?, log: row.get(1)?, archive: row.get(2)? };
            let as_of = Timestamp::from_millis(row.get(3)?);
            let (log, archive) = (columns::piece(row, 4)?, columns::piece(row, 6)?);
            Ok(Stored {
                known: Known { expected, as_of, log, archive, junit: columns::junit(row, 9)? },
                blobs: [row.get(5)?, row.get(7)?],
                pipeline: PipelineId(columns::natural(row.get(8)?)),
            })
        })
        .optional()?;
    Ok(stored)
}

fn write(connection: &Connection, job: &Job, (expected, junit): (Expected, Junit), open: i64) -> Result<(), Trouble> {
    let (project, id) = columns::job(job.key);
    let (expects_report, hidden) = columns::write_junit(junit);
    connection
        .prepare_cached(
            "INSERT INTO jobs (project, id, pipeline, name, status, ended, started, archived, junit, open, as_of, doc,
                               junit_hidden)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
             ON CONFLICT (project, id) DO UPDATE SET
                 pipeline = excluded.pipeline, name = excluded.name, status = excluded.status, ended = excluded.ended,
                 started = excluded.started, archived = excluded.archived, junit = excluded.junit, open = excluded.open,
                 as_of = excluded.as_of, doc = excluded.doc, junit_hidden = excluded.junit_hidden",
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
            expects_report,
            open,
            job.document.as_of.as_millis(),
            job.document.text,
            hidden,
        ])?;
    Ok(())
}
