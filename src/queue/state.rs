//! The queue as a pure state machine: targets, lanes, due times. No IO, no clock, no waiting.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::Done;
use super::suspects::{Rank, UnderWay};
use crate::domain::{Origin, Pipeline, PipelineId, PipelineKey, ProjectId, Timestamp};
use crate::store::{EntryId, Suspicion};
use crate::work::{Cause, Lane, Target, Work};

/// How many of a lane's last targets are looked at for one that can wait in the journal. Those that cannot are the targets
/// of passes, which are few.
const LOOKED_AT: usize = 64;

/// What is remembered of one target until it is done.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) claim: Claim,
    seq: u64,
    /// The pass or process that waits for the outcome.
    waiters: Vec<oneshot::Sender<Done>>,
    /// What arrived while a worker ran it: it will run again for that, because the run may have read GitLab before.
    next: Option<Next>,
    pub(super) running: bool,
    /// Its entries may have become another process's while it ran.
    disowned: bool,
}

/// The run after the one under way, and who waits for its outcome.
#[derive(Debug)]
struct Next {
    claim: Claim,
    waiters: Vec<oneshot::Sender<Done>>,
}

/// Why and when a target is worked on, merged from all hints for it.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub(super) lane: Lane,
    pub(super) cause: Cause,
    /// Whether one of the hints was thorough, though another one be the stronger cause.
    pub(super) thorough: bool,
    pub(super) due: Timestamp,
    /// The committed journal entries that this claim answers for.
    pub(super) entries: Vec<EntryId>,
    pub(super) attempts: u32,
    /// Whether it may have killed a process.
    pub(super) suspicion: Suspicion,
    pub(super) listed: Option<Box<Pipeline>>,
    pub(super) path: Option<Box<str>>,
    /// When the first of the hints arrived.
    pub(super) since: Timestamp,
    /// What made it begin, as far as this process knows.
    pub(super) origin: Option<Arc<Origin>>,
}

impl Claim {
    pub(super) fn new(work: &Work, now: Timestamp) -> Self {
        Self {
            lane: work.lane,
            cause: work.cause,
            thorough: work.cause.is_thorough(),
            due: work.due,
            entries: Vec::new(),
            attempts: 0,
            suspicion: Suspicion::None,
            listed: work.listed.clone(),
            path: work.path.clone(),
            since: now,
            origin: None,
        }
    }

    /// Takes another hint in: the higher lane, the stronger cause, the earlier time.
    fn merge(&mut self, other: Self) {
        self.lane = self.lane.min(other.lane);
        self.cause = self.cause.min(other.cause);
        self.thorough |= other.thorough;
        self.due = self.due.min(other.due);
        self.attempts = self.attempts.max(other.attempts);
        self.suspicion = self.suspicion.max(other.suspicion);
        self.since = self.since.min(other.since);
        self.origin = self.origin.take().or(other.origin);
        self.entries.extend(other.entries);
        self.path = self.path.take().or(other.path);
        if other.listed.is_some() {
            self.listed = other.listed;
        }
    }
}

/// A target that a worker took, with everything it answers for.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) target: Target,
    pub(super) claim: Claim,
    pub(super) waited_for: bool,
}

/// The place of a target among those that wait: in what order, when it is due, in what order it came.
pub(super) type Place = (Rank, Timestamp, u64, Target);

/// Bounded, coalescing, three lanes, and what may have killed a process apart from them.
#[derive(Debug)]
pub(super) struct State {
    pub(super) items: HashMap<Target, Item>,
    waiting: BTreeSet<Place>,
    pub(super) under_way: UnderWay,
    capacity: usize,
    seq: u64,
    /// Nothing is handed out before this time: GitLab or the store asked everyone to wait.
    hold: Option<Timestamp>,
    /// Entries that ended while the journal is read: what is read may still have them.
    ended: Option<HashSet<EntryId>>,
}

