//! What a full pass would fetch of one project. What is needed, left and written down is decided by the very functions that decide
//! it for the pass; here it is only counted.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::{StreamExt, TryStreamExt, stream};

use super::listing::Walk;
use super::plan::{Policy, plan, plan_stored};
use super::skipped::unreadable;
use super::sweep::STORED_PAGE;
use super::{Forecast, PassError, Reconciler, Skipped, patiently};
use crate::domain::{
    Ages, ArchiveRecord, Attempt, Eagerness, Job, JobId, JobKey, LogRecord, Piece, Pipeline, PipelineId, PipelineKey,
    PipelinePhase, PipelineSource, Project, ReportPlan, ReportRecord, Subject, Timestamp, is_worth_a_write, needs,
};
use crate::gitlab::{Class, Kind};
use crate::store::{JobRow, PipelineRow};
use crate::work::{Target, Work};

/// Calls that confirm that a pipeline was deleted: its project is asked for, then it once more.
const CONFIRMING_CALLS: u64 = 2;

/// One project as a forecast sees it.
pub(super) struct Prospect<'a> {
    reconciler: &'a Reconciler,
    project: &'a Project,
    policy: &'a Policy,
    ages: Ages,
    /// What had failed before and is not met by what the listings and the store show: a full pass tries it once more.
    failed: Mutex<HashSet<Target>>,
    /// Pipelines that were found deleted.
    gone: Mutex<HashSet<PipelineId>>,
}

impl<'a> Prospect<'a> {
    pub(super) async fn new(
        reconciler: &'a Reconciler,
        project: &'a Project,
        policy: &'a Policy,
    ) -> Result<Self, PassError> {
        let failed = reconciler.store.failures(Some(project.id)).await?.into_iter().map(|failure| failure.target);
        Ok(Self {
            reconciler,
            project,
            policy,
            ages: (reconciler.ages)(project.id, &project.path),
            failed: Mutex::new(failed.collect()),
            gone: Mutex::default(),
        })
    }

    /// Lists what the pass would list from `start`, and counts what it would fetch.
    pub(super) async fn count(&self, start: Timestamp, forecast: &mut Forecast) -> Result<(), PassError> {
        let (reconciler, project) = (self.reconciler, self.project.id);
        let mut seen: HashSet<PipelineId> = HashSet::new();
        let mut malformed = 0;
        for source in [PipelineSource::Plain, PipelineSource::Child] {
            let mut walk = Walk::new(&reconciler.gitlab, project, source, start);
            while let Some(mut rows) = patiently!(reconciler, walk.next())? {
                // One that both listings show, or that moved meanwhile, is worked on once.
                rows.retain(|row| seen.insert(row.key.pipeline));
                let ids = rows.iter().map(|row| row.key.pipeline).collect();
                let states = reconciler.store.pipeline_states(project, ids).await?;
                let rows = reconciler.pipelines_to_keep(rows, &states).await?;
                self.works(plan(&rows, &states, self.policy), true, forecast).await?;
            }
            malformed += walk.malformed();
        }
        if malformed > 0 {
            forecast.skipped.push(Skipped::project(self.project, "pipelines", unreadable(malformed)));
        }
        let mut after = None;
        loop {
            let mut states = reconciler.store.unfinished(project, self.policy.full, after, STORED_PAGE).await?;
            let Some(last) = states.last() else { break };
            after = Some(last.id);
            states.retain(|state| !seen.contains(&state.id));
            self.works(plan_stored(project, &states, self.policy), false, forecast).await?;
        }
        let left: Vec<Target> = self.failed().iter().copied().collect();
        for target in left {
            forecast.add(self.once_more(target).await?);
        }
        Ok(())
    }

    /// Counts what planned pipelines would cost; those that no listing showed may have been deleted.
    async fn works(&self, works: Vec<Work>, listed: bool, forecast: &mut Forecast) -> Result<(), PassError> {
        let mut asked = Vec::new();
        for work in &works {
            match work.target {
                Target::Pipeline(key) => asked.push(self.pipeline(key, work.listed.as_deref())),
                Target::Detail(key) if self.detail(work.target).await? => match listed {
                    true => forecast.details += 1,
                    false => forecast.add(self.detail_in_doubt(key).await?),
                },
                _ => {}
            }
        }
        let at_once = self.reconciler.config.pipelines;
        let counted: Vec<Forecast> = stream::iter(asked).buffer_unordered(at_once).try_collect().await?;
        counted.into_iter().for_each(|pipeline| forecast.add(pipeline));
        Ok(())
    }

