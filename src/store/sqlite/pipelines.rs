//! Reading pipelines.

use deadpool_sqlite::rusqlite::{self, OptionalExtension, named_params};

use super::Sqlite;
use super::calls::snapshot;
use super::columns::{self, integer, natural};
use super::reports::{self, report_columns};
use crate::domain::{Document, PipelineKey, ProjectId, Timestamp};
use crate::store::metrics::Operation;
use crate::store::{
    COUNTED, Error, Page, PipelineFilter, PipelineOrder, PipelineRow, PipelineScope, PipelineTally, Slice,
};

/// All filters; each of the two indexes answers them without a look at the rows.
const FILTERED: &str = "WHERE project = :project AND updated_at BETWEEN :updated_after AND :updated_before \
    AND created_at BETWEEN :created_after AND :created_before AND (:status IS NULL OR status = :status) \
    AND (:ref IS NULL OR ref = :ref) AND (:sha IS NULL OR sha = :sha) AND (:name IS NULL OR name = :name) \
    AND CASE WHEN :source IS NULL THEN source IS NOT 'parent_pipeline' ELSE source = :source END \
    AND (:statuses IS NULL OR status IN (SELECT value FROM json_each(:statuses)))";

/// The statements of a list: what is counted, and which rows are on the page. There are a few dozen of them in all.
struct Statements {
    count: String,
    rows: String,
}

impl Statements {
    fn of(filter: &PipelineFilter) -> Self {
        // A narrow span is worth sorting; without one the index in the order of the list ends at the page's last row.
        let by_update = filter.order == PipelineOrder::UpdatedAt || filter.updated.after.is_some();
        let index = if by_update { "pipelines_by_update" } else { "pipelines_by_id" };
        let latest = match filter.scope {
            Some(PipelineScope::Tags) => latest("tag = 1"),
            Some(PipelineScope::Branches) => latest("coalesce(tag, 0) = 0 AND ref NOT LIKE 'refs/%'"),
            _ => String::new(),
        };
        let direction = if filter.ascending { "ASC" } else { "DESC" };
        let order = match filter.order {
            PipelineOrder::Id => String::new(),
            PipelineOrder::Status => format!("status {direction}, "),
            PipelineOrder::Ref => format!("ref {direction}, "),
            PipelineOrder::UpdatedAt => format!("updated_at {direction}, "),
        };
        let chosen = format!("FROM pipelines INDEXED BY {index} {FILTERED}{latest}");
        Self {
            count: format!("SELECT count(*) FROM (SELECT 1 {chosen} LIMIT {})", COUNTED + 1),
            rows: format!("SELECT rowid {chosen} ORDER BY {order}id {direction} LIMIT :limit OFFSET :offset"),
        }
    }
}

/// Only the latest pipeline of each ref of a kind, whatever else is asked.
fn latest(kind: &str) -> String {
    format!(
        " AND id IN (SELECT max(id) FROM pipelines INDEXED BY pipelines_by_id \
         WHERE project = :project AND source IS NOT 'parent_pipeline' AND {kind} GROUP BY ref)"
    )
}

