//! Grouping: what several callers want written at the same time becomes few commands.
//!
//! Whoever comes while all lanes work waits in line, and the next lane that is free takes everything that waits, up to a
//! weight. So a lone caller waits for nobody, and a crowd shares its round trips. What was handed over is worked on whether
//! or not the caller still waits; closing waits for it.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use tokio::sync::Notify;

/// One item of a group, and how much of a batch it takes.
pub(super) trait Weighed: Send + 'static {
    /// Returns how many bytes it brings, roughly.
    fn weight(&self) -> usize;
}

/// The items that wait and the lanes that work on them.
pub(super) struct Group<T> {
    state: Mutex<State<T>>,
    idle: Notify,
    lanes: usize,
    batch_weight: usize,
}

struct State<T> {
    waiting: VecDeque<T>,
    working: usize,
    closed: bool,
}

impl<T> std::fmt::Debug for Group<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group").field("lanes", &self.lanes).finish_non_exhaustive()
    }
}

impl<T: Weighed> Group<T> {
    /// Makes a group of so many lanes whose batches weigh at most so much; the last item may exceed it.
    pub(super) fn new(lanes: usize, batch_weight: usize) -> Arc<Self> {
        let state = State { waiting: VecDeque::new(), working: 0, closed: false };
        Arc::new(Self { state: Mutex::new(state), idle: Notify::new(), lanes, batch_weight })
    }

    /// Hands an item over; false when the group was closed. Callers bound how many wait.
    pub(super) fn add<W, F>(self: &Arc<Self>, item: T, work: W) -> bool
    where
        W: Fn(Vec<T>) -> F + Send + 'static,
        F: Future<Output = ()> + Send,
    {
        {
            let mut state = self.state();
            if state.closed {
                return false;
            }
            state.waiting.push_back(item);
            if state.working == self.lanes {
                return true;
            }
            state.working += 1;
        }
        let group = Arc::clone(self);
        tokio::spawn(async move {
            while let Some(batch) = group.next() {
                // The callers of a batch that panics learn it by their dropped answers.
                if AssertUnwindSafe(work(batch)).catch_unwind().await.is_err() {
                    tracing::error!("a store operation panicked");
                }
            }
        });
        true
    }

    /// Takes no more items and waits until all of them have been worked on.
    pub(super) async fn close(&self) {
        loop {
            let idle = self.idle.notified();
            {
                let mut state = self.state();
                state.closed = true;
                if state.working == 0 {
                    return;
                }
            }
            idle.await;
        }
    }

    /// Takes what waits; a lane that finds nothing ends, under the same lock, so that no item is left behind.
    fn next(&self) -> Option<Vec<T>> {
        let mut state = self.state();
        let mut batch = Vec::new();
        let mut weight = 0;
        while weight < self.batch_weight
            && let Some(item) = state.waiting.pop_front()
        {
            weight += item.weight();
            batch.push(item);
        }
        if batch.is_empty() {
            state.working -= 1;
            self.idle.notify_waiters();
            return None;
        }
        Some(batch)
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
