//! Reading projects.

use deadpool_sqlite::rusqlite::{OptionalExtension, Row};

use super::Sqlite;
use super::calls::snapshot;
use super::columns::{self, integer, natural};
use crate::domain::{Document, ProjectId};
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
                .query_row([path], project)
                .optional()?;
            Ok(found)
        })
        .await
    }
}

fn project(row: &Row<'_>) -> deadpool_sqlite::rusqlite::Result<(ProjectId, Document)> {
    Ok((ProjectId(natural(row.get(0)?)), columns::document(row, 1, 2)?))
}
