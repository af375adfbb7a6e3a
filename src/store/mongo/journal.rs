//! The journal: what is to be done, who does it, and what failed for good.
//!
//! It only appends, marks and deletes; which entry is next is the queue's business. An entry's owner is the process that
//! appended or adopted it; it is orphaned when that process is silent or has signed off. A process changes only entries that
//! are still its own, so that one which was paused cannot end what another has taken over.

use std::collections::{BTreeSet, HashSet};

use futures_util::future::try_join_all;
use mongodb::bson::{DateTime, Document, doc, rawdoc};
use mongodb::error::ErrorKind;
use serde::{Deserialize, Serialize};

use super::calls::Update;
use super::processes;
use super::query::Query;
use super::reach::Collections;
use super::schema::{FAILURES, JOURNAL, MARKS};
use super::trouble::{DUPLICATE_KEY, Trouble};
use super::values::{date, integer, natural, small, time};
use super::{Mongo, listings};
use crate::domain::{ProjectId, Timestamp};
use crate::store::metrics::Operation;
use crate::store::{Change, Entry, EntryId, Error, Failure, ListOf, Listing, Suspicion};
use crate::work::{Cause, Lane, Target};

/// Up to this length the journal is counted; above it the database's estimate is near enough.
const COUNTED: u64 = 10_000;

/// An entry of `journal`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EntryDocument {
    #[serde(rename = "_id")]
    pub(super) id: i64,
    pub(super) owner: i64,
    pub(super) kind: Box<str>,
    pub(super) project: i64,
    pub(super) target: i64,
    /// 0 live, 1 backfill: the order in which they are worked on.
    lane: i32,
    cause: Cause,
    due: DateTime,
    attempts: i64,
    deaths: i64,
    pub(super) running: i64,
    /// An earlier version wrote none.
    #[serde(default)]
    pub(super) suspicion: i64,
}

/// A document of `failures`.
#[derive(Debug, Deserialize)]
pub(super) struct FailureDocument {
    #[serde(rename = "_id")]
    pub(super) id: Box<str>,
    pub(super) project: i64,
    pub(super) kind: Box<str>,
    pub(super) target: i64,
    pub(super) problem: Box<str>,
    attempts: i64,
    at: DateTime,
}

impl Mongo {
    pub(in crate::store) async fn entries(&self, limit: u64) -> Result<Vec<Entry>, Error> {
        let owner = self.inner.owner.id;
        self.read(Operation("entries", "read the journal"), |collections| async move {
            let own = Query::of(doc! { "owner": owner }).sort(doc! { "lane": 1, "due": 1, "_id": 1 });
            let found: Vec<EntryDocument> = collections.rows(JOURNAL, own.limit(integer(limit))).await?;
            found.into_iter().map(entry).collect()
        })
        .await
    }

    pub(in crate::store) async fn entries_of(&self, project: ProjectId, limit: u64) -> Result<Vec<Entry>, Error> {
        self.read(Operation("entries_of", "read a project's journal entries"), |collections| async move {
            // No index: the journal is written far more often than somebody asks this.
            let of = Query::of(doc! { "project": integer(project.0) }).sort(doc! { "due": 1, "_id": 1 });
            let found: Vec<EntryDocument> = collections.rows(JOURNAL, of.limit(integer(limit))).await?;
            found.into_iter().map(entry).collect()
        })
        .await
    }

    pub(in crate::store) async fn journal_len(&self) -> Result<u64, Error> {
        self.read(Operation("journal_len", "count journal entries"), |collections| async move {
            let journal = collections.of::<Document>(JOURNAL);
            // The estimate costs nothing, but after a crash of the database it is off for a while.
            let estimate = journal.estimated_document_count().await?;
            if estimate > COUNTED {
                return Ok(estimate);
            }
            Ok(journal.count_documents(doc! {}).limit(2 * COUNTED).await?)
        })
        .await
    }

    pub(in crate::store) async fn failures(&self, project: Option<ProjectId>) -> Result<Vec<Failure>, Error> {
        self.read(Operation("failures", "read failures"), |collections| async move {
            let of = project.map_or_else(Document::new, |project| doc! { "project": integer(project.0) });
            let found = Query::of(of).sort(doc! { "project": 1, "kind": 1, "target": 1 });
            let found: Vec<FailureDocument> = collections.rows(FAILURES, found).await?;
            found.into_iter().map(failure).collect()
        })
        .await
    }

    pub(in crate::store) async fn marks(&self) -> Result<Vec<(ProjectId, Timestamp)>, Error> {
        #[derive(Deserialize)]
        struct Mark {
            #[serde(rename = "_id")]
            project: i64,
            at: DateTime,
        }
        self.read(Operation("marks", "read marks"), |collections| async move {
            let found = Query::of(doc! {}).sort(doc! { "at": 1, "_id": 1 });
            let found: Vec<Mark> = collections.rows(MARKS, found).await?;
            Ok(found.into_iter().map(|mark| (ProjectId(natural(mark.project)), time(mark.at))).collect())
        })
        .await
    }
}

