//! What the queue does on its own: heartbeat, taking over the work of dead processes, bringing the journal into memory.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::Queue;
use super::state::Claim;
use crate::domain::Timestamp;
use crate::store::{Change, Entry, Error};
use crate::work::{Lane, Work};

/// Between two heartbeats at most: they state permits held and wanted, so they are more frequent than the lease needs.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Between two sweeps of blobs that nothing points to.
const BLOB_SWEEP: Duration = Duration::from_secs(60);

/// When this process's store lease was last renewed, and since when, after a silence, it waits for others to be heard.
#[derive(Debug, Default)]
pub(super) struct Heart {
    pub(super) renewed: Option<Instant>,
    resumed: Option<Instant>,
}

/// What a process does beside its heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It works: takes over the entries of dead processes, brings the journal into memory, sweeps blobs.
    Worker,
    /// It only reads and asks: its heartbeat gets it permits, and it changes nothing else.
    Observer,
}

/// How many of the deployment's GitLab permits this process may use, and how it learns that.
pub trait Share: Send + Sync {
    /// Returns how many permits the whole deployment has.
    fn total(&self) -> u32;
    /// Returns how many this process may be using now: its last grant, or what is still in flight above a lower one.
    fn held(&self) -> u32;
    /// Returns how many it could use now.
    fn wanted(&self) -> u32;
    /// Is told how many it may use from now on.
    fn granted(&self, permits: u32);
}

impl Queue {
    /// Keeps this process's lease and the queue's memory in order until `stop`. Never fails: what does not work now is
    /// tried again at the next beat.
    pub async fn maintain(&self, share: &dyn Share, role: Role, stop: CancellationToken) {
        let mut swept = Instant::now();
        let mut beat = tokio::time::interval(HEARTBEAT.min(self.inner.config.lease / 3));
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.inner.thin.notified() => {
                    if let Err(error) = self.refill().await {
                        tracing::debug!(%error, "could not bring journal entries into memory");
                    }
                    continue;
                }
                _ = beat.tick() => {}
            }
            if let Err(error) = self.beat(share, role).await {
                tracing::debug!(%error, "the store does not answer");
                continue;
            }
            if role == Role::Worker && swept.elapsed() >= BLOB_SWEEP {
                swept = Instant::now();
                match self.inner.store.sweep_blobs().await {
                    Ok(0) => {}
                    Ok(blobs) => tracing::debug!(blobs, "removed blobs that nothing points to"),
                    Err(error) => tracing::debug!(%error, "could not sweep blobs"),
                }
            }
        }
    }

    /// One beat: the heartbeat, and for a worker marks, adoption and refill.
    pub async fn beat(&self, share: &dyn Share, role: Role) -> Result<(), Error> {
        let asked = Instant::now();
        let held = share.held();
        share.granted(self.inner.store.heartbeat(held, share.wanted(), share.total()).await?);
        if share.held() < held {
            // What it gave up is free for others only when that is written.
            share.granted(self.inner.store.heartbeat(share.held(), share.wanted(), share.total()).await?);
        }
        self.renewed(asked);
        if role == Role::Observer {
            return Ok(());
        }
        self.write_marks().await?;
        let adopted = if self.is_settled() { self.inner.store.adopt().await? } else { 0 };
        if adopted > 0 {
            tracing::info!(entries = adopted, "took over what processes that ended had left to do");
            self.inner.spilled.unknown();
            // Who leaves entries may leave marks with them.
            self.inner.marked.notify_one();
        }
        self.inner.journal_len.store(self.inner.store.journal_len().await?, Ordering::Relaxed);
        self.refill().await
    }

    /// Notes a heartbeat that was asked for at this time. If the one before was so long ago that others may have taken this
    /// process's entries over, none of them counts as its own until the journal says so.
    fn renewed(&self, asked: Instant) {
        let inner = &self.inner;
        let mut heart = inner.heart.lock().unwrap_or_else(PoisonError::into_inner);
        if heart.renewed.is_some_and(|at| at.elapsed() >= inner.config.lease) {
            tracing::info!("this process was silent for longer than store.lease: looking which entries it still has");
            heart.resumed.get_or_insert(asked);
            self.state().disown();
            inner.spilled.unknown();
            inner.space.notify_waiters();
            inner.changed.notify_waiters();
        }
        heart.renewed = Some(asked);
    }

    /// Whether who is silent has had the time to be heard: after an outage of the store everyone was, and nobody died of it.
    fn is_settled(&self) -> bool {
        let inner = &self.inner;
        let mut heart = inner.heart.lock().unwrap_or_else(PoisonError::into_inner);
        // Once it is over, even if this process was silent again meanwhile: the work of the dead does not wait for ever.
        heart.resumed.take_if(|at| at.elapsed() >= inner.config.lease);
        heart.resumed.is_none()
    }

    /// Writes the marks that hints left while the store was away.
    async fn write_marks(&self) -> Result<(), Error> {
        let marks = self.inner.marks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if marks.is_empty() {
            return Ok(());
        }
        self.inner.store.apply(marks.iter().map(|project| Change::Mark(*project)).collect()).await?;
        self.inner.marks.lock().unwrap_or_else(PoisonError::into_inner).retain(|project| !marks.contains(project));
        self.inner.marked.notify_one();
        Ok(())
    }

    /// Brings entries of this process that are only in the journal into memory: once half of it is free, or could be
    /// made free for what is due.
    async fn refill(&self) -> Result<(), Error> {
        let inner = &self.inner;
        let Some(first) = inner.spilled.first() else { return Ok(()) };
        let now = Timestamp::now();
        let capacity = inner.config.capacity;
        let (len, pressing) = {
            let state = self.state();
            (state.len(), state.pressing(now))
        };
        let wanted = len * 2 <= capacity || (first <= now && pressing * 2 <= capacity);
        if !wanted {
            return Ok(());
        }
        inner.spilled.reset();
        self.state().begin_reading();
        let limit = capacity as u64;
        let entries = inner.store.entries(limit).await.inspect_err(|_| {
            inner.spilled.unknown();
            self.state().end_reading();
        })?;
        match entries.last() {
            Some(last) if entries.len() as u64 == limit => match last.lane {
                Lane::Live | Lane::Reader => inner.spilled.unknown(),
                // What follows in working order is due later.
                Lane::Backfill => inner.spilled.note(last.due),
            },
            _ => {}
        }
        {
            let mut state = self.state();
            for entry in entries {
                if state.knows(entry.target, entry.id) {
                    continue;
                }
                let work = Work {
                    target: entry.target,
                    lane: entry.lane,
                    cause: entry.cause,
                    due: entry.due,
                    listed: None,
                    path: None,
                };
                let Entry { id, attempts, suspicion, .. } = entry;
                let claim = Claim { entries: vec![id], attempts, suspicion, ..Claim::new(&work, now) };
                self.hold_if_room(&mut state, entry.target, claim);
            }
            state.end_reading();
        }
        inner.changed.notify_waiters();
        Ok(())
    }

    /// Returns how many targets are due: what a share of the permits is wanted for.
    pub fn due_targets(&self) -> usize {
        let state = self.state();
        let now = Timestamp::now();
        Lane::ALL
            .into_iter()
            .filter(|lane| state.next_due(*lane, now).is_some_and(|due| due <= now))
            .map(|lane| state.depth(lane).0)
            .sum::<usize>()
            + state.running()
    }
}
