//! What every verb that works needs, from configuration to running workers.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::machine;
use super::permits::Permits;
use crate::config::{Config, Mistakes, ProjectRef, Selection};
use crate::domain::SizeLimits;
use crate::gitlab::{self, Gitlab};
use crate::ingest::{self, Ingest, Observer};
use crate::queue::{self, Queue, Role};
use crate::reconcile::{self, Name, Named, Reconciler};
use crate::retention::{self, Retention};
use crate::store::{self, Store};
use crate::telemetry::Registry;
use crate::worker::{self, Workers};

/// Backfill targets worked on for each permit: permits are never idle while some targets write to the store.
const TARGETS_PER_PERMIT: usize = 4;

/// How often a listing question is asked before its project is given up for this pass, and after how many attempts a pass
/// that waits leaves an item to the journal: a `backfill` has no next pass, so it is more patient.
const BACKFILL_TRIES: u32 = 5;
const SERVE_TRIES: u32 = 2;

/// Why a verb could not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The configuration lacks something.
    #[error(transparent)]
    Config(#[from] Mistakes),
    /// The store could not be opened.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The client could not be made.
    #[error(transparent)]
    Gitlab(#[from] gitlab::Error),
}

/// The components that every working verb shares.
#[derive(Clone)]
pub struct Engine {
    /// The client.
    pub gitlab: Gitlab,
    /// The store.
    pub store: Store,
    /// The queue.
    pub queue: Queue,
    /// The workers.
    pub workers: Workers,
    /// The reconciler.
    pub reconciler: Reconciler,
    /// Which projects belong to us.
    pub selection: ingest::Selection,
    /// What removes old things.
    pub retention: Retention,
    ingest: Ingest,
    /// GitLab calls in flight: of this process at most, and of the deployment.
    calls: (usize, usize),
    lease: Duration,
}

/// The tasks of an engine: the queue's maintenance and the workers.
pub struct Running {
    engine: Engine,
    stop: CancellationToken,
    cancel: CancellationToken,
    stop_maintenance: CancellationToken,
    workers: Option<JoinHandle<usize>>,
    maintenance: JoinHandle<()>,
}

impl Engine {
    /// Opens the store and puts the components together for a process that calls itself `kind`. Sends nothing.
    pub async fn open(config: &Config, kind: &'static str, observer: Observer) -> Result<Self, OpenError> {
        let gitlab = Gitlab::new(config.require_gitlab()?)?;
        let store = Store::open(store::Config { cache: machine::cache_bytes(), ..config.store_for(kind) }).await?;
        let parallel = config.limits.parallel;
        let tries = if kind == "backfill" { BACKFILL_TRIES } else { SERVE_TRIES };
        let queue = Queue::new(
            queue::Config {
                capacity: config.limits.queue,
                journal: config.limits.journal as u64,
                lease: config.store.lease,
                patience: if kind == "backfill" { BACKFILL_TRIES } else { 1 },
                schedule: config.schedule.clone(),
            },
            store.clone(),
        );
        let named = named(&config.projects);
        let selection = selected(&config.projects, &named);
        let sizes = SizeLimits { log: config.limits.sizes.log, archive: config.limits.sizes.artifact };
        let ingest_config =
            ingest::Config { sizes, report_size: config.limits.sizes.report, schedule: config.schedule.clone() };
        let policy = policy(config, Arc::clone(&selection));
        let (masking, ages) = (Arc::clone(&policy.masking), Arc::clone(&policy.ages));
        let ingest = Ingest::new(gitlab.clone(), store.clone(), ingest_config, policy, observer);
        let workers = Workers::new(
            queue.clone(),
            ingest.clone(),
            worker::Config {
                live: parallel.api_calls,
                readers: parallel.api_calls,
                backfill: parallel.api_calls.saturating_mul(TARGETS_PER_PERMIT),
                schedule: config.schedule.clone(),
            },
        );
        let reconcile_config = reconcile::Config {
            interval: config.reconcile.interval,
            full_interval: config.reconcile.full_interval,
            since: config.reconcile.since,
            overlap: config.reconcile.overlap,
            audit_window: config.reconcile.audit_window,
            projects: parallel.projects,
            pipelines: parallel.pipelines,
            jobs: parallel.jobs,
            tries,
            sizes,
            schedule: config.schedule.clone(),
        };
        let policy = reconcile::Projects { selected: Arc::clone(&selection), named, masking, ages };
        let reconciler = Reconciler::new(gitlab.clone(), store.clone(), queue.clone(), reconcile_config, policy);
        let retention = Retention::new(store.clone(), retention(config));
        Ok(Self {
            gitlab,
            store,
            queue,
            workers,
            reconciler,
            selection,
            retention,
            ingest,
            calls: (parallel.api_calls, config.limits.deployment_calls),
            lease: config.store.lease,
        })
    }

    /// Registers the measurements of every component.
    pub fn register(&self, registry: &mut Registry) {
        let metrics = registry.metrics();
        self.gitlab.register(metrics);
        self.store.register(metrics);
        metrics.register_collector(Box::new(self.queue.clone()));
        self.ingest.metrics().register(metrics);
        self.workers.metrics().register(metrics);
        self.reconciler.metrics().register(metrics);
        self.retention.metrics().register(metrics);
    }

    /// Starts the maintenance and the workers, after one heartbeat so that permits are known.
    pub async fn start(self) -> Running {
        self.start_as(Role::Worker).await
    }

    /// Starts only what is needed to ask GitLab: for verbs that change nothing.
    pub async fn start_asking(self) -> Running {
        self.start_as(Role::Observer).await
    }

    async fn start_as(self, role: Role) -> Running {
        let permits = Permits::new(self.gitlab.clone(), self.queue.clone(), self.calls, self.lease);
        if let Err(error) = self.queue.beat(&permits, role).await {
            tracing::warn!(%error, "the store does not answer yet");
        }
        let (stop, cancel, stop_maintenance) = Default::default();
        let workers = (role == Role::Worker).then(|| {
            let workers = self.workers.clone();
            let (stop, cancel) = (CancellationToken::clone(&stop), CancellationToken::clone(&cancel));
            tokio::spawn(async move { workers.run(stop, cancel).await })
        });
        let maintenance = {
            let (queue, stop) = (self.queue.clone(), CancellationToken::clone(&stop_maintenance));
            tokio::spawn(async move { queue.maintain(&permits, role, stop).await })
        };
        Running { engine: self, stop, cancel, stop_maintenance, workers, maintenance }
    }
}

impl Running {
    /// Stops leasing, lets running targets end within `timeout`, gives the rest back and closes the store. Returns how many
    /// targets had to be cut off; the journal has those that it knew of.
    pub async fn stop(self, timeout: Duration) -> usize {
        self.stop.cancel();
        let cancel = self.cancel.clone();
        let deadline = async move {
            tokio::time::sleep(timeout).await;
            cancel.cancel();
            std::future::pending().await
        };
        let mut cut_off = 0;
        if let Some(workers) = self.workers {
            let ended = tokio::select! {
                ended = workers => ended,
                never = deadline => never,
            };
            // Workers that ended early left what they held.
            cut_off = joined("workers", ended).unwrap_or(1);
        }
        self.stop_maintenance.cancel();
        joined("maintenance", self.maintenance.await);
        if let Err(error) = self.engine.store.close().await {
            tracing::warn!(%error, "could not close the store; its journal is complete all the same");
        }
        cut_off
    }
}

fn joined<T>(task: &'static str, ended: Result<T, tokio::task::JoinError>) -> Option<T> {
    ended.inspect_err(|error| tracing::error!(%error, task, "a task ended early")).ok()
}

/// Returns what retention needs of the configuration.
pub fn retention(config: &Config) -> retention::Config {
    let rules = config.retention.clone();
    retention::Config {
        shortest: rules.shortest(),
        size: rules.size,
        ages: Arc::new(move |id, path: &str| rules.ages(id, path)),
    }
}

fn policy(config: &Config, selected: ingest::Selection) -> ingest::Policy {
    let (retention, masking) = (config.retention.clone(), config.masking.clone());
    ingest::Policy {
        selected,
        ages: Arc::new(move |id, path: &str| retention.ages(id, path)),
        masking: Arc::new(move |id, path: &str| masking.of(id, path)),
    }
}

/// A project that a name turned out to be belongs to us whatever its path is now, unless it is excluded.
fn selected(projects: &Selection, named: &Named) -> ingest::Selection {
    let (projects, named) = (projects.clone(), named.clone());
    Arc::new(move |id, path: &str| projects.matches(id, path) || named.has(id) && !projects.excludes(id, path))
}

fn named(projects: &Selection) -> Named {
    Named::new(projects.named().iter().map(|project| match project {
        ProjectRef::Id(id) => Name::Id(*id),
        ProjectRef::Path(path) => Name::Path(path.as_str().into()),
    }))
}
