//! Applying lists of changes: several callers' lists in few commands, each list in an order that a crash cannot hurt.
//!
//! Blobs come first, in the hands of this process; then the jobs that point to them, then the pipelines (so that a pipeline
//! never claims a list of jobs that is not stored), then the journal. Each document is replaced only if nobody has changed it
//! since it was read; a list that lost such a race is applied again to what the winner wrote. Whatever a crash leaves between
//! two steps is either a fact that is true by itself, or a blob that the sweep holds against its document.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::Mongo;
use super::blobs::{self, NewBlob, Of};
use super::calls::{APPEND, BULK, URGENT, timed};
use super::group::Weighed;
use super::journal::{self, Ending};
use super::reach::Collections;
use super::trouble::Trouble;
use crate::domain::{BlobId, ReportRecord, Subject};
use crate::store::change::fresh_id;
use crate::store::metrics::Operation;
use crate::store::standing::Did;
use crate::store::{Change, Entry, Error, Kind, forgetting};

/// How often a list is applied again because others wrote its documents meanwhile.
const TRIES: u32 = 30;

/// A summary above this size is a blob of its own, so that no document comes near the 16 MiB that MongoDB allows.
const SUMMARY_BYTES: usize = 1 << 20;

/// The largest text of GitLab that is stored: MongoDB allows 16 MiB for it and everything beside it.
const DOCUMENT_BYTES: usize = 15 << 20;

/// What one command of a list weighs beside its payload.
const CHANGE_BYTES: usize = 256;

/// A list of changes and whom to tell.
pub(super) struct Order {
    pub(super) changes: Vec<Change>,
    /// Blobs of summaries, by the number of the change.
    pub(super) summaries: BTreeMap<usize, i64>,
    weight: usize,
    answer: oneshot::Sender<Result<(), Trouble>>,
}

impl Weighed for Order {
    fn weight(&self) -> usize {
        self.weight
    }
}

impl Mongo {
    pub(in crate::store) async fn apply(&self, changes: Vec<Change>) -> Result<(), Error> {
        if changes.is_empty() {
            return Ok(());
        }
        let appends = matches!(changes.first(), Some(Change::Append(_)));
        let fails = changes.iter().any(|change| matches!(change, Change::Fail { .. }));
        let about_work = changes.iter().all(Change::is_journal) && !fails;
        let (operation, limit) = match (appends, about_work) {
            (true, _) => (Operation("append", "append to the journal"), APPEND),
            (false, true) => (Operation("journal", "write the journal"), URGENT),
            (false, false) => (Operation("apply", "store facts"), 2 * BULK),
        };
        let begin = Instant::now();
        if changes.iter().any(|change| text_bytes(change) > DOCUMENT_BYTES) {
            let sentence = "GitLab's document is larger than MongoDB holds (16 MiB)".to_owned();
            return Err(Error::new(operation.1, Kind::Unusable(sentence)));
        }
        let permits = if about_work { &self.inner.entries } else { &self.inner.permits };
        let _permit = match tokio::time::timeout(limit, permits.acquire()).await {
            Ok(permit) => permit.map_err(|_| Error::new(operation.1, Kind::Closed))?,
            Err(_) => return self.settle(operation, begin, Did::Write, Err(Trouble::Slow)),
        };
        let _in_flight = self.inner.metrics.enter();
        if let Err(trouble) = self.inner.reach.collections() {
            return self.settle(operation, begin, Did::Write, Err(trouble));
        }
        let (answer, outcome) = oneshot::channel();
        let weight = changes.iter().map(weight).sum();
        let order = Order { changes, summaries: BTreeMap::new(), weight, answer };
        let store = self.clone();
        let taken = if about_work {
            self.inner.journal.add(order, move |batch| {
                let store = store.clone();
                async move { store.write_journal(batch).await }
            })
        } else {
            self.inner.facts.add(order, move |batch| {
                let store = store.clone();
                async move { store.write_facts(batch).await }
            })
        };
        let left = limit.saturating_sub(begin.elapsed());
        let outcome = if taken { self.answered(left, outcome).await } else { Err(Trouble::Closed) };
        self.settle(operation, begin, Did::Write, outcome)
    }

