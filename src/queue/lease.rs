//! The right to work on one target, and the only ways to end it.

use std::time::Duration;

use super::state::{Claim, Taken};
use super::{Done, Outcome, Queue};
use crate::domain::{Origin, Pipeline, Timestamp};
use crate::store::{Change, Entry, EntryId, Error, Suspicion};
use crate::work::{Cause, Lane, Target, Work};

/// What a worker found, to be committed together with the end of its lease.
#[derive(Default)]
pub struct Part {
    /// Facts that are not written yet.
    pub facts: Vec<Change>,
    /// Work that they showed to be needed.
    pub follow: Vec<Work>,
    /// Called once they are committed, before anyone who waits hears of the end.
    pub committed: Option<Box<dyn FnOnce() + Send>>,
}

impl Part {
    fn commit(committed: Option<Box<dyn FnOnce() + Send>>) {
        if let Some(tell) = committed {
            tell();
        }
    }
}

/// What a postponed attempt means to those who wait for its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// It was one of the `patience` attempts after which they are told.
    Counted,
    /// It was one of them, and whatever comes of the next ones no event waits for them: they are of the backfill lane.
    Doubtful,
    /// GitLab only asked to wait: it was none.
    Uncounted,
    /// None will help before a person acts: they are told at once.
    Hopeless,
}

/// A target that this worker alone works on. Dropping it unfinished puts the target back after a short wait.
#[derive(Debug)]
pub struct Lease {
    queue: Queue,
    taken: Taken,
    ended: bool,
}

impl Lease {
    pub(super) fn new(queue: Queue, taken: Taken) -> Self {
        Self { queue, taken, ended: false }
    }

    /// Returns what is to be worked on.
    pub fn target(&self) -> Target {
        self.taken.target
    }

    /// Returns with what claim.
    pub fn lane(&self) -> Lane {
        self.taken.claim.lane
    }

    /// Returns why.
    pub fn cause(&self) -> Cause {
        self.taken.claim.cause
    }

    /// Returns whether what is unsettled or failed is asked for too.
    pub fn is_thorough(&self) -> bool {
        self.taken.claim.thorough
    }

