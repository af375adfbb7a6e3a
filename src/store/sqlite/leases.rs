//! Leases: one holder at a time, judged by the database's clock, each taking with a higher fence.

use deadpool_sqlite::rusqlite::{Connection, OptionalExtension, params};

use super::columns;
use super::metrics::Operation;
use super::trouble::Trouble;
use super::writer::Urgency;
use super::{Owner, Sqlite};
use crate::store::{Error, Fence, Lease};

impl Sqlite {
    /// Takes a lease if it is free or expired (raising its fence); `None` while it is held, also when this process holds it.
    pub async fn take_lease(&self, name: &'static str) -> Result<Option<Lease>, Error> {
        let Owner { id, lease_millis, .. } = self.inner.owner;
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
            Ok(fence.map(|fence| Lease { name, fence: Fence(fence) }))
        })
        .await
    }

    /// Renews a lease; false when another process took it.
    pub async fn renew_lease(&self, lease: &Lease) -> Result<bool, Error> {
        let Owner { id, lease_millis, .. } = self.inner.owner;
        let Lease { name, fence } = lease.clone();
        self.write(Operation("renew_lease", "renew a lease"), Urgency::Urgent, 0, move |connection| {
            let expires = columns::now(connection)?.saturating_add(lease_millis);
            let renewed = connection
                .prepare_cached("UPDATE leases SET expires = ?4 WHERE name = ?1 AND owner = ?2 AND fence = ?3")?
                .execute(params![name, id, fence.0, expires])?;
            Ok(renewed == 1)
        })
        .await
    }

    /// Gives a lease back; nothing happens when another process took it.
    pub async fn release_lease(&self, lease: &Lease) -> Result<(), Error> {
        let Owner { id, .. } = self.inner.owner;
        let Lease { name, fence } = lease.clone();
        self.write(Operation("release_lease", "give a lease back"), Urgency::Urgent, 0, move |connection| {
            // The row stays, so that the next fence is higher.
            connection
                .prepare_cached(
                    "UPDATE leases SET owner = NULL, expires = 0 WHERE name = ?1 AND owner = ?2 AND fence = ?3",
                )?
                .execute(params![name, id, fence.0])?;
            Ok(())
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
