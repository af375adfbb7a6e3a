//! Reading pipelines.

use deadpool_sqlite::rusqlite::{OptionalExtension, params};

use super::Sqlite;
use super::calls::snapshot;
use super::columns::{self, integer, natural};
use super::reports::{self, report_columns};
use crate::domain::{Document, PipelineKey, ProjectId, Timestamp};
use crate::store::metrics::Operation;
use crate::store::{Error, Page, PipelineFilter, PipelineRow, Slice};

/// The covering index answers everything but the documents of the rows that are returned.
macro_rules! filtered {
    () => {
        "FROM pipelines INDEXED BY pipelines_listed WHERE project = ?1 AND (?2 IS NULL OR status = ?2) \
         AND (?3 IS NULL OR ref = ?3) AND (?4 IS NULL OR sha = ?4) \
         AND CASE WHEN ?5 IS NULL THEN source IS NOT 'parent_pipeline' ELSE source = ?5 END"
    };
}

impl Sqlite {
    pub(in crate::store) async fn pipelines(
        &self,
        project: ProjectId,
        filter: PipelineFilter,
        slice: Slice,
    ) -> Result<Page<Document>, Error> {
        const COUNT: &str = concat!("SELECT count(*) ", filtered!());
        const UP: &str = concat!("SELECT doc, as_of ", filtered!(), " ORDER BY id LIMIT ?6 OFFSET ?7");
        const DOWN: &str = concat!("SELECT doc, as_of ", filtered!(), " ORDER BY id DESC LIMIT ?6 OFFSET ?7");
        self.read(Operation("pipelines", "list pipelines"), move |connection| {
            snapshot(connection, |connection| {
                let project = integer(project.0);
                let PipelineFilter { status, ref_, sha, source, ascending } = &filter;
                let total = connection
                    .prepare_cached(COUNT)?
                    .query_row(params![project, status, ref_, sha, source], |row| row.get(0).map(natural))?;
                let (limit, offset) = (integer(slice.limit), integer(slice.offset));
                let rows = connection
                    .prepare_cached(if *ascending { UP } else { DOWN })?
                    .query_map(params![project, status, ref_, sha, source, limit, offset], |row| {
                        columns::document(row, 0, 1)
                    })?
                    .collect::<Result<_, _>>()?;
                Ok(Page { rows, total })
            })
        })
        .await
    }

    pub(in crate::store) async fn pipeline(&self, key: PipelineKey) -> Result<Option<PipelineRow>, Error> {
        const SQL: &str = concat!(
            "SELECT status, updated_at, doc, as_of, jobs_listed_at, gone, ",
            report_columns!(),
            " FROM pipelines WHERE project = ?1 AND id = ?2"
        );
        self.read(Operation("pipeline", "read a pipeline"), move |connection| {
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
                        report: reports::read(row, 6)?,
                    })
                })
                .optional()?;
            Ok(found)
        })
        .await
    }
}
