//! What GitLab refused to the token is asked for again: a role may have been raised, and no event tells so.
//!
//! Guarantees: a full pass asks for one thing of each project that has such, the one that was asked for least recently, so that
//! one that is refused for good does not hide that the others are given by now; when GitLab refuses it no longer, all of them are
//! fetched in the same pass. A project without any costs no call.

use super::sweep::{STORED_PAGE, Sweep};
use super::{Forecast, Only, PassError, Reconciler};
use crate::domain::{Ages, Attempt, Job, Piece, PipelinePhase, Project, Reason, ReportPlan, Timestamp, refused};
use crate::store::{Change, JobRow, Slice, Store};
use crate::work::{Cause, Lane, Target, Work};

/// The question that finds out that a thing is refused for good, and not everything (see `gitlab::refusals`).
const CONFIRMING_CALLS: u64 = 1;

/// Projects looked through at a time.
const PROJECTS: u64 = 1000;

impl Sweep<'_> {
    /// Asks again for what was asked for least recently, and, when GitLab gives it, for all the rest; not for what was refused
    /// since the pass `began`. What tells nothing, because it is erased or over by now, leaves the question to the next one.
    pub(super) async fn refused(&self, began: Timestamp) -> Result<(), PassError> {
        let store = &self.reconciler.store;
        loop {
            let Some(first) = store.refused(self.project, began, 1).await?.pop() else { return Ok(()) };
            let asked = self.reconciler.again(first, &Ages::default()).await?.is_some();
            let before = pieces(store, first).await?;
            self.ask_again(vec![first], began).await?;
            match Told::of(asked, before, pieces(store, first).await?) {
                Told::Refused => return Ok(()),
                Told::Given => break,
                Told::Nothing => {}
            }
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
        let ages = (self.ages)(project.id, &project.path);
        for target in self.store.refused(project.id, Timestamp::now(), PROJECTS).await? {
            if let Some(again) = self.again(target, &ages).await? {
                forecast.add(again);
                break;
            }
        }
        Ok(())
    }

    /// Returns what GitLab would be asked for, where something of a target was refused; `None` where nothing of that is asked for
    /// any more.
    async fn again(&self, target: Target, ages: &Ages) -> Result<Option<Forecast>, PassError> {
        let now = Timestamp::now();
        let mut again = Forecast { other_calls: CONFIRMING_CALLS, ..Forecast::default() };
        match target {
            Target::Job(key) => {
                let Some(row) = self.store.job(key).await? else { return Ok(None) };
                let Ok(job) = Job::from_document(key.project, row.document) else { return Ok(None) };
                let refused = refused(&job, &row.log, &row.archive);
                let refused = refused.without(refused.too_old(&job, ages, now));
                let refused = refused.without(refused.too_large(&job, self.config.sizes));
                let archive = job.archive.as_ref().filter(|_| refused.archive);
                again.archive_bytes = archive.and_then(|archive| archive.size).unwrap_or(0);
                (again.logs, again.archives) = (refused.log.into(), refused.archive.into());
                Ok(refused.any().then_some(again))
            }
            Target::Report(key) => {
                let Some(row) = self.store.pipeline(key).await? else { return Ok(None) };
                let attempts: Vec<Attempt> = self.store.jobs_of(key).await?.iter().map(JobRow::attempt).collect();
                let over = row.status.pipeline_phase() != PipelinePhase::Active;
                let plan = ReportPlan::of(over, &row.report, &attempts);
                let plan = plan.filter(|_| !Ages::is_over(ages.reports, row.updated_at, now));
                let refused = plan.map(|plan| plan.refused(&row.report)).unwrap_or_default();
                (again.reports, again.summaries) = (refused.report.into(), refused.summary.into());
                Ok(refused.any().then_some(again))
            }
            Target::Detail(_) => Ok(Some(Forecast { details: 1, ..again })),
            _ => Ok(None),
        }
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

/// What asking again told about everything else that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// The token may have it by now, also where GitLab has nothing to give: an empty log, or an archive that has expired.
    Given,
    Refused,
    Nothing,
}

impl Told {
    fn of(asked: bool, before: [Piece; 2], after: [Piece; 2]) -> Self {
        let was_given = |(before, after): (Piece, Piece)| {
            let answered = after.is_held() || matches!(after, Piece::Absent(Reason::NoLog | Reason::Expired));
            before.is_refused() && answered
        };
        match () {
            () if !asked => Self::Nothing,
            () if before.into_iter().zip(after).any(was_given) => Self::Given,
            () if after.iter().any(|after| after.is_refused()) => Self::Refused,
            () => Self::Nothing,
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
