//! A pipeline's test report and its summary: two pieces, each kept for itself (contract, section 5.8).

use bytes::Bytes;

use super::log::compress;
use super::{Found, Ingest, Remedy, Task, Trouble, UnitOutcome};
use crate::domain::{
    Ages, Attempt, Counted, Job, Malformed, Piece, PipelineKey, PipelinePhase, Reason, ReportNeeds, ReportPlan,
    ReportRecord, Summarized, Timestamp, report_is_settled, report_retry,
};
use crate::gitlab::{Body, Error, Kind, Whole};
use crate::masking::Rules;
use crate::store::{Change, JobRow, PipelineRow};
use crate::work::{Cause, Lane, Target, Work};

/// The most that a summary may hold: a few hundred bytes for each suite.
const SUMMARY_BYTES: u64 = 4 * 1024 * 1024;

/// What GitLab answered about one of the two pieces.
enum Answer<T> {
    /// It was not asked.
    Unasked,
    /// The text, what it counts, and GitLab's clock.
    Got(Whole, T, Timestamp),
    /// There is none for us, and that is a verdict.
    Absent(Reason),
    /// It was not got, and this is why.
    Not(Trouble),
}

/// The pipeline at hand: what is stored of it, and what its report consists of.
struct Case<'a> {
    row: &'a PipelineRow,
    plan: ReportPlan,
    jobs: Vec<Job>,
}

impl Ingest {
    /// Asks for what is missing of a pipeline's report and summary, if its jobs are over. The summary comes first: it is cheap, and
    /// where GitLab does not answer even that, its most expensive question is not asked.
    pub(super) async fn report(&self, task: &Task<'_>, key: PipelineKey, found: &mut Found) -> Result<(), Trouble> {
        let Some(row) = self.store.pipeline(key).await? else { return Err(Trouble::Gone) };
        let rows = self.store.jobs_of(key).await?;
        let Some((case, needs)) = Case::of(&row, &rows, task) else { return Ok(()) };
        let treatment = self.treatment(key.project);
        if Ages::is_over(treatment.ages.reports, row.updated_at, Timestamp::now()) {
            let record = ReportRecord::none(Piece::Absent(Reason::Pruned), case.plan.build_ids);
            found.units.push(self.pipeline_unit(key, "report", UnitOutcome::Absent(Reason::Pruned)));
            found.facts.push(Change::Report { key, record, bytes: None });
            return Ok(());
        }
        let (class, masking) = (task.class(), treatment.masking.as_ref());
        let summary: Answer<Summarized> = match needs.summary {
            false => Answer::Unasked,
            true => {
                let answer = self.gitlab.test_report_summary(class, key).await;
                self.read("test report summary", masking, (answer, self.config.report_size.min(SUMMARY_BYTES))).await
            }
        };
        if let Answer::Not(trouble) = &summary
            && trouble.remedy() != Remedy::Nothing
        {
            let Answer::Not(trouble) = summary else { return Ok(()) };
            found.units.push(self.pipeline_unit(key, "report", UnitOutcome::Failed(trouble.to_string())));
            found.trouble = Some(trouble);
            return Ok(());
        }
        let report: Answer<Counted> = match needs.report {
            false => Answer::Unasked,
            true => {
                let answer = self.gitlab.test_report(class, key).await;
                self.read("test report", masking, (answer, self.config.report_size)).await
            }
        };
        self.publish(&case, summary, report, found)
    }

