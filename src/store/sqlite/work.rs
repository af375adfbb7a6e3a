//! The journal as a whole, for people: everybody's entries, and what may be done to them.

use deadpool_sqlite::rusqlite::{self, Connection, params};

use super::Sqlite;
use super::columns::{self, integer};
use super::journal;
use super::writer::Urgency;
use crate::store::metrics::Operation;
use crate::store::{EntryId, Error, Waiting, WorkFilter, WorkOwner};
use crate::work::Target;

/// Whether the entry's owner was heard of within its lease: as `adopt` judges it.
macro_rules! owned {
    () => {
        "EXISTS (SELECT 1 FROM processes WHERE processes.id = journal.owner AND seen + lease > ?1)"
    };
}

impl Sqlite {
    pub(in crate::store) async fn work(&self, filter: WorkFilter, limit: u64) -> Result<Vec<Waiting>, Error> {
        const SQL: &str = concat!(
            "SELECT id, kind, project, target, lane, cause, due, attempts, suspicion, running, ",
            owned!(),
            " FROM journal WHERE id > ?2 AND (?3 IS NULL OR kind = ?3) AND (?4 IS NULL OR cause = ?4)
             AND (?5 = '[]' OR project IN (SELECT value FROM json_each(?5))) ORDER BY id LIMIT ?6"
        );
        self.read(Operation("work", "list the journal"), move |connection| {
            let now = columns::now(connection)?;
            let after = filter.after.map_or(i64::MIN, |entry| entry.0);
            let kind = filter.kind.and_then(columns::target_kind);
            let cause = filter.cause.map(columns::cause);
            let projects: Vec<i64> = filter.projects.iter().map(|project| integer(project.0)).collect();
            let projects = format!("{projects:?}");
            let found = connection
                .prepare_cached(SQL)?
                .query_map(params![now, after, kind, cause, projects, integer(limit)], |row| {
                    let owned: bool = row.get(10)?;
                    let owner = if owned { WorkOwner::Process } else { WorkOwner::Nobody };
                    Ok(Waiting { entry: journal::entry(row)?, running: owned && row.get(9)?, owner })
                })?
                .collect::<rusqlite::Result<_>>()?;
            Ok(found)
        })
        .await
    }

    pub(in crate::store) async fn drop_entries(&self, entries: Vec<EntryId>) -> Result<u64, Error> {
        const SQL: &str = concat!("DELETE FROM journal WHERE id = ?2 AND NOT ", owned!());
        let weight = entries.len() * 64;
        self.write(Operation("drop_entries", "drop journal entries"), Urgency::Bulk, weight, move |connection| {
            let now = columns::now(connection)?;
            let mut statement = connection.prepare_cached(SQL)?;
            let mut dropped = 0;
            for entry in &entries {
                dropped += statement.execute([now, entry.0])? as u64;
            }
            Ok(dropped)
        })
        .await
    }

    pub(in crate::store) async fn drop_failures(&self, targets: Vec<Target>) -> Result<u64, Error> {
        let weight = targets.len() * 64;
        self.write(
            Operation("drop_failures", "drop failures"),
            Urgency::Bulk,
            weight,
            move |connection: &Connection| {
                let mut dropped = 0;
                for target in &targets {
                    dropped += u64::from(journal::forget_failure(connection, target)?);
                }
                Ok(dropped)
            },
        )
        .await
    }
}
