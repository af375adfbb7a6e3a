//! Who holds how many bytes of a part of the budget, and who is next.
//!
//! Guarantees that shares are granted whole, so that nobody holds a part of one while waiting for the rest, and never more than there
//! is; that of what is unproved one address gets three quarters at most and all together seven eighths; that who waits is passed by others
//! only as long as they are that much smaller, and is never held up by what is short for others alone; and that only
//! what is unproved is cut, the slowest first, and only where that makes room for somebody who waits. Pure: time is passed in.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

/// What a body asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claim {
    /// The most that it can have.
    pub(super) bytes: u64,
    /// Where it comes from, unless its headers proved who sends it.
    pub(super) stranger: Option<IpAddr>,
}

/// When a body is slow, and whom it lets pass.
#[derive(Debug, Clone, Copy)]
pub(in crate::webhook) struct Pace {
    /// What comes from afar begins slowly.
    pub(super) grace: Duration,
    /// How long the whole body may take at the pace that it has.
    pub(super) whole: Duration,
    /// Bytes a second: who waits goes before whoever came so much later that a body of their size had come meanwhile at this pace. So
    /// a smaller one need not wait for a larger one that came just before it, and a larger one not for ever.
    pub(super) size_is_time: f64,
}

/// Names a claim for as long as it waits or holds its share.
pub(super) type Ticket = (Instant, u64);

/// Claims to so many bytes; `S` is how each is told.
#[derive(Debug)]
pub(super) struct Shares<S> {
    pace: Pace,
    used: Used,
    claims: u64,
    waiting: BTreeMap<Ticket, (Claim, S)>,
    held: HashMap<Ticket, Held<S>>,
}

#[derive(Debug)]
struct Held<S> {
    claim: Claim,
    since: Instant,
    received: u64,
    is_cut: bool,
    signal: S,
}

/// How much is granted, of how much.
#[derive(Debug, Clone)]
struct Used {
    most: u64,
    most_unproved: u64,
    most_of_one: u64,
    all: u64,
    unproved: u64,
    strangers: HashMap<IpAddr, u64>,
}

/// What is short for a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Short {
    All,
    Unproved,
    Of(IpAddr),
}

impl<S: Clone> Shares<S> {
    /// Divides `most` bytes; no claim is larger than `largest`.
    pub(super) fn new(most: u64, largest: u64, pace: Pace) -> Self {
        let used = Used {
            most,
            most_unproved: (most / 8 * 7).max(largest),
            most_of_one: (most / 4 * 3).max(largest),
            all: 0,
            unproved: 0,
            strangers: HashMap::new(),
        };
        Self { pace, used, claims: 0, waiting: BTreeMap::new(), held: HashMap::new() }
    }

    /// Takes a place in the queue.
    pub(super) fn enter(&mut self, claim: Claim, signal: S, now: Instant) -> Ticket {
        self.claims += 1;
        let ticket = (now + Duration::from_secs_f64(claim.bytes as f64 / self.pace.size_is_time), self.claims);
        self.waiting.insert(ticket, (claim, signal));
        ticket
    }

    /// Gives a share back, or leaves the queue.
    pub(super) fn leave(&mut self, ticket: Ticket) {
        self.waiting.remove(&ticket);
        if let Some(held) = self.held.remove(&ticket) {
            self.used.give_back(held.claim);
        }
    }

    /// Notes that bytes came for which a share is held.
    pub(super) fn arrived(&mut self, ticket: Ticket, bytes: u64) {
        if let Some(held) = self.held.get_mut(&ticket) {
            held.received += bytes;
        }
    }

    /// Grants every share for which there is room now, and returns who got one.
    pub(super) fn grant(&mut self, now: Instant) -> Vec<S> {
        let mut granted = Vec::new();
        let mut short = Vec::new();
        let Self { used, waiting, held, .. } = self;
        waiting.retain(|ticket, (claim, signal)| {
            if !used.has_room(*claim, &mut short) {
                return true;
            }
            used.take(*claim);
            let signal = signal.clone();
            granted.push(signal.clone());
            held.insert(*ticket, Held { claim: *claim, since: now, received: 0, is_cut: false, signal });
            false
        });
        granted
    }

