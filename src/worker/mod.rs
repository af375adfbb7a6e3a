//! The workers: lease a target, ingest it, account for it.
//!
//! Guarantees: a target is worked on by one task at a time; the live lane is served first and never waits for a place of the
//! backfill lane; every task is joined; a panic in one costs that attempt only.
//!
//! What it does not do: it decides nothing about what to fetch (ingest) or when GitLab may be asked (gitlab).

mod account;
mod metrics;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::field::Empty;
use tracing::{Instrument, Span, info_span};

pub use metrics::Metrics;

use crate::domain::{Alarm, Schedule, Timestamp};
use crate::ingest::Ingest;
use crate::queue::{Lease, Queue};
use crate::telemetry;
use crate::work::Lane;

/// At most one warning about slow events in this time.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// How many targets are worked on at once.
#[derive(Debug, Clone)]
pub struct Config {
    /// Live targets: each may use a permit of its own, so `limits.api_calls`.
    pub live: usize,
    /// Readers' misses, beside them.
    pub readers: usize,
    /// Backfill targets: several for each permit, so that permits are never idle while a target writes to the store.
    pub backfill: usize,
    /// Waiting times after failures.
    pub schedule: Schedule,
}

/// The workers of one process. Cheap to clone.
#[derive(Clone)]
pub struct Workers {
    queue: Queue,
    ingest: Ingest,
    config: Config,
    metrics: Metrics,
    slow: Arc<Alarm>,
}

impl Workers {
    /// Makes the workers of a queue.
    pub fn new(queue: Queue, ingest: Ingest, config: Config) -> Self {
        let slow = Arc::new(Alarm::new(WARN_EVERY));
        Self { queue, ingest, config, metrics: Metrics::default(), slow }
    }

    /// Returns their measurements.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Works until `stop`, then lets running targets end until `cancel`; what is left goes back to the queue. Returns how many
    /// targets had to be cut off so.
    pub async fn run(&self, stop: CancellationToken, cancel: CancellationToken) -> usize {
        let mut tasks: JoinSet<Lane> = JoinSet::new();
        let mut running = Running::default();
        while !stop.is_cancelled() {
            let changed = self.queue.changed();
            tokio::pin!(changed);
            changed.as_mut().enable();
            for lane in Lane::ALL {
                while *running.of(lane) < self.places(lane)
                    && let Some(lease) = self.queue.take(lane)
                {
                    *running.of(lane) += 1;
                    tasks.spawn(self.clone().work(lease));
                }
            }
            let due = Lane::ALL
                .into_iter()
                .filter(|lane| *running.of(*lane) < self.places(*lane))
                .filter_map(|lane| self.queue.next_due(lane))
                .min();
            tokio::select! {
                () = stop.cancelled() => {}
                () = &mut changed => {}
                Some(ended) = tasks.join_next() => running.ended(ended),
                () = sleep_until(due), if due.is_some() => {}
            }
        }
        drain(tasks, running, cancel).await
    }

    /// Works on one target to the end of its lease.
    async fn work(self, lease: Lease) -> Lane {
        let lane = lease.lane();
        let span = span_of(&lease);
        if std::panic::AssertUnwindSafe(self.account(lease)).catch_unwind().instrument(span).await.is_err() {
            tracing::error!("a worker panicked; its target is tried again");
        }
        lane
    }

    fn places(&self, lane: Lane) -> usize {
        match lane {
            Lane::Live => self.config.live,
            Lane::Reader => self.config.readers,
            Lane::Backfill => self.config.backfill,
        }
    }
}

/// Lets what runs end until `cancel`, and returns how much of it had to be cut off.
async fn drain(mut tasks: JoinSet<Lane>, mut running: Running, cancel: CancellationToken) -> usize {
    loop {
        tokio::select! {
            // What has ended was not cut off, however late it is.
            biased;
            ended = tasks.join_next() => match ended {
                Some(ended) => running.ended(ended),
                None => return 0,
            },
            () = cancel.cancelled() => break,
        }
    }
    tasks.abort_all();
    let mut cut_off = 0;
    while let Some(ended) = tasks.join_next().await {
        // Some may end before they notice.
        match ended {
            Err(error) if error.is_cancelled() => cut_off += 1,
            ended => running.ended(ended),
        }
    }
    if cut_off > 0 {
        tracing::warn!(targets = cut_off, "gave running targets back to the journal");
    }
    cut_off
}

/// Returns the span of the work on a target: it goes on where the delivery's own ended.
fn span_of(lease: &Lease) -> Span {
    let target = lease.target();
    let origin = lease.origin();
    let span = info_span!(
        "work",
        otel.name = target.kind(),
        delivery.id = origin.and_then(|origin| origin.delivery.as_deref()),
        project.id = target.project().0,
        pipeline.id = Empty,
        job.id = Empty,
        work.cause = ?lease.cause(),
        work.attempt = lease.attempt(),
        outcome = Empty,
    );
    span.record(if target.kind() == "job" { "job.id" } else { "pipeline.id" }, target.id());
    if let Some(parent) = origin.and_then(|origin| origin.trace) {
        telemetry::continue_trace(&span, parent);
    }
    span
}

/// How many targets of each lane are worked on.
#[derive(Debug, Default)]
struct Running {
    live: usize,
    readers: usize,
    backfill: usize,
}

impl Running {
    fn of(&mut self, lane: Lane) -> &mut usize {
        match lane {
            Lane::Live => &mut self.live,
            Lane::Reader => &mut self.readers,
            Lane::Backfill => &mut self.backfill,
        }
    }

    fn ended(&mut self, result: Result<Lane, tokio::task::JoinError>) {
        match result {
            Ok(lane) => *self.of(lane) -= 1,
            // Unreachable but for cancellation: `work` catches its own panics to tell its lane.
            Err(error) => tracing::error!(%error, "a worker ended without its lane"),
        }
    }
}

async fn sleep_until(due: Option<Timestamp>) {
    if let Some(due) = due {
        tokio::time::sleep(due.since(Timestamp::now()).max(Duration::from_millis(1))).await;
    }
}
