//! One project's part of a pass: both listings, the plan of each page, the work, the watermark.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::Semaphore;

use super::listing::Walk;
use super::plan::{Policy, plan, plan_stored};
use super::report::Report;
use super::{PassError, Reconciler, patiently};
use crate::domain::{PipelineId, PipelineSource, ProjectId, Timestamp};
use crate::queue::{Done, Outcome};
use crate::store::{Failure, Lease, Progress};
use crate::work::{Cause, Lane, Target, Work};

/// GitLab's `Date` has whole seconds.
const DATE_PRECISION: Duration = Duration::from_secs(1);

/// How many stored pipelines are planned at a time.
pub(super) const STORED_PAGE: u64 = 100;

/// One project as a pass sees it.
pub(super) struct Sweep<'a> {
    pub(super) reconciler: &'a Reconciler,
    pub(super) project: ProjectId,
    pub(super) policy: Policy,
    /// Where the listings start.
    pub(super) start: Timestamp,
    pub(super) report: &'a Mutex<Report>,
    /// `limits.pipelines`: both listings and the stored ones share it.
    pub(super) places: Semaphore,
    /// Whether one listing is asked for before the other: GitLab may well refuse both.
    pub(super) one_by_one: bool,
    /// Pipelines that a listing showed, and when they had been updated.
    pub(super) seen: Mutex<HashMap<PipelineId, Timestamp>>,
    /// How many of its items are neither cached nor in the journal.
    pub(super) unrecorded: AtomicU64,
}

impl Sweep<'_> {
    /// Sweeps the project and, if everything was read and ended, moves its watermark.
    pub(super) async fn run(&self, stored: Option<Progress>, lease: &Lease) -> Result<(), PassError> {
        let began = Timestamp::now();
        let store = &self.reconciler.store;
        let failed = if self.policy.full { store.failures(Some(self.project)).await? } else { Vec::new() };
        let (plain, child) = (self.listing(PipelineSource::Plain), self.listing(PipelineSource::Child));
        let (plain, child) = match self.one_by_one {
            true => (plain.await?, child.await?),
            false => tokio::try_join!(plain, child)?,
        };
        self.stored().await?;
        self.failed(failed).await?;
        if self.policy.full {
            self.refused(began).await?;
        }
        // Only a next pass from the same start finds them again.
        let unrecorded = self.unrecorded.load(Ordering::Relaxed);
        if unrecorded > 0 {
            return Err(PassError::Unrecorded(unrecorded));
        }
        let unreadable = plain.malformed + child.malformed;
        if unreadable > 0 {
            let what = format!("pipelines of project {}", self.project);
            self.report().unreadable(what, unreadable);
        }
        let reaches_back = stored.is_none_or(|progress| self.start <= progress.watermark);
        if unreadable > 0 || !reaches_back {
            return Ok(());
        }
        // While one listing is read and worked on for hours, the other one ages.
        let read_to = plain.read_to.min(child.read_to);
        let greatest = plain.greatest.max(child.greatest).map(|greatest| greatest.min(read_to));
        // A project without a pipeline is covered up to where its listings started.
        let watermark = greatest.max(stored.map(|progress| progress.watermark)).unwrap_or(self.start);
        let covered_since = stored.map_or(self.start, |progress| progress.covered_since.min(self.start));
        let full_pass_at =
            if self.policy.full { Some(self.policy.now) } else { stored.and_then(|progress| progress.full_pass_at) };
        let progress = Progress { watermark, covered_since, full_pass_at };
        Ok(self.reconciler.store.save_progress(self.project, progress, lease).await?)
    }

    async fn listing(&self, source: PipelineSource) -> Result<Read, PassError> {
        let mut walk = Walk::new(&self.reconciler.gitlab, self.project, source, self.start);
        while let Some(mut rows) = patiently!(self.reconciler, walk.next())? {
            self.report().listed += rows.len() as u64;
            {
                // The other listing may have shown the same row, and had it worked on.
                let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                rows.retain(|row| seen.insert(row.key.pipeline, row.updated_at) != Some(row.updated_at));
            }
            let ids: Vec<PipelineId> = rows.iter().map(|row| row.key.pipeline).collect();
            let states = self.reconciler.store.pipeline_states(self.project, ids).await?;
            let rows = self.reconciler.pipelines_to_keep(rows, &states).await?;
            self.work(plan(&rows, &states, &self.policy)).await?;
        }
        let read_to = walk.read_at().map_or(self.start, |at| at.plus(DATE_PRECISION));
        Ok(Read { greatest: walk.greatest(), read_to, malformed: walk.malformed() })
    }

    /// Stored pipelines that need work although no listing showed them.
    async fn stored(&self) -> Result<(), PassError> {
        let mut after = None;
        loop {
            let store = &self.reconciler.store;
            let mut states = store.unfinished(self.project, self.policy.full, after, STORED_PAGE).await?;
            let Some(last) = states.last() else { return Ok(()) };
            after = Some(last.id);
            {
                let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                states.retain(|state| !seen.contains_key(&state.id));
            }
            self.work(plan_stored(self.project, &states, &self.policy)).await?;
        }
    }

    /// What had failed before the pass and was not met by it: GitLab may not list it any more, and it may never have been stored.
    async fn failed(&self, before: Vec<Failure>) -> Result<(), PassError> {
        if before.is_empty() {
            return Ok(());
        }
        let mut left = self.reconciler.store.failures(Some(self.project)).await?;
        left.retain(|failure| before.contains(failure));
        let left = self.reconciler.failures_to_keep(left).await?;
        self.work(left.into_iter().map(|failure| Work::now(failure.target, Lane::Backfill, Cause::Full)).collect())
            .await
    }

    /// Runs planned pipelines, `limits.pipelines` at once, each with its jobs.
    pub(super) async fn work(&self, works: Vec<Work>) -> Result<(), PassError> {
        stream::iter(works)
            .map(Ok)
            .try_for_each_concurrent(self.reconciler.config.pipelines, |work| async {
                let _place = self.places.acquire().await.map_err(|_| PassError::Interrupted)?;
                let done = self.one(work).await?;
                stream::iter(done.follow)
                    .map(Ok)
                    .try_for_each_concurrent(self.reconciler.config.jobs, |follow| async {
                        self.one(follow).await.map(drop)
                    })
                    .await
            })
            .await
    }

    /// Has one target worked on and accounts for it.
    async fn one(&self, work: Work) -> Result<Done, PassError> {
        let target = work.target;
        self.report().count(target);
        let done = self.reconciler.queue.submit(work).await.await.map_err(|_| PassError::Interrupted)?;
        let mut report = self.report();
        match &done.outcome {
            Outcome::Stored => {}
            Outcome::Gone => report.gone += 1,
            Outcome::Unrecorded(problem) => {
                self.unrecorded.fetch_add(1, Ordering::Relaxed);
                report.postponed += 1;
                report.note(words(target), problem.clone(), true);
            }
            Outcome::Postponed(problem) => {
                report.postponed += 1;
                report.note(words(target), problem.clone(), true);
                // The rest would only fare the same.
                if let Some(error) = self.reconciler.gitlab.token_refused() {
                    return Err(error.into());
                }
            }
            Outcome::Failed(problem) => {
                report.failed += 1;
                report.note(words(target), problem.clone(), false);
            }
        }
        Ok(done)
    }

    fn report(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a listing was read.
struct Read {
    greatest: Option<Timestamp>,
    /// What changed later is not in it.
    read_to: Timestamp,
    malformed: usize,
}

fn words(target: Target) -> String {
    target.in_words()
}
