//! The state machine of the queue under random histories.

mod deaths;

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::state::{Claim, State, Taken};
use crate::domain::{JobId, JobKey, ProjectId, Timestamp};
use crate::store::EntryId;
use crate::work::{Cause, Lane, Target, Work};

const CAPACITY: usize = 4;

#[derive(Debug, Clone)]
enum Step {
    Hint { target: u64, lane: Lane, due: i64 },
    Take { lane: Lane },
    Finish,
    PutBack { later: i64 },
    Pass { millis: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    let lane = || prop_oneof![Just(Lane::Live), Just(Lane::Backfill)];
    prop_oneof![
        4 => (1..8_u64, lane(), 0..50_i64).prop_map(|(target, lane, due)| Step::Hint { target, lane, due }),
        3 => lane().prop_map(|lane| Step::Take { lane }),
        2 => Just(Step::Finish),
        1 => (0..50_i64).prop_map(|later| Step::PutBack { later }),
        1 => (1..50_i64).prop_map(|millis| Step::Pass { millis }),
    ]
}

fn target(id: u64) -> Target {
    Target::Job(JobKey { project: ProjectId(1), job: JobId(id) })
}

/// A queue and the journal that stands behind it.
struct Model {
    state: State,
    now: i64,
    journal: BTreeSet<(Target, EntryId)>,
    running: Vec<Taken>,
}

impl Model {
    fn hint(&mut self, id: u64, lane: Lane, due: i64) {
        let now = Timestamp::from_millis(self.now);
        let work = Work { due: Timestamp::from_millis(self.now + due), ..Work::now(target(id), lane, Cause::Ended) };
        if self.state.coalesce(&work, None, now) {
            let waits = |running: &&Taken| running.target == work.target;
            assert!(!self.running.iter().any(|taken| waits(&taken)), "a running target answers for no later hint");
            return;
        }
        let entry = EntryId::fresh();
        self.journal.insert((work.target, entry));
        self.hold_if_room(work.target, Claim { entries: vec![entry], ..Claim::new(&work, now) });
    }

    /// What finds no room stays in the journal.
    fn hold_if_room(&mut self, target: Target, claim: Claim) {
        let room = self.state.has_space() || self.state.has(target);
        if room || self.state.displace(claim.lane, claim.due).is_some() {
            self.state.insert(target, claim, None);
        }
    }

    fn take(&mut self, lane: Lane) {
        let now = Timestamp::from_millis(self.now);
        let Some(taken) = self.state.take(lane, now) else { return };
        assert!(taken.claim.due <= now, "nothing is handed out before it is due");
        assert_eq!(taken.claim.lane, lane);
        assert!(!self.running.iter().any(|other| other.target == taken.target), "one worker for a target");
        self.running.push(taken);
    }

    /// Ends the oldest run: exactly the entries it took are deleted.
    fn finish(&mut self) {
        if self.running.is_empty() {
            return;
        }
        let taken = self.running.remove(0);
        for entry in &taken.claim.entries {
            assert!(self.journal.remove(&(taken.target, *entry)), "an entry is finished once");
        }
        self.state.finish(taken.target);
    }

    fn put_back(&mut self, later: i64) {
        if let Some(taken) = self.running.pop() {
            let due = Timestamp::from_millis(self.now + later);
            self.state.put_back(taken.target, Claim { due, ..taken.claim }, false);
        }
    }

