//! What should be cached and is not (law 12). It reads only open rows and failures, never all jobs.

use deadpool_sqlite::rusqlite::{self, Connection, Row, params};

use super::Sqlite;
use super::calls::snapshot;
use super::columns::{self, integer, natural};
use crate::domain::{JobId, LogNote, Piece, PipelineId, ProjectId, Reason};
use crate::store::metrics::Operation;
use crate::store::{Error, Gap, slots::lacking_report};

impl Sqlite {
    pub(in crate::store) async fn gaps(&self, project: Option<ProjectId>, limit: u64) -> Result<Vec<Gap>, Error> {
        self.read(Operation("gaps", "find gaps"), move |connection| {
            // A range that an index answers, whether it is one project or all.
            let projects = project.map_or((0, i64::MAX), |id| (integer(id.0), integer(id.0)));
            let mut gaps = snapshot(connection, |connection| {
                let mut gaps = of_jobs(connection, projects, limit)?;
                gaps.extend(of_pipelines(connection, projects, limit)?);
                gaps.extend(of_failures(connection, projects, limit)?);
                Ok(gaps)
            })?;
            gaps.sort_by_key(|gap| (gap.project, gap.pipeline, gap.job));
            gaps.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
            Ok(gaps)
        })
        .await
    }
}

fn of_jobs(connection: &Connection, projects: (i64, i64), limit: u64) -> rusqlite::Result<Vec<Gap>> {
    let mut statement = connection.prepare_cached(
        "SELECT job.project, job.pipeline, job.id, job.started, job.log_piece, job.archived, job.archive_piece,
             failure.problem, job.log_note
         FROM jobs AS job INDEXED BY jobs_open
         LEFT JOIN failures AS failure
             ON failure.project = job.project AND failure.kind = 2 AND failure.target = job.id
         WHERE job.open > 0 AND job.project BETWEEN ?1 AND ?2
         AND NOT EXISTS (SELECT 1 FROM pipelines
                         WHERE pipelines.project = job.project AND pipelines.id = job.pipeline AND pipelines.gone = 1)
         ORDER BY job.project, job.pipeline",
    )?;
    let mut rows = statement.query(projects)?;
    let mut gaps = Vec::new();
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    while let Some(row) = rows.next()?
        && gaps.len() < limit
    {
        let job = Some(JobId(natural(row.get(2)?)));
        for (kind, first) in [("log", 3), ("archive", 5)] {
            let (expected, piece) = (row.get::<_, bool>(first)?, columns::piece(row, first + 1)?);
            if expected && piece.is_gap() {
                gaps.push(gap(row, job, kind, piece == Piece::Absent(Reason::Failed), 7)?);
            }
        }
        let note = row.get::<_, Option<Box<str>>>(8)?.and_then(|word| LogNote::from_word(&word));
        if let Some(problem) = note.and_then(LogNote::problem) {
            gaps.push(Gap { problem: Some(problem.to_owned()), ..gap(row, job, "log", true, 7)? });
        }
    }
    Ok(gaps)
}

