//! Reading pipelines.

use deadpool_sqlite::rusqlite::{self, OptionalExtension};

use super::Sqlite;
use super::calls::snapshot;
use super::columns::{self, natural};
use super::details;
use super::lists::{Statements, Values};
use super::reports::{self, report_columns};
use crate::domain::{Document, PipelineId, PipelineKey, ProjectId, Timestamp};
use crate::store::metrics::Operation;
use crate::store::{Error, Page, PipelineFilter, PipelineRow, PipelineTally, Slice};

impl Sqlite {
    pub(in crate::store) async fn pipelines(
        &self,
        project: ProjectId,
        filter: PipelineFilter,
        slice: Slice,
    ) -> Result<Page<Document>, Error> {
        self.read(Operation("pipelines", "list pipelines"), move |connection| {
            let (statements, values) = (Statements::of(&filter), Values::of(project, &filter, slice));
            snapshot(connection, |connection| {
                let count = connection
                    .prepare_cached(&statements.count)?
                    .query_row(&*values.named(&filter, &statements.count), |row| row.get(0).map(natural))?;
                let rows: Vec<i64> = connection
                    .prepare_cached(&statements.rows)?
                    .query_map(&*values.named(&filter, &statements.rows), |row| row.get(0))?
                    .collect::<Result<_, _>>()?;
                let Page { rows, total } = Page::bounded(rows, slice, count);
                let mut one = connection.prepare_cached("SELECT doc, as_of FROM pipelines WHERE rowid = ?1")?;
                let rows = rows.iter().map(|row| one.query_row([row], |row| columns::document(row, 0, 1)));
                Ok(Page { rows: rows.collect::<Result<_, _>>()?, total })
            })
        })
        .await
    }

    pub(in crate::store) async fn pipeline(&self, key: PipelineKey) -> Result<Option<PipelineRow>, Error> {
        const SQL: &str = concat!(
            "SELECT status, updated_at, pipelines.doc, pipelines.as_of, jobs_listed_at, gone, detail_piece, details.doc,
                 details.as_of, ",
            report_columns!(),
            " FROM pipelines LEFT JOIN details ON details.project = pipelines.project AND details.pipeline = pipelines.id
             WHERE pipelines.project = ?1 AND id = ?2"
        );
        self.look(Operation("pipeline", "read a pipeline"), |connection| {
            let found = connection
                .prepare_cached(SQL)?
                .query_row(columns::pipeline(key), |row| {
                    Ok(PipelineRow {
                        key,
                        status: columns::status(row, 0)?,
                        updated_at: Timestamp::from_millis(row.get(1)?),
                        document: columns::document(row, 2, 3)?,
                        jobs_listed_at: columns::time(row, 4)?,
                        gone: row.get(5)?,
                        detail: details::read(row, 6)?,
                        report: reports::read(row, 9)?,
                    })
                })
                .optional()?;
            Ok(found)
        })
        .await
    }

    pub(in crate::store) async fn pipeline_details(
        &self,
        project: ProjectId,
        ids: Vec<PipelineId>,
    ) -> Result<Vec<(PipelineId, Document)>, Error> {
        self.read(Operation("pipeline_details", "read pipelines' own documents"), move |connection| {
            let mut one =
                connection.prepare_cached("SELECT doc, as_of FROM details WHERE project = ?1 AND pipeline = ?2")?;
            let mut found = Vec::with_capacity(ids.len());
            for pipeline in ids {
                let key = columns::pipeline(PipelineKey { project, pipeline });
                let document = one.query_row(key, |row| columns::document(row, 0, 1)).optional()?;
                found.extend(document.map(|document| (pipeline, document)));
            }
            Ok(found)
        })
        .await
    }

    pub(in crate::store) async fn bridges(&self, key: PipelineKey) -> Result<Option<Document>, Error> {
        self.read(Operation("bridges", "read a pipeline's trigger jobs"), move |connection| {
            let found = connection
                .prepare_cached("SELECT doc, as_of FROM bridges WHERE project = ?1 AND pipeline = ?2")?
                .query_row(columns::pipeline(key), |row| columns::document(row, 0, 1))
                .optional()?;
            Ok(found)
        })
        .await
    }
}

/// Returns how many of a project's pipelines there are by the state of their reports and own documents.
pub(super) fn tally(connection: &rusqlite::Connection, project: i64) -> rusqlite::Result<Vec<PipelineTally>> {
    connection
        .prepare_cached(
            "SELECT status, report_piece, detail_piece, sum(count) FROM pipeline_tallies WHERE project = ?1
             GROUP BY status, report_piece, detail_piece HAVING sum(count) > 0",
        )?
        .query_map([project], |row| {
            Ok(PipelineTally {
                status: columns::status(row, 0)?,
                report: columns::piece(row, 1)?,
                detail: columns::piece(row, 2)?,
                count: natural(row.get(3)?),
            })
        })?
        .collect()
}
