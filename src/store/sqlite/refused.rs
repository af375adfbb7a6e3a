//! What GitLab refused to the token: when, and what was asked for least recently. Three small indexes hold nothing else.

use deadpool_sqlite::rusqlite::{self, Connection, params};

use super::Sqlite;
use super::calls::snapshot;
use super::columns::{self, integer, natural};
use super::trouble::Trouble;
use crate::domain::{JobId, JobKey, PipelineId, PipelineKey, ProjectId, Timestamp};
use crate::store::Error;
use crate::store::metrics::Operation;
use crate::work::Target;

const JOBS: &str = "SELECT coalesce(refused_at, 0), id FROM jobs INDEXED BY jobs_refused
     WHERE project = ?1 AND (log_piece = 'forbidden' OR archive_piece = 'forbidden') AND coalesce(refused_at, 0) < ?2
     ORDER BY refused_at, id LIMIT ?3";
const REPORTS: &str = "SELECT coalesce(refused_at, 0), id FROM pipelines INDEXED BY pipelines_refused
     WHERE project = ?1 AND (report_piece = 'forbidden' OR summary_piece = 'forbidden') AND coalesce(refused_at, 0) < ?2
     ORDER BY refused_at, id LIMIT ?3";

const DETAILS: &str = "SELECT coalesce(detail_refused_at, 0), id FROM pipelines INDEXED BY details_refused
     WHERE project = ?1 AND detail_piece = 'forbidden' AND coalesce(detail_refused_at, 0) < ?2
     ORDER BY detail_refused_at, id LIMIT ?3";

impl Sqlite {
    pub(in crate::store) async fn refused(
        &self,
        project: ProjectId,
        before: Timestamp,
        limit: u64,
    ) -> Result<Vec<Target>, Error> {
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        self.read(Operation("refused", "list what GitLab refused"), move |connection| {
            snapshot(connection, |connection| {
                let found = |sql: &str| -> rusqlite::Result<Vec<(i64, u64)>> {
                    let asked = params![integer(project.0), before.as_millis(), integer(limit)];
                    let mut statement = connection.prepare_cached(sql)?;
                    let rows = statement.query_map(asked, |row| Ok((row.get(0)?, natural(row.get(1)?))))?;
                    rows.collect()
                };
                let job = |(at, id)| (at, Target::Job(JobKey { project, job: JobId(id) }));
                let report = |(at, id)| (at, Target::Report(PipelineKey { project, pipeline: PipelineId(id) }));
                let mut all: Vec<(i64, Target)> = found(JOBS)?.into_iter().map(job).collect();
                all.extend(found(REPORTS)?.into_iter().map(report));
                let detail = |(at, id)| (at, Target::Detail(PipelineKey { project, pipeline: PipelineId(id) }));
                all.extend(found(DETAILS)?.into_iter().map(detail));
                all.sort_by_key(|(at, _)| *at);
                Ok(all.into_iter().map(|(_, target)| target).take(most).collect())
            })
        })
        .await
    }
}

/// Notes when something was refused, or last asked for; never goes back.
pub(super) fn note(connection: &Connection, target: &Target, at: Timestamp) -> Result<(), Trouble> {
    let (sql, key) = match target {
        Target::Job(key) => {
            let sql = "UPDATE jobs SET refused_at = max(coalesce(refused_at, ?3), ?3) WHERE project = ?1 AND id = ?2";
            (sql, columns::job(*key))
        }
        Target::Report(key) => {
            let sql =
                "UPDATE pipelines SET refused_at = max(coalesce(refused_at, ?3), ?3) WHERE project = ?1 AND id = ?2";
            (sql, columns::pipeline(*key))
        }
        Target::Detail(key) => {
            let sql = "UPDATE pipelines SET detail_refused_at = max(coalesce(detail_refused_at, ?3), ?3)
                       WHERE project = ?1 AND id = ?2";
            (sql, columns::pipeline(*key))
        }
        _ => return Ok(()),
    };
    connection.prepare_cached(sql)?.execute(params![key.0, key.1, at.as_millis()])?;
    Ok(())
}