fn of_pipelines(connection: &Connection, projects: (i64, i64), limit: u64) -> rusqlite::Result<Vec<Gap>> {
    let mut statement = connection.prepare_cached(
        "SELECT pipeline.project, pipeline.id, pipeline.jobs_listed_at IS NULL, pipeline.report_piece,
             pipeline.phase <> 0
                 AND EXISTS (SELECT 1 FROM jobs AS job INDEXED BY jobs_junit
                             WHERE job.project = pipeline.project AND job.pipeline = pipeline.id AND job.junit = 1
                             AND NOT EXISTS (SELECT 1 FROM jobs AS later INDEXED BY jobs_of_pipeline
                                             WHERE later.project = job.project AND later.pipeline = job.pipeline
                                             AND later.name = job.name AND later.id > job.id)),
             (SELECT problem FROM failures
              WHERE project = pipeline.project AND kind IN (1, 3) AND target = pipeline.id ORDER BY kind LIMIT 1),
             pipeline.summary_piece, pipeline.detail_piece,
             (SELECT problem FROM failures WHERE project = pipeline.project AND kind = 9 AND target = pipeline.id)
         FROM pipelines AS pipeline INDEXED BY pipelines_open
         WHERE pipeline.open > 0 AND pipeline.open & 11 <> 0 AND pipeline.project BETWEEN ?1 AND ?2
         ORDER BY pipeline.project, pipeline.id",
    )?;
    let mut rows = statement.query(projects)?;
    let mut gaps = Vec::new();
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    while let Some(row) = rows.next()?
        && gaps.len() < limit
    {
        let failed = row.get_ref(5)? != rusqlite::types::ValueRef::Null;
        let report = columns::piece(row, 3)?;
        if row.get(2)? {
            gaps.push(gap(row, None, "jobs", failed, 5)?);
        }
        if row.get(4)?
            && let Some((kind, piece)) = lacking_report(report, columns::piece(row, 6)?)
        {
            gaps.push(gap(row, None, kind, failed || piece == Piece::Absent(Reason::Failed), 5)?);
        }
        let detail = columns::piece(row, 7)?;
        if detail.is_gap() {
            gaps.push(gap(row, None, "detail", detail == Piece::Absent(Reason::Failed), 8)?);
        }
    }
    Ok(gaps)
}

/// Failures that no missing piece shows: of a job or pipeline that is not stored, or that misses nothing we know of. The
/// failed report of a pipeline that goes on is not missed: there will be another. Nothing is missed of one that is gone.
fn of_failures(connection: &Connection, projects: (i64, i64), limit: u64) -> rusqlite::Result<Vec<Gap>> {
    let mut statement = connection.prepare_cached(
        "SELECT failure.project, coalesce(job.pipeline, iif(failure.kind = 2, 0, failure.target)),
             iif(failure.kind = 2, failure.target, NULL), failure.problem,
             failure.kind
         FROM failures AS failure
         LEFT JOIN jobs AS job ON failure.kind = 2 AND job.project = failure.project AND job.id = failure.target
         LEFT JOIN pipelines AS pipeline
             ON failure.kind <> 2 AND pipeline.project = failure.project AND pipeline.id = failure.target
         LEFT JOIN pipelines AS whole ON whole.project = failure.project AND whole.id = coalesce(job.pipeline, pipeline.id)
         WHERE failure.project BETWEEN ?1 AND ?2 AND coalesce(job.open, 0) <> 2 AND coalesce(whole.gone, 0) = 0
         AND coalesce(job.log_piece, '') <> 'failed' AND coalesce(job.archive_piece, '') <> 'failed'
         AND failure.kind NOT IN (4, 9)
         AND NOT (failure.kind = 3 AND coalesce(pipeline.phase, 1) = 0)
         AND NOT (pipeline.id IS NOT NULL
                  AND (pipeline.jobs_listed_at IS NULL
                       OR (pipeline.open & 3 <> 0 AND (pipeline.report_piece IN ('missing', 'failed', 'not_finished')
                                                    OR pipeline.summary_piece IN ('missing', 'failed')))))
         ORDER BY failure.project LIMIT ?3",
    )?;
    statement
        .query_map(params![projects.0, projects.1, integer(limit)], |row| {
            let job = row.get::<_, Option<i64>>(2)?.map(|id| JobId(natural(id)));
            let kind = match row.get(4)? {
                2 => "job",
                3 => "report",
                _ => "pipeline",
            };
            gap(row, job, kind, true, 3)
        })?
        .collect()
}

fn gap(row: &Row<'_>, job: Option<JobId>, kind: &'static str, failed: bool, problem: usize) -> rusqlite::Result<Gap> {
    Ok(Gap {
        project: ProjectId(natural(row.get(0)?)),
        pipeline: PipelineId(natural(row.get(1)?)),
        job,
        kind,
        state: if failed { Piece::Absent(Reason::Failed) } else { Piece::Missing },
        problem: row.get(problem)?,
    })
}
