//! Applying a list of changes in one transaction.

use std::collections::BTreeSet;

use deadpool_sqlite::rusqlite::Connection;

use super::trouble::Trouble;
use super::writer::{COMMAND_BYTES, Urgency};
use super::{Owner, Sqlite, details, facts, forgotten, journal, listings, publish, refused, reports, states};
use crate::domain::{JobKey, PipelineId, PipelineKey};
use crate::store::metrics::Operation;
use crate::store::slots::Learned;
use crate::store::{Change, Error};
use crate::work::Target;

impl Sqlite {
    pub(in crate::store) async fn apply(&self, changes: Vec<Change>) -> Result<(), Error> {
        if changes.is_empty() {
            return Ok(());
        }
        let (operation, urgency) = match changes.first() {
            Some(Change::Append(_)) => (Operation("append", "append to the journal"), Urgency::Urgent),
            _ if changes.iter().all(Change::is_journal) => (Operation("journal", "write the journal"), Urgency::Urgent),
            _ => (Operation("apply", "store facts"), Urgency::Bulk),
        };
        let weight = changes.iter().map(weight).sum();
        let owner = self.inner.owner;
        self.write(operation, urgency, weight, move |connection| apply(connection, owner, changes)).await
    }
}

/// Pipelines whose `open` must be computed again at the end of the transaction.
#[derive(Debug, Default)]
pub(super) struct Touched(BTreeSet<PipelineKey>);

impl Touched {
    /// Notes a pipeline.
    pub(super) fn pipeline(&mut self, key: PipelineKey) {
        self.0.insert(key);
    }

    /// Notes the pipeline of a job.
    pub(super) fn job(&mut self, key: JobKey, pipeline: PipelineId) {
        self.0.insert(PipelineKey { project: key.project, pipeline });
    }
}

fn apply(connection: &Connection, owner: Owner, mut changes: Vec<Change>) -> Result<(), Trouble> {
    let mut touched = Touched::default();
    forgotten::take_out(connection, &mut changes)?;
    for change in changes {
        match change {
            Change::Project(project) => facts::project(connection, &project)?,
            Change::FoundAt { path, project, as_of } => facts::found_at(connection, &path, project, as_of)?,
            Change::Pipeline(pipeline) => facts::pipeline(connection, &pipeline, &mut touched)?,
            Change::Sketch(pipeline) => facts::sketch(connection, &pipeline, &mut touched)?,
            Change::NoDetail(key, reason) => {
                details::learn(connection, key, Learned::Absent(reason), &mut touched)?;
            }
            Change::JobsListed(key, at) => facts::jobs_listed(connection, key, at, &mut touched)?,
            Change::Gone(key) => facts::gone(connection, key, &mut touched)?,
            Change::Refused(target, at) => refused::note(connection, &target, at)?,
            Change::Damaged(Target::Job(key), blob) => publish::damaged(connection, key, blob, &mut touched)?,
            Change::Damaged(target, blob) => reports::damaged(connection, &target, blob, &mut touched)?,
            Change::Job(job) => facts::job(connection, &job, &mut touched)?,
            Change::Log { key, record, bytes } => publish::log(connection, key, record, bytes, &mut touched)?,
            Change::Archive { key, record, bytes } => publish::archive(connection, key, record, bytes, &mut touched)?,
            Change::Report { key, record, bytes } => reports::publish(connection, key, record, bytes, &mut touched)?,
            Change::Bridges(key, document) => facts::bridges(connection, key, &document)?,
            Change::Append(entries) => journal::append(connection, owner.id, &entries)?,
            Change::Start(entries) => journal::start(connection, owner.id, &entries)?,
            Change::Postpone(entries, due, lane) => {
                journal::postpone(connection, owner.id, &entries, (due, lane))?;
            }
            Change::Finish(target, entries) => journal::finish(connection, owner.id, &target, &entries)?,
            Change::Fail { target, entries, problem, attempts } => {
                journal::fail(connection, owner.id, (&target, &entries), &problem, attempts, &mut touched)?;
            }
            Change::Listed(list, listing) => listings::note(connection, list, listing)?,
            Change::WithoutCi(project, since) => listings::note_ci(connection, project, since)?,
            Change::Mark(project) => journal::mark(connection, project)?,
            Change::Unmark(project, seen) => journal::unmark(connection, project, seen)?,
        }
    }
    for key in touched.0 {
        states::refresh(connection, key)?;
    }
    Ok(())
}

/// Recomputes what a list of changes outside of `apply` touched.
pub(super) fn refresh(connection: &Connection, touched: Touched) -> Result<(), Trouble> {
    touched.0.into_iter().try_for_each(|key| states::refresh(connection, key))
}

fn weight(change: &Change) -> usize {
    let payload = match change {
        Change::Project(project) => project.document.text.len(),
        Change::FoundAt { path, .. } => path.len(),
        Change::Pipeline(pipeline) | Change::Sketch(pipeline) => {
            pipeline.document.text.len() + pipeline.detail.as_ref().map_or(0, |detail| detail.text.len())
        }
        Change::Job(job) => job.document.text.len(),
        Change::Bridges(_, document) => document.text.len(),
        Change::Log { bytes, .. } | Change::Archive { bytes, .. } | Change::Report { bytes, .. } => {
            bytes.as_ref().map_or(0, bytes::Bytes::len)
        }
        Change::Append(entries) => entries.len().saturating_sub(1) * COMMAND_BYTES,
        Change::Start(ids) | Change::Postpone(ids, ..) | Change::Finish(_, ids) => ids.len() * 64,
        Change::Fail { entries, .. } => entries.len() * 64,
        Change::JobsListed(..) | Change::NoDetail(..) | Change::Gone(_) | Change::Refused(..) | Change::Damaged(..) => {
            0
        }
        Change::Listed(..) | Change::WithoutCi(..) | Change::Mark(_) | Change::Unmark(..) => 0,
    };
    payload + 64
}