/// The journal's part of several lists of changes, so that it takes few commands.
#[derive(Debug, Default)]
pub(super) struct Ending {
    starts: Vec<i64>,
    postpones: Vec<(Vec<i64>, DateTime, i32)>,
    finished: Vec<i64>,
    forgotten: Vec<String>,
    failed: Vec<(Target, String, u32)>,
    marks: Vec<i64>,
    unmarks: Vec<(i64, DateTime)>,
    listed: Vec<(ListOf, Listing)>,
    without_ci: Vec<(ProjectId, Option<Timestamp>)>,
}

impl Ending {
    /// Takes what a change says about work; appended entries are written apart, because they can be refused.
    pub(super) fn take(&mut self, change: &Change) {
        let ids = |entries: &[EntryId]| entries.iter().map(|entry| entry.0).collect::<Vec<_>>();
        match change {
            Change::Start(entries) => self.starts.extend(ids(entries)),
            Change::Postpone(entries, due, lane) => self.postpones.push((ids(entries), date(*due), number(*lane))),
            Change::Finish(target, entries) => {
                self.forget(target);
                self.finished.extend(ids(entries));
            }
            Change::Fail { target, entries, problem, attempts } => {
                self.failed.push((*target, problem.clone(), *attempts));
                self.finished.extend(ids(entries));
            }
            Change::Listed(list, listing) => self.listed.push((*list, *listing)),
            Change::WithoutCi(project, since) => self.without_ci.push((*project, *since)),
            Change::Mark(project) => self.marks.push(integer(project.0)),
            Change::Unmark(project, seen) => self.unmarks.push((integer(project.0), date(*seen))),
            _ => {}
        }
    }

    /// Takes another list's part.
    pub(super) fn add(&mut self, other: Self) {
        self.starts.extend(other.starts);
        self.postpones.extend(other.postpones);
        self.finished.extend(other.finished);
        self.forgotten.extend(other.forgotten);
        self.failed.extend(other.failed);
        self.marks.extend(other.marks);
        self.unmarks.extend(other.unmarks);
        self.listed.extend(other.listed);
        self.without_ci.extend(other.without_ci);
    }

    /// A target's former failure is over.
    pub(super) fn forget(&mut self, target: &Target) {
        self.forgotten.push(failure_id(target));
    }

    /// Writes all of it: first what changes entries, in that order, then what ends them.
    pub(super) async fn write(self, collections: &Collections, owner: i64) -> Result<(), Trouble> {
        let mut updates = Vec::new();
        if !self.starts.is_empty() {
            let running = rawdoc! { "$inc": { "attempts": 1_i64 }, "$set": { "running": 1_i64 } };
            updates.push(own(&self.starts, owner, running)?);
        }
        for (entries, due, lane) in &self.postpones {
            let put_back = rawdoc! { "$set": { "due": *due, "lane": *lane, "running": 0_i64, "suspicion": 0_i64 } };
            updates.push(own(entries, owner, put_back)?);
        }
        if self.starts.is_empty() || self.postpones.is_empty() {
            collections.update(JOURNAL, updates).await?;
        } else {
            // Unordered within a command: one after the other.
            for update in updates {
                collections.update(JOURNAL, vec![update]).await?;
            }
        }
        let finished = async {
            match self.finished.is_empty() {
                true => Ok(()),
                false => {
                    let done = doc! { "_id": { "$in": &self.finished }, "owner": owner };
                    collections.of::<Document>(JOURNAL).delete_many(done).await.map(drop)
                }
            }
        };
        tokio::try_join!(
            async { finished.await.map_err(Trouble::from) },
            self.failures(collections),
            self.marks(collections),
            try_join_all(self.listed.iter().map(|listed| listings::note(collections, *listed))),
            listings::note_ci(collections, &self.without_ci)
        )?;
        Ok(())
    }

    async fn failures(&self, collections: &Collections) -> Result<(), Trouble> {
        let failed: HashSet<String> = self.failed.iter().map(|(target, ..)| failure_id(target)).collect();
        let forgotten: Vec<&String> = self.forgotten.iter().filter(|id| !failed.contains(*id)).collect();
        if !forgotten.is_empty() {
            collections.of::<Document>(FAILURES).delete_many(doc! { "_id": { "$in": forgotten } }).await?;
        }
        let updates = self.failed.iter().map(|(target, problem, attempts)| {
            let set = rawdoc! { "$set": {
                "project": integer(target.project().0),
                "kind": target.kind(),
                "target": integer(target.id()),
                "problem": { "$literal": problem.as_str() },
                "attempts": i64::from(*attempts),
                "at": "$$NOW",
            } };
            by_id_upsert(rawdoc! { "_id": failure_id(target) }, set)
        });
        collections.update(FAILURES, updates.collect()).await.map(drop)
    }

