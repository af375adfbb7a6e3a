//! How far apart calls are sent when `requests_per_minute` is set.
//!
//! Guarantees that no window of one minute holds more calls than allowed, whatever the burst, and that the processes of a
//! deployment together keep to it while their parts of it move. Pure: time is passed in.
//! It does not know who waits; [`super::turns`] asks it before each grant.

use std::time::Duration;

use tokio::time::Instant;

use super::Class;

/// The share of all calls that backfill may use, in tenths: the rest is always there for live work.
const BACKFILL_TENTHS: u32 = 9;

/// What of a shared pace is given out: while a process that was alone gives parts away, its burst may lie in the same minute.
const SHARED_PART: f64 = 0.97;

/// A generic cell rate: one theoretical arrival time instead of a log of sent calls.
#[derive(Debug)]
struct Pace {
    interval: Duration,
    tolerance: Duration,
    next: Option<Instant>,
}

/// The pace of everyone, and the smaller one of backfill.
#[derive(Debug)]
pub(super) struct Paces {
    calls: u32,
    everyone: Pace,
    backfill: Pace,
}

impl Paces {
    /// Allows `calls` calls in any minute, nine tenths of them for backfill; zero counts as one.
    pub(super) fn per_minute(calls: u32) -> Self {
        let backfill = u64::from(calls) * u64::from(BACKFILL_TENTHS) / 10;
        Self {
            calls,
            everyone: Pace::per_minute(calls),
            backfill: Pace::per_minute(u32::try_from(backfill).unwrap_or(u32::MAX)),
        }
    }

    /// Keeps to a part of the calls from now on, because other processes have the rest; 1 is all of them.
    pub(super) fn resize(&mut self, part: f64, now: Instant) {
        let (everyone, backfill) = if part >= 1.0 {
            let whole = Self::per_minute(self.calls);
            (whole.everyone, whole.backfill)
        } else {
            let calls = f64::from(self.calls) * part;
            (Pace::steady(calls), Pace::steady(calls * f64::from(BACKFILL_TENTHS) / 10.0))
        };
        self.everyone.become_pace(everyone, now);
        self.backfill.become_pace(backfill, now);
    }

    /// Returns when `class` may not send yet: the earliest time it may.
    pub(super) fn not_before(&self, class: Class, now: Instant) -> Option<Instant> {
        let everyone = self.everyone.not_before(now);
        match class {
            Class::Backfill => everyone.max(self.backfill.not_before(now)),
            Class::Live | Class::Reader => everyone,
        }
    }

    /// Counts one call of `class` sent now.
    pub(super) fn count(&mut self, class: Class, now: Instant) {
        self.everyone.count(now);
        if class == Class::Backfill {
            self.backfill.count(now);
        }
    }
}

impl Pace {
    /// A burst of one second's worth, then evenly: burst + (window / interval) - 1 is never more than `calls`.
    fn per_minute(calls: u32) -> Self {
        let calls = calls.max(1);
        let burst = (calls / 60).max(1);
        let interval = Duration::from_secs(60) / (calls - burst + 1) + Duration::from_nanos(1);
        Self { interval, tolerance: interval * (burst - 1), next: None }
    }

    /// A part of a pace that others have the rest of: without bursts, and a call less, because each process may send one at
    /// both ends of a minute.
    fn steady(calls: f64) -> Self {
        let calls = (calls * SHARED_PART - 1.0).max(calls / 2.0).max(f64::MIN_POSITIVE);
        let interval = Duration::try_from_secs_f64(60.0 / calls).unwrap_or(Duration::MAX / 4);
        Self { interval, tolerance: Duration::ZERO, next: None }
    }

