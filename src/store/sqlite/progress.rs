//! How far each project's passes have come.

use deadpool_sqlite::rusqlite::{self, OptionalExtension, Row, params};

use super::columns::{self, integer};
use super::writer::Urgency;
use super::{Sqlite, leases};
use crate::domain::{ProjectId, Timestamp};
use crate::store::metrics::Operation;
use crate::store::{Error, Lease, Progress};

/// Reads a project's progress from three columns, beginning at `first`.
fn read(row: &Row<'_>, first: usize) -> rusqlite::Result<Progress> {
    Ok(Progress {
        watermark: Timestamp::from_millis(row.get(first)?),
        covered_since: Timestamp::from_millis(row.get(first + 1)?),
        full_pass_at: columns::time(row, first + 2)?,
    })
}

impl Sqlite {
    pub(in crate::store) async fn progress(&self, project: ProjectId) -> Result<Option<Progress>, Error> {
        self.read(Operation("progress", "read a project's progress"), move |connection| {
            let progress = connection
                .prepare_cached("SELECT watermark, covered_since, full_pass_at FROM progress WHERE project = ?1")?
                .query_row([integer(project.0)], |row| read(row, 0))
                .optional()?;
            Ok(progress)
        })
        .await
    }

    pub(in crate::store) async fn all_progress(&self) -> Result<Vec<(ProjectId, Progress)>, Error> {
        self.read(Operation("all_progress", "read all progress"), move |connection| {
            let progress = connection
                .prepare_cached(
                    "SELECT project, watermark, covered_since, full_pass_at FROM progress ORDER BY project",
                )?
                .query_map([], |row| Ok((ProjectId(columns::natural(row.get(0)?)), read(row, 1)?)))?
                .collect::<rusqlite::Result<_>>()?;
            Ok(progress)
        })
        .await
    }

    pub(in crate::store) async fn save_progress(
        &self,
        project: ProjectId,
        progress: Progress,
        lease: &Lease,
    ) -> Result<(), Error> {
        let owner = self.inner.owner.id;
        let lease = lease.clone();
        self.write(Operation("save_progress", "save a project's progress"), Urgency::Bulk, 0, move |connection| {
            leases::check(connection, owner, &lease)?;
            connection
                .prepare_cached(
                    "INSERT INTO progress (project, watermark, covered_since, full_pass_at) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (project) DO UPDATE SET watermark = max(watermark, excluded.watermark),
                         covered_since = excluded.covered_since,
                         full_pass_at = coalesce(max(full_pass_at, excluded.full_pass_at), full_pass_at,
                                                 excluded.full_pass_at)",
                )?
                .execute(params![
                    integer(project.0),
                    progress.watermark.as_millis(),
                    progress.covered_since.as_millis(),
                    columns::millis(progress.full_pass_at),
                ])?;
            Ok(())
        })
        .await
    }
}