    /// Writes lists that are about work only.
    async fn write_journal(&self, orders: Vec<Order>) {
        let work = async { self.end(&self.inner.reach.collections()?, &orders, Ending::default()).await };
        let outcome = timed(URGENT, work).await;
        self.inner.reach.note(outcome.as_ref().map(drop));
        let refused = outcome.as_ref().cloned().unwrap_or_default();
        for (number, order) in orders.into_iter().enumerate() {
            let told = match &outcome {
                Err(trouble) => Err(Trouble::Away(trouble.reason())),
                Ok(_) if refused.contains(&number) => Err(Trouble::Duplicate),
                Ok(_) => Ok(()),
            };
            // A caller that has gone does not want to know.
            let _ = order.answer.send(told);
        }
    }

    /// Writes lists with facts in them, again and again until nobody else wrote the same documents meanwhile.
    async fn write_facts(&self, mut orders: Vec<Order>) {
        let began = Instant::now();
        let about: HashSet<Subject> = orders.iter().flat_map(|order| forgetting::subjects(&order.changes)).collect();
        let uploaded = async {
            let collections = self.inner.reach.collections()?;
            self.take_out_forgotten(&collections, &about, &mut orders).await?;
            self.upload(&collections, &mut orders).await
        };
        let uploaded = timed(BULK, uploaded).await;
        self.inner.reach.note(uploaded.as_ref().map(drop));
        let own = match uploaded {
            Ok(own) => own,
            Err(trouble) => return tell_all(orders, &trouble),
        };
        for attempt in 0..TRIES {
            // What is in the hands of a process that was silent for long may have been swept.
            let trusted = attempt == 0 && began.elapsed() < self.inner.owner.lease;
            let round = async {
                let collections = self.inner.reach.collections()?;
                self.round(&collections, &orders, &own, trusted).await
            };
            let outcome = timed(BULK, round).await;
            self.inner.reach.note(outcome.as_ref().map(drop));
            let mut ended = match outcome {
                Ok(ended) => ended,
                Err(trouble) => {
                    tell_all(std::mem::take(&mut orders), &trouble);
                    break;
                }
            };
            let mut again = Vec::new();
            for (number, order) in std::mem::take(&mut orders).into_iter().enumerate() {
                match ended.remove(&number) {
                    Some(outcome) => {
                        let _ = order.answer.send(outcome);
                    }
                    None => again.push(order),
                }
            }
            if again.is_empty() {
                break;
            }
            orders = again;
            tokio::time::sleep(Duration::from_millis(fastrand::u64(0..=2 * u64::from(attempt)))).await;
        }
        tell_all(orders, &Trouble::Contended);
        self.let_go(&own);
        self.remove_what_was_forgotten_meanwhile(about).await;
    }

    /// Stores the bytes that travel with changes as blobs of this process, and puts their ids into the changes.
    async fn upload(&self, collections: &Collections, orders: &mut [Order]) -> Result<Vec<i64>, Trouble> {
        let mut new = Vec::new();
        for order in orders {
            for (number, change) in order.changes.iter_mut().enumerate() {
                let (of, raw, blob, bytes) = match change {
                    Change::Log { key, record, bytes } => (Of::Log(*key), record.size, &mut record.blob, bytes),
                    Change::Archive { key, record, bytes } => (Of::Archive(*key), record.size, &mut record.blob, bytes),
                    Change::Report { key, record, bytes } => {
                        if let Some(summary) = large_summary(record) {
                            let id = fresh_id();
                            order.summaries.insert(number, id);
                            let bytes: bytes::Bytes = summary.into_bytes().into();
                            new.push(NewBlob { id, of: Of::Summary(*key), raw: bytes.len() as u64, bytes });
                        }
                        (Of::Report(*key), record.size, &mut record.blob, bytes)
                    }
                    _ => continue,
                };
                if let Some(bytes) = bytes.take() {
                    let id = (!bytes.is_empty()).then(fresh_id);
                    *blob = id.map(BlobId);
                    new.extend(id.map(|id| NewBlob { id, of, raw, bytes }));
                }
            }
        }
        let ids: Vec<i64> = new.iter().map(|blob| blob.id).collect();
        ids.iter().for_each(|id| self.hold(*id));
        let inserted = blobs::insert(collections, self.inner.owner.id, &new).await;
        inserted.inspect_err(|_| self.let_go(&ids))?;
        Ok(ids)
    }

