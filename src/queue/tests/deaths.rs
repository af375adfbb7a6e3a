//! Processes that die, by what they work on and for no reason: what kills is found, and nothing else is blamed for it.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{recorded, target};
use crate::domain::Timestamp;
use crate::queue::state::{Claim, State, Taken};
use crate::store::change::{Blame, DEATHS};
use crate::store::{EntryId, Suspicion};
use crate::work::{Cause, Lane, Target, Work};

/// Targets under way at most.
const WORKERS: usize = 6;

/// How long what kills takes to do so, in milliseconds: longer than suspects wait for each other.
const KILLS_AFTER: i64 = 30_000;

#[derive(Debug, Clone)]
enum Step {
    /// An event for a target.
    Hint(u64, Lane),
    /// What has been under way for longest ends.
    End,
    /// Nothing but time.
    Pass(i64),
    /// Somebody kills the process.
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    let lane = prop_oneof![Just(Lane::Live), Just(Lane::Backfill)];
    prop_oneof![
        4 => (1..12_u64, lane).prop_map(|(id, lane)| Step::Hint(id, lane)),
        4 => Just(Step::End),
        3 => (1..20_000_i64).prop_map(Step::Pass),
        1 => Just(Step::Kill),
    ]
}

/// An entry as the store has it.
#[derive(Debug, Clone, Copy)]
struct Kept {
    lane: Lane,
    suspicion: Suspicion,
    deaths: u32,
}

struct Model {
    state: State,
    now: i64,
    journal: BTreeMap<(Target, EntryId), Kept>,
    under_way: Vec<(Taken, i64)>,
    killer: Target,
    /// What was set aside, and how often each target was alone when the process died.
    aside: Vec<Target>,
    alone: BTreeMap<Target, u32>,
}

impl Model {
    fn hint(&mut self, id: u64, lane: Lane) {
        let (target, entry, claim) = recorded(id, lane, self.now);
        if self.state.coalesce(&Work::now(target, lane, Cause::Ended), None, claim.due) {
            return;
        }
        self.journal.insert((target, entry), Kept { lane, suspicion: Suspicion::None, deaths: 0 });
        self.state.insert(target, claim, None);
    }

    /// Hands out what can be, and has what kills do so once its time has come.
    fn go_on(&mut self) {
        if self.under_way.iter().any(|(taken, since)| taken.target == self.killer && self.now - since >= KILLS_AFTER) {
            return self.die();
        }
        while self.under_way.len() < WORKERS {
            let now = Timestamp::from_millis(self.now);
            let Some(taken) = Lane::ALL.into_iter().find_map(|lane| self.state.take(lane, now)) else { break };
            let is_alone = |taken: &Taken| taken.claim.suspicion == Suspicion::Alone;
            let beside = self.under_way.iter().any(|(other, _)| is_alone(other) || is_alone(&taken));
            assert!(!beside, "nothing is worked on beside what has to be alone");
            self.under_way.push((taken, self.now));
        }
    }

    fn end(&mut self) {
        let Some(at) = self.under_way.iter().position(|(taken, _)| taken.target != self.killer) else { return };
        let (taken, _) = self.under_way.remove(at);
        self.journal.retain(|(target, entry), _| *target != taken.target || !taken.claim.entries.contains(entry));
        self.state.finish(taken.target);
    }

    /// What a store does when the next process takes the work over.
    fn die(&mut self) {
        let is_suspect = |taken: &Taken| taken.claim.suspicion != Suspicion::None;
        let suspects = self.under_way.iter().filter(|(taken, _)| is_suspect(taken)).count();
        let blame = Blame::of(self.under_way.len() as u64, suspects as u64);
        if let [(alone, _)] = &*self.under_way {
            *self.alone.entry(alone.target).or_default() += 1;
        }
        for (taken, _) in std::mem::take(&mut self.under_way) {
            for entry in taken.claim.entries {
                let kept = self.journal.get_mut(&(taken.target, entry)).expect("an entry that did not end");
                kept.deaths += blame.deaths;
                kept.suspicion = if kept.suspicion > Suspicion::None { blame.suspects } else { blame.others };
            }
        }
        let fatal = |kept: &Kept| kept.deaths >= DEATHS;
        self.aside.extend(self.journal.iter().filter(|(_, kept)| fatal(kept)).map(|((target, _), _)| *target));
        self.journal.retain(|_, kept| !fatal(kept));
        self.state = State::new(usize::MAX);
        for ((target, entry), kept) in &self.journal {
            let work = Work { due: Timestamp::from_millis(0), ..Work::now(*target, kept.lane, Cause::Ended) };
            let claim = Claim { entries: vec![*entry], suspicion: kept.suspicion, ..Claim::new(&work, work.due) };
            self.state.insert(*target, claim, None);
        }
    }
}

proptest! {
    #[test]
    fn what_kills_is_set_aside_and_nothing_that_was_not_alone(steps in proptest::collection::vec(step(), 0..150)) {
        let mut model = Model {
            state: State::new(usize::MAX),
            now: 1,
            journal: BTreeMap::new(),
            under_way: Vec::new(),
            killer: target(1),
            aside: Vec::new(),
            alone: BTreeMap::new(),
        };
        for step in steps {
            match step {
                Step::Hint(id, lane) => model.hint(id, lane),
                Step::End => model.end(),
                Step::Pass(millis) => model.now += millis,
                Step::Kill => model.die(),
            }
            model.go_on();
        }
        // From here on nobody kills it from outside, and there is always something new to work on.
        model.hint(1, Lane::Live);
        for round in 0..400 {
            model.now += 1_000;
            if round < 200 {
                model.hint(100 + round, Lane::Live);
            }
            model.end();
            model.end();
            model.go_on();
        }
        prop_assert_eq!(model.journal.len(), 0, "{:?}", model.journal);
        prop_assert!(model.aside.contains(&model.killer), "what kills was never found");
        for target in &model.aside {
            prop_assert!(model.alone.get(target).is_some_and(|times| *times >= DEATHS), "{:?} was in company", target);
        }
    }
}