impl Sqlite {
    pub(in crate::store) async fn pipelines(
        &self,
        project: ProjectId,
        filter: PipelineFilter,
        slice: Slice,
    ) -> Result<Page<Document>, Error> {
        self.read(Operation("pipelines", "list pipelines"), move |connection| {
            let statements = Statements::of(&filter);
            let statuses = filter.scope.and_then(PipelineScope::statuses);
            let statuses = statuses.and_then(|statuses| serde_json::to_string(statuses).ok());
            let after = |time: Option<Timestamp>| time.map_or(i64::MIN, Timestamp::as_millis);
            let before = |time: Option<Timestamp>| time.map_or(i64::MAX, Timestamp::as_millis);
            let chosen: &[(&str, &dyn rusqlite::ToSql)] = named_params! {
                ":project": integer(project.0), ":status": filter.status, ":ref": filter.ref_, ":sha": filter.sha,
                ":name": filter.name, ":source": filter.source, ":statuses": statuses,
                ":updated_after": after(filter.updated.after), ":updated_before": before(filter.updated.before),
                ":created_after": after(filter.created.after), ":created_before": before(filter.created.before),
            };
            let page: &[(&str, &dyn rusqlite::ToSql)] =
                named_params! { ":limit": integer(slice.limit + 1), ":offset": integer(slice.offset) };
            snapshot(connection, |connection| {
                let count =
                    connection.prepare_cached(&statements.count)?.query_row(chosen, |row| row.get(0).map(natural))?;
                let rows: Vec<i64> = connection
                    .prepare_cached(&statements.rows)?
                    .query_map(&*[chosen, page].concat(), |row| row.get(0))?
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
            "SELECT status, updated_at, doc, as_of, jobs_listed_at, gone, ",
            report_columns!(),
            " FROM pipelines WHERE project = ?1 AND id = ?2"
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
                        report: reports::read(row, 6)?,
                    })
                })
                .optional()?;
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

/// Counts a project's pipelines by the state of their reports.
pub(super) fn tally(connection: &rusqlite::Connection, project: i64) -> rusqlite::Result<Vec<PipelineTally>> {
    connection
        .prepare_cached(
            "SELECT status, report_piece, count(*) FROM pipelines INDEXED BY pipelines_by_report WHERE project = ?1
             GROUP BY status, report_piece",
        )?
        .query_map([project], |row| {
            Ok(PipelineTally {
                status: columns::status(row, 0)?,
                report: columns::piece(row, 1)?,
                count: natural(row.get(2)?),
            })
        })?
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Span;
    use crate::store::sqlite::schema;

    /// Returns how SQLite would go about a list.
    fn plan(sql: &str) -> String {
        let directory = tempfile::tempdir().expect("a directory");
        let connection = schema::open(&directory.path().join("store.db"), None).expect("a store");
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("a statement");
        // Nothing is bound: the plan is the same for every value.
        let steps = statement.raw_query().mapped(|row| row.get::<_, String>(3));
        steps.collect::<Result<Vec<_>, _>>().expect("steps").join("; ")
    }

    #[test]
    fn a_list_is_answered_by_an_index_and_sorted_only_where_it_is_worth_it() {
        let any = PipelineFilter::default;
        let since = Span { after: Some(Timestamp::default()), before: None };
        for (filter, index, sorted) in [
            (any(), "pipelines_by_id (project=?)", false),
            (PipelineFilter { scope: Some(PipelineScope::Finished), ..any() }, "pipelines_by_id (project=?)", false),
            (
                PipelineFilter { order: PipelineOrder::UpdatedAt, ascending: true, updated: since, ..any() },
                "pipelines_by_update (project=? AND updated_at>? AND updated_at<?)",
                false,
            ),
            (
                PipelineFilter { updated: since, ..any() },
                "pipelines_by_update (project=? AND updated_at>? AND updated_at<?)",
                true,
            ),
            (PipelineFilter { order: PipelineOrder::Ref, ..any() }, "pipelines_by_id (project=?)", true),
            (PipelineFilter { scope: Some(PipelineScope::Branches), ..any() }, "pipelines_by_id (project=?", false),
        ] {
            let statements = Statements::of(&filter);
            for sql in [&statements.rows, &statements.count] {
                let plan = plan(sql);
                assert!(plan.contains(&format!("USING COVERING INDEX {index}")), "{filter:?}: {plan}");
                assert!(!plan.contains("SCAN pipelines"), "{filter:?}: {plan}");
            }
            let sorts = plan(&statements.rows).contains("FOR ORDER BY");
            assert_eq!(sorts, sorted, "{filter:?}: {}", plan(&statements.rows));
        }
    }
}
