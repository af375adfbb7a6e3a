//! Whose turn it is: the pure part of the permit gate.
//!
//! Guarantees never more than `calls` grants at once and never more than half of them (at least one) for bulk; a higher
//! class goes first, within a class who came first, and every 16th grant goes to the lowest class that waits, so that
//! nobody starves. A waiter that may not go (bulk share used up, pace) never holds up one that may.
//! Each step costs the same however many wait, except leaving early. It does not wait: [`super::permits`] does.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::Class;
use super::pace::Paces;

/// How often the lowest waiting class goes first.
const LOWEST_FIRST_EVERY: u64 = 16;

/// What is asked for: with what claim, and whether for something large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claim {
    /// Who waits for the answer.
    pub(super) class: Class,
    /// Whether the answer is an archive, so that the call can last minutes.
    pub(super) bulk: bool,
}

/// What [`Turns::next`] found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<G> {
    /// This waiter has a permit now.
    Granted(G),
    /// Somebody could go, but not before this time.
    NotBefore(Instant),
    /// Nobody waits who could go before a permit is released.
    Nobody,
}

/// Who holds permits and who waits. `G` is the waiter's handle.
#[derive(Debug)]
pub(super) struct Turns<G> {
    calls: usize,
    /// How many of them GitLab's condition allows.
    window: usize,
    held: usize,
    held_bulk: usize,
    waiting: usize,
    granted: u64,
    tickets: u64,
    lanes: [Lane<G>; 3],
    paces: Option<Paces>,
    /// Until when the permits are this process's; `None` when nobody else has a claim on them.
    until: Option<Instant>,
}

/// The waiters of one class. Bulk waits apart, so that its blocked ones need not be walked past.
#[derive(Debug)]
struct Lane<G> {
    small: VecDeque<(u64, G)>,
    bulk: VecDeque<(u64, G)>,
}

impl<G> Turns<G> {
    pub(super) fn new(calls: usize, paces: Option<Paces>) -> Self {
        let lane = || Lane { small: VecDeque::new(), bulk: VecDeque::new() };
        Self {
            calls,
            window: usize::MAX,
            held: 0,
            held_bulk: 0,
            waiting: 0,
            granted: 0,
            tickets: 0,
            lanes: [lane(), lane(), lane()],
            paces,
            until: None,
        }
    }

    /// Returns how many permits are held.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Returns how many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Changes how many permits there are, and until when; those held above it are not taken away. With a pace, `part` is this
    /// process's of it.
    pub(super) fn resize(&mut self, calls: usize, part: f64, until: Option<Instant>, now: Instant) {
        (self.calls, self.until) = (calls, until);
        if let Some(paces) = &mut self.paces {
            paces.resize(part, now);
        }
    }

    /// Changes how many permits GitLab's condition allows; those held above it are not taken away.
    pub(super) fn narrow(&mut self, window: usize) {
        self.window = window;
    }

    /// Grants a permit at once when nobody waits and nothing speaks against it.
    pub(super) fn try_take(&mut self, claim: Claim, now: Instant) -> bool {
        let free = self.waiting == 0 && self.has_free(now) && (!claim.bulk || self.bulk_is_free());
        let taken = free && self.not_before(claim.class, now).is_none();
        if taken {
            self.take(claim, now);
        }
        taken
    }

    /// Joins the queue; the ticket is needed to leave it.
    pub(super) fn enter(&mut self, claim: Claim, grant: G) -> u64 {
        self.tickets += 1;
        self.waiting += 1;
        let ticket = self.tickets;
        self.queue(claim).push_back((ticket, grant));
        ticket
    }

    /// Leaves the queue; false when the ticket was granted already, so that a permit has to be given back.
    pub(super) fn leave(&mut self, claim: Claim, ticket: u64) -> bool {
        let queue = self.queue(claim);
        let left = match queue.binary_search_by_key(&ticket, |(ticket, _)| *ticket) {
            Ok(position) => queue.remove(position).is_some(),
            Err(_) => false,
        };
        self.waiting -= usize::from(left);
        left
    }

    /// Gives a permit back.
    pub(super) fn release(&mut self, claim: Claim) {
        self.held = self.held.saturating_sub(1);
        self.held_bulk = self.held_bulk.saturating_sub(usize::from(claim.bulk));
    }

    /// Grants one permit to whose turn it is.
    pub(super) fn next(&mut self, now: Instant) -> Next<G> {
        const HIGHEST_FIRST: [Class; 3] = [Class::Live, Class::Reader, Class::Backfill];
        const LOWEST_FIRST: [Class; 3] = [Class::Backfill, Class::Reader, Class::Live];
        if self.waiting == 0 || !self.has_free(now) {
            return Next::Nobody;
        }
        let order = if (self.granted + 1).is_multiple_of(LOWEST_FIRST_EVERY) { LOWEST_FIRST } else { HIGHEST_FIRST };
        let mut earliest: Option<Instant> = None;
        for class in order {
            let Some(bulk) = self.first(class) else { continue };
            if let Some(at) = self.not_before(class, now) {
                earliest = Some(earliest.map_or(at, |other| other.min(at)));
                continue;
            }
            let claim = Claim { class, bulk };
            if let Some((_, grant)) = self.queue(claim).pop_front() {
                self.waiting -= 1;
                self.take(claim, now);
                return Next::Granted(grant);
            }
        }
        earliest.map_or(Next::Nobody, Next::NotBefore)
    }

    /// Counts a further call under a permit that is held already; when it may not be sent yet, the time when it may.
    pub(super) fn count_another(&mut self, class: Class, now: Instant) -> Option<Instant> {
        let wait = self.not_before(class, now);
        if wait.is_none()
            && let Some(paces) = &mut self.paces
        {
            paces.count(class, now);
        }
        wait
    }

