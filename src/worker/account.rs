//! What becomes of a lease when its ingest ends (design, section 4.2).

use std::time::{Duration, Instant};

use super::Workers;
use crate::domain::Timestamp;
use crate::ingest::{Found, Remedy, Task, Trouble};
use crate::queue::{Attempt, Lease, Outcome, Part};
use crate::work::{Cause, Lane};

/// How long everyone leaves the store alone after it did not answer.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// An event that takes longer is worth a word.
const SLOW: Duration = Duration::from_secs(30);

impl Workers {
    /// Ingests a lease's target and ends the lease.
    pub(super) async fn account(&self, lease: Lease) {
        if let Err(error) = lease.start().await {
            return self.store_is_away(lease, &error.to_string());
        }
        let task = Task {
            target: lease.target(),
            lane: lease.lane(),
            cause: lease.cause(),
            thorough: lease.is_thorough(),
            last: usize::try_from(lease.attempt()).unwrap_or(usize::MAX) > self.config.schedule.not_ended_retries.len(),
            listed: lease.listed(),
            path: lease.path(),
        };
        let began = Instant::now();
        let ran = self.ingest.run(&task).await;
        self.note_slow(&lease, began.elapsed());
        let (part, trouble) = match ran {
            Ok(Found { facts, follow, units, in_hand, trouble }) => {
                let ingest = self.ingest.clone();
                // It lives until the commit has ended, whether it is called then or not.
                let committed: Box<dyn FnOnce() + Send> = Box::new(move || {
                    drop(in_hand);
                    ingest.tell(&units);
                });
                (Part { facts, follow, committed: Some(committed) }, trouble)
            }
            Err(trouble) => (Part::default(), Some(trouble)),
        };
        let event = (lease.lane() == Lane::Live && lease.cause() == Cause::Ended).then(|| lease.since());
        let target = lease.target();
        let outcome = trouble.as_ref().map_or("stored", |trouble| trouble.remedy().as_str());
        tracing::Span::current().record("outcome", outcome);
        let ended = match trouble {
            None => {
                let ended = lease.finish(Outcome::Stored, part).await;
                if let (Ok(()), Some(since)) = (&ended, event) {
                    self.metrics.event_to_cached.observe(Timestamp::now().since(since).as_secs_f64());
                }
                ended
            }
            Some(trouble) => self.end_in_trouble(lease, part, &trouble).await,
        };
        // The lease was dropped by the failed commit: its target is back in the queue.
        if let Err(error) = ended {
            self.queue.hold(Timestamp::now().plus(STORE_PAUSE));
            tracing::warn!(%error, target = %target.in_words(), "could not record the end of a target");
        }
    }

    /// Tells of an event whose work took long, and what took the time.
    fn note_slow(&self, lease: &Lease, worked: Duration) {
        let waited = Timestamp::now().since(lease.since()).saturating_sub(worked);
        if lease.lane() != Lane::Live || lease.attempt() > 1 || waited + worked < SLOW {
            return;
        }
        if let Some(targets) = self.slow.ring(Instant::now()) {
            let reason = if waited > worked {
                "it waited for its turn, or for GitLab's or the store's pause to end"
            } else {
                "GitLab or the store answered slowly, or what is cached is large"
            };
            let (waited_ms, worked_ms) = (waited.as_millis() as u64, worked.as_millis() as u64);
            tracing::warn!(
                targets,
                waited_ms,
                worked_ms,
                reason,
                "slow events since the last warning, the last one so"
            );
        }
    }

    async fn end_in_trouble(&self, lease: Lease, part: Part, trouble: &Trouble) -> Result<(), crate::store::Error> {
        let attempt = lease.attempt();
        let words = lease.target().in_words();
        let problem = trouble.to_string();
        if lease.is_a_miss() {
            return self.end_a_miss(lease, part, trouble.remedy(), problem).await;
        }
        match trouble.remedy() {
            Remedy::Gone => lease.finish(Outcome::Gone, part).await,
            Remedy::Nothing => self.set_aside(lease, problem, part).await,
            remedy @ (Remedy::Later | Remedy::Person) => {
                let wait = self.config.schedule.backoff(attempt).mul_f64(fastrand::f64());
                tracing::debug!(target = %words, error = %problem, attempt, "postponed a target");
                let meaning = if remedy == Remedy::Person { Attempt::Hopeless } else { Attempt::Counted };
                lease.postpone(Timestamp::now().plus(wait), problem, meaning, part).await
            }
            Remedy::NotBefore { until, everyone } => {
                if everyone {
                    self.queue.hold(until);
                }
                // Those who wait for the same moment do not all come at it.
                let spread = Duration::from_millis(fastrand::u64(0..1000)).mul_f64(self.spread());
                lease.postpone(until.plus(spread), problem, Attempt::Uncounted, part).await
            }
            Remedy::Perhaps => match self.retry_after(attempt) {
                Some(wait) => {
                    tracing::debug!(target = %words, error = %problem, attempt, "postponed a target");
                    lease.postpone(Timestamp::now().plus(wait), problem, Attempt::Doubtful, part).await
                }
                None => self.set_aside(lease, problem, part).await,
            },
            Remedy::Soon => match self.retry_after(attempt) {
                Some(wait) => lease.postpone(Timestamp::now().plus(wait), problem, Attempt::Counted, part).await,
                None => lease.finish(Outcome::Gone, part).await,
            },
            Remedy::Store => {
                self.store_is_away(lease, &problem);
                Ok(())
            }
        }
    }

    async fn set_aside(&self, lease: Lease, problem: String, part: Part) -> Result<(), crate::store::Error> {
        let (words, attempt) = (lease.target().in_words(), lease.attempt());
        tracing::warn!(target = %words, error = %problem, attempt, "set a target aside as failed");
        lease.fail(problem, part).await
    }

    /// Returns how long to wait after this attempt; `None` when the schedule has no further one.
    fn retry_after(&self, attempt: u32) -> Option<Duration> {
        let at = usize::try_from(attempt).unwrap_or(usize::MAX).saturating_sub(1);
        self.config.schedule.not_ended_retries.get(at).copied()
    }

    /// A reader is told at once, and nothing is left behind.
    async fn end_a_miss(
        &self,
        lease: Lease,
        part: Part,
        remedy: Remedy,
        problem: String,
    ) -> Result<(), crate::store::Error> {
        tracing::debug!(target = %lease.target().in_words(), error = %problem, "could not answer a reader");
        let outcome = match remedy {
            Remedy::Gone => Outcome::Gone,
            Remedy::Nothing => Outcome::Failed(problem),
            Remedy::Later
            | Remedy::Person
            | Remedy::Soon
            | Remedy::Perhaps
            | Remedy::Store
            | Remedy::NotBefore { .. } => Outcome::Postponed(problem),
        };
        match remedy {
            Remedy::NotBefore { until, everyone: true } => self.queue.hold(until),
            Remedy::Store => self.queue.hold(Timestamp::now().plus(STORE_PAUSE)),
            _ => {}
        }
        lease.forget(outcome, part).await
    }

    /// The store does not answer: everyone waits a moment, nothing counts as tried, the journal has the entries.
    fn store_is_away(&self, lease: Lease, problem: &str) {
        tracing::debug!(target = %lease.target().in_words(), error = %problem, "the store is away");
        self.queue.hold(Timestamp::now().plus(STORE_PAUSE));
        lease.release(STORE_PAUSE, problem.to_owned());
    }

    /// Scales the spread like every other waiting time.
    fn spread(&self) -> f64 {
        self.config.schedule.backoff_base.as_secs_f64()
    }
}