    /// Brings in what the journal has and memory has not, as the maintenance does.
    fn refill(&mut self) {
        for (target, entry) in self.journal.clone() {
            if !self.state.knows(target, entry) {
                let work =
                    Work { due: Timestamp::from_millis(self.now), ..Work::now(target, Lane::Backfill, Cause::Look) };
                let claim = Claim { entries: vec![entry], ..Claim::new(&work, work.due) };
                self.hold_if_room(target, claim);
            }
        }
    }
}

proptest! {
    #[test]
    fn every_recorded_hint_is_worked_on_and_nothing_twice_at_once(steps in proptest::collection::vec(step(), 0..120)) {
        let mut model =
            Model { state: State::new(CAPACITY), now: 1_000, journal: BTreeSet::new(), running: Vec::new() };
        for step in steps {
            match step {
                Step::Hint { target, lane, due } => model.hint(target, lane, due),
                Step::Take { lane } => model.take(lane),
                Step::Finish => model.finish(),
                Step::PutBack { later } => model.put_back(later),
                Step::Pass { millis } => model.now += millis,
            }
        }
        // From here on workers only finish: everything that was recorded is done in the end.
        for _ in 0..500 {
            model.now += 100;
            model.refill();
            model.take(Lane::Live);
            model.take(Lane::Backfill);
            model.finish();
        }
        prop_assert_eq!(model.journal.len(), 0);
        prop_assert_eq!(model.state.len(), 0);
    }
}

#[test]
fn thousands_of_later_looks_do_not_keep_an_event_out_of_memory() {
    let mut state = State::new(CAPACITY);
    let now = Timestamp::from_millis(1_000);
    for id in 1..=CAPACITY as u64 {
        let look = Work { due: Timestamp::from_millis(9_000), ..Work::now(target(id), Lane::Backfill, Cause::Look) };
        state.insert(look.target, Claim { entries: vec![EntryId::fresh()], ..Claim::new(&look, now) }, None);
    }
    assert!(!state.has_space());
    let event = Work { due: now, ..Work::now(target(99), Lane::Live, Cause::Ended) };
    let displaced = state.displace(event.lane, event.due);
    assert_eq!(displaced, Some(Timestamp::from_millis(9_000)), "it is read from the journal again by then");
    state.insert(event.target, Claim { entries: vec![EntryId::fresh()], ..Claim::new(&event, now) }, None);
    assert_eq!(state.len(), CAPACITY);
    assert_eq!(state.take(Lane::Live, now).map(|taken| taken.target), Some(event.target));
}

fn recorded(id: u64, lane: Lane, due: i64) -> (Target, EntryId, Claim) {
    let due = Timestamp::from_millis(due);
    let entry = EntryId::fresh();
    let work = Work { due, ..Work::now(target(id), lane, Cause::Ended) };
    (work.target, entry, Claim { entries: vec![entry], ..Claim::new(&work, due) })
}

#[test]
fn what_ends_while_the_journal_is_read_is_not_brought_back() {
    let mut state = State::new(CAPACITY);
    let (target, entry, claim) = recorded(1, Lane::Live, 0);
    state.insert(target, claim, None);
    state.take(Lane::Live, Timestamp::from_millis(1)).expect("due");
    state.begin_reading();
    state.finish(target);
    assert!(state.knows(target, entry), "what was read may still have it");
    state.end_reading();
    assert!(!state.knows(target, entry));
}

#[test]
fn no_hint_is_merged_into_an_entry_that_may_be_another_s() {
    let now = Timestamp::from_millis(1);
    let mut state = State::new(CAPACITY);
    let (told, mut outcome) = tokio::sync::oneshot::channel();
    let (waiting, _, claim) = recorded(1, Lane::Backfill, 0);
    state.insert(waiting, claim, None);
    let (waited_for, entry, claim) = recorded(2, Lane::Backfill, 0);
    state.insert(waited_for, claim, Some(told));
    let (running, _, claim) = recorded(3, Lane::Live, 0);
    state.insert(running, claim, None);
    let taken = state.take(Lane::Live, now).expect("due");
    state.disown();
    assert!(!state.has(waiting), "the journal tells whose it is");
    assert!(state.has(waited_for) && !state.knows(waited_for, entry));
    assert!(outcome.try_recv().is_err(), "who waits goes on waiting");
    for target in [waiting, waited_for, running] {
        let hint = Work { target, ..Work::now(target, Lane::Live, Cause::Ended) };
        assert!(!state.coalesce(&hint, None, now), "{target:?}");
    }
    assert!(state.put_back(running, taken.claim, false).is_empty());
    assert!(!state.has(running), "it is not put back with another's entries");
    assert_eq!((state.len(), state.depth(Lane::Backfill).0, state.depth(Lane::Live).0), (1, 1, 0));
}
