//! A pipeline: its record and the documents of its jobs; offers what they still need.

use std::collections::HashMap;

use super::{Found, Ingest, Task, Trouble, UnitOutcome};
use crate::domain::{
    ArchiveRecord, Attempt, Job, JobId, LogRecord, Piece, Pipeline, PipelineKey, PipelinePhase, Reason, ReportPlan,
    ReportRecord, is_worth_a_write, needs,
};
use crate::gitlab::{self, Kind, Listing};
use crate::store::{Change, JobRow};
use crate::work::{Cause, Target, Work};

impl Ingest {
    /// Stores a pipeline and its jobs' documents, and offers the jobs and the report that still need something.
    pub(super) async fn pipeline(&self, task: &Task<'_>, key: PipelineKey, found: &mut Found) -> Result<(), Trouble> {
        let class = task.class();
        let mut pipeline = match self.shown(task, key, found).await? {
            Ok(pipeline) => pipeline,
            Err(error) => return self.not_there(task, key, error, found).await,
        };
        // One after the other: jobs that are read later than their pipeline are read again when it has changed since;
        // jobs that are older than it would never be.
        let first = match self.gitlab.jobs(class, key, None).await {
            Ok(first) => first,
            Err(error) => return self.not_there(task, key, error, found).await,
        };
        let row = self.store.pipeline(key).await?;
        if row.is_none() && self.is_over(&pipeline) {
            return Ok(());
        }
        self.mask_pipeline(&mut pipeline);
        // The listing does not tell whether it ran for a tag, its jobs do.
        let tag = pipeline.tag.or_else(|| first.rows.first().and_then(|job| job.pipeline.tag));
        found.facts.push(Change::Pipeline(Pipeline { tag, ..pipeline.clone() }));
        if pipeline.detail.is_some() && row.as_ref().is_some_and(|row| row.detail.piece == FAILED) {
            found.facts.push(Change::Finish(Target::Detail(key), Vec::new()));
        }
        let held: HashMap<JobId, JobRow> =
            self.store.jobs_of(key).await?.into_iter().map(|row| (row.key.job, row)).collect();
        let held_report = row.map(|row| row.report);
        let mut survey = Survey { task, held, jobs: Vec::new(), pieces: 0 };
        let (mut page, mut malformed) = (first, 0);
        let listed_at = loop {
            malformed += page.malformed;
            let next = page.next.take();
            let as_of = page.as_of;
            self.store.leave_forgotten_out(&mut page.rows, |job| survey.held.contains_key(&job)).await?;
            page.rows.iter_mut().for_each(|job| self.mask_job(job));
            survey.take(page, found);
            match next {
                None => break as_of,
                // A page is one transaction, so that neither memory nor a transaction grows with the pipeline.
                Some(next) => {
                    self.store.apply(std::mem::take(&mut found.facts)).await?;
                    page = match self.gitlab.jobs(class, key, Some(&next)).await {
                        Ok(page) => page,
                        // What was listed is fetched all the same.
                        Err(error) if matches!(error.kind, Kind::Endless(_)) => {
                            found.trouble = Some(error.into());
                            return Ok(());
                        }
                        Err(error) => return self.not_there(task, key, error, found).await,
                    };
                }
            }
        };
        if malformed == 0 {
            found.facts.push(Change::JobsListed(key, listed_at));
        }
        survey.offer_report(&pipeline, held_report.as_ref(), found);
        let (jobs, pieces) = (survey.jobs.len() as u64, survey.pieces);
        found.units.push(self.pipeline_unit(key, "jobs", UnitOutcome::Listed { jobs, pieces }));
        if task.cause == Cause::Ended && pipeline.phase() == PipelinePhase::Active {
            found.trouble = Some(Trouble::NotYet);
        }
        if malformed > 0 {
            found.trouble = Some(Trouble::Unreadable(malformed));
        }
        Ok(())
    }

    /// Returns the pipeline as GitLab shows it now: as it was listed where its own document is not wanted. Where GitLab does not give
    /// that, it is work for itself, so that the jobs are cached all the same.
    async fn shown(
        &self,
        task: &Task<'_>,
        key: PipelineKey,
        found: &mut Found,
    ) -> Result<Result<Pipeline, gitlab::Error>, Trouble> {
        if let Some(listed) = task.listed {
            let wanted = match self.store.pipeline(key).await? {
                Some(row) => row.detail.is_wanted(listed, task.eagerness()),
                None => !self.is_over(listed),
            };
            if !wanted {
                return Ok(Ok(listed.clone()));
            }
        }
        let asked = self.gitlab.pipeline(task.class(), key).await;
        Ok(match (asked, task.listed) {
            (Err(error), Some(listed)) if concerns_it_alone(&error.kind) => {
                tracing::debug!(project.id = %key.project, pipeline.id = %key.pipeline, %error, "no document of a pipeline");
                found.follow.push(Work::now(Target::Detail(key), task.follow_lane(), task.follow_cause()));
                Ok(listed.clone())
            }
            (asked, _) => asked,
        })
    }

