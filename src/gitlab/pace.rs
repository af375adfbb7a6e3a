//! How far apart calls are sent when `requests_per_minute` is set.
//!
//! Guarantees that no window of one minute holds more calls than allowed, whatever the burst. Pure: time is passed in.
//! It does not know who waits; [`super::turns`] asks it before each grant.

use std::time::Duration;

use tokio::time::Instant;

use super::Class;

/// The share of all calls that backfill may use, in tenths: the rest is always there for live work.
const BACKFILL_TENTHS: u32 = 9;

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
    everyone: Pace,
    backfill: Pace,
}

impl Paces {
    /// Allows `calls` calls in any minute, nine tenths of them for backfill; zero counts as one.
    pub(super) fn per_minute(calls: u32) -> Self {
        let backfill = u64::from(calls) * u64::from(BACKFILL_TENTHS) / 10;
        Self {
            everyone: Pace::per_minute(calls),
            backfill: Pace::per_minute(u32::try_from(backfill).unwrap_or(u32::MAX)),
        }
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
    fn backfill_leaves_a_tenth_to_the_others() {
        let all = sent(600, Class::Live).len();
        let backfill = sent(600, Class::Backfill).len();
        assert!(backfill * 10 <= all * 9 + 100 && backfill * 10 >= all * 8, "{backfill} of {all}");
    }
}
