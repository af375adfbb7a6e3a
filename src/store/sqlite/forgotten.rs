//! Tombstones: what a person told us to forget.

use std::collections::HashSet;

use deadpool_sqlite::rusqlite::{self, Connection, Row, params};

use super::columns::{self, integer, natural};
use super::trouble::Trouble;
use super::writer::Urgency;
use super::{Sqlite, blobs};
use crate::domain::{JobId, JobKey, PipelineId, PipelineKey, ProjectId, Subject, Timestamp};
use crate::store::metrics::Operation;
use crate::store::{Change, Error, Forgotten, forgetting};

impl Sqlite {
    pub(in crate::store) async fn forget(&self, subject: Subject) -> Result<bool, Error> {
        self.write(Operation("forget", "leave a tombstone"), Urgency::Bulk, 0, move |connection| {
            let (project, kind, id) = key(subject);
            let now = columns::now(connection)?;
            let made = connection
                .prepare_cached("INSERT OR IGNORE INTO forgotten (project, kind, target, at) VALUES (?1, ?2, ?3, ?4)")?
                .execute([project, kind, id, now])?;
            Ok(made == 1)
        })
        .await
    }

    pub(in crate::store) async fn remember(&self, subject: Subject) -> Result<bool, Error> {
        self.write(Operation("remember", "take a tombstone away"), Urgency::Bulk, 0, move |connection| {
            let (project, kind, id) = key(subject);
            let removed = connection
                .prepare_cached("DELETE FROM forgotten WHERE project = ?1 AND kind = ?2 AND target = ?3")?
                .execute([project, kind, id])?;
            Ok(removed == 1)
        })
        .await
    }

    pub(in crate::store) async fn forgotten(&self, subjects: Vec<Subject>) -> Result<HashSet<Subject>, Error> {
        self.read(Operation("forgotten", "look for tombstones"), move |connection| {
            Ok(found(connection, subjects.into_iter())?)
        })
        .await
    }

    pub(in crate::store) async fn all_forgotten(&self) -> Result<Vec<Forgotten>, Error> {
        self.read(Operation("all_forgotten", "list tombstones"), |connection| {
            let found = connection
                .prepare_cached("SELECT project, kind, target, at FROM forgotten ORDER BY at, project, kind, target")?
                .query_map([], |row| Ok((subject(row)?, Timestamp::from_millis(row.get(3)?))))?
                .collect::<rusqlite::Result<_>>()?;
            Ok(found)
        })
        .await
    }
}

/// Takes out of a list what is about forgotten subjects. Costs one look while nothing is forgotten.
pub(super) fn take_out(connection: &Connection, changes: &mut Vec<Change>) -> Result<(), Trouble> {
    if changes.iter().all(|change| change.is_journal() && !matches!(change, Change::Fail { .. }))
        || !connection.prepare_cached("SELECT 1 FROM forgotten LIMIT 1")?.exists([])?
    {
        return Ok(());
    }
    let forgotten = found(connection, forgetting::subjects(changes).into_iter())?;
    for blob in forgetting::take_out(changes, &forgotten) {
        blobs::release(connection, Some(blob), None)?;
    }
    Ok(())
}

fn found(connection: &Connection, subjects: impl Iterator<Item = Subject>) -> rusqlite::Result<HashSet<Subject>> {
    let mut statement =
        connection.prepare_cached("SELECT 1 FROM forgotten WHERE project = ?1 AND kind = ?2 AND target = ?3")?;
    let mut found = HashSet::new();
    for subject in subjects {
        let (project, kind, id) = key(subject);
        if statement.exists(params![project, kind, id])? {
            found.insert(subject);
        }
    }
    Ok(found)
}

fn key(subject: Subject) -> (i64, i64, i64) {
    let kind = match subject {
        Subject::Project { .. } => 0,
        Subject::Pipeline(_) => 1,
        Subject::Job(_) => 2,
    };
    (integer(subject.project().0), kind, integer(subject.id()))
}

fn subject(row: &Row<'_>) -> rusqlite::Result<Subject> {
    let (project, id) = (ProjectId(natural(row.get(0)?)), natural(row.get(2)?));
    Ok(match row.get::<_, i64>(1)? {
        1 => Subject::Pipeline(PipelineKey { project, pipeline: PipelineId(id) }),
        2 => Subject::Job(JobKey { project, job: JobId(id) }),
        _ => Subject::Project { project },
    })
}
