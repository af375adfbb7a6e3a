//! Leases: one holder at a time, judged by the database's clock, each taking with a higher fence.

use std::time::Duration;

use deadpool_sqlite::rusqlite::{Connection, OptionalExtension, params};
use tokio::time::Instant;

use super::columns;
use super::trouble::Trouble;
use super::writer::Urgency;
use super::{Owner, Sqlite};
use crate::store::metrics::Operation;
use crate::store::{Error, Fence, Lease};

impl Sqlite {
    pub(in crate::store) async fn take_lease(&self, name: &'static str) -> Result<Option<Lease>, Error> {
        let Owner { id, lease: length, lease_millis, .. } = self.inner.owner;
        let asked = Instant::now();
        self.write(Operation("take_lease", "take a lease"), Urgency::Urgent, 0, move |connection| {
            let now = columns::now(connection)?;
            let fence = connection
                .prepare_cached(
                    "INSERT INTO leases (name, owner, fence, expires) VALUES (?1, ?2, 1, ?3)
                     ON CONFLICT (name) DO UPDATE SET owner = ?2, fence = fence + 1, expires = ?3 WHERE expires <= ?4
                     RETURNING fence",
                )?
                .query_row(params![name, id, now.saturating_add(lease_millis), now], |row| row.get(0))
                .optional()?;
            Ok(fence.map(|fence| Lease { name, fence: Fence(fence), asked, length }))
        })
        .await
    }

    pub(in crate::store) async fn renew_lease(&self, lease: &Lease) -> Result<bool, Error> {
        let Owner { id, lease_millis, .. } = self.inner.owner;
        let Lease { name, fence, .. } = *lease;
        self.write(Operation("renew_lease", "renew a lease"), Urgency::Urgent, 0, move |connection| {
            let expires = columns::now(connection)?.saturating_add(lease_millis);
            let renewed = connection
                .prepare_cached("UPDATE leases SET expires = ?4 WHERE name = ?1 AND owner = ?2 AND fence = ?3")?
                .execute(params![name, id, fence.0, expires])?;
            Ok(renewed == 1)
        })
        .await
    }

    pub(in crate::store) async fn release_lease(&self, lease: &Lease, completed: bool) -> Result<(), Error> {
        let Owner { id, .. } = self.inner.owner;
        let Lease { name, fence, .. } = *lease;
        self.write(Operation("release_lease", "give a lease back"), Urgency::Urgent, 0, move |connection| {
            let completed = if completed { Some(columns::now(connection)?) } else { None };
            // The row stays, so that the next fence is higher.
            connection
                .prepare_cached(
                    "UPDATE leases SET owner = NULL, expires = 0, completed = coalesce(?4, completed)
                     WHERE name = ?1 AND owner = ?2 AND fence = ?3",
                )?
                .execute(params![name, id, fence.0, completed])?;
            Ok(())
        })
        .await
    }

    pub(in crate::store) async fn completed_ago(&self, name: &'static str) -> Result<Option<Duration>, Error> {
        self.read(Operation("completed_ago", "read a lease"), move |connection| {
            let now = columns::now(connection)?;
            let completed: Option<i64> = connection
                .prepare_cached("SELECT completed FROM leases WHERE name = ?1")?
                .query_row([name], |row| row.get(0))
                .optional()?
                .flatten();
            Ok(completed.map(|at| Duration::from_millis(columns::natural(now - at))))
        })
        .await
    }
}

/// Fails unless the lease is still the one that was taken last. One that expired but that nobody took still counts.
pub(super) fn check(connection: &Connection, owner: i64, lease: &Lease) -> Result<(), Trouble> {
    let held = connection
        .prepare_cached("SELECT 1 FROM leases WHERE name = ?1 AND owner = ?2 AND fence = ?3")?
        .exists(params![lease.name, owner, lease.fence.0])?;
    if held { Ok(()) } else { Err(Trouble::FenceLost) }
}
