//! One pass over all projects, or over some.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use tokio::sync::Semaphore;

use super::ci::WithoutCi;
use super::plan::Policy;
use super::projects::{Group, Roll};
use super::report::Report;
use super::sweep::Sweep;
use super::{Config, LEASE, PassError, Reconciler, Selection};
use crate::domain::{Project, ProjectId, Timestamp};
use crate::gitlab::{self, Kind};
use crate::store::{Change, Lease, ListOf, Listing};

/// How often the jobs of young pipelines are listed again (design, section 4.3).
const AUDIT_EVERY: Duration = Duration::from_secs(24 * 3600);

/// How thorough a pass is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// Of each project what its watermark asks for: full when its last full pass is too old.
    Due,
    /// Everything that was updated within this time.
    Full(#[serde(skip)] Duration),
}

/// Which projects a pass takes.
#[derive(Clone)]
pub enum Only {
    /// All that belong to us.
    All,
    /// Of those, the ones that a person named.
    Chosen(Selection),
    /// Of those, the ones with these ids.
    Ids(HashSet<ProjectId>),
}

impl Only {
    /// Returns whether it may take a project of which only the id is known.
    pub(super) fn may_take(&self, id: ProjectId) -> bool {
        match self {
            Self::All | Self::Chosen(_) => true,
            Self::Ids(ids) => ids.contains(&id),
        }
    }

    /// Returns whether it is one of them.
    pub fn takes(&self, project: &Project) -> bool {
        self.takes_path(project.id, &project.path)
    }

    pub(super) fn takes_path(&self, id: ProjectId, path: &str) -> bool {
        match self {
            Self::All => true,
            Self::Chosen(chosen) => chosen(id, path),
            Self::Ids(ids) => ids.contains(&id),
        }
    }
}

/// What the sweeps of one pass share.
struct Round<'a> {
    extent: Extent,
    lease: &'a Lease,
    report: &'a Mutex<Report>,
    marks: HashMap<ProjectId, Timestamp>,
    without_ci: WithoutCi,
}

impl Reconciler {
    /// Runs one pass under the sweeping lease, waiting up to `wait` for it.
    pub async fn pass(&self, extent: Extent, only: &Only, wait: Duration) -> Result<Report, PassError> {
        let lease = self.take_lease(wait).await?;
        let result = tokio::select! {
            result = self.pass_under(extent, only, &lease) => result,
            lost = self.store.keep_lease(&lease) => Err(lost.into()),
        };
        let completed = result.is_ok() && matches!(only, Only::All);
        if let Err(error) = self.store.release_lease(&lease, completed).await {
            tracing::debug!(%error, "could not give the sweeping lease back; it will expire");
        }
        result
    }

    async fn pass_under(&self, extent: Extent, only: &Only, lease: &Lease) -> Result<Report, PassError> {
        let began = Instant::now();
        let (calls, storage_calls) = (self.gitlab.calls(), self.gitlab.storage_calls());
        let report = Mutex::new(Report::default());
        let round = Round {
            extent,
            lease,
            report: &report,
            marks: self.store.marks().await?.into_iter().collect(),
            without_ci: self.noted_without_ci().await?,
        };
        let mut roll = Roll::new(self, only);
        let (mut all, mut listed_at) = (matches!(only, Only::All), None);
        while let Some(Group { projects: ours, as_of: now, malformed, lost, moved }) = roll.next().await? {
            self.store_projects(&ours).await?;
            if !moved.is_empty() {
                let found = moved.into_iter().map(|(path, project)| Change::FoundAt { path, project, as_of: now });
                self.store.apply(found.collect()).await?;
            }
            listed_at.get_or_insert(now);
            all &= malformed == 0;
            {
                let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
                if malformed > 0 {
                    report.unreadable("projects".to_owned(), malformed);
                }
                for (name, problem) in lost {
                    report.projects_failed += 1;
                    report.note(format!("project {name}"), problem, true);
                }
            }
            let mut sweeps = Vec::new();
            for project in &ours {
                sweeps.push(self.project(&round, project, now));
            }
            let swept: Vec<Result<(), PassError>> =
                stream::iter(sweeps).buffer_unordered(self.config.projects).collect().await;
            // What concerns one project is in the report; what concerns all ends the pass.
            swept.into_iter().collect::<Result<(), PassError>>()?;
        }
        // Readers need not have them listed again for a while.
        if let Some(listed_at) = listed_at.filter(|_| all) {
            self.store.apply(vec![Change::Listed(ListOf::Projects, Listing::whole(listed_at))]).await?;
        }
        let mut report = report.into_inner().unwrap_or_else(PoisonError::into_inner);
        report.gitlab_calls = self.gitlab.calls() - calls;
        report.storage_calls = self.gitlab.storage_calls() - storage_calls;
        report.seconds = began.elapsed().as_secs_f64();
        Ok(report)
    }

