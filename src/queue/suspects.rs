//! In what order what waits is handed out, and beside what: after the death of a process, what it was working on may have killed it.
//!
//! What was under way with others is worked on with no other suspect beside it; what was alone, or the only suspect, with nothing at
//! all beside it. So only what is alone when a process dies is blamed, and one that has killed three is found among many that did not.

use std::collections::HashMap;
use std::time::Duration;

use super::state::{Place, State};
use crate::domain::Timestamp;
use crate::store::Suspicion;
use crate::work::{Lane, Target};

/// A suspect that has run so long keeps no other one waiting: what kills does it sooner, or alone in the end.
const PATIENCE: Duration = Duration::from_secs(10);

/// The orders in which targets wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// In those of a lane.
    Of(Lane),
    /// Among the suspects that are worked on one at a time.
    Company,
    /// Among those that are worked on alone.
    Alone,
}

impl Rank {
    /// Returns the one behind it.
    pub(super) fn next(self) -> Option<Self> {
        match self {
            Self::Of(Lane::Live) => Some(Self::Of(Lane::Reader)),
            Self::Of(Lane::Reader) => Some(Self::Of(Lane::Backfill)),
            Self::Of(Lane::Backfill) => Some(Self::Company),
            Self::Company => Some(Self::Alone),
            Self::Alone => None,
        }
    }
}

/// What is being worked on.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    count: usize,
    /// The suspects among it, and since when.
    suspects: HashMap<Target, (Suspicion, Timestamp)>,
}

impl UnderWay {
    pub(super) fn began(&mut self, target: Target, suspicion: Suspicion, now: Timestamp) {
        self.count += 1;
        if suspicion != Suspicion::None {
            self.suspects.insert(target, (suspicion, now));
        }
    }

    pub(super) fn ended(&mut self, target: Target, was_running: bool) {
        self.count -= usize::from(was_running);
        self.suspects.remove(&target);
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    fn has_one_alone(&self) -> bool {
        self.suspects.values().any(|(suspicion, _)| *suspicion == Suspicion::Alone)
    }

    /// Returns from when on another suspect may begin; `None` when it may now.
    fn busy_until(&self) -> Option<Timestamp> {
        self.suspects.values().map(|(_, since)| since.plus(PATIENCE)).max()
    }
}

impl State {
    /// Returns the target of a lane that is to be handed out now; if there is none, when the next one is due, unless a run has to end
    /// before.
    pub(super) fn next(&self, lane: Lane, now: Timestamp) -> Result<Place, Option<Timestamp>> {
        if self.under_way.has_one_alone() {
            return Err(None);
        }
        let alone = self.of(Rank::Alone).next();
        let suspect = self.of(Rank::Company).find(|place| self.is_of(lane, place));
        let ready = |(_, due, ..): &Place| *due <= now && self.under_way.busy_until().is_none_or(|until| until <= now);
        if let Some(suspect) = suspect.filter(ready) {
            return Ok(suspect);
        }
        // Those with company go first, so that what is innocent leaves this place by being done.
        let has_company = self.of(Rank::Company).next().is_some_and(|(_, due, ..)| due <= now);
        if let Some(alone) = alone.filter(|(_, due, ..)| *due <= now && !has_company) {
            let is_next = self.under_way.count() == 0 && self.is_of(lane, &alone);
            return if is_next { Ok(alone) } else { Err(None) };
        }
        let first = self.of(Rank::Of(lane)).next();
        if let Some(first) = first.filter(|(_, due, ..)| *due <= now) {
            return Ok(first);
        }
        let suspect = suspect.map(|(_, due, ..)| self.under_way.busy_until().map_or(due, |until| until.max(due)));
        let dues = [first.map(|(_, due, ..)| due), suspect, alone.map(|(_, due, ..)| due)];
        Err(dues.into_iter().flatten().min())
    }

    /// Returns the suspects of a lane.
    pub(super) fn suspects(&self, lane: Lane) -> impl Iterator<Item = Place> {
        self.of(Rank::Company).chain(self.of(Rank::Alone)).filter(move |place| self.is_of(lane, place))
    }

    fn is_of(&self, lane: Lane, (.., target): &Place) -> bool {
        self.items.get(target).is_some_and(|item| item.claim.lane == lane)
    }
}
