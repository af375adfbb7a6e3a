//! What looks at GitLab's lists showed: of each list one row.

use deadpool_sqlite::rusqlite::{Connection, OptionalExtension, params};

use super::Sqlite;
use super::columns::{integer, natural};
use super::trouble::Trouble;
use crate::domain::{ProjectId, Timestamp};
use crate::store::metrics::Operation;
use crate::store::{Error, ListOf, Listing};

/// Stands in place of a project's two listings for: neither is to be had, because its CI is off.
const WITHOUT_CI: i64 = 2;

/// Stands for a project's own document.
const ITSELF: i64 = 3;

impl Sqlite {
    pub(in crate::store) async fn listing(&self, list: ListOf) -> Result<Option<Listing>, Error> {
        self.read(Operation("listing", "read what a look at a list showed"), move |connection| {
            let listing = connection
                .prepare_cached("SELECT as_of, since FROM listings WHERE project = ?1 AND source = ?2")?
                .query_row(key(list), |row| {
                    Ok(Listing {
                        as_of: Timestamp::from_millis(row.get(0)?),
                        since: Timestamp::from_millis(row.get(1)?),
                    })
                })
                .optional()?;
            Ok(listing)
        })
        .await
    }

    pub(in crate::store) async fn without_ci(
        &self,
        project: Option<ProjectId>,
    ) -> Result<Vec<(ProjectId, Timestamp)>, Error> {
        self.read(Operation("without_ci", "list projects without CI"), move |connection| {
            let off = connection
                .prepare_cached(
                    "SELECT project, since FROM listings WHERE source = ?1 AND (?2 IS NULL OR project = ?2)
                     ORDER BY project",
                )?
                .query_map(params![WITHOUT_CI, project.map(|id| integer(id.0))], |row| {
                    Ok((ProjectId(natural(row.get(0)?)), Timestamp::from_millis(row.get(1)?)))
                })?
                .collect::<Result<_, _>>()?;
            Ok(off)
        })
        .await
    }
}

/// Notes a look, unless a later one is noted.
pub(super) fn note(connection: &Connection, list: ListOf, listing: Listing) -> Result<(), Trouble> {
    let [project, source] = key(list);
    connection
        .prepare_cached(
            "INSERT INTO listings (project, source, as_of, since) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET as_of = ?3, since = ?4 WHERE as_of <= ?3",
        )?
        .execute(params![project, source, listing.as_of.as_millis(), listing.since.as_millis()])?;
    Ok(())
}

/// Notes since when a project has no CI, unless that is noted, or that it has.
pub(super) fn note_ci(connection: &Connection, project: ProjectId, since: Option<Timestamp>) -> Result<(), Trouble> {
    match since {
        Some(since) => connection
            .prepare_cached(
                "INSERT INTO listings (project, source, as_of, since) VALUES (?1, ?2, ?3, ?3) ON CONFLICT DO NOTHING",
            )?
            .execute(params![integer(project.0), WITHOUT_CI, since.as_millis()])?,
        None => connection
            .prepare_cached("DELETE FROM listings WHERE project = ?1 AND source = ?2")?
            .execute([integer(project.0), WITHOUT_CI])?,
    };
    Ok(())
}

/// Returns the project, and which of its listings; no project is 0.
fn key(list: ListOf) -> [i64; 2] {
    match list {
        ListOf::Projects => [0, 0],
        ListOf::Pipelines(project, source) => [integer(project.0), source as i64],
        ListOf::Project(project) => [integer(project.0), ITSELF],
    }
}