    /// Returns whose bodies are to be cut for those who wait.
    pub(super) fn cut(&mut self, now: Instant) -> Vec<S> {
        let mut slow: Vec<(Duration, Ticket)> =
            self.held.iter().filter_map(|(ticket, held)| Some((held.is_slow(self.pace, now)?, *ticket))).collect();
        slow.sort_unstable();
        // As it will be when those that were cut before have let go.
        let mut used = self.used.clone();
        self.held.values().filter(|held| held.is_cut).for_each(|held| used.give_back(held.claim));
        let (mut cut, mut short) = (Vec::new(), Vec::new());
        for (claim, _) in self.waiting.values() {
            while let Some(what) = used.short(*claim)
                && !short.contains(&what)
                && let Some(place) = slow.iter().rposition(|(_, ticket)| self.held[ticket].frees(what))
                && let Some(held) = self.held.get_mut(&slow.remove(place).1)
            {
                held.is_cut = true;
                used.give_back(held.claim);
                cut.push(held.signal.clone());
            }
            if used.has_room(*claim, &mut short) {
                used.take(*claim);
            }
            if slow.is_empty() {
                break;
            }
        }
        cut
    }
}

impl<S> Held<S> {
    /// Returns how long the body would take at its pace, if that is too long.
    fn is_slow(&self, pace: Pace, now: Instant) -> Option<Duration> {
        let since = now.saturating_duration_since(self.since);
        if self.is_cut || self.claim.stranger.is_none() || since < pace.grace {
            return None;
        }
        let parts = self.claim.bytes as f64 / self.received.max(1) as f64;
        Duration::try_from_secs_f64(since.as_secs_f64() * parts).ok().filter(|whole| *whole > pace.whole)
    }

    /// Returns whether there would be more of what is short without it.
    fn frees(&self, short: Short) -> bool {
        match short {
            Short::All | Short::Unproved => true,
            Short::Of(_) => self.claim.stranger.map(Short::Of) == Some(short),
        }
    }
}

impl Used {
    /// Returns the narrowest of what is short for a claim.
    fn short(&self, claim: Claim) -> Option<Short> {
        let of_one = |stranger| self.strangers.get(&stranger).copied().unwrap_or(0);
        match claim.stranger {
            Some(stranger) if of_one(stranger) + claim.bytes > self.most_of_one => Some(Short::Of(stranger)),
            Some(_) if self.unproved + claim.bytes > self.most_unproved => Some(Short::Unproved),
            _ => (self.all + claim.bytes > self.most).then_some(Short::All),
        }
    }

    /// Returns whether a claim fits, and takes nothing of what somebody before it waits for; otherwise notes what is short.
    fn has_room(&self, claim: Claim, short: &mut Vec<Short>) -> bool {
        let taken = |what| short.contains(&what);
        let unproved = |stranger| taken(Short::Unproved) || taken(Short::Of(stranger));
        if taken(Short::All) || claim.stranger.is_some_and(unproved) {
            return false;
        }
        short.extend(self.short(claim));
        self.short(claim).is_none()
    }

    fn take(&mut self, claim: Claim) {
        self.all += claim.bytes;
        if let Some(stranger) = claim.stranger {
            self.unproved += claim.bytes;
            *self.strangers.entry(stranger).or_default() += claim.bytes;
        }
    }

