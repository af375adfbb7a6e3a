//! Whether GitLab answers at all: after many failures in a row nothing is asked for a while, then one question tries.
//!
//! Guarantees that an instance that is down is asked once per pause and not by everyone, that the first proper answer ends it
//! for all, and that a failure of a question which was sent before does not undo that. Only the service's own questions judge:
//! what GitLab answers to a reader's neither opens nor closes it. Pure: time is passed in.

use std::time::Duration;

use tokio::time::Instant;

/// Failures in a row, without a proper answer in between, after which GitLab counts as down. A twentieth of answers that
/// fail, or a deploy that fails every other one, is no outage.
const FAILURES: u32 = 10;

/// The first pause; each failed try doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause: how late the end of an outage is noticed at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long the question that tries has to come back; then another may try.
const PROBE_PATIENCE: Duration = Duration::from_secs(60);

/// How soon the others look whether it came back: so short that they wait instead of being put off.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// How often a reader's question is let through all the same: long enough that the others are put off instead of waiting.
const READER_EVERY: Duration = Duration::from_secs(1);

/// How GitLab is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Circuit {
    /// It answers.
    Closed,
    /// It does not; nothing is asked before the pause ends.
    Open,
    /// One question finds out whether it does again.
    HalfOpen,
}

/// The breaker of one instance.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: u32,
    open: Option<Pause>,
    /// When a reader's question was last let through although nothing is asked.
    reader: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Pause {
    /// Since when; what was sent before tells nothing new.
    since: Instant,
    until: Instant,
    length: Duration,
    /// Until when a question that tries may be under way.
    probe: Option<Instant>,
}

impl Breaker {
    /// Returns until when nothing may be asked.
    pub(super) fn not_before(&self, now: Instant) -> Option<Instant> {
        let pause = self.open?;
        match pause.probe {
            None => Some(pause.until).filter(|until| *until > now),
            Some(lost) => Some(lost.min(now + LOOK_AGAIN)).filter(|until| *until > now),
        }
    }

    /// Returns until when no reader's question may be asked.
    pub(super) fn not_before_for_readers(&self, now: Instant) -> Option<Instant> {
        let before = self.open.and(self.reader).is_some_and(|reader| now < reader + READER_EVERY);
        before.then(|| now + READER_EVERY)
    }

    /// Lets a reader's question through that is sent at once.
    pub(super) fn pass_reader(&mut self, now: Instant) {
        self.reader = self.open.map(|_| now);
    }

    /// Lets a question through that is sent at once; while open it is the one that tries.
    pub(super) fn pass(&mut self, now: Instant) {
        if let Some(pause) = &mut self.open {
            pause.probe = Some(now + PROBE_PATIENCE);
        }
    }

    /// GitLab answered a question properly, whatever it said. Returns whether that ends an outage.
    pub(super) fn answered(&mut self, sent: Instant) -> bool {
        self.failures = 0;
        let ended = self.open.is_some_and(|pause| sent >= pause.since);
        if ended {
            self.open = None;
        }
        ended
    }

    /// GitLab did not answer a question that was sent at this time. Returns whether that begins an outage. `spread` is from 0
    /// to 1: replicas that see the same outage do not all try at the same time.
    pub(super) fn failed(&mut self, sent: Instant, now: Instant, spread: f64) -> bool {
        self.failures = self.failures.saturating_add(1);
        let length = match self.open {
            // One that was sent before the outage was known only confirms it.
            Some(pause) if sent < pause.since || pause.probe.is_none() => return false,
            Some(pause) => (pause.length * 2).min(LONGEST_PAUSE),
            None if self.failures < FAILURES => return false,
            None => FIRST_PAUSE,
        };
        let begins = self.open.is_none();
        self.open = Some(Pause { since: now, until: now + length.mul_f64(0.5 + spread / 2.0), length, probe: None });
        begins
    }

    /// Returns how GitLab is doing.
    pub(super) fn circuit(&self) -> Circuit {
        match self.open {
            None => Circuit::Closed,
            Some(Pause { probe: Some(_), .. }) => Circuit::HalfOpen,
            Some(_) => Circuit::Open,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn open(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        for failure in 1..=FAILURES {
            assert_eq!(breaker.failed(now, now, 1.0), failure == FAILURES);
        }
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row_only() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..100 {
            for _ in 1..FAILURES {
                assert!(!breaker.failed(now, now, 1.0));
            }
            breaker.answered(now);
        }
        assert_eq!((breaker.circuit(), breaker.not_before(now)), (Circuit::Closed, None));
        assert_eq!(open(now).not_before(now), Some(now + FIRST_PAUSE));
    }

    #[test]
    fn one_question_tries_and_its_answer_ends_the_outage_for_all() {
        let now = Instant::now();
        let mut breaker = open(now);
        let later = now + SECOND;
        assert_eq!(breaker.not_before(later), None);
        breaker.pass(later);
        assert_eq!(breaker.circuit(), Circuit::HalfOpen);
        assert_eq!(breaker.not_before(later), Some(later + LOOK_AGAIN), "the others wait for it");
        assert_eq!(breaker.not_before(later + PROBE_PATIENCE), None, "it was lost");
        assert!(!breaker.answered(now - SECOND), "a late answer from before says nothing");
        assert!(breaker.answered(later));
        assert_eq!((breaker.circuit(), breaker.not_before(later)), (Circuit::Closed, None));
    }

    #[test]
    fn each_failed_try_doubles_the_pause_and_what_was_sent_before_does_not() {
        let mut now = Instant::now();
        let mut breaker = open(now);
        for expected in [2, 4, 8, 16, 30, 30] {
            now = breaker.not_before(now).expect("a pause");
            breaker.pass(now);
            assert!(!breaker.failed(now - 60 * SECOND, now, 1.0));
            breaker.failed(now, now, 1.0);
            assert_eq!(breaker.not_before(now), Some(now + expected * SECOND));
        }
    }

    #[test]
    fn a_reader_s_question_is_not_the_one_that_tries_and_takes_nobody_s_place() {
        let now = Instant::now();
        let mut breaker = open(now);
        assert_eq!(breaker.not_before_for_readers(now), None);
        breaker.pass_reader(now);
        assert_eq!(breaker.not_before_for_readers(now), Some(now + READER_EVERY));
        assert_eq!((breaker.circuit(), breaker.not_before(now)), (Circuit::Open, Some(now + FIRST_PAUSE)));
        let later = now + SECOND;
        assert_eq!((breaker.not_before_for_readers(later), breaker.not_before(later)), (None, None));
        assert!(breaker.answered(later));
        breaker.pass_reader(later);
        assert_eq!(breaker.not_before_for_readers(later), None, "they go on as ever");
    }

    proptest! {
        #[test]
        fn while_nothing_answers_it_is_asked_ever_more_rarely_and_never_given_up(
            spreads in proptest::collection::vec(0.0..1.0_f64, 50),
        ) {
            let begin = Instant::now();
            let (mut breaker, mut now) = (open(begin), begin);
            let mut tries = 0;
            for spread in spreads {
                let Some(until) = breaker.not_before(now) else { panic!("no pause") };
                prop_assert!(until - now <= LONGEST_PAUSE);
                now = until;
                breaker.pass(now);
                tries += 1;
                breaker.failed(now, now, spread);
            }
            // Half of the longest pause is the shortest that spreading leaves of it.
            prop_assert!(now - begin >= (LONGEST_PAUSE / 2) * (tries - 6));
        }
    }
}