impl State {
    pub(super) fn new(capacity: usize) -> Self {
        let (items, waiting, under_way) = (HashMap::new(), BTreeSet::new(), UnderWay::default());
        Self { items, waiting, under_way, capacity, seq: 0, hold: None, ended: None }
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn has_space(&self) -> bool {
        self.items.len() < self.capacity
    }

    pub(super) fn running(&self) -> usize {
        self.under_way.count()
    }

    /// Returns how many targets cannot wait in the journal instead: those that are due, or run, or are waited for.
    pub(super) fn pressing(&self, now: Timestamp) -> usize {
        let can_wait = |item: &Item| !item.running && item.waiters.is_empty() && item.claim.due > now;
        self.items.values().filter(|item| !can_wait(item)).count()
    }

    /// Returns whether a journal entry stands for this target that is not due yet.
    pub(super) fn waits_in_journal(&self, target: Target, now: Timestamp) -> bool {
        let waits = |item: &Item| !item.running && !item.claim.entries.is_empty() && item.claim.due > now;
        self.items.get(&target).is_some_and(waits)
    }

    pub(super) fn has(&self, target: Target) -> bool {
        self.items.contains_key(&target)
    }

    /// Merges a hint into a committed entry that no worker is running, whose attempts start anew; false when there is none.
    pub(super) fn coalesce(&mut self, work: &Work, origin: Option<&Arc<Origin>>, now: Timestamp) -> bool {
        match self.items.get(&work.target) {
            Some(item) if !item.running && !item.claim.entries.is_empty() => {
                self.rearrange(work.target, |item| {
                    item.claim.merge(Claim { origin: origin.cloned(), ..Claim::new(work, now) });
                    item.claim.attempts = 0;
                });
                true
            }
            _ => false,
        }
    }

    /// Makes room for a new target that is more pressing than another which the journal holds and nobody waits for: that
    /// one is forgotten. Returns when the forgotten one is due; `None` (and nothing changed) when there is none.
    pub(super) fn displace(&mut self, lane: Lane, due: Timestamp) -> Option<Timestamp> {
        let place = Lane::ALL.into_iter().rev().find_map(|of| {
            let last = self.of(Rank::Of(of)).rev().take(LOOKED_AT).find(|(.., target)| {
                let item = self.items.get(target);
                item.is_some_and(|item| item.waiters.is_empty() && !item.claim.entries.is_empty())
            });
            last.filter(|(_, theirs, ..)| lane < of || due < *theirs)
        })?;
        self.waiting.remove(&place);
        self.items.remove(&place.3);
        Some(place.1)
    }

    /// Inserts a claim, for which there has to be room, or merges it into what is known of its target. The waiter is told
    /// the outcome.
    pub(super) fn insert(&mut self, target: Target, claim: Claim, waiter: Option<oneshot::Sender<Done>>) {
        if !self.items.contains_key(&target) {
            return self.insert_again(target, claim, waiter.into_iter().collect());
        }
        self.rearrange(target, |item| match (item.running, &mut item.next) {
            (false, _) => {
                item.claim.merge(claim);
                item.waiters.extend(waiter);
            }
            (true, Some(next)) => {
                next.claim.merge(claim);
                next.waiters.extend(waiter);
            }
            (true, next @ None) => *next = Some(Next { claim, waiters: waiter.into_iter().collect() }),
        });
    }

    /// Has somebody wait for the run that is under way, if it was asked for no less than `cause`; returns them if not.
    pub(super) fn join(
        &mut self,
        target: Target,
        cause: Cause,
        waiter: oneshot::Sender<Done>,
    ) -> Result<(), oneshot::Sender<Done>> {
        match self.items.get_mut(&target) {
            Some(item) if item.running && item.claim.cause <= cause => {
                item.waiters.push(waiter);
                Ok(())
            }
            _ => Err(waiter),
        }
    }

    /// Returns whether fewer than `most` targets of a lane wait.
    pub(super) fn has_fewer(&self, lane: Lane, most: usize) -> bool {
        self.of(Rank::Of(lane)).take(most).count() < most
    }

    /// The journal is about to be read: from now on it is remembered which entries end.
    pub(super) fn begin_reading(&mut self) {
        self.ended = Some(HashSet::new());
    }

    /// What was read is in memory.
    pub(super) fn end_reading(&mut self) {
        self.ended = None;
    }

    /// Returns whether this entry is answered for in memory, or ended since the journal is read.
    pub(super) fn knows(&self, target: Target, entry: EntryId) -> bool {
        let ended = self.ended.as_ref().is_some_and(|ended| ended.contains(&entry));
        ended
            || self.items.get(&target).is_some_and(|item| {
                item.claim.entries.contains(&entry)
                    || item.next.as_ref().is_some_and(|next| next.claim.entries.contains(&entry))
            })
    }

    /// Hands out the first due target of a lane.
    pub(super) fn take(&mut self, lane: Lane, now: Timestamp) -> Option<Taken> {
        if self.hold.is_some_and(|until| until > now) {
            return None;
        }
        self.hold = None;
        let first = self.next(lane, now).ok()?;
        self.waiting.remove(&first);
        let target = first.3;
        let item = self.items.get_mut(&target)?;
        item.running = true;
        self.under_way.began(target, item.claim.suspicion, now);
        item.claim.attempts += 1;
        Some(Taken { target, claim: item.claim.clone(), waited_for: !item.waiters.is_empty() })
    }

    /// Returns when the next target of a lane can be handed out, if no run has to end first; the hold counts.
    pub(super) fn next_due(&self, lane: Lane, now: Timestamp) -> Option<Timestamp> {
        let due = match self.next(lane, now) {
            Ok((_, due, ..)) => due,
            Err(later) => later?,
        };
        Some(self.hold.map_or(due, |until| until.max(due)))
    }

    /// Returns how many targets of a lane wait and since when the oldest that is due does.
    pub(super) fn depth(&self, lane: Lane) -> (usize, Option<Timestamp>) {
        let waiting = || self.of(Rank::Of(lane)).chain(self.suspects(lane));
        (waiting().count(), waiting().map(|(_, due, ..)| due).min())
    }

    /// Hands nothing out before `until`; an earlier end never shortens a hold.
    pub(super) fn hold(&mut self, until: Timestamp) {
        self.hold = Some(self.hold.map_or(until, |held| held.max(until)));
    }

    pub(super) fn held_until(&self) -> Option<Timestamp> {
        self.hold
    }

    /// Ends a run: the target is forgotten unless hints arrived meanwhile. Returns who waits for the outcome.
    pub(super) fn finish(&mut self, target: Target) -> Vec<oneshot::Sender<Done>> {
        let Some(mut item) = self.items.remove(&target) else { return Vec::new() };
        self.under_way.ended(target, item.running);
        let waiters = std::mem::take(&mut item.waiters);
        if let Some(ended) = &mut self.ended {
            ended.extend(item.claim.entries);
        }
        if let Some(next) = item.next.take() {
            self.insert_again(target, next.claim, next.waiters);
        }
        waiters
    }

    /// Puts a target back with what is left to claim. With `keep_waiters` those who wait go on waiting, otherwise they are
    /// returned. One whose entries may be another's is forgotten, unless somebody waits for it: the journal tells whose it is.
    pub(super) fn put_back(
        &mut self,
        target: Target,
        mut claim: Claim,
        keep_waiters: bool,
    ) -> Vec<oneshot::Sender<Done>> {
        let Some(mut item) = self.items.remove(&target) else { return Vec::new() };
        self.under_way.ended(target, item.running);
        if item.disowned {
            claim.entries.clear();
        }
        let waiters = std::mem::take(&mut item.waiters);
        let (mut kept, told) = if keep_waiters { (waiters, Vec::new()) } else { (Vec::new(), waiters) };
        if let Some(next) = item.next.take() {
            let attempts = next.claim.attempts;
            claim.merge(next.claim);
            // A hint that arrived meanwhile starts the attempts anew.
            claim.attempts = attempts;
            kept.extend(next.waiters);
        }
        if !item.disowned || !kept.is_empty() || !claim.entries.is_empty() {
            self.insert_again(target, claim, kept);
        }
        told
    }

    /// The journal may have given every entry that is known here to another process: no hint is merged into one of them any
    /// more, and what waits and nobody waits for is forgotten. The journal tells what is still this process's.
    pub(super) fn disown(&mut self) {
        let Self { items, waiting, .. } = self;
        items.retain(|target, item| {
            if item.claim.entries.is_empty() && !item.running {
                return true;
            }
            if item.running {
                item.disowned |= !item.claim.entries.is_empty();
                if let Some(next) = &mut item.next {
                    next.claim.entries.clear();
                }
                item.next.take_if(|next| next.waiters.is_empty());
                return true;
            }
            waiting.remove(&place(item, *target));
            item.claim.entries.clear();
            item.claim.suspicion = Suspicion::None;
            let kept = !item.waiters.is_empty();
            if kept {
                waiting.insert(place(item, *target));
            }
            kept
        });
    }

    /// Inserts whatever the capacity: what was in memory stays in memory.
    fn insert_again(&mut self, target: Target, claim: Claim, waiters: Vec<oneshot::Sender<Done>>) {
        self.seq += 1;
        let item = Item { claim, seq: self.seq, waiters, next: None, running: false, disowned: false };
        self.waiting.insert(place(&item, target));
        self.items.insert(target, item);
    }

    /// Returns those that wait in one order, first first.
    pub(super) fn of(&self, rank: Rank) -> impl DoubleEndedIterator<Item = Place> {
        let lowest = Target::Pipeline(PipelineKey { project: ProjectId(0), pipeline: PipelineId(0) });
        let first = |rank| (rank, Timestamp::from_millis(i64::MIN), 0, lowest);
        let end = rank.next().map_or(Bound::Unbounded, |next| Bound::Excluded(first(next)));
        self.waiting.range((Bound::Included(first(rank)), end)).copied()
    }

    /// Changes an item and keeps its place in the order right.
    fn rearrange(&mut self, target: Target, change: impl FnOnce(&mut Item)) {
        let Some(item) = self.items.get_mut(&target) else { return };
        let before = place(item, target);
        change(item);
        let after = place(item, target);
        if !item.running && before != after {
            self.waiting.remove(&before);
            self.waiting.insert(after);
        }
    }
}

fn place(item: &Item, target: Target) -> Place {
    let rank = match item.claim.suspicion {
        Suspicion::None => Rank::Of(item.claim.lane),
        Suspicion::Company => Rank::Company,
        Suspicion::Alone => Rank::Alone,
    };
    (rank, item.claim.due, item.seq, target)
}
