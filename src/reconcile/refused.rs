//! What GitLab refused to the token is asked for again: a role may have been raised, and no event tells so.
//!
//! Guarantees: a full pass asks for one thing of each project that has such, the one that was asked for least recently, so that
//! one that is refused for good does not hide that the others are given by now; when GitLab gives it, all of them are fetched
//! in the same pass. A project without any costs no call.

use super::sweep::{STORED_PAGE, Sweep};
use super::{Forecast, Only, PassError, Reconciler};
use crate::domain::{Ages, Attempt, Job, Piece, PipelinePhase, Project, ReportPlan, Timestamp, refused};
use crate::store::{Change, JobRow, Slice, Store};
use crate::work::{Cause, Lane, Target, Work};

/// The question that finds out that a thing is refused for good, and not everything (see `gitlab::refusals`).
const CONFIRMING_CALLS: u64 = 1;

/// Projects looked through at a time.
const PROJECTS: u64 = 1000;

impl Sweep<'_> {
    /// Asks again for what was asked for least recently, and, when GitLab gives it, for all the rest; not for what was refused
    /// since the pass `began`.
    pub(super) async fn refused(&self, began: Timestamp) -> Result<(), PassError> {
        let store = &self.reconciler.store;
        let Some(first) = store.refused(self.project, began, 1).await?.pop() else { return Ok(()) };
        let before = pieces(store, first).await?;
        self.ask_again(vec![first], began).await?;
        let after = pieces(store, first).await?;
        if !before.iter().zip(after).any(|(before, after)| before.is_refused() && after.is_held()) {
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
    pub(super) async fn forecast_refused(&self, project: &Project, forecast: &mut Forecast) -> Result<(), PassError> {
        let now = Timestamp::now();
        let ages = (self.ages)(project.id, &project.path);
        let mut asked = 0;
        match self.store.refused(project.id, now, 1).await?.pop() {
            Some(Target::Job(key)) => {
                let Some(row) = self.store.job(key).await? else { return Ok(()) };
                let Ok(job) = Job::from_document(key.project, row.document) else { return Ok(()) };
                let refused = refused(&job, &row.log, &row.archive);
                let refused = refused.without(refused.too_old(&job, &ages, now));
                let refused = refused.without(refused.too_large(&job, self.config.sizes));
                let archive = job.archive.as_ref().filter(|_| refused.archive);
                forecast.archive_bytes += archive.and_then(|archive| archive.size).unwrap_or(0);
                forecast.logs += u64::from(refused.log);
                forecast.archives += u64::from(refused.archive);
                asked = u64::from(refused.any());
            }
            Some(Target::Report(key)) => {
                let Some(row) = self.store.pipeline(key).await? else { return Ok(()) };
                let attempts: Vec<Attempt> = self.store.jobs_of(key).await?.iter().map(JobRow::attempt).collect();
                let over = row.status.pipeline_phase() != PipelinePhase::Active;
                let plan = ReportPlan::of(over, &row.report, &attempts);
                if let Some(plan) = plan.filter(|_| !Ages::is_over(ages.reports, row.updated_at, now)) {
                    let refused = plan.refused(&row.report);
                    forecast.reports += u64::from(refused.report);
                    forecast.summaries += u64::from(refused.summary);
                    asked = u64::from(refused.any());
                }
            }
            Some(Target::Detail(_)) => (forecast.details, asked) = (forecast.details + 1, 1),
            _ => {}
        }
        forecast.other_calls += CONFIRMING_CALLS * asked;
        Ok(())
    }

    /// Counts the logs, archives, reports and own documents of pipelines that GitLab refuses to the token, as far as is known.
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
                let of_pipeline = |report: bool, detail: bool| u64::from(report) + u64::from(detail);
                count += pipelines
                    .iter()
                    .map(|found| found.count * of_pipeline(found.report.is_refused(), found.detail.is_refused()))
                    .sum::<u64>();
            }
        }
    }
}

/// Returns the states of what may have been refused of one thing: a job's log and archive, a pipeline's own document, or a report and its summary.
async fn pieces(store: &Store, target: Target) -> Result<[Piece; 2], PassError> {
    let found = match target {
        Target::Job(key) => store.job(key).await?.map(|row| [row.log.piece, row.archive.piece]),
        Target::Detail(key) => store.pipeline(key).await?.map(|row| [row.detail.piece, Piece::Missing]),
        Target::Report(key) => store.pipeline(key).await?.map(|row| [row.report.piece, row.report.summary_piece]),
        _ => None,
    };
    Ok(found.unwrap_or([Piece::Missing; 2]))
}