    /// Takes another interval. Calls that were sent ahead of time stay ahead by as many calls: who waited for the end of a
    /// longer interval does not wait it out, and who sent a burst does not send another one.
    fn become_pace(&mut self, other: Self, now: Instant) {
        let next = self.next.map(|next| {
            let ahead = next.saturating_duration_since(now).as_secs_f64() / self.interval.as_secs_f64();
            let wait = Duration::try_from_secs_f64(ahead * other.interval.as_secs_f64());
            wait.ok().and_then(|wait| now.checked_add(wait)).unwrap_or(next)
        });
        *self = Self { next, ..other };
    }

    fn not_before(&self, now: Instant) -> Option<Instant> {
        let at = self.next?.checked_sub(self.tolerance)?;
        (at > now).then_some(at)
    }

    fn count(&mut self, now: Instant) {
        self.next = Some(self.next.map_or(now, |next| next.max(now)) + self.interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends as soon as allowed for ten minutes and returns the sending times.
    fn sent(calls: u32, class: Class) -> Vec<Instant> {
        let mut paces = Paces::per_minute(calls);
        let start = Instant::now();
        let mut now = start;
        let mut sent = Vec::new();
        while now.duration_since(start) < Duration::from_secs(600) {
            match paces.not_before(class, now) {
                Some(at) => now = at,
                None => {
                    paces.count(class, now);
                    sent.push(now);
                }
            }
        }
        sent
    }

    #[test]
    fn no_minute_holds_more_calls_than_allowed_and_hardly_fewer() {
        for calls in [1_u32, 2, 7, 60, 119, 600, 2000] {
            let sent = sent(calls, Class::Live);
            let limit = calls as usize;
            let broken = sent.windows(limit + 1).any(|w| w[limit].duration_since(w[0]) < Duration::from_secs(60));
            assert!(!broken, "{calls} calls per minute");
            assert!(sent.len() >= limit * 19 / 2, "{} calls in ten minutes of {calls}", sent.len());
        }
    }

    #[test]
    fn processes_that_share_a_pace_keep_to_it_together_while_their_parts_move() {
        for seed in 0..20 {
            let mut random = fastrand::Rng::with_seed(seed);
            let calls = random.u32(120..3000);
            let start = Instant::now();
            let mut paces: Vec<Paces> = (0..3).map(|_| Paces::per_minute(calls)).collect();
            let mut parts = [1.0, 0.0, 0.0];
            let mut sent = Vec::new();
            for millis in 0..300_000_u64 {
                let now = start + Duration::from_millis(millis);
                if millis.is_multiple_of(1000) {
                    // As after a heartbeat: somebody has all of it, or each a part.
                    let cuts = [random.f64(), random.f64()];
                    let (low, high) = (cuts[0].min(cuts[1]), cuts[0].max(cuts[1]));
                    let alone = random.u32(0..10) == 0;
                    let shared = if alone { [1.0, 0.0, 0.0] } else { [low, high - low, 1.0 - high] };
                    if random.u32(0..5) == 0 || millis == 0 {
                        parts = shared;
                        for (pace, part) in paces.iter_mut().zip(parts) {
                            pace.resize(part, now);
                        }
                    }
                }
                for (pace, part) in paces.iter_mut().zip(parts) {
                    while part > 0.0 && pace.not_before(Class::Live, now).is_none() {
                        pace.count(Class::Live, now);
                        sent.push(now);
                    }
                }
            }
            let limit = calls as usize;
            let most =
                sent.windows(limit + 1).filter(|w| w[limit].duration_since(w[0]) < Duration::from_secs(60)).count();
            assert_eq!(most, 0, "seed {seed}: more than {calls} calls in a minute");
            assert!(sent.len() * 10 >= limit * 5 * 8, "seed {seed}: {} of {} calls", sent.len(), limit * 5);
        }
    }

    #[test]
    fn backfill_leaves_a_tenth_to_the_others() {
        let all = sent(600, Class::Live).len();
        let backfill = sent(600, Class::Backfill).len();
        assert!(backfill * 10 <= all * 9 + 100 && backfill * 10 >= all * 8, "{backfill} of {all}");
    }
}
