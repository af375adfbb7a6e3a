//! The only writer of job facts: asks GitLab about one target and stores what it answers (laws 1, 2, 5, 6 and 11).
//!
//! Guarantees: facts come from GitLab alone; a blob is complete before anything points to it; of two pieces of one job
//! one's failure never stops the other; whatever cannot be held has its reason.
//!
//! What it does not do: it never retries and knows nothing of the queue. It returns what the caller commits together with
//! the end of the work, or a [`Trouble`] that says what may help.

mod archive;
mod blob;
mod bridges;
mod detail;
mod job;
mod listing;
mod log;
mod metrics;
mod pipeline;
mod policy;
mod projects;
mod report;
mod trouble;
mod unit;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

pub use blob::Streamed;
pub use metrics::Metrics;
use policy::Treatment;
pub use policy::{Policy, Selection};
pub use trouble::{Remedy, Trouble};
pub use unit::{Observer, Unit, UnitOutcome};

use crate::domain::{Eagerness, Project, ProjectId, Schedule, SizeLimits, Subject};
use crate::gitlab::{self, Gitlab};
use crate::store::{Change, ListOf, Listing, Store};
use crate::work::{Cause, Lane, Target, Work};

/// Limits and waiting times of fetching.
#[derive(Debug, Clone)]
pub struct Config {
    /// Largest log and archive to hold; larger ones are recorded as `too_large`.
    pub sizes: SizeLimits,
    /// Largest test report to hold, in bytes uncompressed.
    pub report_size: u64,
    /// When things are looked at again.
    pub schedule: Schedule,
}

/// Reads facts from GitLab and stores them. Cheap to clone.
#[derive(Clone)]
pub struct Ingest {
    gitlab: Gitlab,
    store: Store,
    config: Arc<Config>,
    policy: Policy,
    observer: Observer,
    metrics: Metrics,
    /// How projects are treated; bounded by the number of projects.
    known: Arc<Mutex<HashMap<ProjectId, Treatment>>>,
}

/// What is asked for: a lease's contents without the lease.
#[derive(Debug, Clone)]
pub struct Task<'a> {
    /// What.
    pub target: Target,
    /// With what claim on the permits.
    pub lane: Lane,
    /// Why.
    pub cause: Cause,
    /// Whether what is unsettled or failed is asked for too.
    pub thorough: bool,
    /// Whether what is not there yet is given up after this.
    pub last: bool,
    /// The row of the listing that made a pass plan it.
    pub listed: Option<&'a crate::domain::Pipeline>,
    /// The path of a target that is one.
    pub path: Option<&'a str>,
}

impl Task<'_> {
    fn eagerness(&self) -> Eagerness {
        if self.thorough { Eagerness::Unsettled } else { Eagerness::Missing }
    }

    /// Returns the cause of what it shows to be needed.
    fn follow_cause(&self) -> Cause {
        if self.thorough { Cause::Full } else { Cause::Planned }
    }

    /// Returns the lane of what it shows to be needed: a reader waits for what was asked for only.
    fn follow_lane(&self) -> Lane {
        if self.lane == Lane::Reader { Lane::Backfill } else { self.lane }
    }

    fn class(&self) -> gitlab::Class {
        match self.lane {
            Lane::Live => gitlab::Class::Live,
            Lane::Reader => gitlab::Class::Reader,
            Lane::Backfill => gitlab::Class::Backfill,
        }
    }
}

/// What a task found, to be committed with the end of its work.
#[derive(Debug, Default)]
pub struct Found {
    /// Facts that are not written yet.
    pub facts: Vec<Change>,
    /// Work that it showed to be needed.
    pub follow: Vec<Work>,
    /// What became of each piece, to be told once the facts are committed.
    pub units: Vec<Unit>,
    /// What `facts` publish and is in the store already: to be kept until their commit has ended.
    pub in_hand: Vec<Streamed>,
    /// Pieces it could not get for now or for good; everything else is in `facts` or stored already.
    pub trouble: Option<Trouble>,
}

impl Ingest {
    /// Makes an ingest over a client and a store; `observer` hears of every unit that is cached or not.
    pub fn new(gitlab: Gitlab, store: Store, config: Config, policy: Policy, observer: Observer) -> Self {
        Self {
            gitlab,
            store,
            config: Arc::new(config),
            policy,
            observer,
            metrics: Metrics::default(),
            known: Arc::default(),
        }
    }

