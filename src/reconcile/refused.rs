//! What GitLab refused to the token is asked for again: a role may have been raised, and no event tells so.
//!
//! Guarantees: a full pass asks for one thing of each project that has such, the one that was asked for least recently, so that
//! one that is refused for good does not hide that the others are given by now; when GitLab gives it, all of them are fetched
//! in the same pass. A project without any costs no call.

use super::sweep::{STORED_PAGE, Sweep};
use super::{Forecast, Only, PassError, Reconciler};
use crate::domain::{Project, ProjectId, Timestamp};
use crate::store::{Change, Slice, Store};
use crate::work::{Cause, Lane, Target, Work};

/// The question that finds out that a thing is refused for good, and not everything (see `gitlab::refusals`).
const CONFIRMING_CALLS: u64 = 1;

/// Projects looked through at a time.
const PROJECTS: u64 = 1000;

/// The pieces of one thing that GitLab refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Refused {
    logs: u64,
    archives: u64,
    reports: u64,
    summaries: u64,
}

impl Refused {
    async fn of(store: &Store, target: Target) -> Result<Self, PassError> {
        Ok(match target {
            Target::Job(key) => store.job(key).await?.map_or_else(Self::default, |row| Self {
                logs: row.log.piece.is_refused().into(),
                archives: row.archive.piece.is_refused().into(),
                ..Self::default()
            }),
            Target::Report(key) => {
                let report = store.pipeline(key).await?.map(|row| row.report);
                report.map_or_else(Self::default, |report| Self {
                    reports: report.piece.is_refused().into(),
                    summaries: report.summary_piece.is_refused().into(),
                    ..Self::default()
                })
            }
            _ => Self::default(),
        })
    }

    fn count(self) -> u64 {
        self.logs + self.archives + self.reports + self.summaries
    }
}

impl Sweep<'_> {
    /// Asks again for what was asked for least recently, and, when GitLab gives it, for all the rest; not for what was refused
    /// since the pass `began`.
    pub(super) async fn refused(&self, began: Timestamp) -> Result<(), PassError> {
        let store = &self.reconciler.store;
        let Some(first) = store.refused(self.project, began, 1).await?.pop() else { return Ok(()) };
        let before = Refused::of(store, first).await?.count();
        self.ask_again(vec![first], began).await?;
        if Refused::of(store, first).await?.count() >= before {
            return Ok(());
        }
        loop {
            let page = store.refused(self.project, began, STORED_PAGE).await?;
            if page.is_empty() {
                return Ok(());
            }
            self.ask_again(page, began).await?;
        }
    }

    /// Whatever comes of it, it was asked for: others are first the next time.
    async fn ask_again(&self, targets: Vec<Target>, now: Timestamp) -> Result<(), PassError> {
        let noted = targets.iter().map(|target| Change::Refused(*target, now)).collect();
        self.work(targets.into_iter().map(|target| Work::now(target, Lane::Backfill, Cause::Recheck)).collect())
            .await?;
        Ok(self.reconciler.store.apply(noted).await?)
    }
}

impl Reconciler {
    /// Counts what asking again would cost if GitLab still refused it.
    pub(super) async fn forecast_refused(&self, project: ProjectId, forecast: &mut Forecast) -> Result<(), PassError> {
        let first = self.store.refused(project, Timestamp::now(), 1).await?;
        for target in first {
            let Refused { logs, archives, reports, summaries } = Refused::of(&self.store, target).await?;
            forecast.logs += logs;
            forecast.archives += archives;
            forecast.reports += reports;
            forecast.summaries += summaries;
            forecast.other_calls += CONFIRMING_CALLS;
        }
        Ok(())
    }

    /// Counts the logs, archives and reports that GitLab refuses to the token, as far as is known.
    pub async fn forbidden(&self, only: &Only) -> Result<u64, PassError> {
        let (mut offset, mut count) = (0, 0);
        loop {
            let page = self.store.projects(Slice { offset, limit: PROJECTS }).await?;
            if page.rows.is_empty() {
                return Ok(count);
            }
            offset += PROJECTS;
            for (id, document) in page.rows {
                if !only.takes_path(id, &Project::path_of(&document).unwrap_or_default()) {
                    continue;
                }
                let (jobs, pipelines) = self.store.tallies(id).await?;
                let of_job = |logs: bool, archives: bool| u64::from(logs) + u64::from(archives);
                count += jobs
                    .iter()
                    .map(|job| job.count * of_job(job.log.is_refused(), job.archive.is_refused()))
                    .sum::<u64>();
                count +=
                    pipelines.iter().filter(|found| found.report.is_refused()).map(|found| found.count).sum::<u64>();
            }
        }
    }
}
