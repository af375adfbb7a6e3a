//! When GitLab does not want to be asked: its 429s, its budget headers and refused tokens (contract, section 6), and outages.
//!
//! Guarantees that a pause holds for everyone it concerns from the moment it is known, and that a refused token and an
//! instance that is down are tried again by one question at a time. Pure: time is passed in, nothing waits here. It does not know about permits
//! and calls in flight.

use std::time::Duration;

use tokio::time::Instant;

use super::Class;
use super::breaker::{Breaker, Circuit};
use super::doubt::{Doubt, Refusal};
use super::endpoint::Endpoint;
use super::refusals::{Place, Refusals};

/// How long a refused token is not used before one question tries it again.
pub(super) const REFUSED_PAUSE: Duration = Duration::from_secs(600);

/// How long the one question that tries a refused token again has to come back; then another may try.
const PROBE_PATIENCE: Duration = Duration::from_secs(60);

/// Resets that differ by more are of two periods of GitLab's counting; dates and resets are told in whole seconds.
const ANOTHER_PERIOD: Duration = Duration::from_secs(5);

/// A pause is never shorter, whatever a header says, so that "0 seconds" does not become hammering.
const SHORTEST: Duration = Duration::from_secs(1);

/// A pause is never longer, whatever a header says; GitLab's longest window is an hour.
const LONGEST: Duration = Duration::from_secs(3600);

/// Whether a question may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may.
    Go,
    /// Not before this time; `everything` when that holds for every question.
    Wait { until: Instant, everything: bool },
    /// GitLab refuses the token, for this reason.
    Refused(&'static str),
}

/// What an answer told about GitLab's budget for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Budget {
    /// `RateLimit-Limit`, when sent.
    pub(super) limit: Option<u64>,
    /// `RateLimit-Remaining`.
    pub(super) remaining: u64,
    /// How long until `RateLimit-Reset`, by GitLab's clock.
    pub(super) reset_in: Option<Duration>,
}

/// What is known of GitLab's willingness.
#[derive(Debug, Default)]
pub(super) struct Limits {
    everything: Option<(Instant, &'static str)>,
    endpoints: [Option<Instant>; Endpoint::COUNT],
    left: Option<Left>,
    refused: Option<Refused>,
    doubt: Doubt,
    /// Since when the present token is used, unless it is the first.
    token_since: Option<Instant>,
    breaker: Breaker,
    /// What 403s are about.
    pub(super) refusals: Refusals,
    /// GitLab's own limit of calls a minute, when it tells one.
    per_minute: Option<u64>,
}

/// What is left of GitLab's budget: what it said, less the calls that were begun since.
#[derive(Debug, Clone, Copy)]
struct Left {
    calls: u64,
    /// How many of them are not for backfill.
    kept: u64,
    until: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Refused {
    since: Instant,
    next_probe: Instant,
    reason: &'static str,
}

impl Limits {
    /// Judges a question without consequences, before it queues.
    pub(super) fn peek(&self, now: Instant, class: Class, endpoint: Endpoint) -> Verdict {
        if let Some(refused) = self.refused.filter(|refused| now < refused.next_probe) {
            return Verdict::Refused(refused.reason);
        }
        if let Some(until) = self.doubt.not_before(now) {
            return Verdict::Wait { until, everything: true };
        }
        self.peek_with_another(now, class, endpoint, endpoint == Endpoint::Passed)
    }

    /// Judges a question with another token than the service's, a reader's one or not.
    pub(super) fn peek_with_another(&self, now: Instant, class: Class, endpoint: Endpoint, reader: bool) -> Verdict {
        let later = |until: Option<Instant>| until.filter(|until| *until > now);
        let down = if reader { self.breaker.not_before_for_readers(now) } else { self.breaker.not_before(now) };
        if let Some(until) = later(self.everything.map(|(until, _)| until)).max(down) {
            return Verdict::Wait { until, everything: true };
        }
        let kept = self.left.filter(|left| class == Class::Backfill && left.calls <= left.kept);
        match later(kept.map(|left| left.until)).max(later(self.endpoints[endpoint as usize])) {
            Some(until) => Verdict::Wait { until, everything: false },
            None => Verdict::Go,
        }
    }