    /// Writes the journal's part of lists whose facts are written. Returns which of them append an entry whose id is taken.
    pub(super) async fn end<O: std::borrow::Borrow<Order>>(
        &self,
        collections: &Collections,
        orders: &[O],
        mut ending: Ending,
    ) -> Result<BTreeSet<usize>, Trouble> {
        let owner = self.inner.owner.id;
        let appends: Vec<(usize, &Entry)> = orders
            .iter()
            .enumerate()
            .flat_map(|(number, order)| order.borrow().changes.iter().map(move |change| (number, change)))
            .filter_map(|(number, change)| match change {
                Change::Append(entries) => Some(entries.iter().map(move |entry| (number, entry))),
                _ => None,
            })
            .flatten()
            .collect();
        let taken = journal::append(collections, owner, &appends).await?;
        for (number, order) in orders.iter().enumerate() {
            if !taken.contains(&number) {
                order.borrow().changes.iter().for_each(|change| ending.take(change));
            }
        }
        ending.write(collections, owner).await?;
        Ok(taken)
    }
}

fn tell_all(orders: Vec<Order>, trouble: &Trouble) {
    for order in orders {
        let _ = order.answer.send(Err(Trouble::Away(trouble.reason())));
    }
}

/// Takes a summary out of a record when it is too large for a document.
fn large_summary(record: &mut ReportRecord) -> Option<String> {
    let large = record.summary.as_ref().is_some_and(|summary| summary.len() > SUMMARY_BYTES);
    if large { record.summary.take().map(String::from) } else { None }
}

/// Returns how long GitLab's document in a change is.
fn text_bytes(change: &Change) -> usize {
    match change {
        Change::Project(project) => project.document.text.len(),
        Change::Pipeline(pipeline) | Change::Sketch(pipeline) => {
            pipeline.document.text.len() + pipeline.detail.as_ref().map_or(0, |detail| detail.text.len())
        }
        Change::Job(job) => job.document.text.len(),
        Change::Bridges(_, document) => document.text.len(),
        _ => 0,
    }
}

fn weight(change: &Change) -> usize {
    let payload = match change {
        Change::Project(_) | Change::Pipeline(_) | Change::Sketch(_) | Change::Job(_) | Change::Bridges(..) => {
            text_bytes(change)
        }
        Change::Log { bytes, .. } | Change::Archive { bytes, .. } | Change::Report { bytes, .. } => {
            bytes.as_ref().map_or(0, bytes::Bytes::len)
        }
        Change::Append(entries) => entries.len() * CHANGE_BYTES,
        Change::Start(ids) | Change::Postpone(ids, ..) | Change::Finish(_, ids) => ids.len() * 16,
        Change::Fail { entries, .. } => entries.len() * 16,
        Change::Listed(..) | Change::WithoutCi(..) | Change::Mark(_) | Change::Unmark(..) => 0,
        Change::JobsListed(..) | Change::NoDetail(..) | Change::Gone(_) => 0,
        Change::FoundAt { .. } | Change::Refused(..) | Change::Damaged(..) => 0,
    };
    payload + CHANGE_BYTES
}
