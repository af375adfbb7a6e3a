//! This process's share of the deployment's GitLab permits.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::gitlab::Gitlab;
use crate::queue::{Queue, Share};

/// How long after its lease a process whose heartbeats fail goes on beginning calls: its share is given to others 60 s after the
/// lease, and what it has in flight then has half a minute to end.
const VALID_AFTER_LEASE: Duration = Duration::from_secs(30);

/// After so many heartbeats without a permit a person is told what is waited for; beside others the first ones are normal.
const TOLD_AFTER: u32 = 4;

/// Tells the store what this process holds and wants, and the client what it may use.
#[derive(Debug)]
pub(super) struct Permits {
    gitlab: Gitlab,
    queue: Queue,
    /// What the whole deployment has.
    total: u32,
    /// What this process uses at most.
    most: usize,
    /// How long a grant holds without another one.
    valid: Duration,
    allowed: AtomicU32,
    /// Heartbeats in a row that granted nothing.
    without: AtomicU32,
}

impl Permits {
    /// Of the deployment's `total` this process uses no more than `most`. Nothing is allowed before the first heartbeat has been answered.
    pub(super) fn new(gitlab: Gitlab, queue: Queue, (most, total): (usize, usize), lease: Duration) -> Self {
        gitlab.set_share(0, 0, Duration::ZERO);
        Self {
            gitlab,
            queue,
            total: u32::try_from(total).unwrap_or(u32::MAX),
            most,
            valid: lease + VALID_AFTER_LEASE,
            allowed: AtomicU32::new(0),
            without: AtomicU32::new(0),
        }
    }
}

impl Share for Permits {
    fn total(&self) -> u32 {
        self.total
    }

    fn held(&self) -> u32 {
        let in_flight = u32::try_from(self.gitlab.in_flight()).unwrap_or(u32::MAX);
        self.allowed.load(Ordering::Relaxed).max(in_flight)
    }

    fn wanted(&self) -> u32 {
        let calls = self.gitlab.in_flight() + self.gitlab.waiting();
        u32::try_from(self.queue.due_targets().max(calls).min(self.most)).unwrap_or(u32::MAX)
    }

    fn granted(&self, permits: u32) {
        self.allowed.store(permits, Ordering::Relaxed);
        if permits > 0 {
            self.without.store(0, Ordering::Relaxed);
        } else if self.without.fetch_add(1, Ordering::Relaxed) + 1 == TOLD_AFTER {
            tracing::info!(
                "waiting for GitLab permits: other processes on this store hold all of limits.api_calls, or one was killed \
                 and its share returns 60 s after its lease"
            );
        }
        self.gitlab.set_share(permits as usize, self.total as usize, self.valid);
    }
}