    /// Returns the counters of what was ingested.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Works on one target.
    pub async fn run(&self, task: &Task<'_>) -> Result<Found, Trouble> {
        let mut found = Found::default();
        let project = match (task.target, task.path) {
            (Target::Projects, _) => {
                self.newest_projects(task, &mut found).await?;
                return Ok(found);
            }
            (Target::Project(id), _) => {
                if self.any_forgotten(task.target.subjects()).await? {
                    return Ok(found);
                }
                Some(self.gitlab.project(task.class(), id).await?)
            }
            (Target::Path(_), Some(path)) => Some(self.gitlab.project_by_path(task.class(), path).await?),
            (Target::Path(_), None) => return Err(Trouble::Gone),
            _ => None,
        };
        if let Some(project) = project {
            let forgotten = async || self.any_forgotten(vec![Subject::Project { project: project.id }]).await;
            if (self.policy.selected)(project.id, &project.path) && !forgotten().await? {
                let asked = task.path.filter(|path| !path.eq_ignore_ascii_case(&project.path));
                let (id, as_of) = (project.id, project.document.as_of);
                found.facts.extend(itself(project));
                found.facts.extend(asked.map(|path| Change::FoundAt { path: path.into(), project: id, as_of }));
            }
            return Ok(found);
        }
        if !self.ensure_project(task, &mut found).await? || self.is_forgotten(task).await? {
            return Ok(found);
        }
        match task.target {
            Target::Path(_) | Target::Project(_) | Target::Projects => {}
            Target::Pipelines(project, source) => self.listing(task, project, source, &mut found).await?,
            Target::Pipeline(key) => self.pipeline(task, key, &mut found).await?,
            Target::Detail(key) => self.detail(task, key, &mut found).await?,
            Target::Report(key) => self.report(task, key, &mut found).await?,
            Target::Job(key) => self.job(task, key, &mut found).await?,
            Target::Bridges(key) => self.bridges(task, key, &mut found).await?,
        }
        Ok(found)
    }

    /// Makes sure that the target's project is stored; false when it is not one of ours, or forgotten.
    async fn ensure_project(&self, task: &Task<'_>, found: &mut Found) -> Result<bool, Trouble> {
        let id = task.target.project();
        if self.known().get(&id).is_some_and(|treatment| treatment.stored) {
            return Ok(true);
        }
        if let Some(document) = self.store.project(id).await? {
            let path = Project::path_of(&document).unwrap_or_default();
            self.known().insert(id, self.policy.treatment(id, &path, true));
            return Ok(true);
        }
        if self.any_forgotten(vec![Subject::Project { project: id }]).await? {
            return Ok(false);
        }
        let project = self.gitlab.project(task.class(), id).await?;
        if !(self.policy.selected)(id, &project.path) {
            return Ok(false);
        }
        self.known().insert(id, self.policy.treatment(id, &project.path, false));
        found.facts.extend(itself(project));
        Ok(true)
    }

    /// Returns how a project is treated; one that is not known is treated as if nothing were said about it.
    fn treatment(&self, project: ProjectId) -> Treatment {
        self.known().get(&project).cloned().unwrap_or_default()
    }

    /// Returns whether a person told us to forget the target's pipeline or project. Jobs are looked at once it is known what
    /// pipeline they are of.
    async fn is_forgotten(&self, task: &Task<'_>) -> Result<bool, Trouble> {
        match task.target {
            Target::Path(_) | Target::Project(_) | Target::Projects | Target::Job(_) => Ok(false),
            Target::Pipelines(..)
            | Target::Pipeline(_)
            | Target::Detail(_)
            | Target::Report(_)
            | Target::Bridges(_) => self.any_forgotten(task.target.subjects()).await,
        }
    }

    async fn any_forgotten(&self, subjects: Vec<Subject>) -> Result<bool, Trouble> {
        Ok(!self.store.forgotten(subjects).await?.is_empty())
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<ProjectId, Treatment>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a project's own document, and that it is one.
fn itself(project: Project) -> [Change; 2] {
    let (list, listing) = (ListOf::Project(project.id), Listing::whole(project.document.as_of));
    [Change::Project(project), Change::Listed(list, listing)]
}
