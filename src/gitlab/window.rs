//! How many calls GitLab's condition allows: fewer when it slows down or fails, more again when it recovers.
//!
//! Additive increase, multiplicative decrease, as TCP does it: it needs no model of the server, settles near the point where
//! more calls only wait longer, and several processes that do the same come to fair shares without knowing of each other. A
//! gradient of latencies would react sooner, but GitLab's endpoints differ a hundredfold in time, so that the mix of questions
//! looks like a change of condition. So each endpoint is held against its own best times, and one slow answer says nothing.
//!
//! Pure: time is passed in. It only ever lowers what limits and permits allow.

use std::time::Duration;

use tokio::time::Instant;

use super::endpoint::Endpoint;

/// What is kept of the window when GitLab fails or slows down.
const AFTER_FAILURE: f64 = 0.7;
const AFTER_SLOWNESS: f64 = 0.85;

/// An endpoint is slow when its recent times are this many times its best ones, and more than a blink above them. A log's time
/// grows with its size; a report's says only how many tests there were (contract, sections 5.6 and 5.8).
const SLOW: f64 = 2.5;
const SLOW_FOR_A_LOG: f64 = 6.0;
const BLINK: Duration = Duration::from_millis(50);

/// How much one answer counts in an endpoint's recent time.
const RECENT: f64 = 1.0 / 8.0;

/// How fast the best time is forgotten: it comes nearer to the recent one as fast as if it would meet it after this time, so
/// that a GitLab that became slower for good is not held against its youth.
const FORGET: Duration = Duration::from_secs(600);

/// The window and what it is judged by.
#[derive(Debug)]
pub(super) struct Window {
    most: f64,
    now: f64,
    /// Calls sent before this time say nothing about the window that holds now.
    judged: Option<Instant>,
    times: [Option<Times>; Endpoint::COUNT],
}

/// How long one endpoint takes to answer, in seconds.
#[derive(Debug, Clone, Copy)]
struct Times {
    best: f64,
    recent: f64,
    noted: Instant,
}

impl Times {
    fn note(&mut self, took: f64, now: Instant) {
        // One answer, however late, is one answer.
        let took = took.min(self.recent * 2.0 + BLINK.as_secs_f64());
        self.recent += (took - self.recent) * RECENT;
        let passed = now.saturating_duration_since(self.noted).as_secs_f64() / FORGET.as_secs_f64();
        self.best = self.best.min(took) + (self.recent - self.best).max(0.0) * passed.min(1.0);
        self.noted = now;
    }

    fn are_slow(self, endpoint: Endpoint) -> bool {
        let slow = match endpoint {
            // Their times are those of whoever receives the delivery, or of whatever was asked.
            Endpoint::TestReport | Endpoint::HookTest | Endpoint::HookResend | Endpoint::Passed => return false,
            Endpoint::Trace => SLOW_FOR_A_LOG,
            _ => SLOW,
        };
        self.recent > self.best * slow && self.recent > self.best + BLINK.as_secs_f64()
    }
}

impl Window {
    /// Returns a window that is wide open.
    pub(super) fn new(most: usize) -> Self {
        Self { most: most.max(1) as f64, now: most.max(1) as f64, judged: None, times: [None; Endpoint::COUNT] }
    }

    /// Returns how many calls may be in flight.
    pub(super) fn calls(&self) -> usize {
        self.now.floor().max(1.0) as usize
    }

    /// Returns how long calls have taken lately, over the endpoints that were asked.
    pub(super) fn typical(&self) -> Option<Duration> {
        let times: Vec<f64> = self.times.iter().flatten().map(|times| times.recent).collect();
        let mean = times.iter().sum::<f64>() / times.len() as f64;
        Duration::try_from_secs_f64(mean).ok()
    }

