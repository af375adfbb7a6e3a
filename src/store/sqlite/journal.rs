//! The journal: what is to be done, who does it, and what failed for good.
//!
//! It only appends, marks and deletes; which entry is next is the queue's business. An entry's owner is the process that
//! appended or adopted it; it is orphaned when that process is silent or has closed.

use deadpool_sqlite::rusqlite::{self, Connection, OptionalExtension, Row, params};

use super::Sqlite;
use super::apply::{self, Touched};
use super::columns::{self, integer};
use super::details;
use super::publish;
use super::trouble::Trouble;
use super::writer::Urgency;
use crate::domain::{ProjectId, Reason, Timestamp};
use crate::store::change::{Blame, DEATHS, POISON, Suspicion};
use crate::store::metrics::Operation;
use crate::store::slots::Learned;
use crate::store::{Entry, EntryId, Error, Failure};
use crate::work::{Lane, Target};

/// Entries that one call of `adopt` takes at most.
const ADOPTED: i64 = 4000;

impl Sqlite {
    pub(in crate::store) async fn entries(&self, limit: u64) -> Result<Vec<Entry>, Error> {
        let owner = self.inner.owner.id;
        self.read(Operation("entries", "read the journal"), move |connection| {
            let entries = connection
                .prepare_cached(
                    "SELECT id, kind, project, target, lane, cause, due, attempts, suspicion FROM journal
                     WHERE owner = ?1 ORDER BY lane, due, id LIMIT ?2",
                )?
                .query_map([owner, integer(limit)], entry)?
                .collect::<rusqlite::Result<_>>()?;
            Ok(entries)
        })
        .await
    }

    pub(in crate::store) async fn entries_of(&self, project: ProjectId, limit: u64) -> Result<Vec<Entry>, Error> {
        self.read(Operation("entries_of", "read a project's journal entries"), move |connection| {
            // No index: the journal is written far more often than somebody asks this.
            let entries = connection
                .prepare_cached(
                    "SELECT id, kind, project, target, lane, cause, due, attempts, suspicion FROM journal
                     WHERE project = ?1 ORDER BY due, id LIMIT ?2",
                )?
                .query_map([integer(project.0), integer(limit)], entry)?
                .collect::<rusqlite::Result<_>>()?;
            Ok(entries)
        })
        .await
    }

    pub(in crate::store) async fn adopt(&self) -> Result<u64, Error> {
        let owner = self.inner.owner.id;
        self.write(Operation("adopt", "take journal entries over"), Urgency::Bulk, 1 << 19, move |connection| {
            adopt(connection, owner)
        })
        .await
    }

    pub(in crate::store) async fn journal_len(&self) -> Result<u64, Error> {
        self.read(Operation("journal_len", "count journal entries"), |connection| {
            let count = connection.prepare_cached("SELECT count(*) FROM journal")?.query_row([], |row| row.get(0))?;
            Ok(columns::natural(count))
        })
        .await
    }

    pub(in crate::store) async fn failures(&self, project: Option<ProjectId>) -> Result<Vec<Failure>, Error> {
        self.read(Operation("failures", "read failures"), move |connection| {
            let failures = connection
                .prepare_cached(
                    "SELECT kind, project, target, problem, attempts, at FROM failures
                     WHERE project = ?1 OR ?1 IS NULL ORDER BY project, kind, target",
                )?
                .query_map([project.map(|id| integer(id.0))], |row| {
                    Ok(Failure {
                        target: columns::read_target(row, 0)?,
                        problem: row.get(3)?,
                        attempts: columns::small(row.get(4)?),
                        at: Timestamp::from_millis(row.get(5)?),
                    })
                })?
                .collect::<rusqlite::Result<_>>()?;
            Ok(failures)
        })
        .await
    }

    pub(in crate::store) async fn marks(&self) -> Result<Vec<(ProjectId, Timestamp)>, Error> {
        self.read(Operation("marks", "read marks"), |connection| {
            let marks = connection
                .prepare_cached("SELECT project, at FROM marks ORDER BY at, project")?
                .query_map([], |row| {
                    Ok((ProjectId(columns::natural(row.get(0)?)), Timestamp::from_millis(row.get(1)?)))
                })?
                .collect::<rusqlite::Result<_>>()?;
            Ok(marks)
        })
        .await
    }
}