    /// Judges a question that is sent at once on [`Verdict::Go`]: it may be the one that tries a refused token.
    pub(super) fn claim(&mut self, now: Instant, class: Class, endpoint: Endpoint) -> Verdict {
        let verdict = self.peek(now, class, endpoint);
        if verdict == Verdict::Go {
            let reader = endpoint == Endpoint::Passed;
            self.pass(now, reader);
            if let Some(left) = &mut self.left {
                left.calls = left.calls.saturating_sub(1);
            }
            if reader {
                return verdict;
            }
            self.doubt.pass(now);
            if let Some(refused) = &mut self.refused {
                refused.next_probe = now + PROBE_PATIENCE;
            }
        }
        verdict
    }

    /// Judges a question with another token that is sent at once on [`Verdict::Go`].
    pub(super) fn claim_with_another(
        &mut self,
        now: Instant,
        class: Class,
        endpoint: Endpoint,
        reader: bool,
    ) -> Verdict {
        let verdict = self.peek_with_another(now, class, endpoint, reader);
        if verdict == Verdict::Go {
            self.pass(now, reader);
        }
        verdict
    }

    fn pass(&mut self, now: Instant, reader: bool) {
        if reader { self.breaker.pass_reader(now) } else { self.breaker.pass(now) }
    }

    /// GitLab answered a call that was sent at this time, whatever it said. Returns whether that ends an outage.
    pub(super) fn answered(&mut self, sent: Instant) -> bool {
        self.breaker.answered(sent)
    }

    /// GitLab did not answer a call that was sent at this time. Returns whether that begins an outage.
    pub(super) fn failed(&mut self, sent: Instant, now: Instant) -> bool {
        self.breaker.failed(sent, now, fastrand::f64())
    }

    /// Returns whether GitLab answers at all.
    pub(super) fn circuit(&self) -> Circuit {
        self.breaker.circuit()
    }

    /// GitLab asked to wait, everywhere (`endpoint` is `None`) or at one endpoint. Returns until when.
    pub(super) fn throttled(&mut self, now: Instant, endpoint: Option<Endpoint>, wait: Duration) -> Instant {
        let until = now + wait.clamp(SHORTEST, LONGEST);
        match endpoint {
            None => self.pause_everything(until, "GitLab answered 429 or 503 and asked to wait"),
            Some(endpoint) => {
                let pause = &mut self.endpoints[endpoint as usize];
                *pause = (*pause).max(Some(until));
            }
        }
        until
    }

    /// Obeys a budget before it is used up: the last tenth is not for backfill, nor what the calls in flight still use of it,
    /// nor what is begun later. It holds until it is reset, not until a later answer has more, because answers overtake each other.
    pub(super) fn budget(&mut self, now: Instant, budget: Budget, in_flight: u64) {
        self.per_minute = budget.limit.or(self.per_minute);
        let Some(reset_in) = budget.reset_in.filter(|reset| !reset.is_zero()) else { return };
        let reset = now + reset_in.min(LONGEST);
        if budget.remaining == 0 {
            self.pause_everything(reset, "GitLab's rate limit is used up");
        }
        let known = self.left.filter(|left| now < left.until);
        // The next period may begin before ours is over by whole seconds; a late answer may be of the one before.
        let begun_anew = known.is_some_and(|known| reset > known.until + ANOTHER_PERIOD);
        if known.is_some_and(|known| reset + ANOTHER_PERIOD < known.until) {
            return;
        }
        // Not more than was known: then nothing that is in flight is news.
        if begun_anew || known.is_none_or(|known| budget.remaining < known.calls) {
            let kept = budget.limit.map_or(0, |limit| limit / 10 + in_flight.min(limit / 10));
            let until = known.filter(|_| !begun_anew).map_or(reset, |known| known.until);
            self.left = Some(Left { calls: budget.remaining, kept, until });
        }
    }

    /// Another token is used from now on: no refusal of the old one counts.
    pub(super) fn token_renewed(&mut self, now: Instant) {
        self.refused = None;
        self.doubt = Doubt::default();
        self.refusals = Refusals::default();
        self.token_since = Some(now);
    }