    /// GitLab answered a question that was sent at this time, while so many calls were in flight.
    pub(super) fn answered(&mut self, endpoint: Endpoint, sent: Instant, now: Instant, in_flight: usize) {
        let took = now.duration_since(sent).as_secs_f64();
        let times = self.times[endpoint as usize].get_or_insert(Times { best: took, recent: took, noted: now });
        times.note(took, now);
        if times.are_slow(endpoint) {
            self.shrink(AFTER_SLOWNESS, sent, now);
        } else if in_flight as f64 >= self.now / 2.0 {
            // A window's worth of answers opens it by one; one that is not used says nothing about a larger one.
            self.now = (self.now + 1.0 / self.now).min(self.most);
        }
    }

    /// GitLab did not answer properly.
    pub(super) fn failed(&mut self, sent: Instant, now: Instant) {
        self.shrink(AFTER_FAILURE, sent, now);
    }

    /// At most once for all calls that were in flight together: they met the same trouble.
    fn shrink(&mut self, part: f64, sent: Instant, now: Instant) {
        if self.judged.is_some_and(|judged| sent < judged) {
            return;
        }
        self.judged = Some(now);
        self.now = (self.now * part).max(1.0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A GitLab that answers `good` calls at once in 50 ms and takes longer in proportion when there are more.
    fn settle(window: &mut Window, now: &mut Instant, good: f64, rounds: u32) -> f64 {
        let mut sum = 0.0;
        for _ in 0..rounds {
            let calls = window.calls();
            let took = Duration::from_secs_f64(0.05 * (calls as f64 / good).max(1.0).powi(2));
            let sent = *now;
            *now += took;
            for _ in 0..calls {
                window.answered(Endpoint::Job, sent, *now, calls);
            }
            sum += calls as f64;
        }
        sum / f64::from(rounds)
    }

    #[test]
    fn it_narrows_when_more_calls_only_wait_longer_and_opens_again_afterwards() {
        let (mut window, mut now) = (Window::new(20), Instant::now());
        assert_eq!(settle(&mut window, &mut now, 100.0, 50), 20.0, "nothing speaks against all of it");
        let busy = {
            settle(&mut window, &mut now, 5.0, 50);
            settle(&mut window, &mut now, 5.0, 200)
        };
        assert!((4.0..11.0).contains(&busy), "{busy} calls where 5 are good");
        settle(&mut window, &mut now, 100.0, 60);
        assert_eq!(window.calls(), 20, "it recovers within 60 round trips");
    }

    #[test]
    fn failures_narrow_it_once_for_all_that_were_in_flight_together() {
        let (mut window, now) = (Window::new(20), Instant::now());
        for _ in 0..20 {
            window.failed(now, now + Duration::from_millis(10));
        }
        assert_eq!(window.calls(), 14);
        let mut later = now;
        for _ in 0..50 {
            later += Duration::from_secs(1);
            window.failed(later, later);
        }
        assert_eq!(window.calls(), 1, "one call always finds out");
    }

    #[test]
    fn endpoints_that_differ_a_hundredfold_are_no_slowness() {
        let (mut window, mut now) = (Window::new(20), Instant::now());
        for round in 0..2000_u64 {
            let (endpoint, millis) = if round % 3 == 0 {
                (Endpoint::TestReport, 300 + round % 7 * 900)
            } else {
                (Endpoint::Job, 20 + round % 20)
            };
            let sent = now;
            now += Duration::from_millis(millis);
            window.answered(endpoint, sent, now, 20);
        }
        assert_eq!(window.calls(), 20);
    }

    proptest! {
        #[test]
        fn it_stays_between_one_and_what_is_allowed(
            most in 1..40_usize,
            steps in proptest::collection::vec((any::<bool>(), 1..5000_u64, 0..60_usize), 0..300),
        ) {
            let (mut window, mut now) = (Window::new(most), Instant::now());
            for (fails, millis, in_flight) in steps {
                let sent = now;
                now += Duration::from_millis(millis);
                if fails {
                    window.failed(sent, now);
                } else {
                    window.answered(Endpoint::Jobs, sent, now, in_flight);
                }
                prop_assert!((1..=most).contains(&window.calls()));
            }
        }
    }
}
