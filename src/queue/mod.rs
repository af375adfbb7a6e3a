//! The bounded work queue: three lanes, one item per target, the journal behind it (design, section 4.1).
//!
//! Guarantees: `Accepted` and `Coalesced` are answered only when a committed journal entry stands for the hint and no
//! worker has started that entry (law 4). A lease remembers which entries it took and finishing deletes exactly those,
//! so a hint that arrives during the fetch is fetched again. Dropping a lease, in a panic too, puts its target back.
//! Memory holds at most `capacity` targets, the most pressing ones; what does not fit waits in the journal.
//!
//! What it does not do: it never talks to GitLab and does not know what working on a target means.
//!
//! Accepted race: a hint that is coalesced into an entry with a later due time moves that time in memory only. If the
//! process dies, the next owner works on it at the recorded time: later, never lost.

mod lease;
mod maintenance;
mod metrics;
mod state;
mod suspects;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

pub use lease::{Attempt, Lease, Part};
use maintenance::Heart;
pub use maintenance::{Role, Share};
use state::{Claim, State};

use crate::domain::{Origin, ProjectId, Schedule, Timestamp};
use crate::store::{Change, Entry, Error, Store};
use crate::work::{Cause, Lane, Target, Work};

/// Readers' misses may have this part of the queue's room: they cannot wait in the journal as all others can.
const READERS_PART: usize = 4;

/// How much the queue holds and how it waits.
#[derive(Debug, Clone)]
pub struct Config {
    /// Targets in memory at most.
    pub capacity: usize,
    /// Entries in the journal at most; beyond it hints are `Deferred`.
    pub journal: u64,
    /// How long this process may be silent before others take its entries over.
    pub lease: Duration,
    /// After how many attempts somebody who waits for an outcome is told that it was postponed.
    pub patience: u32,
    /// Waiting times after failures.
    pub schedule: Schedule,
}

/// What became of a hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// A new journal entry was committed for it.
    Accepted,
    /// A committed entry that no worker has started stands for it already.
    Coalesced,
    /// The store is away or the journal is full: the project is marked for an early sweep.
    Deferred,
}

/// How a piece of work ended, for those who wait for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Everything it could fetch is stored, or recorded as absent with a reason.
    Stored,
    /// GitLab does not have it (any more); what we hold is kept.
    Gone,
    /// It waits in the journal for another try.
    Postponed(String),
    /// It was interrupted and is recorded nowhere: whoever asked for it has to ask again.
    Unrecorded(String),
    /// It failed for good.
    Failed(String),
}

/// How a piece of work ended and what it showed to be needed next.
#[derive(Debug, Clone)]
pub struct Done {
    /// How it ended.
    pub outcome: Outcome,
    /// Work for whoever waited; already journaled where it has to wait.
    pub follow: Vec<Work>,
}

/// How much waits in a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    /// The lane.
    pub lane: Lane,
    /// Targets that wait in memory.
    pub targets: usize,
    /// When the first of them is or was due.
    pub next_due: Option<Timestamp>,
}

/// The queue. Cheap to clone; all clones are one queue.
#[derive(Debug, Clone)]
pub struct Queue {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: Config,
    store: Store,
    state: Mutex<State>,
    /// Something became due sooner, or a lease ended.
    changed: Notify,
    /// A target left memory.
    space: Notify,
    /// There is room for what is in the journal only.
    thin: Notify,
    /// Projects to sweep early that are not written to the store yet.
    marks: Mutex<BTreeSet<ProjectId>>,
    marked: Notify,
    journal_len: AtomicU64,
    /// When the first of this process's entries that may be in the journal only is due.
    spilled: Spilled,
    heart: Mutex<Heart>,
}

