//! The operator's form of the convergence law: what GitLab still serves and the cache does not hold.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::listing::Walk;
use super::projects::Roll;
use super::{Only, PassError, Reconciler, patiently};
use crate::domain::{
    ArchiveRecord, Eagerness, Job, JobId, LogRecord, Piece, Pipeline, PipelinePhase, PipelineSource, Project,
    Timestamp, needs, needs_report, report_jobs,
};
use crate::gitlab::{Class, Kind};
use crate::store::{Gap, JobRow, PipelineRow};

/// Gaps listed at most.
const GAPS: u64 = 100_000;

impl Reconciler {
    /// Compares everything that was updated within `since` with the cache and returns every gap, of GitLab's side and of
    /// ours. Writes nothing; costs listings only.
    pub async fn verify(&self, since: Duration, only: &Only) -> Result<Vec<Gap>, PassError> {
        let mut gaps = Vec::new();
        let mut roll = Roll::new(self, only);
        while let Some(group) = roll.next().await? {
            for project in group.projects.iter().filter(|project| project.ci_enabled) {
                gaps.extend(self.store.gaps(Some(project.id), GAPS).await?);
                self.verify_project(project, group.as_of.minus(since), &mut gaps).await?;
            }
        }
        let mut gaps = self.real_gaps(gaps).await?;
        gaps.sort_by_key(|gap| (gap.project, gap.pipeline, gap.job, gap.kind));
        gaps.dedup_by_key(|gap| (gap.project, gap.pipeline, gap.job, gap.kind));
        Ok(gaps)
    }

    async fn verify_project(&self, project: &Project, start: Timestamp, gaps: &mut Vec<Gap>) -> Result<(), PassError> {
        for source in [PipelineSource::Plain, PipelineSource::Child] {
            let mut walk = Walk::new(&self.gitlab, project.id, source, start);
            while let Some(rows) = patiently!(self, walk.next())? {
                let mut asked = Vec::new();
                for pipeline in &rows {
                    asked.push(self.verify_pipeline(pipeline));
                }
                let found: Vec<Vec<Gap>> =
                    stream::iter(asked).buffer_unordered(self.config.pipelines).try_collect().await?;
                gaps.extend(found.into_iter().flatten());
            }
        }
        Ok(())
    }

    async fn verify_pipeline(&self, pipeline: &Pipeline) -> Result<Vec<Gap>, PassError> {
        let mut gaps = Vec::new();
        let missing = |job: Option<JobId>, kind| Gap {
            project: pipeline.key.project,
            pipeline: pipeline.key.pipeline,
            job,
            kind,
            state: Piece::Missing,
            problem: None,
        };
        let row = self.store.pipeline(pipeline.key).await?;
        if row.is_none() {
            gaps.push(missing(None, "pipeline"));
        }
        let mut jobs = Vec::new();
        let held: HashMap<JobId, JobRow> =
            self.store.jobs_of(pipeline.key).await?.into_iter().map(|row| (row.key.job, row)).collect();
        let mut next = None;
        loop {
            let page = match patiently!(self, self.gitlab.jobs(Class::Backfill, pipeline.key, next.as_ref())) {
                Ok(page) => page,
                // It was deleted since it was listed.
                Err(error) if matches!(error.kind, Kind::NotFound) => return Ok(gaps),
                Err(error) => return Err(error.into()),
            };
            for job in page.rows {
                let id = Some(job.key.job);
                let kinds = missing_kinds(&job, held.get(&job.key.job));
                gaps.extend(kinds.into_iter().map(|kind| missing(id, kind)));
                jobs.push((job.key.job, job.name.clone(), job.phase(), job.junit));
            }
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        if let Some(PipelineRow { report, .. }) = row {
            let over = pipeline.phase() != PipelinePhase::Active;
            let jobs = jobs.iter().map(|(id, name, phase, junit)| (*id, &**name, *phase, *junit));
            let expected = report_jobs(over, &report.build_ids, jobs);
            if expected.is_some_and(|ids| needs_report(&report, &ids, Eagerness::Missing)) {
                gaps.push(missing(None, "report"));
            }
        }
        Ok(gaps)
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
