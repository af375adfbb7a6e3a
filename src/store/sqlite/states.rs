//! What a pass must know of stored pipelines. It is kept in `pipelines.open`, computed at each change, so that a pass
//! reads only what needs work, however many jobs are stored.

use std::collections::HashMap;

use deadpool_sqlite::rusqlite::{self, Connection, OptionalExtension, Row, params};

use super::Sqlite;
use super::calls::snapshot;
use super::columns::{self, integer, natural};
use super::trouble::Trouble;
use crate::domain::{PipelineId, PipelineKey, ProjectId, Timestamp};
use crate::store::metrics::Operation;
use crate::store::{Error, PipelineState};

/// A log or the report is held, but not settled, or a piece failed.
const LIVE: i64 = 1;

/// A piece of an ended job, the report or the list of jobs is missing.
const MISSING: i64 = 2;

/// The pipeline has not ended.
const NOT_ENDED: i64 = 4;

/// Its own document lacks, is of an older state, or failed.
const UNDETAILED: i64 = 8;

/// What [`state`] reads.
macro_rules! state_columns {
    () => {
        "id, status, updated_at, jobs_listed_at, open,
         EXISTS (SELECT 1 FROM failures AS failure
                 WHERE failure.project = pipelines.project AND failure.kind = 1 AND failure.target = pipelines.id),
         gone"
    };
}

impl Sqlite {
    pub(in crate::store) async fn pipeline_states(
        &self,
        project: ProjectId,
        ids: Vec<PipelineId>,
    ) -> Result<HashMap<PipelineId, PipelineState>, Error> {
        self.read(Operation("pipeline_states", "compare pipelines"), move |connection| {
            snapshot(connection, |connection| {
                let mut statement = connection.prepare_cached(concat!(
                    "SELECT ",
                    state_columns!(),
                    " FROM pipelines WHERE project = ?1 AND id = ?2"
                ))?;
                let mut states = HashMap::with_capacity(ids.len());
                for id in ids {
                    let found = statement.query_row([integer(project.0), integer(id.0)], state).optional()?;
                    states.extend(found.map(|state| (id, state)));
                }
                Ok(states)
            })
        })
        .await
    }

    pub(in crate::store) async fn unfinished(
        &self,
        project: ProjectId,
        live: bool,
        after: Option<PipelineId>,
        limit: u64,
    ) -> Result<Vec<PipelineState>, Error> {
        let mask = NOT_ENDED | MISSING | if live { LIVE | UNDETAILED } else { 0 };
        self.read(Operation("unfinished", "find unfinished pipelines"), move |connection| {
            let states = connection
                .prepare_cached(concat!(
                    "SELECT ",
                    state_columns!(),
                    " FROM pipelines INDEXED BY pipelines_open
                         WHERE project = ?1 AND id > ?2 AND open > 0 AND open & ?3 <> 0 ORDER BY id LIMIT ?4"
                ))?
                .query_map(
                    params![integer(project.0), after.map_or(0, |id| integer(id.0)), mask, integer(limit)],
                    state,
                )?
                .collect::<rusqlite::Result<_>>()?;
            Ok(states)
        })
        .await
    }
}

/// Computes `open` of a pipeline again; nothing happens when it is not stored. One that is gone needs nothing. A report is only expected of the latest
/// attempts, once nothing of the pipeline is active.
pub(super) fn refresh(connection: &Connection, key: PipelineKey) -> Result<(), Trouble> {
    let (project, id) = columns::pipeline(key);
    let found = connection
        .prepare_cached(
            "SELECT open, (gone = 0) * (
                 4 * (phase <> 2)
                 + 8 * (detail_piece IN ('missing', 'partial', 'failed'))
                 + 2 * (jobs_listed_at IS NULL
                        OR EXISTS (SELECT 1 FROM jobs INDEXED BY jobs_open
                                   WHERE project = ?1 AND pipeline = ?2 AND open = 2 AND open > 0)
                        OR (phase <> 0 AND (report_piece IN ('missing', 'not_finished') OR summary_piece = 'missing')
                            AND EXISTS (SELECT 1 FROM jobs AS job INDEXED BY jobs_junit
                                        WHERE project = ?1 AND pipeline = ?2 AND junit = 1
                                        AND NOT EXISTS (SELECT 1 FROM jobs AS later INDEXED BY jobs_of_pipeline
                                                        WHERE later.project = ?1 AND later.pipeline = ?2
                                                        AND later.name = job.name AND later.id > job.id))))
                 + (report_piece IN ('live', 'failed') OR summary_piece IN ('live', 'failed')
                    OR EXISTS (SELECT 1 FROM jobs INDEXED BY jobs_open
                               WHERE project = ?1 AND pipeline = ?2 AND open = 1 AND open > 0)))
             FROM pipelines WHERE project = ?1 AND id = ?2",
        )?
        .query_row([project, id], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))
        .optional()?;
    if let Some((before, now)) = found.filter(|(before, now)| before != now) {
        tracing::trace!(project.id = project, pipeline.id = id, before, now, "pipeline state changed");
        connection
            .prepare_cached("UPDATE pipelines SET open = ?3 WHERE project = ?1 AND id = ?2")?
            .execute([project, id, now])?;
    }
    Ok(())
}

fn state(row: &Row<'_>) -> rusqlite::Result<PipelineState> {
    let open: i64 = row.get(4)?;
    Ok(PipelineState {
        id: PipelineId(natural(row.get(0)?)),
        status: columns::status(row, 1)?,
        updated_at: Timestamp::from_millis(row.get(2)?),
        jobs_listed_at: columns::time(row, 3)?,
        missing: open & MISSING != 0,
        live: open & LIVE != 0,
        undetailed: open & UNDETAILED != 0,
        failed: row.get(5)?,
        gone: row.get(6)?,
    })
}
