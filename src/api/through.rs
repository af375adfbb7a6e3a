//! Reading through: what is not good enough is offered as work, and awaited for a while.
//!
//! Guarantees: however many ask for one thing, GitLab is asked once; what GitLab did not have, or not for us, is not asked
//! again for a minute; while GitLab does not answer, nobody waits for it again and again. The memory of it is this
//! process's, and bounded.
//!
//! What it does not do: it never talks to GitLab and writes nothing; it offers work to the queue and hears of its end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt, Shared};

use crate::queue::{Outcome, Queue};
use crate::work::{Cause, Lane, Target, Work};

/// How long a reader waits for GitLab.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long what GitLab did not have, or not for us, is not asked for again.
const REFUSED_FOR: Duration = Duration::from_secs(60);

/// How long what GitLab did not answer is not asked for again: readers of what we have need not wait each time.
const UNREACHABLE_FOR: Duration = Duration::from_secs(5);

/// How many answers are remembered. Forgetting one costs another question at most.
const MOST: usize = 20_000;

/// What readers' misses become. Cheap to clone; clones share what they remember.
#[derive(Debug, Clone)]
pub struct ReadThrough(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    queue: Queue,
    max_age: Duration,
    memory: Mutex<Memory>,
}

/// What GitLab said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It answered: what it said is stored.
    Answered,
    /// It does not have it, or not for us.
    Refused,
    /// It did not answer in time.
    Unreachable,
}

/// What became of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// GitLab was asked for this reader.
    Now(Verdict),
    /// It was asked a moment ago.
    Before(Verdict),
    /// It is never asked.
    Never,
}

impl ReadThrough {
    /// Offers misses to a queue; what is unfinished may be as old as `max_age`.
    pub fn new(queue: Queue, max_age: Duration) -> Self {
        Self(Some(Arc::new(Inner { queue, max_age, memory: Mutex::default() })))
    }

    /// Asks nothing: what is held is all there is.
    pub fn off() -> Self {
        Self(None)
    }

    /// Returns how old what is unfinished may be; `None` when age does not matter.
    pub(super) fn max_age(&self) -> Option<Duration> {
        self.0.as_ref().map(|inner| inner.max_age)
    }

    /// Has GitLab asked, unless it was a moment ago, and waits for the end. What it answers is good for `good_for`.
    pub(super) async fn ask(&self, target: Target, cause: Cause, good_for: Duration) -> Asked {
        self.ask_for(Work::now(target, Lane::Reader, cause), good_for).await
    }

    /// As [`ask`](Self::ask), for whatever project is at a path.
    pub(super) async fn ask_path(&self, path: &str) -> Asked {
        let work = Work::now(Target::path(path), Lane::Reader, Cause::Read);
        self.ask_for(Work { path: Some(path.into()), ..work }, Duration::ZERO).await
    }

    async fn ask_for(&self, work: Work, good_for: Duration) -> Asked {
        let Some(inner) = &self.0 else { return Asked::Never };
        let key = (work.target, work.cause);
        let asking = {
            let mut memory = inner.memory();
            match memory.recall(key, Instant::now()) {
                Some(What::Known(verdict)) => return Asked::Before(verdict),
                Some(What::Asking(asking)) => asking,
                None => {
                    let Some(outcome) = inner.queue.fetch(&work, PATIENCE) else {
                        return Asked::Now(Verdict::Unreachable);
                    };
                    let asking = async move {
                        match tokio::time::timeout(PATIENCE, outcome).await {
                            Ok(Ok(done)) => verdict(&done.outcome),
                            Ok(Err(_)) | Err(_) => Verdict::Unreachable,
                        }
                    };
                    let asking: Asking = asking.boxed().shared();
                    memory.note(key, What::Asking(asking.clone()), Instant::now() + PATIENCE);
                    asking
                }
            }
        };
        let verdict = asking.await;
        inner.learned(key, verdict, good_for);
        Asked::Now(verdict)
    }

    /// Notes that GitLab's answer did not hold what was asked for.
    pub(super) fn has_none(&self, target: Target, cause: Cause) {
        if let Some(inner) = &self.0 {
            inner.learned((target, cause), Verdict::Refused, inner.max_age);
        }
    }
}

impl Inner {
    fn learned(&self, key: Key, verdict: Verdict, good_for: Duration) {
        let good_for = match verdict {
            Verdict::Answered => good_for,
            Verdict::Refused => REFUSED_FOR.max(self.max_age),
            Verdict::Unreachable => UNREACHABLE_FOR,
        };
        self.memory().note(key, What::Known(verdict), Instant::now() + good_for);
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn verdict(outcome: &Outcome) -> Verdict {
    match outcome {
        Outcome::Stored => Verdict::Answered,
        Outcome::Gone | Outcome::Failed(_) => Verdict::Refused,
        Outcome::Postponed(_) | Outcome::Unrecorded(_) => Verdict::Unreachable,
    }
}

type Key = (Target, Cause);
type Asking = Shared<BoxFuture<'static, Verdict>>;

/// What is remembered of one question.
#[derive(Debug, Clone)]
enum What {
    /// It is being asked.
    Asking(Asking),
    /// This was the answer.
    Known(Verdict),
}

/// Questions under way and answers, each for a while.
#[derive(Debug, Default)]
struct Memory(HashMap<Key, (What, Instant)>);

impl Memory {
    fn recall(&self, key: Key, now: Instant) -> Option<What> {
        self.0.get(&key).filter(|(_, until)| *until > now).map(|(what, _)| what.clone())
    }

    fn note(&mut self, key: Key, what: What, until: Instant) {
        if self.0.len() >= MOST && !self.0.contains_key(&key) {
            let now = Instant::now();
            self.0.retain(|_, (_, until)| *until > now);
            if self.0.len() >= MOST {
                self.0.clear();
            }
        }
        self.0.insert(key, (what, until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ProjectId;

    fn key(id: u64) -> Key {
        (Target::Project(ProjectId(id)), Cause::Read)
    }

    #[test]
    fn an_answer_is_remembered_until_its_time() {
        let mut memory = Memory::default();
        let now = Instant::now();
        memory.note(key(1), What::Known(Verdict::Refused), now + REFUSED_FOR);
        let known = |at| matches!(memory.recall(key(1), at), Some(What::Known(Verdict::Refused)));
        assert!(known(now + Duration::from_secs(59)) && !known(now + Duration::from_secs(60)));
        assert!(memory.recall((key(1).0, Cause::Fetch), now).is_none(), "another question");
    }

    #[test]
    fn no_more_is_remembered_than_fits() {
        let mut memory = Memory::default();
        let until = Instant::now() + REFUSED_FOR;
        for id in 0..3 * MOST as u64 {
            memory.note(key(id), What::Known(Verdict::Refused), until);
            assert!(memory.0.len() <= MOST);
        }
    }
}
