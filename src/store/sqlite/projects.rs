//! Reading projects.

use deadpool_sqlite::rusqlite::{OptionalExtension, Row};

use super::Sqlite;
use super::calls::snapshot;
use super::columns::{self, integer, natural};
use crate::domain::{Document, ProjectFacts, ProjectId};
use crate::store::metrics::Operation;
use crate::store::{Error, Page, Slice};

impl Sqlite {
    pub(in crate::store) async fn projects(&self, slice: Slice) -> Result<Page<(ProjectId, Document)>, Error> {
        self.read(Operation("projects", "list projects"), move |connection| {
            snapshot(connection, |connection| {
                let total = connection
                    .prepare_cached("SELECT count(*) FROM projects")?
                    .query_row([], |row| row.get(0).map(natural))?;
                let rows = connection
                    .prepare_cached("SELECT id, doc, as_of FROM projects ORDER BY id LIMIT ?1 OFFSET ?2")?
                    .query_map([integer(slice.limit), integer(slice.offset)], project)?
                    .collect::<Result<_, _>>()?;
                Ok(Page { rows, total })
            })
        })
        .await
    }

    pub(in crate::store) async fn project_facts(&self) -> Result<Vec<(ProjectId, ProjectFacts)>, Error> {
        self.read(Operation("project_facts", "list projects"), |connection| {
            // Those of an earlier version are read from their documents.
            let facts = connection
                .prepare_cached(
                    "SELECT id, coalesce(facts, (SELECT doc FROM projects AS whole WHERE whole.id = projects.id))
                     FROM projects INDEXED BY projects_listed ORDER BY id",
                )?
                .query_map([], |row| {
                    let text = row.get_ref(1)?.as_str().map_err(|error| columns::unreadable(1, error))?;
                    Ok((ProjectId(natural(row.get(0)?)), ProjectFacts::of(text)))
                })?
                .collect::<Result<_, _>>()?;
            Ok(facts)
        })
        .await
    }

    pub(in crate::store) async fn project_documents(&self, ids: Vec<ProjectId>) -> Result<Vec<Document>, Error> {
        self.read(Operation("project_documents", "read projects"), move |connection| {
            snapshot(connection, |connection| {
                let mut one = connection.prepare_cached("SELECT id, doc, as_of FROM projects WHERE id = ?1")?;
                let found = ids.iter().map(|id| one.query_row([integer(id.0)], project).optional());
                found.filter_map(Result::transpose).map(|found| found.map(|(_, document)| document)).collect()
            })
        })
        .await
    }

    pub(in crate::store) async fn project(&self, id: ProjectId) -> Result<Option<Document>, Error> {
        self.read(Operation("project", "read a project"), move |connection| {
            let found = connection
                .prepare_cached("SELECT id, doc, as_of FROM projects WHERE id = ?1")?
                .query_row([integer(id.0)], project)
                .optional()?;
            Ok(found.map(|(_, document)| document))
        })
        .await
    }

    pub(in crate::store) async fn project_by_path(&self, path: String) -> Result<Option<(ProjectId, Document)>, Error> {
        self.read(Operation("project_by_path", "find a project"), move |connection| {
            let found = connection
                .prepare_cached("SELECT id, doc, as_of FROM projects WHERE path = ?1 ORDER BY as_of DESC LIMIT 1")?
                .query_row([&path], project)
                .optional()?;
            if found.is_some() {
                return Ok(found);
            }
            let led = connection
                .prepare_cached(
                    "SELECT id, doc, projects.as_of FROM paths JOIN projects ON projects.id = paths.project
                     WHERE paths.path = ?1",
                )?
                .query_row([&path], project)
                .optional()?;
            Ok(led)
        })
        .await
    }
}

fn project(row: &Row<'_>) -> deadpool_sqlite::rusqlite::Result<(ProjectId, Document)> {
    Ok((ProjectId(natural(row.get(0)?)), columns::document(row, 1, 2)?))
}
