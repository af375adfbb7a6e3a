//! What looks at GitLab's lists showed: of each list one row.

use deadpool_sqlite::rusqlite::{Connection, OptionalExtension, params};

use super::Sqlite;
use super::columns::integer;
use super::trouble::Trouble;
use crate::domain::Timestamp;
use crate::store::metrics::Operation;
use crate::store::{Error, ListOf, Listing};

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

/// Returns the project, and which of its listings; no project is 0.
fn key(list: ListOf) -> [i64; 2] {
    match list {
        ListOf::Projects => [0, 0],
        ListOf::Pipelines(project, source) => [integer(project.0), source as i64],
    }
}