    fn give_back(&mut self, claim: Claim) {
        self.all = self.all.saturating_sub(claim.bytes);
        if let Some(stranger) = claim.stranger {
            self.unproved = self.unproved.saturating_sub(claim.bytes);
            if let Some(of_one) = self.strangers.get_mut(&stranger) {
                *of_one = of_one.saturating_sub(claim.bytes);
                if *of_one == 0 {
                    self.strangers.remove(&stranger);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PACE: Pace = Pace { grace: SECOND, whole: Duration::from_secs(4), size_is_time: 1e6 };
    const SECOND: Duration = Duration::from_secs(1);

    fn stranger(number: u8, bytes: u64) -> Claim {
        Claim { bytes, stranger: Some(IpAddr::from([10, 0, 0, number])) }
    }

    fn proved(bytes: u64) -> Claim {
        Claim { bytes, stranger: None }
    }

    /// Enters claims one after the other, each named by its place.
    fn enter<const N: usize>(shares: &mut Shares<usize>, claims: [Claim; N], now: Instant) -> [Ticket; N] {
        let mut place = 0;
        claims.map(|claim| {
            place += 1;
            shares.enter(claim, place - 1, now)
        })
    }

    #[test]
    fn a_share_is_whole_and_who_needs_more_room_than_there_is_is_not_passed_by_for_ever() {
        let (mut shares, now) = (Shares::new(100, 80, PACE), Instant::now());
        let [first, second, third] = enter(&mut shares, [proved(60), proved(60), proved(30)], now);
        assert_eq!(shares.grant(now), [2, 0], "30 are that much smaller");
        assert_eq!((shares.used.all, shares.grant(now)), (90, vec![]));
        let later = now + SECOND;
        enter(&mut shares, [proved(10)], later);
        shares.leave(third);
        assert_eq!((shares.used.all, shares.grant(later)), (60, vec![]), "10 would fit, but 60 have waited for long");
        shares.leave(first);
        assert_eq!(shares.grant(later), [1, 0]);
        shares.leave(second);
        assert_eq!(shares.used.all, 10);
    }

    #[test]
    fn of_what_is_unproved_one_address_gets_three_quarters_and_all_get_seven_eighths() {
        let (mut shares, now) = (Shares::new(160, 40, PACE), Instant::now());
        enter(&mut shares, [40; 4].map(|bytes| stranger(1, bytes)), now);
        assert_eq!(shares.grant(now), [0, 1, 2]);
        enter(&mut shares, [stranger(2, 10), stranger(3, 10), stranger(4, 10), proved(10), proved(10)], now);
        assert_eq!(shares.grant(now), [0, 1, 3, 4], "the rest is for who has proved something");
        assert_eq!(shares.used.all, 160);
    }

    #[test]
    fn the_slowest_is_cut_and_only_for_whom_that_makes_room() {
        let (mut shares, now) = (Shares::new(160, 50, PACE), Instant::now());
        let claims = [stranger(1, 80), stranger(1, 20), stranger(1, 19), stranger(2, 10)];
        let [fast, slow, slower, _] = enter(&mut shares, claims, now);
        assert_eq!(shares.grant(now), [3, 2, 1, 0]);
        shares.arrived(fast, 40);
        shares.arrived(slow, 2);
        shares.arrived(slower, 2);
        let later = now + SECOND;
        assert_eq!(shares.cut(later), [] as [usize; 0], "nobody waits");
        enter(&mut shares, [stranger(1, 10)], later);
        assert_eq!(shares.grant(later), [] as [usize; 0]);
        assert_eq!(shares.cut(later - SECOND / 2), [] as [usize; 0], "they have just begun");
        assert_eq!(shares.cut(later), [1], "of another address something as slow would make no room");
        assert_eq!(shares.cut(later), [] as [usize; 0], "that is enough");
        shares.leave(slow);
        assert_eq!(shares.grant(later), [0]);
        enter(&mut shares, [proved(50)], later);
        assert_eq!((shares.grant(later), shares.cut(later)), (vec![], vec![3]));
    }

    proptest! {
        #[test]
        fn never_more_is_granted_than_there_is_and_everybody_gets_a_share_in_the_end(
            claims in proptest::collection::vec((0..4_u8, 0..=50_u64, 0..3_u8), 1..60),
        ) {
            let (mut shares, mut now) = (Shares::new(80, 50, PACE), Instant::now());
            let (mut tickets, mut held, mut granted) = (Vec::new(), Vec::new(), 0);
            for (place, (from, bytes, leaves)) in claims.iter().enumerate() {
                now += SECOND / 100;
                let claim = if *from == 0 { proved(*bytes) } else { stranger(*from, *bytes) };
                tickets.push(shares.enter(claim, place, now));
                held.extend(shares.grant(now));
                prop_assert!(shares.used.all <= 80);
                for _ in 0..(*leaves).min(held.len() as u8) {
                    shares.leave(tickets[held.remove(0)]);
                    granted += 1;
                }
                held.extend(shares.grant(now));
            }
            while !held.is_empty() {
                shares.leave(tickets[held.remove(0)]);
                granted += 1;
                held.extend(shares.grant(now));
                prop_assert!(shares.used.all <= 80);
            }
            prop_assert_eq!((granted, shares.used.all), (claims.len(), 0));
        }
    }
}
