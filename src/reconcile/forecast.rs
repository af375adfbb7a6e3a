//! What a full pass would fetch, without fetching it.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use super::listing::Walk;
use super::plan::{Policy, plan, plan_stored};
use super::projects::Roll;
use super::skipped::unreadable;
use super::sweep::STORED_PAGE;
use super::{Only, PassError, Reconciler, Skipped, patiently};
use crate::domain::{
    ArchiveRecord, Eagerness, JobId, LogRecord, Pipeline, PipelineId, PipelineKey, PipelinePhase, PipelineSource,
    Project, ReportRecord, needs, needs_report, report_jobs,
};
use crate::gitlab::{Class, Kind};
use crate::store::JobRow;
use crate::work::{Target, Work};

/// Calls that confirm that a pipeline was deleted: its project is asked for, then it once more.
const CONFIRMING_CALLS: u64 = 2;

/// What a full pass would fetch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Forecast {
    /// Projects it would sweep.
    pub projects: u64,
    /// Pipelines whose jobs it would list.
    pub pipelines: u64,
    /// Logs it would fetch.
    pub logs: u64,
    /// Archives it would fetch.
    pub archives: u64,
    /// Bytes of those archives.
    pub archive_bytes: u64,
    /// Test reports it would fetch, with their summaries.
    pub reports: u64,
    /// GitLab calls it would make: listings, logs, archives and reports.
    pub gitlab_calls: u64,
    /// Storage downloads beside them, if GitLab redirects archives.
    pub storage_calls: u64,
    /// Pipelines it would find deleted.
    pub gone: u64,
    /// Calls that find out that what GitLab refused is still refused for itself.
    #[serde(skip)]
    pub confirming_calls: u64,
    /// Calls made to find this out: the listings.
    pub calls_made: u64,
    /// Projects whose CI or repository is switched off, or not for the token.
    pub without_ci: u64,
    /// What could not be counted, because GitLab did not answer about it.
    pub skipped: Vec<Skipped>,
    /// How long the rest would take at the present limits and at GitLab's present pace, bodies not counted.
    pub seconds: u64,
}

impl Reconciler {
    /// Lists what a full pass would list and counts what it would fetch. Writes nothing.
    pub async fn forecast(&self, since: Duration, only: &Only) -> Result<Forecast, PassError> {
        let calls = self.gitlab.calls();
        let mut forecast = Forecast::default();
        let mut roll = Roll::new(self, only);
        while let Some(group) = roll.next().await? {
            let policy = Policy {
                full: true,
                audit_window: self.config.audit_window,
                audit_every: Duration::from_secs(24 * 3600),
                now: group.as_of,
            };
            forecast.skipped.extend(group.skipped());
            for project in &group.projects {
                if !project.ci_enabled {
                    forecast.without_ci += 1;
                    continue;
                }
                match self.forecast_project(project, since, &policy, &mut forecast).await {
                    Ok(()) => {
                        forecast.projects += 1;
                        self.forecast_refused(project.id, &mut forecast).await?;
                    }
                    Err(PassError::Gitlab(error)) if self.is_without_ci(project.id, &error).await?.is_some() => {
                        forecast.without_ci += 1;
                    }
                    Err(error) => {
                        let problem = self.or_problem(Err::<(), _>(error))?.err();
                        forecast.skipped.extend(problem.map(|problem| Skipped::project(project, "project", problem)));
                    }
                }
            }
        }
        forecast.calls_made = self.gitlab.calls() - calls;
        forecast.storage_calls = forecast.archives;
        forecast.gitlab_calls = forecast.calls_made
            + forecast.logs
            + forecast.archives
            + 2 * forecast.reports
            + forecast.confirming_calls
            + CONFIRMING_CALLS * forecast.gone;
        let left = forecast.gitlab_calls + forecast.storage_calls - forecast.calls_made;
        forecast.seconds = self.gitlab.estimate(left).map_or(0, |estimate| estimate.as_secs_f64().ceil() as u64);
        Ok(forecast)
    }

    async fn forecast_project(
        &self,
        project: &Project,
        since: Duration,
        policy: &Policy,
        forecast: &mut Forecast,
    ) -> Result<(), PassError> {
        let mut seen: HashSet<PipelineId> = HashSet::new();
        let mut malformed = 0;
        for source in [PipelineSource::Plain, PipelineSource::Child] {
            let mut walk = Walk::new(&self.gitlab, project.id, source, policy.now.minus(since));
            while let Some(mut rows) = patiently!(self, walk.next())? {
                // One that both listings show, or that moved meanwhile, is worked on once.
                rows.retain(|row| seen.insert(row.key.pipeline));
                let ids = rows.iter().map(|row| row.key.pipeline).collect();
                let states = self.store.pipeline_states(project.id, ids).await?;
                let rows = self.pipelines_to_keep(rows, &states).await?;
                self.forecast_works(plan(&rows, &states, policy), forecast).await?;
            }
            malformed += walk.malformed();
        }
        if malformed > 0 {
            forecast.skipped.push(Skipped::project(project, "pipelines", unreadable(malformed)));
        }
        let mut after = None;
        loop {
            let mut states = self.store.unfinished(project.id, policy.full, after, STORED_PAGE).await?;
            let Some(last) = states.last() else { return Ok(()) };
            after = Some(last.id);
            states.retain(|state| !seen.contains(&state.id));
            self.forecast_works(plan_stored(project.id, &states, policy), forecast).await?;
        }
    }