    /// Whether a permit is free and still this process's to grant.
    fn has_free(&self, now: Instant) -> bool {
        self.held < self.calls.min(self.window) && self.until.is_none_or(|until| now < until)
    }

    /// Whether the first of a class that may go now is bulk; `None` when none may.
    fn first(&self, class: Class) -> Option<bool> {
        let lane = &self.lanes[class as usize];
        let bulk = lane.bulk.front().filter(|_| self.bulk_is_free());
        match (lane.small.front(), bulk) {
            (Some((small, _)), Some((bulk, _))) => Some(bulk < small),
            (Some(_), None) => Some(false),
            (None, Some(_)) => Some(true),
            (None, None) => None,
        }
    }

    fn take(&mut self, claim: Claim, now: Instant) {
        self.held += 1;
        self.held_bulk += usize::from(claim.bulk);
        self.granted += 1;
        if let Some(paces) = &mut self.paces {
            paces.count(claim.class, now);
        }
    }

    fn queue(&mut self, claim: Claim) -> &mut VecDeque<(u64, G)> {
        let lane = &mut self.lanes[claim.class as usize];
        if claim.bulk { &mut lane.bulk } else { &mut lane.small }
    }

    fn bulk_is_free(&self) -> bool {
        self.held_bulk < (self.calls / 2).max(1)
    }

    fn not_before(&self, class: Class, now: Instant) -> Option<Instant> {
        self.paces.as_ref()?.not_before(class, now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIVE: Claim = Claim { class: Class::Live, bulk: false };
    const READER: Claim = Claim { class: Class::Reader, bulk: false };
    const BACKFILL: Claim = Claim { class: Class::Backfill, bulk: false };
    const ARCHIVE: Claim = Claim { class: Class::Backfill, bulk: true };

    /// Grants one permit after the other, each given back at once.
    fn one_by_one(turns: &mut Turns<Claim>) -> Vec<Claim> {
        let now = Instant::now();
        std::iter::from_fn(|| match turns.next(now) {
            Next::Granted(claim) => {
                turns.release(claim);
                Some(claim)
            }
            _ => None,
        })
        .collect()
    }

    #[test]
    fn the_higher_class_goes_first_but_every_sixteenth_grant_goes_to_the_lowest() {
        let mut turns = Turns::new(1, None);
        for _ in 0..40 {
            turns.enter(BACKFILL, BACKFILL);
            turns.enter(READER, READER);
            turns.enter(LIVE, LIVE);
        }
        let order = one_by_one(&mut turns);
        assert_eq!(order.len(), 120);
        let early: Vec<_> = (0..40).filter(|at| order[*at] != LIVE).collect();
        assert_eq!(early, [15, 31]);
        assert!(early.iter().all(|at| order[*at] == BACKFILL));
    }

    #[test]
    fn bulk_gets_half_and_never_holds_up_the_others() {
        let mut turns = Turns::new(4, None);
        for _ in 0..3 {
            turns.enter(ARCHIVE, ARCHIVE);
        }
        turns.enter(BACKFILL, BACKFILL);
        let now = Instant::now();
        assert_eq!(turns.next(now), Next::Granted(ARCHIVE));
        assert_eq!(turns.next(now), Next::Granted(ARCHIVE));
        assert_eq!(turns.next(now), Next::Granted(BACKFILL), "the third archive is passed by");
        assert_eq!(turns.next(now), Next::Nobody, "one permit is left, but not for bulk");
        assert!(!turns.try_take(LIVE, now), "whoever comes joins the queue");
        turns.enter(LIVE, LIVE);
        assert_eq!(turns.next(now), Next::Granted(LIVE));
        turns.release(ARCHIVE);
        assert_eq!(turns.next(now), Next::Granted(ARCHIVE));
        let mut single = Turns::<Claim>::new(1, None);
        assert!(single.try_take(ARCHIVE, now), "a single permit may be used for bulk");
    }

    #[test]
    fn a_smaller_size_takes_nothing_away_and_grants_nothing_until_the_excess_is_back() {
        let mut turns = Turns::new(2, None);
        let now = Instant::now();
        assert!(turns.try_take(LIVE, now) && turns.try_take(LIVE, now) && !turns.try_take(LIVE, now));
        turns.resize(1, 1.0, None, now);
        turns.enter(LIVE, LIVE);
        turns.release(LIVE);
        assert_eq!(turns.next(now), Next::Nobody);
        turns.release(LIVE);
        assert_eq!(turns.next(now), Next::Granted(LIVE));
    }

    #[test]
    fn who_leaves_is_not_granted_and_who_was_granted_cannot_leave() {
        let mut turns = Turns::new(1, None);
        let first = turns.enter(LIVE, "first");
        let second = turns.enter(LIVE, "second");
        assert!(turns.leave(LIVE, first) && !turns.leave(LIVE, first));
        assert_eq!(turns.next(Instant::now()), Next::Granted("second"));
        assert!(!turns.leave(LIVE, second));
        assert_eq!(turns.waiting(), 0);
    }

    #[test]
    fn a_backfill_that_used_up_its_pace_lets_live_work_pass() {
        let mut turns = Turns::new(100, Some(Paces::per_minute(600)));
        let now = Instant::now();
        while turns.try_take(BACKFILL, now) {}
        turns.enter(BACKFILL, BACKFILL);
        let Next::NotBefore(at) = turns.next(now) else { panic!("backfill has to wait") };
        assert!(at > now && at < now + Duration::from_secs(1));
        turns.enter(LIVE, LIVE);
        assert_eq!(turns.next(now), Next::Granted(LIVE));
        assert_eq!(turns.next(at), Next::Granted(BACKFILL));
    }
}
