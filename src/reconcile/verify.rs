//! The operator's form of the convergence law: what GitLab still serves and the cache does not hold.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::listing::Walk;
use super::projects::Roll;
use super::skipped::unreadable;
use super::{Only, PassError, Reconciler, Skipped, patiently};
use crate::domain::{
    ArchiveRecord, Attempt, Eagerness, Job, JobId, LogRecord, Piece, Pipeline, PipelineKey, PipelinePhase,
    PipelineSource, Project, ReportPlan, Timestamp, needs,
};
use crate::gitlab::{self, Class, Kind, Listing, Next};
use crate::store::{Gap, JobRow, PipelineRow};

/// Gaps listed at most.
const GAPS: u64 = 100_000;

/// What a comparison found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// What GitLab serves and is not cached, and what the store itself misses.
    pub gaps: Vec<Gap>,
    /// What GitLab did not answer about, so that nobody knows.
    pub skipped: Vec<Skipped>,
    /// Projects whose CI or repository is switched off: there was nothing to compare.
    pub without_ci: u64,
}

impl Comparison {
    fn add(&mut self, other: Self) {
        self.gaps.extend(other.gaps);
        self.skipped.extend(other.skipped);
        self.without_ci += other.without_ci;
    }
}

impl Reconciler {
    /// Compares everything that was updated within `since` with the cache and returns every gap, of GitLab's side and of
    /// ours, and what could not be compared. Writes nothing; costs listings only. Only what concerns everything ends it early.
    pub async fn verify(&self, since: Duration, only: &Only) -> Result<Comparison, PassError> {
        let mut found = Comparison::default();
        let without_ci = self.noted_without_ci().await?;
        let mut roll = Roll::new(self, only);
        while let Some(group) = roll.next().await? {
            found.skipped.extend(group.skipped());
            for project in &group.projects {
                if !project.ci_enabled {
                    found.without_ci += 1;
                    continue;
                }
                found.gaps.extend(self.store.gaps(Some(project.id), GAPS).await?);
                match self.verify_project(project, group.as_of.minus(since), &mut found).await {
                    // A pass has told of it.
                    Err(PassError::Gitlab(error))
                        if matches!(error.kind, Kind::Forbidden) && without_ci.contains_key(&project.id) =>
                    {
                        found.without_ci += 1;
                    }
                    compared => {
                        let problem = self.or_problem(compared)?.err();
                        found.skipped.extend(problem.map(|problem| Skipped::project(project, "project", problem)));
                    }
                }
            }
        }
        found.gaps = self.real_gaps(found.gaps).await?;
        found.gaps.sort_by_key(|gap| (gap.project, gap.pipeline, gap.job, gap.kind));
        found.gaps.dedup_by_key(|gap| (gap.project, gap.pipeline, gap.job, gap.kind));
        Ok(found)
    }

    async fn verify_project(
        &self,
        project: &Project,
        start: Timestamp,
        found: &mut Comparison,
    ) -> Result<(), PassError> {
        let mut malformed = 0;
        for source in [PipelineSource::Plain, PipelineSource::Child] {
            let mut walk = Walk::new(&self.gitlab, project.id, source, start);
            while let Some(rows) = patiently!(self, walk.next())? {
                let mut asked = Vec::new();
                for pipeline in &rows {
                    asked.push(self.verify_pipeline(pipeline));
                }
                let compared: Vec<Comparison> =
                    stream::iter(asked).buffer_unordered(self.config.pipelines).try_collect().await?;
                compared.into_iter().for_each(|compared| found.add(compared));
            }
            malformed += walk.malformed();
        }
        if malformed > 0 {
            found.skipped.push(Skipped::project(project, "pipelines", unreadable(malformed)));
        }
        Ok(())
    }

    async fn verify_pipeline(&self, pipeline: &Pipeline) -> Result<Comparison, PassError> {
        let mut found = Comparison::default();
        let missing = |job: Option<JobId>, kind| Gap {
            project: pipeline.key.project,
            pipeline: pipeline.key.pipeline,
            job,
            kind,
            state: Piece::Missing,
            problem: None,
        };
        let row = self.store.pipeline(pipeline.key).await?;
        match &row {
            None => found.gaps.push(missing(None, "pipeline")),
            // An active one changes while it is compared.
            Some(row) if pipeline.phase() != PipelinePhase::Active => {
                let wanted = row.detail.is_wanted(pipeline, Eagerness::Missing);
                found.gaps.extend(wanted.then(|| missing(None, "detail")));
            }
            Some(_) => {}
        }
        let mut jobs = Vec::new();
        let held: HashMap<JobId, JobRow> =
            self.store.jobs_of(pipeline.key).await?.into_iter().map(|row| (row.key.job, row)).collect();
        let (mut next, mut malformed) = (None, 0);
        loop {
            let page = match self.or_problem(self.jobs_or_none(pipeline.key, next.as_ref()).await)? {
                Ok(Some(page)) => page,
                Ok(None) => return Ok(found),
                Err(problem) => {
                    found.skipped.push(Skipped::pipeline(pipeline, "pipeline", problem));
                    return Ok(found);
                }
            };
            malformed += page.malformed;
            for job in page.rows {
                let id = Some(job.key.job);
                let kinds = missing_kinds(&job, held.get(&job.key.job));
                found.gaps.extend(kinds.into_iter().map(|kind| missing(id, kind)));
                jobs.push(Attempt::of(&job, held.get(&job.key.job).map(JobRow::told_of_junit)));
            }
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        if malformed > 0 {
            found.skipped.push(Skipped::pipeline(pipeline, "jobs", unreadable(malformed)));
        }
        if let Some(PipelineRow { report, .. }) = row {
            let over = pipeline.phase() != PipelinePhase::Active;
            if let Some(plan) = ReportPlan::of(over, &report, &jobs)
                && plan.needs(&report, Eagerness::Missing).any()
            {
                let holds_report = report.build_ids == plan.build_ids && !report.piece.is_gap();
                found.gaps.push(missing(None, if holds_report { "summary" } else { "report" }));
            }
        }
        Ok(found)
    }

    /// Lists one page of a pipeline's jobs; `None` when it was deleted since it was listed itself.
    pub(super) async fn jobs_or_none(
        &self,
        key: PipelineKey,
        next: Option<&Next>,
    ) -> Result<Option<Listing<Job>>, gitlab::Error> {
        match patiently!(self, self.gitlab.jobs(Class::Backfill, key, next)) {
            Ok(page) => Ok(Some(page)),
            Err(error) if matches!(error.kind, Kind::NotFound) => {
                match patiently!(self, self.gitlab.has_deleted(Class::Backfill, key))? {
                    true => Ok(None),
                    false => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }
}

/// Returns what of a job GitLab serves and we do not hold.
fn missing_kinds(job: &Job, row: Option<&JobRow>) -> Vec<&'static str> {
    let Some(row) = row else { return vec!["job"] };
    let mut kinds = Vec::new();
    if job.ended() && row.status != job.status {
        kinds.push("job");
    }
    let (log, archive): (&LogRecord, &ArchiveRecord) = (&row.log, &row.archive);
    let needs = needs(job, log, archive, Eagerness::Missing);
    if needs.log {
        kinds.push("log");
    }
    if needs.archive {
        kinds.push("archive");
    }
    let erased_here = row.log.piece == Piece::Absent(crate::domain::Reason::Erased);
    if job.erased && !erased_here && row.log.blob.is_some() {
        kinds.push("erasure");
    }
    kinds
}
