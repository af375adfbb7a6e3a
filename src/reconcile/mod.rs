//! The reconciler: lists what GitLab has, plans what is missing and has it worked on (design, section 4.3).
//!
//! Guarantees: a pass takes no input from events, so what events lost it finds; a watermark moves only after a pass that
//! read both listings to the end and whose every item ended as stored, as a reason, or as a journal entry; one process at
//! a time sweeps, under a fenced lease; memory is bounded by a page of pipelines.
//!
//! What it does not do: it never fetches a log, archive or report, and writes no job facts. It submits [`crate::work`]
//! and is told how it ended.

mod blob;
mod cadence;
mod ci;
mod deep;
mod forecast;
mod forgotten;
mod listing;
mod metrics;
mod pass;
mod plan;
mod projects;
mod prospect;
mod refused;
mod report;
mod sample;
mod skipped;
mod standing;
mod sweep;
mod verify;

use std::sync::Arc;
use std::time::Duration;

pub use cadence::Status;
pub use deep::{Damage, Deep};
pub use forecast::Forecast;
pub use metrics::Metrics;
pub use pass::{Extent, Only};
pub use plan::{Policy, plan, plan_stored};
pub use projects::{Name, Named};
pub use report::{Failed, Report};
pub use sample::Sample;
pub use skipped::Skipped;
pub use standing::{Standing, Standings};
pub use verify::Comparison;

use crate::domain::{AgesOf, ProjectId, Schedule, SizeLimits};
use crate::gitlab::{self, Gitlab};
use crate::masking::RulesOf;
use crate::queue::Queue;
use crate::store::{self, Store};

/// The store lease under which one process at a time sweeps.
pub const LEASE: &str = "reconcile";

/// When and how much is swept.
#[derive(Debug, Clone)]
pub struct Config {
    /// Between two incremental passes.
    pub interval: Duration,
    /// Between two full passes of a project.
    pub full_interval: Duration,
    /// How far back the listings go.
    pub since: Duration,
    /// How far before the watermark an incremental pass starts.
    pub overlap: Duration,
    /// Full passes list the jobs of pipelines this young again, to learn of erasures.
    pub audit_window: Duration,
    /// Projects swept at once.
    pub projects: usize,
    /// Pipelines of a project worked on at once.
    pub pipelines: usize,
    /// Jobs of a pipeline worked on at once.
    pub jobs: usize,
    /// How often one question is asked before its project is given up for this pass.
    pub tries: u32,
    /// Logs and archives that are listed as larger are not fetched.
    pub sizes: SizeLimits,
    /// Waiting times after failures.
    pub schedule: Schedule,
}

/// Which projects belong to us, by id and path.
pub type Selection = Arc<dyn Fn(ProjectId, &str) -> bool + Send + Sync>;

/// Which projects a pass is about, and what is asked about each.
#[derive(Clone)]
pub struct Projects {
    /// Whether it belongs to us.
    pub selected: Selection,
    /// The projects that are named one by one.
    pub named: Named,
    /// How its text was masked before it was stored, if it was.
    pub masking: RulesOf,
    /// How old its things may become: what is older is not fetched.
    pub ages: AgesOf,
}

/// Why a pass ended early.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// GitLab did not answer the question it needs to go on.
    #[error(transparent)]
    Gitlab(#[from] gitlab::Error),
    /// The store did not answer, or another process may have the sweeping lease, because it was not renewed in time.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Another process sweeps.
    #[error("another process is sweeping and did not end in time")]
    LeaseTaken,
    /// What it planned was not cached and is not in the journal either.
    #[error("{0} of its items were interrupted before they were recorded; the next pass plans them again")]
    Unrecorded(u64),
    /// The workers were stopped.
    #[error("interrupted")]
    Interrupted,
}

/// Lists, plans and has worked on. Cheap to clone.
#[derive(Clone)]
pub struct Reconciler {
    gitlab: Gitlab,
    store: Store,
    queue: Queue,
    config: Arc<Config>,
    selection: Selection,
    named: Named,
    masking: RulesOf,
    ages: AgesOf,
    metrics: Metrics,
    status: Arc<tokio::sync::watch::Sender<Status>>,
}

impl Reconciler {
    /// Makes a reconciler over a client, a store and the queue whose workers do its work. It teaches `projects.named` what it
    /// learns, which `projects.selected` may ask.
    pub fn new(gitlab: Gitlab, store: Store, queue: Queue, config: Config, projects: Projects) -> Self {
        let status = Arc::new(tokio::sync::watch::Sender::new(Status::default()));
        let metrics = Metrics::default();
        let Projects { selected: selection, named, masking, ages } = projects;
        Self { gitlab, store, queue, config: Arc::new(config), selection, named, masking, ages, metrics, status }
    }

    /// Returns its measurements.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Returns what the last pass did and what goes on now.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }
}

/// Asks a listing question until it is answered, cannot be, or was tried `config.tries` times. A macro because the question
/// borrows mutably and is asked again.
macro_rules! patiently {
    ($reconciler:expr, $question:expr) => {{
        let mut attempt = 1;
        loop {
            match $question.await {
                Err(error) => match $reconciler.wait_to_ask_again(&error, attempt).await {
                    true => attempt += 1,
                    false => break Err(error),
                },
                answer => break answer,
            }
        }
    }};
}
use patiently;