    /// GitLab refused the token of a call that was sent at this time. `spread`: see [`Doubt::refused`].
    pub(super) fn refused(&mut self, sent: Instant, now: Instant, reason: &'static str, spread: f64) -> Refusal {
        if self.token_since.is_some_and(|since| sent < since) {
            return Refusal::Past;
        }
        let news = self.refused.is_none();
        if news && let Some((until, news)) = self.doubt.refused(sent, now, spread) {
            return Refusal::Doubted { until, news };
        }
        self.refused = Some(Refused { since: now, next_probe: now + REFUSED_PAUSE, reason });
        Refusal::Believed { news }
    }

    /// GitLab took the token of a call that was sent at this time. Returns whether that is news.
    pub(super) fn accepted(&mut self, sent: Instant) -> bool {
        if self.token_since.is_some_and(|since| sent < since) {
            return false;
        }
        // An answer to a call from before the refusal says nothing about the token now.
        let refused = self.refused.take_if(|refused| sent > refused.since).is_some();
        self.doubt.accepted(sent) || refused
    }

    /// Returns why GitLab refuses the token, as long as it is not known to take it again.
    pub(super) fn refusal(&self) -> Option<&'static str> {
        self.refused.map(|refused| refused.reason)
    }

    /// Returns GitLab's own limit of calls a minute, when it tells one (contract, section 6).
    pub(super) fn per_minute(&self) -> Option<u64> {
        self.per_minute
    }

    /// Returns until when nothing may be sent, and why.
    pub(super) fn paused(&self, now: Instant) -> Option<(Instant, &'static str)> {
        let refused = self.refused.map(|refused| (refused.next_probe, refused.reason));
        let doubted = "GitLab refused the token, and one question tries it again";
        let doubt = self.doubt.next_probe().map(|until| (until, doubted));
        let down = self.breaker.not_before(now).map(|until| (until, "GitLab does not answer"));
        let withheld = self.refusals.barred(Place::User).map(|(_, until, reason)| (until, reason));
        [refused, doubt, withheld, self.everything, down]
            .into_iter()
            .flatten()
            .filter(|(until, _)| *until > now)
            .max_by_key(|(until, _)| *until)
    }

    fn pause_everything(&mut self, until: Instant, why: &'static str) {
        if self.everything.is_none_or(|(known, _)| known < until) {
            self.everything = Some((until, why));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn live(limits: &Limits, now: Instant) -> Verdict {
        limits.peek(now, Class::Live, Endpoint::Job)
    }

    #[test]
    fn a_general_throttle_stops_everyone_until_its_time() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        let until = limits.throttled(now, None, 30 * SECOND);
        assert_eq!(until, now + 30 * SECOND);
        assert_eq!(limits.throttled(now, None, SECOND), now + SECOND, "a shorter one does not shorten");
        assert_eq!(live(&limits, now + 29 * SECOND), Verdict::Wait { until, everything: true });
        assert_eq!(live(&limits, until), Verdict::Go);
        assert_eq!(limits.throttled(now, None, Duration::ZERO), now + SHORTEST);
        assert_eq!(limits.throttled(now, None, Duration::MAX), now + LONGEST);
    }

    #[test]
    fn an_endpoint_throttle_stops_that_endpoint_only() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        let until = limits.throttled(now, Some(Endpoint::Jobs), 60 * SECOND);
        assert_eq!(live(&limits, now), Verdict::Go);
        assert_eq!(limits.peek(now, Class::Live, Endpoint::Jobs), Verdict::Wait { until, everything: false });
        assert_eq!(limits.paused(now), None);
    }

    #[test]
    fn the_last_tenth_of_a_budget_is_not_for_backfill_and_an_empty_one_is_for_nobody() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        let budget = |remaining| Budget { limit: Some(2000), remaining, reset_in: Some(20 * SECOND) };
        let until = now + 20 * SECOND;
        limits.budget(now, budget(206), 5);
        assert_eq!(limits.peek(now, Class::Backfill, Endpoint::Job), Verdict::Go);
        limits.budget(now, budget(205), 5);
        limits.budget(now, budget(1999), 5);
        assert_eq!(limits.peek(now, Class::Backfill, Endpoint::Job), Verdict::Wait { until, everything: false });
        assert_eq!(live(&limits, now), Verdict::Go);
        limits.budget(now, budget(0), 0);
        assert_eq!(live(&limits, now), Verdict::Wait { until, everything: true });
        assert_eq!(limits.peek(until, Class::Backfill, Endpoint::Job), Verdict::Go);
    }