    /// Returns which attempt this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.taken.claim.attempts
    }

    /// Returns when the first hint for it arrived.
    pub fn since(&self) -> Timestamp {
        self.taken.claim.since
    }

    /// Returns what made it begin, if this process knows.
    pub fn origin(&self) -> Option<&Origin> {
        self.taken.claim.origin.as_deref()
    }

    /// Returns the row of the listing that made a pass plan it.
    pub fn listed(&self) -> Option<&Pipeline> {
        self.taken.claim.listed.as_deref()
    }

    /// Returns the path of a target that is one.
    pub fn path(&self) -> Option<&str> {
        self.taken.claim.path.as_deref()
    }

    /// Commits that a worker starts, before anything is fetched: an entry that kills its process is counted.
    pub async fn start(&self) -> Result<(), Error> {
        if self.entries().is_empty() {
            return Ok(());
        }
        self.queue.inner.store.apply(vec![Change::Start(self.entries().to_vec())]).await
    }

    /// Commits the facts, the end of the entries and what is needed next in one transaction, and tells who waits.
    pub async fn finish(self, outcome: Outcome, found: Part) -> Result<(), Error> {
        let target = self.target();
        let Part { mut facts, follow, committed } = found;
        facts.push(Change::Finish(target, self.entries().to_vec()));
        self.end_with(outcome, facts, follow, committed).await
    }

    /// Puts the target back until `due`, journaled.
    pub async fn postpone(
        mut self,
        due: Timestamp,
        problem: String,
        attempt: Attempt,
        found: Part,
    ) -> Result<(), Error> {
        let Part { facts: mut changes, follow, committed } = found;
        let claim = &self.taken.claim;
        let lane = if attempt == Attempt::Doubtful { Lane::Backfill } else { claim.lane };
        let mut appended = None;
        if claim.entries.is_empty() {
            let mut entry = Entry::new(self.target(), lane, claim.cause, due);
            entry.attempts = claim.attempts;
            appended = Some(entry.id);
            changes.push(Change::Append(vec![entry]));
        } else {
            changes.push(Change::Postpone(claim.entries.clone(), due, lane));
        }
        self.commit_with(changes, follow).await?;
        Part::commit(committed);
        self.taken.claim.entries.extend(appended);
        self.taken.claim.lane = lane;
        // It ended without killing anything.
        self.taken.claim.suspicion = Suspicion::None;
        if attempt == Attempt::Uncounted {
            self.taken.claim.attempts -= 1;
        }
        let patient = attempt != Attempt::Hopeless && self.attempt() < self.queue.inner.config.patience;
        self.put_back(due, patient, problem);
        Ok(())
    }

    /// Returns whether nobody but readers asked, and no journal entry stands for it.
    pub fn is_a_miss(&self) -> bool {
        self.cause().is_a_reader_s() && self.entries().is_empty()
    }

    /// Commits what was found of a reader's miss and forgets the rest: what GitLab would not give now is neither tried
    /// again nor a failure, because nobody but a reader asked for it.
    pub async fn forget(self, outcome: Outcome, found: Part) -> Result<(), Error> {
        let Part { facts, follow, committed } = found;
        if facts.is_empty() && follow.is_empty() {
            self.end(Done { outcome, follow });
            return Ok(());
        }
        self.end_with(outcome, facts, follow, committed).await
    }

    /// Sets the target aside as failed for good.
    pub async fn fail(self, problem: String, found: Part) -> Result<(), Error> {
        let Part { mut facts, follow, committed } = found;
        facts.push(Change::Fail {
            target: self.target(),
            entries: self.entries().to_vec(),
            problem: problem.clone(),
            attempts: self.attempt(),
        });
        self.end_with(Outcome::Failed(problem), facts, follow, committed).await
    }

    async fn end_with(
        self,
        outcome: Outcome,
        facts: Vec<Change>,
        follow: Vec<Work>,
        committed: Option<Box<dyn FnOnce() + Send>>,
    ) -> Result<(), Error> {
        // A pass that waits runs what is due itself; everything else has to survive this process. A reader runs nothing.
        let unattended = !self.taken.waited_for || !self.entries().is_empty() || self.cause().is_a_reader_s();
        let now = Timestamp::now();
        let journaled: Vec<Work> = follow.iter().filter(|work| unattended || work.due > now).cloned().collect();
        self.commit(facts, journaled).await?;
        Part::commit(committed);
        let follow = follow.into_iter().filter(|work| work.due <= now).collect();
        self.end(Done { outcome, follow });
        Ok(())
    }

    /// Puts the target back in memory only, because the store does not answer: its entries are still in the journal, and
    /// nothing counts as tried.
    pub fn release(mut self, wait: Duration, problem: String) {
        self.taken.claim.attempts -= 1;
        let patient = self.attempt() < self.queue.inner.config.patience;
        self.put_back(Timestamp::now().plus(wait), patient, problem);
    }

    fn entries(&self) -> &[EntryId] {
        &self.taken.claim.entries
    }

    async fn commit_with(&self, facts: Vec<Change>, journaled: Vec<Work>) -> Result<(), Error> {
        if journaled.is_empty() {
            return self.queue.inner.store.apply(facts).await;
        }
        self.queue.record(journaled, facts, self.taken.claim.origin.as_ref()).await
    }

    async fn commit(&self, facts: Vec<Change>, journaled: Vec<Work>) -> Result<(), Error> {
        self.commit_with(facts, journaled).await?;
        let inner = &self.queue.inner;
        let ended = self.entries().len() as u64;
        inner
            .journal_len
            .fetch_update(std::sync::atomic::Ordering::Relaxed, std::sync::atomic::Ordering::Relaxed, |len| {
                Some(len.saturating_sub(ended))
            })
            .ok();
        Ok(())
    }

    fn end(mut self, done: Done) {
        self.ended = true;
        let (waiters, len) = {
            let mut state = self.queue.state();
            (state.finish(self.taken.target), state.len())
        };
        for waiter in waiters {
            // A pass that was cancelled no longer listens.
            let _ = waiter.send(done.clone());
        }
        let inner = &self.queue.inner;
        if len * 2 <= inner.config.capacity && inner.spilled.first().is_some_and(|due| due <= Timestamp::now()) {
            inner.thin.notify_one();
        }
        inner.space.notify_waiters();
        inner.changed.notify_waiters();
    }

    fn put_back(&mut self, due: Timestamp, keep_waiters: bool, problem: String) {
        self.ended = true;
        let (target, inner) = (self.taken.target, &self.queue.inner);
        let claim = Claim { due, ..self.taken.claim.clone() };
        let outcome = if claim.entries.is_empty() { Outcome::Unrecorded(problem) } else { Outcome::Postponed(problem) };
        let told = {
            let mut state = self.queue.state();
            let told = state.put_back(target, claim, keep_waiters);
            if !state.has(target) {
                inner.spilled.note(due);
            }
            told
        };
        for waiter in told {
            let _ = waiter.send(Done { outcome: outcome.clone(), follow: Vec::new() });
        }
        // What has to wait can wait in the journal.
        inner.space.notify_waiters();
        inner.changed.notify_waiters();
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.ended {
            let wait = self.queue.inner.config.schedule.backoff(self.attempt());
            self.put_back(Timestamp::now().plus(wait), false, "its worker was interrupted".to_owned());
        }
    }
}