    /// Decides what the answers make of the two pieces.
    fn publish(
        &self,
        case: &Case<'_>,
        summary: Answer<Summarized>,
        report: Answer<Counted>,
        found: &mut Found,
    ) -> Result<(), Trouble> {
        let key = case.row.key;
        let mut record = case.begun();
        let mut trouble = None;
        let mut at = None;
        let refused =
            matches!(summary, Answer::Absent(Reason::Forbidden)) || matches!(report, Answer::Absent(Reason::Forbidden));
        let summarized = match summary {
            Answer::Got(text, counts, asked_at) => {
                at = Some(asked_at);
                record.summary_piece = Piece::Live;
                record.summary = Some(String::from_utf8_lossy(&text).into());
                Some(counts)
            }
            Answer::Unasked => record.summary.as_deref().and_then(|text| serde_json::from_str(text).ok()),
            Answer::Absent(reason) => {
                record.summary_piece = Piece::Absent(reason);
                None
            }
            Answer::Not(problem) => {
                record.summary_piece = Piece::Absent(Reason::Failed);
                trouble = Some(problem);
                None
            }
        };
        let mut counted = None;
        let mut bytes = None;
        match report {
            Answer::Got(text, counts, asked_at) => {
                at = Some(at.map_or(asked_at, |at| asked_at.min(at)));
                (record.piece, record.blob) = (Piece::Live, None);
                (record.size, record.total_count) = (text.len() as u64, counts.total_count);
                bytes = Some(compress(&text)?.into());
                counted = Some(counts);
            }
            Answer::Unasked => {}
            Answer::Absent(reason) => case.absent(&mut record, reason),
            Answer::Not(problem) => match problem.remedy() {
                Remedy::Nothing | Remedy::Later | Remedy::Perhaps => {
                    case.absent(&mut record, Reason::Failed);
                    trouble = Some(Trouble::NoReport(problem.to_string()).or(trouble));
                }
                // Nothing is known of it: what is held of other attempts is not given up for that.
                _ if record.build_ids != case.row.report.build_ids && case.row.report.piece.is_held() => {
                    found.units.push(self.pipeline_unit(key, "report", UnitOutcome::Failed(problem.to_string())));
                    found.trouble = Some(problem);
                    return Ok(());
                }
                _ => trouble = Some(problem),
            },
        }
        let settled = report_is_settled(at.unwrap_or_default(), case.last_end(), &self.config.schedule);
        case.settle(&mut record, (summarized.as_ref(), counted.as_ref()), settled);
        let bytes = bytes.filter(|_| record.piece.is_held());
        let outcome = match (&trouble, record.piece) {
            (Some(trouble), _) => UnitOutcome::Failed(trouble.to_string()),
            (None, Piece::Absent(reason)) => UnitOutcome::Absent(reason),
            (None, _) => UnitOutcome::Cached { bytes: record.size, count: record.total_count },
        };
        found.units.push(self.pipeline_unit(key, "report", outcome));
        found.follow.extend(self.next_report_look(key, &record, trouble.is_some()));
        if refused {
            found.facts.push(Change::Refused(Target::Report(key), Timestamp::now()));
        }
        found.facts.push(Change::Report { key, record, bytes });
        found.trouble = trouble;
        Ok(())
    }

    /// Returns when the pieces are asked for again.
    fn next_report_look(&self, key: PipelineKey, record: &ReportRecord, failed: bool) -> Option<Work> {
        let schedule = &self.config.schedule;
        let pieces = [record.piece, record.summary_piece];
        let wait = match pieces {
            _ if failed || pieces.contains(&Piece::Absent(Reason::Failed)) => report_retry(record.looks, schedule),
            _ if pieces.contains(&Piece::Live) => schedule.report_again,
            _ => return None,
        };
        let (target, due) = (Target::Report(key), Timestamp::now().plus(wait));
        Some(Work { target, lane: Lane::Backfill, cause: Cause::Look, due, listed: None, path: None })
    }

    /// Reads an answer to its end and counts it.
    async fn read<T: serde::de::DeserializeOwned>(
        &self,
        what: &'static str,
        rules: Option<&Rules>,
        (answer, limit): (Result<Body, Error>, u64),
    ) -> Answer<T> {
        let read = async {
            let mut body = answer?;
            let at = body.as_of();
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            Ok::<_, Error>((body.read_within(limit).await?, at))
        };
        let (text, at) = match read.await {
            Ok((Some(text), at)) => (text.map(|text| self.mask_report(rules, text)), at),
            Ok((None, _)) => return Answer::Absent(Reason::TooLarge),
            Err(error) if matches!(error.kind, Kind::Forbidden) => return Answer::Absent(Reason::Forbidden),
            Err(error) => return Answer::Not(error.into()),
        };
        match serde_json::from_slice(&text) {
            Ok(counts) => Answer::Got(text, counts, at),
            Err(error) => {
                let kind = Kind::Malformed(Malformed::json(what, &error));
                Answer::Not(Error { question: format!("read {what}"), kind }.into())
            }
        }
    }