    /// Ends the look at a pipeline that GitLab did not answer about: after an event it may not know it yet; otherwise, or when
    /// it still does not know it after the event's last try, it may have deleted it, and then nothing of it is missed any more.
    async fn not_there(
        &self,
        task: &Task<'_>,
        key: PipelineKey,
        error: gitlab::Error,
        found: &mut Found,
    ) -> Result<(), Trouble> {
        found.trouble = Some(match (&error.kind, task.cause) {
            (Kind::NotFound, Cause::Ended) => Trouble::NotYet,
            (Kind::NotFound, _) => Trouble::Gone,
            _ => return Err(error.into()),
        });
        let held = self.store.pipeline(key).await?;
        let yet_to_come = task.cause == Cause::Ended && !task.last;
        if !yet_to_come && held.is_some_and(|row| !row.gone) && self.gitlab.has_deleted(task.class(), key).await? {
            tracing::debug!(project.id = %key.project, pipeline.id = %key.pipeline, "GitLab deleted a pipeline");
            found.facts.push(Change::Gone(key));
        }
        Ok(())
    }
}

/// A pipeline's own document that was set aside.
const FAILED: Piece = Piece::Absent(Reason::Failed);

/// Returns whether GitLab may answer the next question all the same.
fn concerns_it_alone(kind: &Kind) -> bool {
    match kind {
        Kind::Forbidden | Kind::Rejected(_) | Kind::Refused { .. } | Kind::Malformed(_) | Kind::Unavailable(_) => true,
        Kind::PlainStorage(_) | Kind::Redirect(_) | Kind::Endless(_) => true,
        Kind::NotFound | Kind::Throttled { .. } => false,
        Kind::TokenRefused(_) | Kind::HooksTokenRefused(_) | Kind::Withheld { .. } => false,
    }
}

/// The jobs of a pipeline as GitLab lists them, held against what is stored.
struct Survey<'a> {
    task: &'a Task<'a>,
    held: HashMap<JobId, JobRow>,
    jobs: Vec<Attempt>,
    /// Logs, archives and reports that are needed.
    pieces: u64,
}

impl Survey<'_> {
    fn take(&mut self, page: Listing<Job>, found: &mut Found) {
        let (no_log, no_archive) = (LogRecord::missing(), ArchiveRecord::missing());
        for job in page.rows {
            let row = self.held.get(&job.key.job);
            let (log, archive) = row.map_or((&no_log, &no_archive), |row| (&row.log, &row.archive));
            let needs = needs(&job, log, archive, self.task.eagerness());
            self.pieces += u64::from(needs.log) + u64::from(needs.archive);
            self.jobs.push(Attempt::of(&job, row.map(JobRow::told_of_junit)));
            if needs.any() {
                found.follow.push(Work::now(Target::Job(job.key), self.task.follow_lane(), self.task.follow_cause()));
            }
            if row.is_none_or(|row| is_worth_a_write(&job, needs, &row.document, archive)) {
                found.facts.push(Change::Job(Box::new(job)));
            }
        }
    }

    fn offer_report(&mut self, pipeline: &Pipeline, held: Option<&ReportRecord>, found: &mut Found) {
        let over = pipeline.phase() != PipelinePhase::Active;
        let missing = ReportRecord::missing();
        let held = held.unwrap_or(&missing);
        let Some(plan) = ReportPlan::of(over, held, &self.jobs) else { return };
        // Without JUnit the report is GitLab's zeros: known without a call.
        let record = ReportRecord::none(Piece::Whole, Vec::new());
        let known = (held.piece, held.summary_piece) == (record.piece, record.summary_piece);
        if plan.build_ids.is_empty() && !(known && held.build_ids.is_empty()) {
            found.facts.push(Change::Report { key: pipeline.key, record, bytes: None });
            found.facts.push(Change::Finish(Target::Report(pipeline.key), Vec::new()));
        } else if plan.needs(held, self.task.eagerness()).any() {
            self.pieces += 1;
            // A later look at the report of former attempts does not keep that of the new ones waiting.
            let other = held.looks > 0 && held.build_ids != plan.build_ids;
            let cause = if other { Cause::Full } else { self.task.follow_cause() };
            found.follow.push(Work::now(Target::Report(pipeline.key), self.task.follow_lane(), cause));
        }
    }
}
