//! Removing a job, pipeline or project at once, in steps that nobody waits behind.
//!
//! What is removed is overwritten in the file (`secure_delete`), and the WAL is emptied when the store is closed, as far as no
//! other process still reads from it.

use deadpool_sqlite::rusqlite::{self, Connection, params};

use super::Sqlite;
use super::apply::{self, Touched};
use super::columns::{self, integer, natural};
use super::journal;
use super::trouble::Trouble;
use super::writer::Urgency;
use crate::domain::{BlobId, JobId, JobKey, PipelineId, PipelineKey, ProjectId, Subject};
use crate::store::metrics::Operation;
use crate::store::{Error, Removed};
use crate::work::Target;

const REMOVE: Operation = Operation("remove", "remove a subject");

/// Jobs or pipelines that go in one transaction.
const ROWS_PER_STEP: i64 = 100;

/// What one transaction took away, and the blobs that are now nobody's.
#[derive(Default)]
struct Step {
    removed: Removed,
    blobs: Vec<BlobId>,
    more: bool,
}

impl Sqlite {
    pub(in crate::store) async fn remove(&self, subject: Subject) -> Result<Removed, Error> {
        self.write(REMOVE, Urgency::Bulk, 0, |connection| Ok(overwrite(connection, true)?)).await?;
        let removed = self.remove_in_steps(subject).await;
        // Should this fail, only the next deletions are slower.
        let _ = self.write(REMOVE, Urgency::Bulk, 0, |connection| Ok(overwrite(connection, false)?)).await;
        removed
    }

    async fn remove_in_steps(&self, subject: Subject) -> Result<Removed, Error> {
        let mut removed = Removed::default();
        loop {
            let step = self.write(REMOVE, Urgency::Bulk, 1 << 18, move |connection| step(connection, subject)).await?;
            removed += step.removed;
            for blob in step.blobs {
                self.remove_blob(blob).await?;
            }
            if !step.more {
                return Ok(removed);
            }
        }
    }
}

fn overwrite(connection: &Connection, on: bool) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "secure_delete", on, |_| Ok(()))
}

/// Takes some of a subject away: first jobs, then pipelines, then the project.
fn step(connection: &Connection, subject: Subject) -> Result<Step, Trouble> {
    let mut step = Step::default();
    let (project, id) = (integer(subject.project().0), integer(subject.id()));
    let jobs = match subject {
        Subject::Job(_) => ids(connection, "SELECT id FROM jobs WHERE project = ?1 AND id = ?2", project, id)?,
        Subject::Pipeline(_) => {
            let sql = "SELECT id FROM jobs INDEXED BY jobs_of_pipeline WHERE project = ?1 AND pipeline = ?2 LIMIT ?3";
            ids(connection, sql, project, id)?
        }
        Subject::Project { .. } => {
            ids(connection, "SELECT id FROM jobs WHERE project = ?1 AND ?2 = ?2 LIMIT ?3", project, id)?
        }
    };
    let mut touched = Touched::default();
    for job in &jobs {
        let key = JobKey { project: subject.project(), job: JobId(natural(*job)) };
        remove_job(connection, key, &mut step, &mut touched)?;
    }
    apply::refresh(connection, touched)?;
    if let Subject::Job(key) = subject {
        if jobs.is_empty() {
            // One whose row went already may have left something behind.
            blobs_of(connection, key.project, "kind IN (1, 2)", key.job.0, &mut step)?;
            journal::forget_failure(connection, &Target::Job(key))?;
        }
        return Ok(step);
    }
    if !jobs.is_empty() {
        step.more = true;
        return Ok(step);
    }
    let pipelines = match subject {
        Subject::Project { .. } => {
            ids(connection, "SELECT id FROM pipelines WHERE project = ?1 AND ?2 = ?2 LIMIT ?3", project, id)?
        }
        _ => vec![id],
    };
    for pipeline in &pipelines {
        let key = PipelineKey { project: subject.project(), pipeline: PipelineId(natural(*pipeline)) };
        remove_pipeline(connection, key, &mut step)?;
    }
    match subject {
        Subject::Project { .. } if pipelines.is_empty() => remove_project(connection, subject.project())?,
        Subject::Project { .. } => step.more = true,
        _ => {}
    }
    Ok(step)
}

fn ids(connection: &Connection, sql: &str, project: i64, id: i64) -> rusqlite::Result<Vec<i64>> {
    let sql = if sql.contains("?3") { sql.to_owned() } else { format!("{sql} LIMIT ?3") };
    connection.prepare_cached(&sql)?.query_map([project, id, ROWS_PER_STEP], |row| row.get(0))?.collect()
}

fn remove_job(connection: &Connection, key: JobKey, step: &mut Step, touched: &mut Touched) -> Result<(), Trouble> {
    let pipeline = connection
        .prepare_cached("DELETE FROM jobs WHERE project = ?1 AND id = ?2 RETURNING pipeline")?
        .query_row(columns::job(key), |row| row.get(0).map(natural))?;
    touched.job(key, PipelineId(pipeline));
    journal::forget_failure(connection, &Target::Job(key))?;
    blobs_of(connection, key.project, "kind IN (1, 2)", key.job.0, step)?;
    step.removed.jobs += 1;
    Ok(())
}

fn remove_pipeline(connection: &Connection, key: PipelineKey, step: &mut Step) -> Result<(), Trouble> {
    let removed = connection
        .prepare_cached("DELETE FROM pipelines WHERE project = ?1 AND id = ?2")?
        .execute(columns::pipeline(key))?;
    journal::forget_failure(connection, &Target::Pipeline(key))?;
    journal::forget_failure(connection, &Target::Report(key))?;
    journal::forget_failure(connection, &Target::Bridges(key))?;
    journal::forget_failure(connection, &Target::Detail(key))?;
    for sql in [
        "DELETE FROM bridges WHERE project = ?1 AND pipeline = ?2",
        "DELETE FROM details WHERE project = ?1 AND pipeline = ?2",
    ] {
        connection.prepare_cached(sql)?.execute(columns::pipeline(key))?;
    }
    blobs_of(connection, key.project, "kind = 3", key.pipeline.0, step)?;
    step.removed.pipelines += removed as u64;
    Ok(())
}

fn remove_project(connection: &Connection, project: ProjectId) -> Result<(), Trouble> {
    for sql in [
        "DELETE FROM projects WHERE id = ?1",
        "DELETE FROM paths WHERE project = ?1",
        "DELETE FROM bridges WHERE project = ?1",
        "DELETE FROM details WHERE project = ?1",
        "DELETE FROM progress WHERE project = ?1",
        "DELETE FROM listings WHERE project = ?1",
        "DELETE FROM marks WHERE project = ?1",
        "DELETE FROM failures WHERE project = ?1",
    ] {
        connection.prepare_cached(sql)?.execute([integer(project.0)])?;
    }
    Ok(())
}

/// Takes every blob of a job or pipeline from everybody, those included that were replaced.
fn blobs_of(
    connection: &Connection,
    project: ProjectId,
    kinds: &'static str,
    target: u64,
    step: &mut Step,
) -> Result<(), Trouble> {
    let sql =
        format!("UPDATE blobs SET replaced_at = 0 WHERE {kinds} AND target = ?1 AND project = ?2 RETURNING id, size");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![integer(target), integer(project.0)])?;
    while let Some(row) = rows.next()? {
        step.blobs.push(BlobId(row.get(0)?));
        step.removed.blobs += 1;
        step.removed.bytes += natural(row.get(1)?);
    }
    Ok(())
}