/// Appends entries of this process.
pub(super) fn append(connection: &Connection, owner: i64, entries: &[Entry]) -> Result<(), Trouble> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO journal (id, owner, kind, project, target, lane, cause, due, attempts)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    for entry in entries {
        let (kind, project, target) = columns::target(&entry.target);
        let (lane, cause) = (columns::lane(entry.lane), columns::cause(entry.cause));
        let due = entry.due.as_millis();
        statement.execute(params![entry.id.0, owner, kind, project, target, lane, cause, due, entry.attempts])?;
    }
    Ok(())
}

/// Notes that a worker starts them.
pub(super) fn start(connection: &Connection, owner: i64, entries: &[EntryId]) -> Result<(), Trouble> {
    let mut statement = connection
        .prepare_cached("UPDATE journal SET attempts = attempts + 1, running = 1 WHERE id = ?1 AND owner = ?2")?;
    entries.iter().try_for_each(|entry| statement.execute([entry.0, owner]).map(drop))?;
    Ok(())
}

/// Puts them back: they have ended without killing anything.
pub(super) fn postpone(
    connection: &Connection,
    owner: i64,
    entries: &[EntryId],
    (due, lane): (Timestamp, Lane),
) -> Result<(), Trouble> {
    let mut statement = connection.prepare_cached(
        "UPDATE journal SET due = ?3, lane = ?4, running = 0, suspicion = 0 WHERE id = ?1 AND owner = ?2",
    )?;
    let (due, lane) = (due.as_millis(), columns::lane(lane));
    entries.iter().try_for_each(|entry| statement.execute([entry.0, owner, due, lane]).map(drop))?;
    Ok(())
}

/// Deletes them, and the failure that their target had.
pub(super) fn finish(connection: &Connection, owner: i64, target: &Target, entries: &[EntryId]) -> Result<(), Trouble> {
    forget_failure(connection, target)?;
    delete(connection, owner, entries)
}

/// Deletes the failure that a target had; returns whether it had one.
pub(super) fn forget_failure(connection: &Connection, target: &Target) -> Result<bool, Trouble> {
    let (kind, project, id) = columns::target(target);
    let deleted = connection
        .prepare_cached("DELETE FROM failures WHERE project = ?1 AND kind = ?2 AND target = ?3")?
        .execute([project, kind, id])?;
    Ok(deleted > 0)
}

/// Sets a target aside, deletes its entries, and marks what it lacks as failed.
pub(super) fn fail(
    connection: &Connection,
    owner: i64,
    (target, entries): (&Target, &[EntryId]),
    problem: &str,
    attempts: u32,
    touched: &mut Touched,
) -> Result<(), Trouble> {
    let (kind, project, id) = columns::target(target);
    let now = columns::now(connection)?;
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO failures (project, kind, target, problem, attempts, at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![project, kind, id, problem, attempts, now])?;
    if let Target::Job(key) = target {
        publish::fail(connection, *key, touched)?;
    }
    if let Target::Detail(key) = target {
        details::learn(connection, *key, Learned::Absent(Reason::Failed), touched)?;
    }
    delete(connection, owner, entries)
}

/// Marks a project for an early sweep.
pub(super) fn mark(connection: &Connection, project: ProjectId) -> Result<(), Trouble> {
    let now = columns::now(connection)?;
    connection
        .prepare_cached("INSERT OR REPLACE INTO marks (project, at) VALUES (?1, ?2)")?
        .execute([integer(project.0), now])?;
    Ok(())
}

/// Removes the mark, unless it was set again since.
pub(super) fn unmark(connection: &Connection, project: ProjectId, seen: Timestamp) -> Result<(), Trouble> {
    connection
        .prepare_cached("DELETE FROM marks WHERE project = ?1 AND at <= ?2")?
        .execute([integer(project.0), seen.as_millis()])?;
    Ok(())
}

/// Gives everything back that a process holds, in one transaction. Without its row its entries are orphaned; those it had
/// begun did not kill it.
pub(super) fn give_back(connection: &Connection, owner: i64) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    transaction.execute("UPDATE journal SET running = 0 WHERE owner = ?1 AND running = 1", [owner])?;
    transaction.execute("UPDATE leases SET owner = NULL, expires = 0 WHERE owner = ?1", [owner])?;
    transaction.execute("DELETE FROM processes WHERE id = ?1", [owner])?;
    transaction.commit()
}

