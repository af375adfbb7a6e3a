//! Retention: removes what is older than it may become, and the oldest where all of it takes too much room.
//!
//! Guarantees: a removed piece keeps its reason (`pruned`), so that no pass asks for it again and no gap is counted; one process
//! at a time prunes, under a fenced lease; what readers are reading stays for 10 min, like everything that is replaced; memory
//! is bounded by a page.
//!
//! What it does not do: it never asks GitLab. It removes in the order of the jobs' ids, which is the order of their age; so a
//! job that was created long ago and ended late may stay a little longer than its neighbours.

mod metrics;
mod oldest;
mod report;
mod room;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

pub use metrics::Metrics;
pub use report::{Part, Report};
use tokio_util::sync::CancellationToken;

use crate::domain::{Ages, AgesOf, Project, ProjectId};
use crate::store::{BlobKind, Error, Store};

/// The store lease under which one process at a time prunes.
const LEASE: &str = "prune";

/// Between two runs of a `serve`.
const EVERY: Duration = Duration::from_secs(3600);

/// How soon a run that failed, or that another process had begun, is tried again.
const AGAIN: Duration = Duration::from_secs(300);

/// What may be kept.
#[derive(Clone)]
pub struct Config {
    /// How old a project's things may become, by its id and path.
    pub ages: AgesOf,
    /// Of each kind the shortest age of any project.
    pub shortest: Ages,
    /// How many bytes logs, archives and reports may take as they are stored, together.
    pub size: Option<u64>,
}

/// Why nothing was pruned, or not all.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] Error),
    /// Another process prunes.
    #[error("another process is pruning this store")]
    LeaseTaken,
}

/// Removes what is too old or too much. Cheap to clone.
#[derive(Clone)]
pub struct Retention {
    store: Store,
    config: Config,
    metrics: Metrics,
}

/// One run.
struct Run<'a> {
    retention: &'a Retention,
    dry: bool,
    report: Report,
    ages: HashMap<ProjectId, Ages>,
    /// What a dry run would have removed, so that it does not count it twice.
    counted: HashSet<(BlobKind, u64)>,
}

impl Retention {
    /// Makes it over a store.
    pub fn new(store: Store, config: Config) -> Self {
        Self { store, config, metrics: Metrics::default() }
    }

    /// Returns what it counts.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Returns whether anything is ever removed.
    pub fn is_active(&self) -> bool {
        self.config.shortest != Ages::default() || self.config.size.is_some()
    }

    /// Prunes at once and then every hour until `stop`, in a rhythm that all processes on a store share.
    pub async fn run(&self, stop: CancellationToken) {
        if !self.is_active() {
            return;
        }
        loop {
            let pruned = tokio::select! {
                () = stop.cancelled() => return,
                pruned = self.prune(false) => pruned,
            };
            let wait = match pruned {
                Ok(report) if report.is_empty() => EVERY,
                Ok(report) => {
                    tracing::info!(
                        logs = report.logs.count,
                        artifacts = report.artifacts.count,
                        reports = report.reports.count,
                        pipelines = report.documents.count,
                        size_bytes = report.removed_bytes(),
                        "pruned what retention.* does not keep"
                    );
                    EVERY
                }
                Err(PruneError::LeaseTaken) => AGAIN,
                Err(PruneError::Store(error)) => {
                    tracing::warn!(%error, "pruning ended early; it will be tried again");
                    AGAIN
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.due(wait) => {}
            }
        }
    }

    /// Removes what is too old or too much, and returns what; with `dry` it only tells.
    pub async fn prune(&self, dry: bool) -> Result<Report, PruneError> {
        if dry {
            return Ok(self.work(true).await?);
        }
        let Some(lease) = self.store.take_lease(LEASE).await? else { return Err(PruneError::LeaseTaken) };
        let worked = tokio::select! {
            worked = self.work(false) => worked.map_err(PruneError::from),
            lost = self.store.keep_lease(&lease) => Err(lost.into()),
        };
        if let Err(error) = self.store.release_lease(&lease, worked.is_ok()).await {
            tracing::debug!(%error, "could not give the lease of pruning back; it will expire");
        }
        if let Ok(report) = &worked {
            self.metrics.count(report);
        }
        worked
    }

    async fn work(&self, dry: bool) -> Result<Report, Error> {
        let report = Report::new(dry, self.config.size);
        let mut run = Run { retention: self, dry, report, ages: HashMap::new(), counted: HashSet::new() };
        run.old_documents().await?;
        for kind in BlobKind::ALL {
            run.old_blobs(kind).await?;
        }
        run.too_much().await?;
        Ok(run.report)
    }

    /// Returns when the next run is due: after `wait`, and an hour after the last one of any process on the store.
    async fn due(&self, wait: Duration) {
        tokio::time::sleep(wait).await;
        while let Ok(Some(ago)) = self.store.completed_ago(LEASE).await
            && let left @ 1.. = EVERY.saturating_sub(ago).as_millis()
        {
            tokio::time::sleep(Duration::from_millis(u64::try_from(left).unwrap_or(u64::MAX))).await;
        }
    }
}

impl Run<'_> {
    /// Returns how old a project's things may become.
    async fn ages_of(&mut self, project: ProjectId) -> Result<Ages, Error> {
        if let Some(ages) = self.ages.get(&project) {
            return Ok(*ages);
        }
        let document = self.retention.store.project(project).await?;
        let path = document.as_ref().and_then(Project::path_of).unwrap_or_default();
        let ages = (self.retention.config.ages)(project, &path);
        self.ages.insert(project, ages);
        Ok(ages)
    }
}
