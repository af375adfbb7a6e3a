//! Whether a refusal of the token is believed: one that comes among good answers is confirmed by one question first.
//!
//! Guarantees that a stray 401 stops nobody for longer than a question takes, that a token which is really refused costs one
//! question more and no others, and that whatever refuses it again and again is believed. Pure: time is passed in.

use std::time::Duration;

use tokio::time::Instant;

/// A refusal is doubted when GitLab took the token within this time, longer than the pause between two passes.
const RECENTLY: Duration = Duration::from_secs(900);

/// How long a doubted refusal waits for the question that confirms it, at least; at most twice as long.
const CONFIRMED_AFTER: Duration = Duration::from_secs(1);

/// How long that question has to come back; then another may try.
const PATIENCE: Duration = Duration::from_secs(5);

/// How soon the others look whether it came back: so short that they wait instead of being put off.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// A refusal that comes so soon after a doubted one is not doubted again: something refuses the token again and again.
const ONCE_IN: Duration = Duration::from_secs(60);

/// How a refusal is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is not believed yet: until then everybody waits, then one question finds out.
    Doubted { until: Instant, news: bool },
    /// Nothing is asked for a while.
    Believed { news: bool },
    /// It was of a token that is no longer used.
    Past,
}

/// What speaks against a refusal.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    open: Option<Open>,
    /// When a refusal was last doubted.
    doubted: Option<Instant>,
    /// When the latest call was sent whose token GitLab took.
    accepted: Option<Instant>,
}

/// A refusal that nobody has confirmed yet.
#[derive(Debug, Clone, Copy)]
struct Open {
    since: Instant,
    next_probe: Instant,
}

impl Doubt {
    /// Returns when to look again, while a refusal is in doubt.
    pub(super) fn not_before(&self, now: Instant) -> Option<Instant> {
        let open = self.open.filter(|open| now < open.next_probe)?;
        Some(open.next_probe.min(now + LOOK_AGAIN))
    }

    /// Returns when a question may confirm the refusal that is in doubt.
    pub(super) fn next_probe(&self) -> Option<Instant> {
        self.open.map(|open| open.next_probe)
    }

    /// Lets a question through that is sent at once: it may be the one that confirms a refusal.
    pub(super) fn pass(&mut self, now: Instant) {
        if let Some(open) = &mut self.open {
            open.next_probe = now + PATIENCE;
        }
    }

    /// GitLab refused the token of a call that was sent at this time. Returns how long the refusal is in doubt and whether that is
    /// news; `None`: it is believed. `spread` is from 0 to 1: replicas do not all confirm it at the same time.
    pub(super) fn refused(&mut self, sent: Instant, now: Instant, spread: f64) -> Option<(Instant, bool)> {
        match self.open {
            // One that was sent before says nothing new.
            Some(open) if sent <= open.since => return Some((open.next_probe, false)),
            None if self.speaks_against(now) => {
                let until = now + CONFIRMED_AFTER.mul_f64(1.0 + spread);
                self.open = Some(Open { since: now, next_probe: until });
                self.doubted = Some(now);
                return Some((until, true));
            }
            _ => self.open = None,
        }
        None
    }

    /// GitLab took the token of a call that was sent at this time. Returns whether that ends a doubt.
    pub(super) fn accepted(&mut self, sent: Instant) -> bool {
        self.accepted = self.accepted.max(Some(sent));
        self.open.take_if(|open| sent > open.since).is_some()
    }

    /// Returns whether a refusal contradicts what GitLab said a while ago.
    fn speaks_against(&self, now: Instant) -> bool {
        let within = |time: Option<Instant>, span| time.is_some_and(|time| now.saturating_duration_since(time) < span);
        within(self.accepted, RECENTLY) && !within(self.doubted, ONCE_IN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A good answer, then a refusal a second later.
    fn doubting(now: Instant) -> Doubt {
        let mut doubt = Doubt::default();
        assert!(!doubt.accepted(now));
        assert_eq!(doubt.refused(now, now + SECOND, 0.5), Some((now + Duration::from_millis(2500), true)));
        doubt
    }

    #[test]
    fn a_refusal_among_good_answers_stops_everybody_for_a_moment_and_one_question_finds_out() {
        let now = Instant::now();
        let mut doubt = doubting(now);
        let probe = now + Duration::from_millis(2500);
        assert_eq!(doubt.not_before(now + SECOND), Some(now + SECOND + LOOK_AGAIN), "short enough to wait for");
        assert_eq!(doubt.refused(now, now + 2 * SECOND, 0.5), Some((probe, false)), "sent before the first one came");
        assert!(!doubt.accepted(now + SECOND), "sent before, too");
        assert_eq!(doubt.not_before(probe), None);
        doubt.pass(probe);
        assert_eq!(doubt.not_before(probe), Some(probe + LOOK_AGAIN), "one at a time");
        assert_eq!(doubt.not_before(probe + PATIENCE), None, "it was lost");
        assert!(doubt.accepted(probe), "that was a stray one");
        assert_eq!((doubt.not_before(probe), doubt.next_probe()), (None, None));
    }

    #[test]
    fn a_refusal_that_is_confirmed_or_comes_again_soon_is_believed() {
        let now = Instant::now();
        let (probe, again, later) = (now + 3 * SECOND, now + 4 * SECOND, now + 62 * SECOND);
        for stray in [false, true] {
            let mut doubt = doubting(now);
            doubt.pass(probe);
            assert!(!stray || doubt.accepted(probe));
            assert_eq!(doubt.refused(probe, again, 0.5), None);
            assert_eq!(doubt.not_before(again), None);
            assert!(doubt.refused(later, later, 0.5).is_some(), "a minute later it may be a stray one again");
        }
    }

    #[test]
    fn a_refusal_without_recent_good_answers_is_believed_at_once() {
        let now = Instant::now();
        let mut doubt = Doubt::default();
        assert_eq!(doubt.refused(now, now, 0.5), None);
        doubt.accepted(now);
        assert_eq!(doubt.refused(now, now + RECENTLY, 0.5), None);
    }
}