impl Queue {
    /// Makes an empty queue over a store's journal; [`Queue::maintain`] brings in what the journal holds.
    pub fn new(config: Config, store: Store) -> Self {
        let state = Mutex::new(State::new(config.capacity));
        let inner = Inner {
            config,
            store,
            state,
            changed: Notify::new(),
            space: Notify::new(),
            thin: Notify::new(),
            marks: Mutex::default(),
            marked: Notify::new(),
            journal_len: AtomicU64::new(0),
            spilled: Spilled::default(),
            heart: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Takes a hint: records it in the journal, or finds that it is recorded. Never waits for space in memory.
    pub async fn offer(&self, work: Work) -> Offer {
        self.offer_from(work, None).await
    }

    /// As [`Self::offer`], of a delivery that whoever works on it shall know for logs and traces. It is not journaled: another
    /// process that takes the work over does not know it.
    pub async fn offer_from(&self, work: Work, origin: Option<Arc<Origin>>) -> Offer {
        let now = Timestamp::now();
        if self.lease_is_fresh() && self.state().coalesce(&work, origin.as_ref(), now) {
            self.inner.changed.notify_waiters();
            return Offer::Coalesced;
        }
        let project = work.target.project();
        if self.inner.journal_len.load(Ordering::Relaxed) >= self.inner.config.journal {
            tracing::debug!(project.id = project.0, "the journal is full: deferred a hint to an early sweep");
            self.mark(project);
            return Offer::Deferred;
        }
        match self.record(vec![work], Vec::new(), origin.as_ref()).await {
            Ok(()) => Offer::Accepted,
            Err(error) => {
                tracing::debug!(project.id = project.0, %error, "deferred a hint to an early sweep");
                self.mark(project);
                Offer::Deferred
            }
        }
    }

    /// Plans work without journaling it and returns where its outcome will arrive. Waits while memory is full. What an
    /// incremental pass plans and the journal has for later keeps its time and counts as postponed.
    pub async fn submit(&self, work: Work) -> oneshot::Receiver<Done> {
        let (told, outcome) = oneshot::channel();
        let mut waiter = Some(told);
        loop {
            let space = self.inner.space.notified();
            tokio::pin!(space);
            space.as_mut().enable();
            {
                let mut state = self.state();
                let now = Timestamp::now();
                if work.cause == Cause::Planned && state.waits_in_journal(work.target, now) {
                    let problem = "waits in the journal for its next try".to_owned();
                    let done = Done { outcome: Outcome::Postponed(problem), follow: Vec::new() };
                    // The receiver is still ours.
                    let _ = waiter.take().map(|told| told.send(done));
                    return outcome;
                }
                let claim = Claim::new(&work, now);
                if self.has_room(&mut state, work.target, &claim) {
                    state.insert(work.target, claim, waiter.take());
                    break;
                }
            }
            space.await;
        }
        self.inner.changed.notify_waiters();
        outcome
    }

    /// Takes a reader's miss, of the readers' lane, and returns where its outcome will arrive. One that is known already is joined, also while it
    /// runs. Not journaled: who still wants it asks again. `None`, without waiting, when it would not be worked on
    /// `within` this time, or so many misses wait that events would lose their room.
    pub fn fetch(&self, work: &Work, within: Duration) -> Option<oneshot::Receiver<Done>> {
        let (told, outcome) = oneshot::channel();
        let now = Timestamp::now();
        let Work { target, cause, .. } = *work;
        {
            let mut state = self.state();
            let told = match state.join(target, cause, told) {
                Ok(()) => return Some(outcome),
                Err(told) => told,
            };
            let held = state.held_until().is_some_and(|until| until > now.plus(within));
            let most = (self.inner.config.capacity / READERS_PART).max(1);
            let claim = Claim::new(work, now);
            if held || !state.has_fewer(Lane::Reader, most) || !self.has_room(&mut state, target, &claim) {
                return None;
            }
            state.insert(target, claim, Some(told));
        }
        self.inner.changed.notify_waiters();
        Some(outcome)
    }

    /// Marks a project for an early sweep. The mark is written as soon as the store answers.
    pub fn mark(&self, project: ProjectId) {
        self.inner.marks.lock().unwrap_or_else(PoisonError::into_inner).insert(project);
        self.inner.marked.notify_one();
    }

    /// Returns when a project was marked for an early sweep.
    pub async fn marked(&self) {
        self.inner.marked.notified().await;
    }

    /// Hands out the first due target of a lane, if there is one.
    pub fn take(&self, lane: Lane) -> Option<Lease> {
        let taken = self.state().take(lane, Timestamp::now())?;
        Some(Lease::new(self.clone(), taken))
    }

    /// Returns when the next target of a lane is due.
    pub fn next_due(&self, lane: Lane) -> Option<Timestamp> {
        self.state().next_due(lane, Timestamp::now())
    }

    /// Returns the notification of every change that can make [`Queue::take`] succeed. Enable it before looking.
    pub fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.inner.changed.notified()
    }

    /// Hands nothing out before `until`, because GitLab or the store asked everyone to wait.
    pub fn hold(&self, until: Timestamp) {
        self.state().hold(until);
    }

    /// Returns how many targets are in memory, running ones included.
    pub fn len(&self) -> usize {
        self.state().len()
    }

    /// Returns whether no target is in memory.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns, for each lane, how many targets wait and when the first is due, and the journal's length.
    pub fn depths(&self) -> ([Depth; 3], u64) {
        let state = self.state();
        let depths = Lane::ALL.map(|lane| {
            let (targets, next_due) = state.depth(lane);
            Depth { lane, targets, next_due }
        });
        (depths, self.inner.journal_len.load(Ordering::Relaxed))
    }

    /// Returns until when nothing is handed out, if GitLab or the store asked everyone to wait.
    pub fn held_until(&self) -> Option<Timestamp> {
        self.state().held_until().filter(|until| *until > Timestamp::now())
    }

    /// Journals work (with `first` in the same transaction) and takes it into memory as far as there is space.
    async fn record(
        &self,
        works: Vec<Work>,
        mut first: Vec<Change>,
        origin: Option<&Arc<Origin>>,
    ) -> Result<(), Error> {
        let count = works.len() as u64;
        let entries: Vec<Entry> =
            works.iter().map(|work| Entry::new(work.target, work.lane, work.cause, work.due)).collect();
        first.push(Change::Append(entries.clone()));
        let unsure = Unsure(&self.inner.spilled);
        self.inner.store.apply(first).await?;
        std::mem::forget(unsure);
        self.inner.journal_len.fetch_add(count, Ordering::Relaxed);
        let now = Timestamp::now();
        {
            let mut state = self.state();
            for (work, entry) in works.iter().zip(entries) {
                let claim = Claim { entries: vec![entry.id], origin: origin.cloned(), ..Claim::new(work, now) };
                self.hold_if_room(&mut state, work.target, claim);
            }
        }
        self.inner.changed.notify_waiters();
        Ok(())
    }

    /// Takes a journaled claim into memory, or remembers that it is in the journal only.
    fn hold_if_room(&self, state: &mut State, target: Target, claim: Claim) {
        if self.has_room(state, target, &claim) {
            state.insert(target, claim, None);
        } else {
            self.inner.spilled.note(claim.due);
        }
    }

    /// Returns whether a claim can be inserted; what can better wait in the journal goes there.
    fn has_room(&self, state: &mut State, target: Target, claim: &Claim) -> bool {
        if state.has_space() || state.has(target) {
            return true;
        }
        let displaced = state.displace(claim.lane, claim.due);
        if let Some(due) = displaced {
            self.inner.spilled.note(due);
        }
        displaced.is_some()
    }

    /// Whether coalescing is safe: another process cannot have taken our entries over.
    fn lease_is_fresh(&self) -> bool {
        let renewed = self.inner.heart.lock().unwrap_or_else(PoisonError::into_inner).renewed;
        // What was written to a store that is gone is not recorded any more.
        self.inner.store.is_up() && renewed.is_some_and(|at| at.elapsed() < self.inner.config.lease / 2)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When the first of the entries that are in the journal only is due, as far as is known.
#[derive(Debug)]
struct Spilled(AtomicI64);

impl Default for Spilled {
    /// Nothing is known of the journal: something may be due.
    fn default() -> Self {
        Self(AtomicI64::new(i64::MIN))
    }
}

impl Spilled {
    /// One more is in the journal only.
    fn note(&self, due: Timestamp) {
        self.0.fetch_min(due.as_millis(), Ordering::Relaxed);
    }

    /// Nothing is known any more.
    fn unknown(&self) {
        self.0.store(i64::MIN, Ordering::Relaxed);
    }

    /// Returns when the first is due, `None` when all entries are in memory.
    fn first(&self) -> Option<Timestamp> {
        Some(self.0.load(Ordering::Relaxed)).filter(|due| *due != i64::MAX).map(Timestamp::from_millis)
    }

    /// From here on everything is noted anew.
    fn reset(&self) {
        self.0.store(i64::MAX, Ordering::Relaxed);
    }
}

/// While it lives, entries may reach the journal without being known in memory: the commit is under way, its answer was
/// lost, or this future was dropped. Dropping it makes the maintenance look.
struct Unsure<'a>(&'a Spilled);

impl Drop for Unsure<'_> {
    fn drop(&mut self) {
        self.0.unknown();
    }
}

impl Target {
    /// Returns the target in the words of a log line: `job 456 of project 7`.
    pub fn in_words(&self) -> String {
        format!("{} {} of project {}", self.kind(), self.id(), self.project())
    }
}