    /// Counts what planned pipelines would cost.
    async fn forecast_works(&self, works: Vec<Work>, forecast: &mut Forecast) -> Result<(), PassError> {
        let mut asked = Vec::new();
        for work in &works {
            if let Target::Pipeline(key) = work.target {
                asked.push(self.forecast_pipeline(key, work.listed.as_deref()));
            }
        }
        let counted: Vec<Forecast> = stream::iter(asked).buffer_unordered(self.config.pipelines).try_collect().await?;
        counted.into_iter().for_each(|pipeline| forecast.add(pipeline));
        Ok(())
    }

    /// Counts what one pipeline would cost; what no listing showed is asked for, as a pass does.
    async fn forecast_pipeline(&self, key: PipelineKey, listed: Option<&Pipeline>) -> Result<Forecast, PassError> {
        let mut forecast = Forecast { pipelines: 1, ..Forecast::default() };
        let phase = match listed {
            Some(listed) => listed.phase(),
            None => match patiently!(self, self.gitlab.pipeline(Class::Backfill, key)) {
                Ok(pipeline) => pipeline.phase(),
                Err(error) if matches!(error.kind, Kind::NotFound) => return Ok(Forecast { gone: 1, ..forecast }),
                Err(error) => {
                    let problem = self.or_problem(Err::<(), _>(error))?.err();
                    let skipped = |problem| Skipped::piece(key.project, key.pipeline, None, "pipeline", problem);
                    forecast.skipped.extend(problem.map(skipped));
                    return Ok(forecast);
                }
            },
        };
        let held: HashMap<JobId, JobRow> =
            self.store.jobs_of(key).await?.into_iter().map(|row| (row.key.job, row)).collect();
        let report = self.store.pipeline(key).await?.map_or_else(ReportRecord::missing, |row| row.report);
        let (no_log, no_archive) = (LogRecord::missing(), ArchiveRecord::missing());
        let mut jobs = Vec::new();
        let (mut next, mut malformed) = (None, 0);
        loop {
            let page = match self.or_problem(self.jobs_or_none(key, next.as_ref()).await)? {
                Ok(Some(page)) => page,
                Ok(None) => return Ok(forecast),
                Err(problem) => {
                    forecast.skipped.push(Skipped::piece(key.project, key.pipeline, None, "pipeline", problem));
                    return Ok(forecast);
                }
            };
            malformed += page.malformed;
            for job in page.rows {
                let row = held.get(&job.key.job);
                let (log, archive) = row.map_or((&no_log, &no_archive), |row| (&row.log, &row.archive));
                let needs = needs(&job, log, archive, Eagerness::Unsettled);
                forecast.logs += u64::from(needs.log);
                forecast.archives += u64::from(needs.archive);
                let archive = job.archive.as_ref().filter(|_| needs.archive);
                forecast.archive_bytes += archive.and_then(|archive| archive.size).unwrap_or(0);
                jobs.push((job.key.job, job.name.clone(), job.phase(), job.junit));
            }
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        if malformed > 0 {
            let problem = unreadable(malformed);
            forecast.skipped.push(Skipped::piece(key.project, key.pipeline, None, "jobs", problem));
        }
        let over = phase != PipelinePhase::Active;
        let jobs = jobs.iter().map(|(id, name, phase, junit)| (*id, &**name, *phase, *junit));
        if let Some(ids) = report_jobs(over, &report.build_ids, jobs)
            && needs_report(&report, &ids, Eagerness::Unsettled)
        {
            forecast.reports += 1;
        }
        Ok(forecast)
    }
}

impl Forecast {
    fn add(&mut self, other: Self) {
        self.pipelines += other.pipelines;
        self.logs += other.logs;
        self.archives += other.archives;
        self.archive_bytes += other.archive_bytes;
        self.reports += other.reports;
        self.gone += other.gone;
        self.skipped.extend(other.skipped);
    }

    /// Writes it for people.
    pub fn in_words(&self) -> String {
        let mut text = format!(
            "would list the jobs of {} pipelines of {} projects and fetch {} logs, {} archives ({} bytes) and {} test reports:\n\
             {} GitLab calls, of which {} listings were made to find this out; up to {} downloads from object storage\n\
             about {} at the present limits and GitLab's present pace, without the time that large bodies take\n",
            self.pipelines,
            self.projects,
            self.logs,
            self.archives,
            self.archive_bytes,
            self.reports,
            self.gitlab_calls,
            self.calls_made,
            self.storage_calls,
            in_time(self.seconds)
        );
        if self.without_ci > 0 {
            let _ = writeln!(text, "{} projects have no CI, or none for this token", self.without_ci);
        }
        for skipped in &self.skipped {
            let _ = writeln!(text, "✗ not counted: {skipped}");
        }
        text
    }
}

/// Writes a time as people say it.
fn in_time(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}
