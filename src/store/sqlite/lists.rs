//! The statements of a list of pipelines: which index answers it, what is counted, and which rows are on the page.
//!
//! Only what is asked for is part of a statement, and each thing that can be asked for has an index, so that a page costs what
//! is on it and before it, however many pipelines a project has.

use deadpool_sqlite::rusqlite::ToSql;

use super::columns::integer;
use crate::domain::{ProjectId, Timestamp};
use crate::store::{COUNTED, PipelineFilter, PipelineOrder, PipelineScope, Slice, Span};

/// A list in SQL. There are a few dozen different ones in all.
pub(super) struct Statements {
    /// Answers with how many rows there are, above [`COUNTED`] with any number above it.
    pub(super) count: String,
    /// Answers with the `rowid` of each row of the page and of one more.
    pub(super) rows: String,
}

impl Statements {
    pub(super) fn of(filter: &PipelineFilter) -> Self {
        let (index, conditions) = (index(filter), conditions(filter));
        let direction = if filter.ascending { "ASC" } else { "DESC" };
        let order = match filter.order {
            PipelineOrder::Id => String::new(),
            PipelineOrder::Status => format!("status {direction}, "),
            PipelineOrder::Ref => format!("ref {direction}, "),
            PipelineOrder::UpdatedAt => format!("updated_at {direction}, "),
        };
        let statuses = filter.scope.and_then(PipelineScope::statuses);
        let chosen = |more: &str| format!("FROM pipelines INDEXED BY {index} WHERE {conditions}{more}");
        let page = "LIMIT :limit OFFSET :offset";
        let rows = match statuses {
            // Each status gives its first ones in the order of the index, so that a rare one is not looked for among all.
            Some(statuses) if index == BY_STATUS && filter.order == PipelineOrder::Id => {
                let first = |status: &&str| {
                    let chosen = chosen(&format!(" AND status = '{status}'"));
                    format!("SELECT * FROM (SELECT id, rowid {chosen} ORDER BY id {direction} LIMIT :limit + :offset)")
                };
                let all: Vec<String> = statuses.iter().map(first).collect();
                format!("SELECT rowid FROM ({}) ORDER BY id {direction} {page}", all.join(" UNION ALL "))
            }
            Some(statuses) => {
                let chosen = chosen(&format!(" AND {}", one_of(statuses)));
                format!("SELECT rowid {chosen} ORDER BY {order}id {direction} {page}")
            }
            None => format!("SELECT rowid {} ORDER BY {order}id {direction} {page}", chosen("")),
        };
        let with_statuses = statuses.map_or(String::new(), |statuses| format!(" AND {}", one_of(statuses)));
        let count = match is_tallied(filter) {
            true => tallied(filter, &with_statuses),
            false => format!("SELECT count(*) FROM (SELECT 1 {} LIMIT {})", chosen(&with_statuses), COUNTED + 1),
        };
        Self { count, rows }
    }
}

const BY_STATUS: &str = "pipelines_by_status";

/// Returns the index by which the least rows are looked at, or none has to be sorted.
fn index(filter: &PipelineFilter) -> &'static str {
    let by_latest = matches!(filter.scope, Some(PipelineScope::Branches | PipelineScope::Tags));
    match filter {
        // The latest of each ref are found by their ids.
        _ if by_latest => "pipelines_by_id",
        PipelineFilter { sha: Some(_), .. } => "pipelines_by_sha",
        PipelineFilter { updated, order, .. } if *updated != Span::default() || *order == PipelineOrder::UpdatedAt => {
            "pipelines_by_update"
        }
        PipelineFilter { name: Some(_), .. } => "pipelines_by_name",
        PipelineFilter { ref_: Some(_), .. } => "pipelines_by_ref",
        PipelineFilter { order: PipelineOrder::Ref, .. } => "pipelines_by_ref",
        PipelineFilter { status: Some(_), .. } => BY_STATUS,
        PipelineFilter { order: PipelineOrder::Status, .. } => BY_STATUS,
        PipelineFilter { source: Some(_), .. } => "pipelines_by_source",
        PipelineFilter { scope: Some(_), .. } => BY_STATUS,
        _ => "pipelines_by_id",
    }
}

/// Returns everything that is asked for but the statuses of a scope.
fn conditions(filter: &PipelineFilter) -> String {
    let mut all = vec!["project = :project"];
    let asked = [
        (filter.status.is_some(), "status = :status"),
        (filter.ref_.is_some(), "ref = :ref"),
        (filter.sha.is_some(), "sha = :sha"),
        (filter.name.is_some(), "name = :name"),
        (filter.source.is_some(), "source = :source"),
        (filter.source.is_none(), "source IS NOT 'parent_pipeline'"),
        (filter.updated != Span::default(), "updated_at BETWEEN :updated_after AND :updated_before"),
        (filter.created != Span::default(), "created_at BETWEEN :created_after AND :created_before"),
    ];
    all.extend(asked.into_iter().filter_map(|(is_asked, condition)| is_asked.then_some(condition)));
    let latest = match filter.scope {
        Some(PipelineScope::Tags) => latest("pipelines_of_tags", "tag = 1"),
        Some(PipelineScope::Branches) => latest("pipelines_by_ref", "coalesce(tag, 0) = 0 AND ref NOT LIKE 'refs/%'"),
        _ => return all.join(" AND "),
    };
    format!("{} AND {latest}", all.join(" AND "))
}

