//! The processes on one store: heartbeats, by the database's clock, and each one's share of the permits.

use deadpool_sqlite::rusqlite::{self, Connection, OptionalExtension, params};

use super::columns::{self, small};
use super::writer::Urgency;
use super::{Owner, Sqlite};
use crate::store::metrics::Operation;
use crate::store::{Claimant, Error, grant};

/// How long after its lease a silent process still counts, so that its permits are not given away too early.
const SILENCE_MILLIS: i64 = 60_000;

impl Sqlite {
    pub(in crate::store) async fn heartbeat(&self, held: u32, wanted: u32, total: u32) -> Result<u32, Error> {
        let owner = self.inner.owner;
        self.write(Operation("heartbeat", "write the heartbeat"), Urgency::Urgent, 0, move |connection| {
            Ok(beat(connection, owner, (held, wanted), total)?)
        })
        .await
    }
}

/// Whoever holds the `serve` lock is the only one: what a former `serve` left is free at once, so that a restart after
/// `kill -9` waits for no lease.
pub(super) fn forget_former_serves(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute(
        "UPDATE leases SET owner = NULL, expires = 0
         WHERE owner IN (SELECT id FROM processes WHERE kind = 'serve')",
        [],
    )?;
    connection.execute("DELETE FROM processes WHERE kind = 'serve'", [])?;
    Ok(())
}

fn beat(connection: &Connection, owner: Owner, (held, wanted): (u32, u32), total: u32) -> rusqlite::Result<u32> {
    let now = columns::now(connection)?;
    // Its blobs are swept after two leases, its entries are taken after one: nobody needs the row after that.
    connection
        .prepare_cached("DELETE FROM processes WHERE seen + 2 * lease + ?2 < ?1")?
        .execute([now, SILENCE_MILLIS])?;
    let others = connection
        .prepare_cached("SELECT kind, share, wanted FROM processes WHERE seen + lease + ?2 >= ?1 AND id <> ?3")?
        .query_map([now, SILENCE_MILLIS, owner.id], |row| {
            let serves = row.get::<_, String>(0)? == "serve";
            Ok(Claimant { serves, share: small(row.get(1)?), wanted: small(row.get(2)?) })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let written: Option<i64> = connection
        .prepare_cached("SELECT share FROM processes WHERE id = ?1")?
        .query_row([owner.id], |row| row.get(0))
        .optional()?;
    let own = Claimant { serves: owner.kind == "serve", share: held, wanted };
    let granted = grant(own, written.map_or(0, small), &others, total);
    connection
        .prepare_cached(
            "INSERT INTO processes (id, kind, share, wanted, lease, seen) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (id) DO UPDATE SET share = excluded.share, wanted = excluded.wanted, seen = excluded.seen",
        )?
        .execute(params![owner.id, owner.kind, granted.written, wanted, owner.lease_millis, now])?;
    Ok(granted.allowed)
}