    /// Counts what one pipeline would cost; what no listing showed is asked for, as a pass does.
    async fn pipeline(&self, key: PipelineKey, listed: Option<&Pipeline>) -> Result<Forecast, PassError> {
        self.meet(Target::Pipeline(key));
        let reconciler = self.reconciler;
        let mut forecast = Forecast { pipelines: 1, ..Forecast::default() };
        let skipped = |kind, problem| Skipped::piece(key.project, key.pipeline, None, kind, problem);
        // Of what is being forgotten something may still be stored.
        if !reconciler.store.forgotten(Target::Pipeline(key).subjects()).await?.is_empty() {
            return Ok(forecast);
        }
        self.meet(Target::Detail(key));
        let row = reconciler.store.pipeline(key).await?;
        let pipeline = match listed {
            Some(listed) => {
                let wanted = match &row {
                    Some(row) => row.detail.is_wanted(listed, Eagerness::Unsettled),
                    None => !self.ages.are_over_for(listed, Timestamp::now()),
                };
                forecast.details = u64::from(wanted);
                listed.clone()
            }
            None => match patiently!(reconciler, reconciler.gitlab.pipeline(Class::Backfill, key)) {
                Ok(pipeline) => pipeline,
                Err(error) if matches!(error.kind, Kind::NotFound) => {
                    self.gone().insert(key.pipeline);
                    forecast.gone = 1;
                    forecast.other_calls = if row.is_some_and(|row| !row.gone) { CONFIRMING_CALLS } else { 0 };
                    return Ok(forecast);
                }
                Err(error) => {
                    let problem = reconciler.or_problem(Err::<(), _>(error))?.err();
                    forecast.skipped.extend(problem.map(|problem| skipped("pipeline", problem)));
                    return Ok(forecast);
                }
            },
        };
        let held: HashMap<JobId, JobRow> =
            reconciler.store.jobs_of(key).await?.into_iter().map(|row| (row.key.job, row)).collect();
        let mut jobs = Vec::new();
        let (mut next, mut malformed) = (None, 0);
        loop {
            let mut page = match reconciler.or_problem(reconciler.jobs_or_none(key, next.as_ref()).await)? {
                Ok(Some(page)) => page,
                Ok(None) => return Ok(forecast),
                Err(problem) => {
                    forecast.skipped.push(skipped("pipeline", problem));
                    return Ok(forecast);
                }
            };
            if row.is_none() && self.ages.are_over_for(&pipeline, Timestamp::now()) {
                return Ok(forecast);
            }
            malformed += page.malformed;
            reconciler.store.leave_forgotten_out(&mut page.rows, |job| held.contains_key(&job)).await?;
            for job in &page.rows {
                self.job(job, held.get(&job.key.job), &mut forecast);
                jobs.push(Attempt::of(job, held.get(&job.key.job).map(JobRow::told_of_junit)));
            }
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        if malformed > 0 {
            forecast.skipped.push(skipped("jobs", unreadable(malformed)));
        }
        let updated_at = row.as_ref().map_or(pipeline.updated_at, |row| row.updated_at.max(pipeline.updated_at));
        let report = row.map_or_else(ReportRecord::missing, |row| row.report);
        let plan = ReportPlan::of(pipeline.phase() != PipelinePhase::Active, &report, &jobs);
        self.report(key, &report, plan, updated_at, &mut forecast);
        Ok(forecast)
    }

    /// Returns whether a pipeline that lacks only its own document is asked for it.
    async fn detail(&self, target: Target) -> Result<bool, PassError> {
        self.meet(target);
        Ok(self.reconciler.store.forgotten(target.subjects()).await?.is_empty())
    }

    /// Counts a job that GitLab has listed, or told of, just now.
    fn job(&self, job: &Job, row: Option<&JobRow>, forecast: &mut Forecast) {
        let had_failed = self.meet(Target::Job(job.key));
        let (no_log, no_archive) = (LogRecord::missing(), ArchiveRecord::missing());
        let (log, archive) = row.map_or((&no_log, &no_archive), |row| (&row.log, &row.archive));
        let needs = needs(job, log, archive, Eagerness::Unsettled);
        if !needs.any() && !had_failed {
            return;
        }
        let stored = row.filter(|row| !is_worth_a_write(job, needs, &row.document, archive));
        let as_of = stored.map_or(job.document.as_of, |row| row.document.as_of);
        forecast.other_calls += u64::from(!job.ended() || !log.may_be_looked_at(as_of));
        self.pieces(job, log, archive, forecast);
    }

    /// Counts what of a job is fetched.
    fn pieces(&self, job: &Job, log: &LogRecord, archive: &ArchiveRecord, forecast: &mut Forecast) {
        let needs = needs(job, log, archive, Eagerness::Unsettled);
        let needs = needs.without(needs.too_old(job, &self.ages, Timestamp::now()));
        let needs = needs.without(needs.too_large(job, self.reconciler.config.sizes));
        forecast.logs += u64::from(needs.log);
        if let Some(archive) = job.archive.as_ref().filter(|_| needs.archive) {
            forecast.archives += 1;
            forecast.archive_bytes += archive.size.unwrap_or(0);
        }
    }

    /// Counts what of a pipeline's report and summary is needed.
    fn report(
        &self,
        key: PipelineKey,
        held: &ReportRecord,
        plan: Option<ReportPlan>,
        updated_at: Timestamp,
        forecast: &mut Forecast,
    ) {
        self.meet(Target::Report(key));
        let needs = plan.map(|plan| plan.needs(held, Eagerness::Unsettled)).unwrap_or_default();
        if !Ages::is_over(self.ages.reports, updated_at, Timestamp::now()) {
            forecast.reports += u64::from(needs.report);
            forecast.summaries += u64::from(needs.summary);
        }
    }

    /// Counts what had failed and would be tried once more for itself.
    async fn once_more(&self, target: Target) -> Result<Forecast, PassError> {
        let store = &self.reconciler.store;
        let mut forecast = Forecast::default();
        if !self.meet(target) || !store.forgotten(target.subjects()).await?.is_empty() {
            return Ok(forecast);
        }
        match target {
            Target::Pipeline(key) => return self.pipeline(key, None).await,
            Target::Report(key) => {
                if let Some(row) = store.pipeline(key).await? {
                    let rows = store.jobs_of(key).await?;
                    let jobs: Vec<Attempt> = rows.iter().map(JobRow::attempt).collect();
                    let plan = ReportPlan::of(row.status.pipeline_phase() != PipelinePhase::Active, &row.report, &jobs);
                    self.report(key, &row.report, plan, row.updated_at, &mut forecast);
                }
            }
            Target::Detail(key) => return self.detail_in_doubt(key).await,
            Target::Job(key) => return self.job_once_more(key).await,
            // Readers ask for them, passes do not.
            Target::Path(_) | Target::Project(_) | Target::Projects | Target::Pipelines(..) | Target::Bridges(_) => {}
        }
        Ok(forecast)
    }

    /// Counts a document of a pipeline that no listing showed: whether it is as it was, or deleted, only GitLab knows, and then all of it
    /// is worked on.
    async fn detail_in_doubt(&self, key: PipelineKey) -> Result<Forecast, PassError> {
        let reconciler = self.reconciler;
        let row = reconciler.store.pipeline(key).await?.filter(|row| !row.gone);
        let lacks = |row: &PipelineRow| row.detail.piece != Piece::Whole && !row.detail.piece.is_refused();
        let Some(row) = row.filter(lacks) else { return Ok(Forecast::default()) };
        let mut forecast = Forecast { details: 1, details_asked: 1, ..Forecast::default() };
        let follows = match patiently!(reconciler, reconciler.gitlab.pipeline(Class::Backfill, key)) {
            Ok(shown) => (shown.updated_at, &shown.status) != (row.updated_at, &row.status),
            Err(error) => matches!(error.kind, Kind::NotFound),
        };
        if follows {
            forecast.add(self.pipeline(key, None).await?);
        }
        Ok(forecast)
    }

    async fn job_once_more(&self, key: JobKey) -> Result<Forecast, PassError> {
        let reconciler = self.reconciler;
        let mut forecast = Forecast::default();
        let row = reconciler.store.job(key).await?;
        let stored = row.as_ref().filter(|row| row.log.may_be_looked_at(row.document.as_of));
        let stored = stored.and_then(|row| Job::from_document(key.project, row.document.clone()).ok());
        let job = match stored.filter(Job::ended) {
            Some(job) => job,
            None => match patiently!(reconciler, reconciler.gitlab.job(Class::Backfill, key)) {
                Ok(job) => job,
                Err(error) if matches!(error.kind, Kind::NotFound) => {
                    let whole = row.filter(|row| !row.gone && !self.gone().contains(&row.pipeline));
                    return match whole {
                        Some(row) => {
                            self.pipeline(PipelineKey { project: key.project, pipeline: row.pipeline }, None).await
                        }
                        None => Ok(forecast),
                    };
                }
                Err(error) => {
                    let problem = reconciler.or_problem(Err::<(), _>(error))?.err();
                    let pipeline = row.map_or(PipelineId(0), |row| row.pipeline);
                    let skipped = |problem| Skipped::piece(key.project, pipeline, Some(key.job), "job", problem);
                    forecast.skipped.extend(problem.map(skipped));
                    return Ok(forecast);
                }
            },
        };
        let Some(row) = row else {
            let pipeline = Subject::Pipeline(job.pipeline_key());
            let left = self.ages.are_over_for(&job.pipeline, Timestamp::now());
            if !left && reconciler.store.forgotten(vec![pipeline]).await?.is_empty() {
                self.pieces(&job, &LogRecord::missing(), &ArchiveRecord::missing(), &mut forecast);
            }
            return Ok(forecast);
        };
        self.pieces(&job, &row.log, &row.archive, &mut forecast);
        if row.gone || self.gone().contains(&row.pipeline) {
            // GitLab has the archive no longer, and is asked why.
            forecast.other_calls += forecast.archives;
        }
        Ok(forecast)
    }

    /// Notes that something is worked on, so that it need not be for itself; returns whether it had failed before.
    fn meet(&self, target: Target) -> bool {
        self.failed().remove(&target)
    }

    fn failed(&self) -> MutexGuard<'_, HashSet<Target>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gone(&self) -> MutexGuard<'_, HashSet<PipelineId>> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