/// Only the latest pipeline of each ref of a kind, whatever else is asked. It goes from ref to ref, not from row to row.
fn latest(index: &str, kind: &str) -> String {
    let of_kind = format!("FROM pipelines INDEXED BY {index} WHERE project = :project AND {kind}");
    format!(
        "id IN (WITH RECURSIVE refs (one) AS (SELECT (SELECT ref {of_kind} AND ref IS NOT NULL ORDER BY ref LIMIT 1) \
             UNION ALL SELECT (SELECT ref {of_kind} AND ref > one ORDER BY ref LIMIT 1) FROM refs WHERE one IS NOT NULL) \
         SELECT (SELECT id {of_kind} AND ref = one AND source IS NOT 'parent_pipeline' ORDER BY id DESC LIMIT 1) FROM refs)"
    )
}

/// Returns whether nothing is asked for but what the tallies tell apart.
fn is_tallied(filter: &PipelineFilter) -> bool {
    let scope = filter.scope.is_none_or(|scope| scope.statuses().is_some());
    let PipelineFilter { sha, source, name, updated, created, .. } = filter;
    let more = [sha, source, name].into_iter().any(Option::is_some);
    scope && !more && *updated == Span::default() && *created == Span::default()
}

/// Returns the statement that reads a count from the tallies.
fn tallied(filter: &PipelineFilter, with_statuses: &str) -> String {
    let of_ref = if filter.ref_.is_some() { "ref_tallies WHERE ref = :ref" } else { "pipeline_tallies WHERE true" };
    let of_status = if filter.status.is_some() { " AND status = :status" } else { "" };
    format!(
        "SELECT min(coalesce(sum(count), 0), {}) FROM {of_ref} AND project = :project AND child = 0{of_status}{with_statuses}",
        COUNTED + 1
    )
}

fn one_of(statuses: &[&str]) -> String {
    format!("status IN ('{}')", statuses.join("', '"))
}

/// What the statements of one list are asked with.
pub(super) struct Values {
    project: i64,
    spans: [i64; 4],
    page: [i64; 2],
}

impl Values {
    pub(super) fn of(project: ProjectId, filter: &PipelineFilter, slice: Slice) -> Self {
        let after = |time: Option<Timestamp>| time.map_or(i64::MIN, Timestamp::as_millis);
        let before = |time: Option<Timestamp>| time.map_or(i64::MAX, Timestamp::as_millis);
        let PipelineFilter { updated, created, .. } = filter;
        Self {
            project: integer(project.0),
            spans: [after(updated.after), before(updated.before), after(created.after), before(created.before)],
            page: [integer(slice.limit + 1), integer(slice.offset)],
        }
    }

    /// Returns those that a statement names.
    pub(super) fn named<'a>(&'a self, filter: &'a PipelineFilter, sql: &str) -> Vec<(&'static str, &'a dyn ToSql)> {
        let all: [(&'static str, &dyn ToSql); 12] = [
            (":project", &self.project),
            (":status", &filter.status),
            (":ref", &filter.ref_),
            (":sha", &filter.sha),
            (":name", &filter.name),
            (":source", &filter.source),
            (":updated_after", &self.spans[0]),
            (":updated_before", &self.spans[1]),
            (":created_after", &self.spans[2]),
            (":created_before", &self.spans[3]),
            (":limit", &self.page[0]),
            (":offset", &self.page[1]),
        ];
        all.into_iter().filter(|(name, _)| sql.contains(name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::schema;

    /// Returns how SQLite would go about a statement.
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
        let some = || Some("some".to_owned());
        let since = Span { after: Some(Timestamp::default()), before: None };
        for (filter, index, sorted) in [
            (any(), "pipelines_by_id (project=?)", false),
            (
                PipelineFilter { scope: Some(PipelineScope::Running), ..any() },
                "pipelines_by_status (project=? AND status=?)",
                false,
            ),
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
            (
                PipelineFilter { scope: Some(PipelineScope::Finished), ..any() },
                "pipelines_by_status (project=? AND status=?)",
                false,
            ),
            (PipelineFilter { order: PipelineOrder::Ref, ..any() }, "pipelines_by_ref (project=?)", false),
            (PipelineFilter { order: PipelineOrder::Status, ..any() }, "pipelines_by_status (project=?)", false),
            (PipelineFilter { status: some(), ..any() }, "pipelines_by_status (project=? AND status=?)", false),
            (PipelineFilter { ref_: some(), ..any() }, "pipelines_by_ref (project=? AND ref=?)", false),
            (PipelineFilter { source: some(), ..any() }, "pipelines_by_source (project=? AND source=?)", false),
            (
                PipelineFilter { scope: Some(PipelineScope::Branches), ..any() },
                "pipelines_by_id (project=? AND id=?)",
                false,
            ),
        ] {
            let statements = Statements::of(&filter);
            let plan = plan(&statements.rows);
            assert!(plan.contains(&format!("USING COVERING INDEX {index}")), "{filter:?}: {plan}");
            assert!(!plan.contains("SCAN pipelines"), "{filter:?}: {plan}");
            let several = filter.scope.and_then(PipelineScope::statuses).is_some_and(|statuses| statuses.len() > 1);
            assert_eq!(plan.contains("FOR ORDER BY"), sorted || several, "{filter:?}: {plan}");
        }
    }

    #[test]
    fn what_is_rare_is_found_by_its_own_index() {
        let some = || Some("some".to_owned());
        for (filter, index) in [
            (PipelineFilter { sha: some(), ..PipelineFilter::default() }, "pipelines_by_sha (project=? AND sha=?)"),
            (PipelineFilter { name: some(), ..PipelineFilter::default() }, "pipelines_by_name (project=? AND name=?)"),
            (
                PipelineFilter { scope: Some(PipelineScope::Tags), ..PipelineFilter::default() },
                "pipelines_of_tags (project=? AND ref>?)",
            ),
        ] {
            let Statements { count, rows } = Statements::of(&filter);
            for sql in [count, rows] {
                assert!(plan(&sql).contains(index), "{filter:?}: {}", plan(&sql));
            }
        }
    }
}
