//! When passes run: at start, every interval, and early for marked projects.

use std::collections::HashSet;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Extent, LEASE, Only, PassError, Reconciler, Report, Standings};
use crate::domain::{ProjectId, Timestamp};

/// Marks that arrive within this time are swept together.
const GATHER_MARKS: Duration = Duration::from_secs(1);

/// How soon a pass is tried again when it ended early, at most `reconcile.interval`.
const AFTER_FAILURE: Duration = Duration::from_secs(30);

/// What the reconciler does and did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Status {
    /// Since when a pass has been running.
    pub running_since: Option<Timestamp>,
    /// When the last whole pass ended.
    pub last_success: Option<Timestamp>,
    /// What it did.
    pub last_report: Option<Report>,
    /// Why the last pass ended early, if it did.
    pub last_problem: Option<String>,
    /// How the projects stood when the last pass of this process ended, whoever swept them.
    pub standings: Standings,
}

impl Reconciler {
    /// Runs passes until `stop`. A pass that ends early is logged, counted, shown and tried again. Early sweeps of marked
    /// projects come between the passes over all and never put those off. Several processes on one store share one rhythm:
    /// after its first pass each waits until the last one of any of them is an interval ago.
    pub async fn run(&self, stop: CancellationToken) {
        let mut only = Only::All;
        let mut all_due = Instant::now();
        loop {
            let (wait, whole) = tokio::select! {
                () = stop.cancelled() => return,
                turn = self.turn(&only) => turn,
            };
            let again = Instant::now() + wait;
            all_due = match only {
                Only::All => again,
                _ if whole => all_due,
                _ => all_due.min(again),
            };
            only = tokio::select! {
                () = stop.cancelled() => return,
                () = self.all_due(all_due) => Only::All,
                marked = self.marked() => Only::Ids(marked),
            };
        }
    }

    /// Returns when a pass over all is due: at this time, and an interval after the last one of any process on the store.
    async fn all_due(&self, at: Instant) {
        tokio::time::sleep_until(at).await;
        loop {
            // Where the store does not answer the pass says so.
            let ago = self.store.completed_ago(LEASE).await.ok().flatten();
            let left = ago.map_or(Duration::ZERO, |ago| self.config.interval.saturating_sub(ago));
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }

    /// Runs one pass; returns how long to wait for the next, and whether it ended well.
    async fn turn(&self, only: &Only) -> (Duration, bool) {
        self.status.send_modify(|status| status.running_since = Some(Timestamp::now()));
        let result = self.pass(Extent::Due, only, Duration::ZERO).await;
        let wait = match &result {
            Ok(report) => {
                self.metrics.passed(report);
                tracing::info!(
                    projects = report.projects,
                    listed = report.listed,
                    pipelines = report.pipelines,
                    jobs = report.jobs,
                    postponed = report.postponed,
                    failed = report.failed,
                    gitlab.calls = report.gitlab_calls,
                    elapsed_ms = (report.seconds * 1000.0).round(),
                    "pass complete"
                );
                self.config.interval
            }
            // Another process does the work.
            Err(PassError::LeaseTaken) => self.config.interval.min(AFTER_FAILURE),
            Err(error) => {
                self.metrics.failed();
                tracing::warn!(%error, "pass ended early; it will be run again");
                self.config.interval.min(AFTER_FAILURE)
            }
        };
        let whole = result.is_ok();
        // Another process may have swept; where the store does not answer the last ones stay.
        let standings = self.standings().await.ok();
        if let Some(standings) = &standings {
            self.metrics.gaps(standings.gaps);
        }
        self.status.send_modify(|status| {
            status.running_since = None;
            if let Some(standings) = standings {
                status.standings = standings;
            }
            match result {
                Ok(report) => {
                    status.last_success = Some(Timestamp::now());
                    status.last_report = Some(report);
                    status.last_problem = None;
                }
                Err(error) => status.last_problem = Some(error.to_string()),
            }
        });
        (wait, whole)
    }

    /// Returns marked projects once there are some that the store has written down.
    async fn marked(&self) -> HashSet<ProjectId> {
        loop {
            self.queue.marked().await;
            tokio::time::sleep(GATHER_MARKS).await;
            match self.store.marks().await {
                Ok(marks) if !marks.is_empty() => return marks.into_iter().map(|(project, _)| project).collect(),
                _ => {}
            }
        }
    }
}