/// Deletes entries that are still this process's: what another one has taken over meanwhile is that one's to finish.
fn delete(connection: &Connection, owner: i64, entries: &[EntryId]) -> Result<(), Trouble> {
    let mut statement = connection.prepare_cached("DELETE FROM journal WHERE id = ?1 AND owner = ?2")?;
    entries.iter().try_for_each(|entry| statement.execute([entry.0, owner]).map(drop))?;
    Ok(())
}

fn adopt(connection: &Connection, own: i64) -> Result<u64, Trouble> {
    let mut left = ADOPTED;
    for owner in orphaned(connection, own)? {
        blame(connection, owner)?;
        let taken = connection
            .prepare_cached(
                "UPDATE journal SET owner = ?1
                 WHERE id IN (SELECT id FROM journal WHERE owner = ?2 ORDER BY lane, due LIMIT ?3)",
            )?
            .execute(params![own, owner, left])?;
        left -= integer(taken as u64);
    }
    let taken = columns::natural(ADOPTED - left);
    if taken > 0 {
        set_poison_aside(connection, own)?;
    }
    Ok(taken)
}

/// Notes what the death of a process says about what it was working on.
fn blame(connection: &Connection, owner: i64) -> rusqlite::Result<()> {
    let (targets, suspects) = connection
        .prepare_cached(
            "SELECT count(*), coalesce(sum(suspected), 0) FROM (
                 SELECT max(suspicion > 0) AS suspected FROM journal WHERE owner = ?1 AND running = 1
                 GROUP BY project, kind, target)",
        )?
        .query_row([owner], |row| Ok((columns::natural(row.get(0)?), columns::natural(row.get(1)?))))?;
    if targets > 0 {
        let Blame { deaths, suspects, others } = Blame::of(targets, suspects);
        connection
            .prepare_cached(
                "UPDATE journal SET deaths = deaths + ?2, suspicion = iif(suspicion > 0, ?3, ?4), running = 0
                 WHERE owner = ?1 AND running = 1",
            )?
            .execute(params![owner, deaths, suspects.number(), others.number()])?;
    }
    Ok(())
}

/// Returns the owners that are silent or gone; found by jumping through the index, not by reading it all.
fn orphaned(connection: &Connection, own: i64) -> rusqlite::Result<Vec<i64>> {
    let now = columns::now(connection)?;
    let mut orphaned = Vec::new();
    let mut next = connection.prepare_cached("SELECT min(owner) FROM journal WHERE owner > ?1")?;
    let mut alive = connection.prepare_cached("SELECT 1 FROM processes WHERE id = ?1 AND seen + lease > ?2")?;
    let mut last = i64::MIN;
    while let Some(owner) = next.query_row([last], |row| row.get::<_, Option<i64>>(0))? {
        if owner != own && !alive.exists([owner, now])? {
            orphaned.push(owner);
        }
        last = owner;
    }
    Ok(orphaned)
}

fn set_poison_aside(connection: &Connection, own: i64) -> Result<(), Trouble> {
    let mut touched = Touched::default();
    loop {
        let poison = connection
            .prepare_cached(
                "SELECT id, kind, project, target, lane, cause, due, attempts, suspicion FROM journal
                 WHERE deaths >= ?2 AND owner = ?1 LIMIT 1",
            )?
            .query_row(params![own, DEATHS], entry)
            .optional()?;
        let Some(Entry { id, target, attempts, .. }) = poison else { break };
        fail(connection, own, (&target, &[id]), POISON, attempts, &mut touched)?;
    }
    apply::refresh(connection, touched)
}

pub(super) fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        id: EntryId(row.get(0)?),
        target: columns::read_target(row, 1)?,
        lane: columns::read_lane(row.get(4)?),
        cause: columns::read_cause(row.get(5)?),
        due: Timestamp::from_millis(row.get(6)?),
        attempts: columns::small(row.get(7)?),
        suspicion: Suspicion::of(row.get(8)?),
    })
}