    /// Masks the strings of a report, which holds what tests printed.
    fn mask_report(&self, rules: Option<&Rules>, report: Bytes) -> Bytes {
        let Some(rules) = rules else { return report };
        match rules.mask_json(&String::from_utf8_lossy(&report)) {
            Some((masked, secrets)) => {
                self.metrics.masked("report", secrets);
                masked.into()
            }
            None => report,
        }
    }
}

impl<'a> Case<'a> {
    /// Returns the case and what has to be asked; `None` when that is nothing.
    fn of(row: &'a PipelineRow, rows: &[JobRow], task: &Task<'_>) -> Option<(Self, ReportNeeds)> {
        let jobs: Vec<Job> = rows.iter().filter_map(JobRow::read_document).collect();
        let attempts: Vec<Attempt> = rows.iter().map(JobRow::attempt).collect();
        let over = row.status.pipeline_phase() != PipelinePhase::Active;
        let plan = ReportPlan::of(over, &row.report, &attempts)?;
        let mut needs = plan.needs(&row.report, task.eagerness());
        if task.cause == Cause::Recheck {
            needs = needs.and(plan.refused(&row.report));
        }
        needs.any().then_some((Self { row, plan, jobs }, needs))
    }

    /// Returns the record as it is before the answers.
    fn begun(&self) -> ReportRecord {
        let held = &self.row.report;
        let same = held.build_ids == self.plan.build_ids;
        let before = if same { held.clone() } else { ReportRecord::missing() };
        ReportRecord {
            build_ids: self.plan.build_ids.clone(),
            looks: before.looks + 1,
            last_look: Some(Timestamp::now()),
            ..before
        }
    }

    /// Notes that there is no report, unless one of the same attempts is held.
    fn absent(&self, record: &mut ReportRecord, reason: Reason) {
        if !record.piece.is_held() {
            record.piece = Piece::Absent(reason);
        }
    }

    /// Returns the end of the last job that delivered something, or may have.
    fn last_end(&self) -> Timestamp {
        let of_these = self.jobs.iter().filter(|job| self.plan.build_ids.contains(&job.key.job));
        of_these.map(|job| job.finished_at.unwrap_or(job.document.as_of)).max().unwrap_or_default()
    }

    /// Decides whether the pieces are final. A report whose files GitLab no longer lists is not made any more: it is
    /// `expired`, however they went, unless the summary says that there never was one.
    fn settle(
        &self,
        record: &mut ReportRecord,
        (summary, report): (Option<&Summarized>, Option<&Counted>),
        settled: bool,
    ) {
        let nothing = summary.is_some_and(Summarized::names_nothing);
        let explained = match (summary, report) {
            (Some(summary), Some(report)) => summary.explains(report, &self.plan.listed),
            (Some(summary), None) => record.piece.is_held() && record.total_count == summary.count(),
            (None, _) => false,
        };
        let whole = if settled || explained { Piece::Whole } else { Piece::Live };
        if record.summary_piece == Piece::Live {
            record.summary_piece = whole;
        }
        let holds = record.piece.is_held() && (report.is_some() || record.blob.is_some());
        let empty = report.is_some_and(Counted::names_nothing) && settled;
        match () {
            // Its files went while GitLab was asked.
            () if empty && summary.is_some() && !nothing => record.piece = Piece::Absent(Reason::Expired),
            () if holds && record.piece == Piece::Live => record.piece = whole,
            () if holds || !self.plan.listed.is_empty() => {}
            () if nothing => record.piece = whole,
            () => record.piece = Piece::Absent(Reason::Expired),
        }
        if !record.piece.is_held() {
            (record.blob, record.size, record.total_count) = (None, 0, 0);
        }
    }
}