    /// Sweeps one project; its own troubles are noted, those that concern all are returned.
    async fn project(&self, round: &Round<'_>, project: &Project, now: Timestamp) -> Result<(), PassError> {
        let Round { extent, lease, report, marks, without_ci } = round;
        if !project.ci_enabled {
            return self.leave_alone(round, project, now).await;
        }
        let (stored, was_off) = (self.store.progress(project.id).await?, without_ci.contains_key(&project.id));
        let (full, start) = self.reach(*extent, stored, was_off, now);
        let policy = Policy { full, audit_window: self.config.audit_window, audit_every: AUDIT_EVERY, now };
        let places = Semaphore::new(self.config.pipelines);
        let sweep = Sweep {
            reconciler: self,
            project: project.id,
            policy,
            start,
            report,
            places,
            one_by_one: was_off,
            seen: Mutex::default(),
            unrecorded: AtomicU64::new(0),
        };
        let swept = sweep.run(stored, lease).await;
        let mut problem = None;
        match swept {
            Ok(()) => {
                self.note_ci(project, without_ci).await?;
                if let Some(seen) = marks.get(&project.id) {
                    self.store.apply(vec![Change::Unmark(project.id, *seen)]).await?;
                }
            }
            Err(PassError::Gitlab(error)) if !error.kind.is_of_the_token() => {
                if let Some(shown) = self.is_without_ci(project.id, &error).await? {
                    self.store_projects(std::slice::from_ref(&shown)).await?;
                    return self.leave_alone(round, &shown, now).await;
                }
                problem = Some(error.to_string());
            }
            Err(error @ PassError::Unrecorded(_)) => problem = Some(error.to_string()),
            Err(error) => return Err(error),
        }
        let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
        report.projects += 1;
        if let Some(problem) = problem {
            tracing::warn!(project.id = project.id.0, error = %problem, "could not sweep a project to its end");
            report.projects_failed += 1;
            report.note(format!("project {}", project.path), problem, true);
        }
        Ok(())
    }

    /// Goes past a project whose CI or repository is switched off: nothing of it is to be had, and that is no failure.
    async fn leave_alone(&self, round: &Round<'_>, project: &Project, now: Timestamp) -> Result<(), PassError> {
        self.note_without_ci(project, &round.without_ci, now).await?;
        if let Some(seen) = round.marks.get(&project.id) {
            self.store.apply(vec![Change::Unmark(project.id, *seen)]).await?;
        }
        round.report.lock().unwrap_or_else(PoisonError::into_inner).without_ci += 1;
        Ok(())
    }

    /// Decides how far back a project is listed; one whose CI was off as far as a full pass would.
    fn reach(
        &self,
        extent: Extent,
        stored: Option<crate::store::Progress>,
        was_off: bool,
        now: Timestamp,
    ) -> (bool, Timestamp) {
        let Config { since, overlap, full_interval, .. } = &*self.config;
        match (extent, stored) {
            (Extent::Full(since), _) => (true, now.minus(since)),
            (Extent::Due, Some(progress)) => {
                let full_is_due = progress.full_pass_at.is_none_or(|at| now.since(at) >= *full_interval);
                let longer = progress.covered_since > now.minus(*since);
                if full_is_due || longer || was_off {
                    (true, now.minus(*since).min(progress.watermark))
                } else {
                    (false, progress.watermark.minus(*overlap))
                }
            }
            (Extent::Due, None) => (true, now.minus(*since)),
        }
    }

    async fn store_projects(&self, projects: &[Project]) -> Result<(), PassError> {
        let mut changed = Vec::new();
        for project in projects {
            let held = self.store.project(project.id).await?;
            changed.extend(project.clone().listed_over(held.as_ref()).map(Change::Project));
        }
        if !changed.is_empty() {
            self.store.apply(changed).await?;
        }
        Ok(())
    }

    /// Decides whether to ask again what GitLab did not answer, and waits until then.
    pub(super) async fn wait_to_ask_again(&self, error: &gitlab::Error, attempt: u32) -> bool {
        let wait = match &error.kind {
            Kind::Throttled { until, .. } => until.since(Timestamp::now()),
            Kind::Unavailable(_) if attempt < self.config.tries => {
                self.config.schedule.backoff(attempt).mul_f64(fastrand::f64())
            }
            _ => return false,
        };
        tracing::debug!(%error, attempt, wait_ms = wait.as_millis(), "asking again");
        tokio::time::sleep(wait).await;
        true
    }

    pub(super) async fn take_lease(&self, wait: Duration) -> Result<Lease, PassError> {
        let deadline = Instant::now() + wait;
        let mut told = false;
        loop {
            if let Some(lease) = self.store.take_lease(LEASE).await? {
                return Ok(lease);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(PassError::LeaseTaken);
            }
            if !told {
                tracing::info!(wait_ms = left.as_millis(), "waiting for another process that is sweeping");
                told = true;
            }
            tokio::time::sleep(left.min(Duration::from_secs(1))).await;
        }
    }
}
