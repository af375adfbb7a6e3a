//! A pipeline's test report and its summary, held against each other (contract, section 5.8).

use bytes::{Bytes, BytesMut};
use serde::Deserialize;

use super::log::compress;
use super::{Found, Ingest, Remedy, Task, Trouble, UnitOutcome};
use crate::domain::{
    Ages, Malformed, Piece, PipelineKey, PipelinePhase, Reason, ReportRecord, Timestamp, needs_report, report_jobs,
};
use crate::gitlab::{Body, Error, Kind};
use crate::masking::Rules;
use crate::store::{Change, PipelineRow};
use crate::work::{Cause, Lane, Target, Work};

#[derive(Deserialize)]
struct Report {
    total_count: u64,
}

#[derive(Deserialize)]
struct Summary {
    total: SummaryTotal,
}

#[derive(Deserialize)]
struct SummaryTotal {
    count: u64,
}

impl Ingest {
    /// Fetches a pipeline's report if its jobs are over and it is not held for these attempts.
    pub(super) async fn report(&self, task: &Task<'_>, key: PipelineKey, found: &mut Found) -> Result<(), Trouble> {
        let Some(row) = self.store.pipeline(key).await? else { return Err(Trouble::Gone) };
        let rows = self.store.jobs_of(key).await?;
        let over = row.status.pipeline_phase() != PipelinePhase::Active;
        let jobs = rows.iter().map(|row| (row.key.job, &*row.name, row.status.job_phase(), row.junit));
        let Some(build_ids) = report_jobs(over, &row.report.build_ids, jobs) else { return Ok(()) };
        let again = task.cause == Cause::Recheck && row.report.piece.is_refused() && !build_ids.is_empty();
        if !again && !needs_report(&row.report, &build_ids, task.eagerness()) {
            return Ok(());
        }
        let treatment = self.treatment(key.project);
        if Ages::is_over(treatment.ages.reports, row.updated_at, Timestamp::now()) {
            let piece = Piece::Absent(Reason::Pruned);
            let record = ReportRecord { piece, build_ids, ..ReportRecord::missing() };
            found.units.push(self.pipeline_unit(key, "report", UnitOutcome::Absent(Reason::Pruned)));
            found.facts.push(Change::Report { key, record, bytes: None });
            return Ok(());
        }
        let limit = self.config.report_size;
        let class = task.class();
        let read =
            tokio::try_join!(async { read_all(self.gitlab.test_report(class, key).await?, limit).await }, async {
                read_all(self.gitlab.test_report_summary(class, key).await?, limit).await
            },);
        let absent = |reason| ReportRecord {
            piece: Piece::Absent(reason),
            build_ids: build_ids.clone(),
            last_look: Some(Timestamp::now()),
            ..ReportRecord::missing()
        };
        let (record, bytes) = match read {
            Ok((Some(report), Some(summary))) => {
                let report = self.mask_report(treatment.masking.as_ref(), report);
                let summary = self.mask_report(treatment.masking.as_ref(), summary);
                self.judge_report(&row, &build_ids, &report, &summary)?
            }
            Ok(_) => (absent(Reason::TooLarge), None),
            Err(error) if matches!(error.kind, Kind::Forbidden) => (absent(Reason::Forbidden), None),
            Err(error) => {
                found.units.push(self.pipeline_unit(key, "report", UnitOutcome::Failed(error.to_string())));
                let trouble = Trouble::from(error);
                if trouble.remedy() == Remedy::Nothing {
                    let record = absent(Reason::Failed);
                    found.facts.push(Change::Report { key, record, bytes: None });
                }
                found.trouble = Some(trouble);
                return Ok(());
            }
        };
        let outcome = match record.piece {
            Piece::Absent(reason) => UnitOutcome::Absent(reason),
            _ => UnitOutcome::Cached { bytes: record.size, count: record.total_count },
        };
        found.units.push(self.pipeline_unit(key, "report", outcome));
        if record.piece == Piece::Live {
            let due = Timestamp::now().plus(self.config.schedule.report_again);
            let target = Target::Report(key);
            found.follow.push(Work { target, lane: Lane::Backfill, cause: Cause::Look, due, listed: None, path: None });
        }
        if record.piece.is_refused() {
            found.facts.push(Change::Refused(Target::Report(key), Timestamp::now()));
        }
        found.facts.push(Change::Report { key, record, bytes });
        Ok(())
    }

    /// GitLab caches reports for two minutes, so one that was asked for too early lacks the last jobs; its summary comes
    /// from the database and does not.
    fn judge_report(
        &self,
        row: &PipelineRow,
        build_ids: &[crate::domain::JobId],
        report: &Bytes,
        summary: &Bytes,
    ) -> Result<(ReportRecord, Option<Bytes>), Trouble> {
        let malformed = |what| move |error| Trouble::from(unreadable(&Malformed::json(what, &error)));
        let counted: Report = serde_json::from_slice(report).map_err(malformed("test report"))?;
        let expected: Summary = serde_json::from_slice(summary).map_err(malformed("test report summary"))?;
        let same_set = row.report.build_ids == build_ids;
        let looks = if same_set { row.report.looks + 1 } else { 1 };
        let agree = counted.total_count == expected.total.count;
        let piece = if agree || looks >= self.config.schedule.report_looks { Piece::Whole } else { Piece::Live };
        let record = ReportRecord {
            piece,
            blob: None,
            size: report.len() as u64,
            summary: Some(String::from_utf8_lossy(summary).into()),
            total_count: counted.total_count,
            build_ids: build_ids.to_vec(),
            looks,
            last_look: Some(Timestamp::now()),
        };
        Ok((record, Some(compress(report)?.into())))
    }
}

impl Ingest {
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

fn unreadable(malformed: &Malformed) -> Error {
    Error { question: "read test report".to_owned(), kind: Kind::Malformed(malformed.clone()) }
}

/// Reads a body to its end; `None` when it is larger than `limit`.
async fn read_all(mut body: Body, limit: u64) -> Result<Option<Bytes>, Error> {
    let mut whole = BytesMut::new();
    while let Some(piece) = body.chunk().await? {
        if (whole.len() + piece.len()) as u64 > limit {
            return Ok(None);
        }
        whole.extend_from_slice(&piece);
    }
    Ok(Some(whole.freeze()))
}
