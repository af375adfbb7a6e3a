//! What readers' looks at the listings of pipelines showed.

use deadpool_sqlite::rusqlite::{Connection, OptionalExtension, params};

use super::Sqlite;
use super::columns::integer;
use super::trouble::Trouble;
use crate::domain::{PipelineSource, ProjectId, Timestamp};
use crate::store::metrics::Operation;
use crate::store::{Error, Listing};

impl Sqlite {
    pub(in crate::store) async fn listing(
        &self,
        project: ProjectId,
        source: PipelineSource,
    ) -> Result<Option<Listing>, Error> {
        self.read(Operation("listing", "read what a listing showed"), move |connection| {
            let listing = connection
                .prepare_cached("SELECT as_of, since FROM listings WHERE project = ?1 AND source = ?2")?
                .query_row([integer(project.0), source as i64], |row| {
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
pub(super) fn note(
    connection: &Connection,
    project: ProjectId,
    source: PipelineSource,
    listing: Listing,
) -> Result<(), Trouble> {
    connection
        .prepare_cached(
            "INSERT INTO listings (project, source, as_of, since) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET as_of = ?3, since = ?4 WHERE as_of <= ?3",
        )?
        .execute(params![integer(project.0), source as i64, listing.as_of.as_millis(), listing.since.as_millis()])?;
    Ok(())
}
