//! Whose questions GitLab is not asked for a while, and nobody else's: it told them to wait, or does not answer them again and again.
//!
//! A reader may choose what GitLab, or what is before it, fails to answer; that says nothing about GitLab. Time is passed in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::store::TokenHash;

/// Failures in a row after which a reader has to wait.
const FAILURES: u32 = 3;

/// The first pause; each further failure doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Readers that are remembered; above it, one is asked for in vain.
const READERS: usize = 1000;

/// A reader: their token, and for who has none where they come from.
pub(super) type Whose = (TokenHash, Option<IpAddr>);

/// The readers who have to wait.
#[derive(Debug, Default)]
pub(super) struct Paused(Mutex<HashMap<Whose, Pause>>);

#[derive(Debug, Clone, Copy)]
struct Pause {
    failures: u32,
    until: Instant,
    /// When it is forgotten.
    known_until: Instant,
}

impl Paused {
    /// Returns whether GitLab is not to be asked for a reader.
    pub(super) fn is(&self, (token, from): Whose, now: Instant) -> bool {
        let paused = self.lock();
        // What GitLab told one without a token holds for all of them: it counts by address, which is ours.
        [(token, from), (token, None)].iter().any(|whose| paused.get(whose).is_some_and(|pause| now < pause.until))
    }

    /// GitLab told whoever has this token to wait.
    pub(super) fn throttled(&self, token: TokenHash, until: Instant, now: Instant) {
        self.note((token, None), Pause { failures: 0, until, known_until: until }, now);
    }

    /// GitLab did not answer a reader's question.
    pub(super) fn failed(&self, whose: Whose, now: Instant) {
        let failures = self.lock().get(&whose).map_or(0, |pause| pause.failures).saturating_add(1);
        let doubled = failures.checked_sub(FAILURES).map(|more| FIRST_PAUSE.saturating_mul(1 << more.min(10)));
        let length = doubled.unwrap_or(Duration::ZERO).min(LONGEST_PAUSE);
        self.note(whose, Pause { failures, until: now + length, known_until: now + length + LONGEST_PAUSE }, now);
    }

    /// GitLab answered a reader's question.
    pub(super) fn answered(&self, whose: Whose) {
        self.lock().remove(&whose);
    }

    fn note(&self, whose: Whose, pause: Pause, now: Instant) {
        let mut paused = self.lock();
        if paused.len() >= READERS {
            paused.retain(|_, pause| now < pause.known_until);
        }
        if paused.len() < READERS || paused.contains_key(&whose) {
            paused.insert(whose, pause);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Whose, Pause>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn whose(token: u8, from: Option<u8>) -> Whose {
        (TokenHash([token; 32]), from.map(|number| IpAddr::from([10, 0, 0, number])))
    }

    #[test]
    fn who_is_not_answered_again_and_again_is_asked_for_ever_more_rarely_and_others_are_not() {
        let (paused, mut now) = (Paused::default(), Instant::now());
        let (stranger, other) = (whose(0, Some(1)), whose(0, Some(2)));
        for length in [0, 0, 1, 2, 4, 8, 16, 30, 30] {
            paused.failed(stranger, now);
            assert_eq!(paused.is(stranger, now), length > 0);
            assert!(!paused.is(other, now));
            now += length * SECOND;
            assert!(!paused.is(stranger, now));
        }
        paused.answered(stranger);
        paused.failed(stranger, now);
        assert!(!paused.is(stranger, now));
    }

    #[test]
    fn what_gitlab_tells_one_without_a_token_holds_for_all_of_them() {
        let (paused, now) = (Paused::default(), Instant::now());
        let until = now + SECOND;
        paused.throttled(whose(0, None).0, until, now);
        assert!(paused.is(whose(0, Some(1)), now) && !paused.is(whose(1, None), now));
        assert!(!paused.is(whose(0, Some(1)), until));
    }

    #[test]
    fn no_more_readers_are_remembered_than_fit() {
        let (paused, now) = (Paused::default(), Instant::now());
        for number in 0..2 * READERS {
            let [low, high, ..] = number.to_le_bytes();
            paused.failed((TokenHash([low; 32]), Some(IpAddr::from([10, 0, high, low]))), now);
        }
        assert_eq!(paused.lock().len(), READERS);
    }
}