    async fn marks(&self, collections: &Collections) -> Result<(), Trouble> {
        let now = || rawdoc! { "$set": { "at": "$$NOW" } };
        let updates = self.marks.iter().map(|project| by_id_upsert(rawdoc! { "_id": *project }, now())).collect();
        collections.update(MARKS, updates).await?;
        for (project, seen) in &self.unmarks {
            let old = doc! { "_id": *project, "at": { "$lte": *seen } };
            collections.of::<Document>(MARKS).delete_one(old).await?;
        }
        Ok(())
    }
}

/// Appends entries of this process, each beside the number of the list it belongs to. Returns the lists that hold an entry
/// whose id was taken.
pub(super) async fn append(
    collections: &Collections,
    owner: i64,
    entries: &[(usize, &Entry)],
) -> Result<BTreeSet<usize>, Trouble> {
    if entries.is_empty() {
        return Ok(BTreeSet::new());
    }
    let documents: Vec<EntryDocument> = entries.iter().map(|(_, entry)| document(owner, entry)).collect();
    let Err(error) = collections.of::<EntryDocument>(JOURNAL).insert_many(&documents).ordered(false).await else {
        return Ok(BTreeSet::new());
    };
    let ErrorKind::InsertMany(refused) = &*error.kind else { return Err(error.into()) };
    let errors = refused.write_errors.as_deref().unwrap_or_default();
    if refused.write_concern_error.is_some() || errors.iter().any(|error| error.code != DUPLICATE_KEY) {
        return Err(error.into());
    }
    Ok(errors.iter().filter_map(|error| entries.get(error.index)).map(|(list, _)| *list).collect())
}

/// Gives everything back that a process holds. Once it has signed off its entries are orphaned; those it had begun did not
/// kill it.
pub(super) async fn give_back(collections: &Collections, owner: i64) -> Result<(), Trouble> {
    let calm = doc! { "$set": { "running": 0_i64 } };
    collections.of::<Document>(JOURNAL).update_many(doc! { "owner": owner, "running": 1_i64 }, calm).await?;
    super::leases::release(collections, doc! { "owner": owner }, false).await?;
    processes::sign_off(collections, owner).await
}

fn own(entries: &[i64], owner: i64, change: mongodb::bson::RawDocumentBuf) -> Result<Update, Trouble> {
    let filter = doc! { "_id": { "$in": entries }, "owner": owner };
    let filter = mongodb::bson::RawDocumentBuf::try_from(&filter).map_err(|_| Trouble::Unreadable("filter"))?;
    Ok(Update { filter, change: change.into(), upsert: false, multi: true })
}

/// An update by pipeline, so that the database's clock can be written, of a document that may not exist.
fn by_id_upsert(filter: mongodb::bson::RawDocumentBuf, set: mongodb::bson::RawDocumentBuf) -> Update {
    let mut stages = mongodb::bson::RawArrayBuf::new();
    stages.push(set);
    Update { filter, change: stages.into(), upsert: true, multi: false }
}

pub(super) fn failure_id(target: &Target) -> String {
    format!("{}/{}/{}", target.kind(), target.project(), target.id())
}

fn failure(found: FailureDocument) -> Result<Failure, Trouble> {
    Ok(Failure {
        target: target(&found.kind, found.project, found.target)?,
        problem: found.problem.into(),
        attempts: small(found.attempts),
        at: time(found.at),
    })
}

fn target(kind: &str, project: i64, id: i64) -> Result<Target, Trouble> {
    Target::from_parts(kind, ProjectId(natural(project)), natural(id)).ok_or(Trouble::Unreadable("target"))
}

fn number(lane: Lane) -> i32 {
    match lane {
        Lane::Live => 0,
        Lane::Reader | Lane::Backfill => 1,
    }
}

fn document(owner: i64, entry: &Entry) -> EntryDocument {
    EntryDocument {
        id: entry.id.0,
        owner,
        kind: entry.target.kind().into(),
        project: integer(entry.target.project().0),
        target: integer(entry.target.id()),
        lane: number(entry.lane),
        cause: entry.cause,
        due: date(entry.due),
        attempts: i64::from(entry.attempts),
        deaths: 0,
        running: 0,
        suspicion: entry.suspicion.number(),
    }
}

pub(super) fn entry(found: EntryDocument) -> Result<Entry, Trouble> {
    Ok(Entry {
        id: EntryId(found.id),
        target: target(&found.kind, found.project, found.target)?,
        lane: if found.lane == 0 { Lane::Live } else { Lane::Backfill },
        cause: found.cause,
        due: time(found.due),
        attempts: small(found.attempts),
        suspicion: Suspicion::of(found.suspicion),
    })
}
