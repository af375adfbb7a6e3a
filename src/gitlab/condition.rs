//! What the ends of calls say about GitLab's condition, and what follows from it.

use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::breaker::Circuit;
use super::http::{Hop, Http};
use super::question::Question;
use super::window::Window;
use super::{Class, Kind};

/// A question that takes longer is worth a word.
const SLOW: Duration = Duration::from_secs(10);

/// The part of a known limit that is for backfill.
const BACKFILL_PART: f64 = 0.9;

impl Http {
    /// Takes in what the end of a call of the service's own says about GitLab's condition: an answer is an answer, whatever it says.
    pub(super) fn weigh(&self, hop: &Hop<'_>, kind: Option<&Kind>) {
        if !hop.judges() {
            return;
        }
        let now = Instant::now();
        let failed = matches!(kind, Some(Kind::Unavailable(_)));
        let (news, circuit) = {
            let mut limits = self.limits();
            let news = if failed { limits.failed(hop.sent, now) } else { limits.answered(hop.sent) };
            (news, limits.circuit())
        };
        let window = {
            let mut window = self.lock_window();
            match failed {
                true => window.failed(hop.sent, now),
                false => window.answered(hop.endpoint, hop.sent, now, self.permits.held()),
            }
            window.calls()
        };
        self.permits.narrow(window);
        self.metrics.window.set(i64::try_from(window).unwrap_or(i64::MAX));
        self.metrics.circuit_open.set(i64::from(circuit != Circuit::Closed));
        match (news, failed) {
            (true, true) => tracing::warn!("GitLab does not answer: one question at a time finds out when it does"),
            (true, false) => tracing::info!("GitLab answers again"),
            (false, _) => {}
        }
    }

    /// Tells of a question that took long, and what took the time. A backfill waits for its turn by design.
    pub(super) fn note_slow(&self, question: &Question, class: Class, waited: Duration, answered: Duration) {
        let counts = if class == Class::Backfill { answered } else { waited + answered };
        if counts < SLOW {
            return;
        }
        if let Some(questions) = self.slow.ring(std::time::Instant::now()) {
            let reason = if waited > answered {
                "it waited for a permit or for a limit of GitLab"
            } else {
                "GitLab took long to answer"
            };
            let (waited_ms, answered_ms) = (waited.as_millis() as u64, answered.as_millis() as u64);
            tracing::warn!(
                questions, %question, waited_ms, answered_ms, reason,
                "slow questions to GitLab since the last warning, the last one so"
            );
        }
    }

    /// Returns how many calls GitLab's condition allows.
    pub(super) fn window(&self) -> usize {
        self.lock_window().calls()
    }

    /// Returns how long so many more calls would take a backfill, at the pace of the calls that were made and within the limits.
    pub(super) fn estimate(&self, calls: u64) -> Option<Duration> {
        let typical = self.lock_window().typical()?;
        let by_latency = typical.as_secs_f64() * calls as f64 / self.most as f64;
        let by_rate = self.limits().per_minute().into_iter().chain(self.per_minute.map(u64::from)).min();
        let by_rate = by_rate.map_or(0.0, |limit| calls as f64 * 60.0 / (limit as f64 * BACKFILL_PART));
        Duration::try_from_secs_f64(by_latency.max(by_rate)).ok()
    }

    /// Returns whether GitLab answers at all.
    pub(super) fn circuit(&self) -> Circuit {
        self.limits().circuit()
    }

    fn lock_window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