    #[test]
    fn a_budget_of_the_next_period_counts_at_once_and_one_of_the_period_before_no_more() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        let budget = |remaining, seconds| Budget { limit: Some(100), remaining, reset_in: Some(seconds * SECOND) };
        let backfill = |limits: &Limits, at| limits.peek(at, Class::Backfill, Endpoint::Job);
        limits.budget(now, budget(5, 1), 0);
        assert_eq!(backfill(&limits, now), Verdict::Wait { until: now + SECOND, everything: false });
        // GitLab's minute is over some moments before we think so.
        let begun = now + SECOND / 2;
        limits.budget(begun, budget(12, 60), 0);
        assert_eq!(backfill(&limits, begun), Verdict::Go);
        limits.budget(begun, budget(4, 1), 0);
        assert_eq!(backfill(&limits, begun), Verdict::Go, "an answer that was overtaken");
        for _ in 0..2 {
            assert_eq!(limits.claim(begun, Class::Live, Endpoint::Job), Verdict::Go);
        }
        let later = now + 2 * SECOND;
        assert_eq!(backfill(&limits, later), Verdict::Wait { until: begun + 60 * SECOND, everything: false });
    }

    #[test]
    fn a_refused_token_is_tried_by_one_question_at_a_time() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        assert_eq!(limits.refused(now, now, "expired", 0.0), Refusal::Believed { news: true });
        assert_eq!(limits.refused(now, now, "expired", 0.0), Refusal::Believed { news: false });
        assert_eq!(live(&limits, now + 599 * SECOND), Verdict::Refused("expired"));
        let probe = now + REFUSED_PAUSE;
        assert_eq!(live(&limits, probe), Verdict::Go);
        assert_eq!(limits.claim(probe, Class::Live, Endpoint::Job), Verdict::Go);
        assert_eq!(limits.claim(probe, Class::Live, Endpoint::Job), Verdict::Refused("expired"));
        assert_eq!(limits.claim(probe + PROBE_PATIENCE, Class::Live, Endpoint::Job), Verdict::Go, "the probe was lost");
        assert!(!limits.accepted(now), "sent before the refusal");
        assert!(limits.accepted(probe));
        assert_eq!(live(&limits, probe), Verdict::Go);
    }

    #[test]
    fn a_new_token_is_tried_at_once_and_late_refusals_of_the_old_one_do_not_count() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        assert_eq!(limits.refused(now, now, "revoked", 0.0), Refusal::Believed { news: true });
        limits.token_renewed(now + SECOND);
        assert_eq!(live(&limits, now + SECOND), Verdict::Go);
        assert!(!limits.accepted(now));
        assert_eq!(limits.refused(now, now + 2 * SECOND, "revoked", 0.0), Refusal::Past);
        assert_eq!(live(&limits, now + 2 * SECOND), Verdict::Go);
        let refused = limits.refused(now + 2 * SECOND, now + 3 * SECOND, "expired", 0.0);
        assert_eq!(refused, Refusal::Believed { news: true });
    }

    #[test]
    fn a_doubted_refusal_lets_the_service_wait_and_no_caller() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        assert!(!limits.accepted(now));
        let Refusal::Doubted { until, news: true } = limits.refused(now, now, "401", 0.0) else { panic!("believed") };
        assert!(matches!(live(&limits, now), Verdict::Wait { everything: true, .. }));
        assert_eq!(limits.peek_with_another(now, Class::Reader, Endpoint::Job, true), Verdict::Go);
        assert_eq!((limits.refusal(), limits.paused(now).map(|(until, _)| until)), (None, Some(until)));
        assert_eq!(limits.claim(until, Class::Live, Endpoint::Job), Verdict::Go);
        assert!(matches!(limits.claim(until, Class::Live, Endpoint::Job), Verdict::Wait { everything: true, .. }));
        assert_eq!(limits.refused(until, until, "401", 0.0), Refusal::Believed { news: true });
        assert_eq!(live(&limits, until), Verdict::Refused("401"));
    }
}
