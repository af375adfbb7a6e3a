//! What is cached of a project or a pipeline, what is not, and why (law 12).

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use serde_json::{Value, json};

use crate::api::about::now;
use crate::api::answer::Problem;
use crate::api::freshness::PipelinePart;
use crate::api::openapi::{Answer, Basis, Operation, shapes};
use crate::api::provenance::Held;
use crate::api::reply;
use crate::api::view::View;
use crate::domain::{JobPhase, Junit, LogNote, Piece, Reason, Status};
use crate::store::{Entry, Failure, JobRow};

/// How many gaps, failures and waiting things are listed one by one.
const LISTED: usize = 100;

/// The word for trigger jobs that nobody has read: no pass fetches them (design, section 4.7), so none are missing.
const NOT_ASKED: &str = "not_asked";

pub(in crate::api) const PROJECT: Operation = Operation {
    id: "getProjectCompleteness",
    tag: "completeness",
    summary: "What is cached of a project, and what is not and why",
    about: "`complete`: a pass covered the project, and nothing is missing. `without_ci_since`: its CI or repository is switched \
            off, so that passes leave it alone. `details` are pipelines' own documents. Pieces are `held`, `live` (held, but not final), \
            `missing` (a gap), or absent for a reason. At most 100 gaps, failures and waiting things are listed.",
    parameters: &[],
    basis: Basis::Derived,
    answer: Answer::One(shapes::PROJECT_COMPLETENESS),
    problems: &[],
};

pub(in crate::api) const PIPELINE: Operation = Operation {
    id: "getPipelineCompleteness",
    tag: "completeness",
    summary: "What is cached of a pipeline, job by job",
    about: "`complete`: nothing that passes fetch is missing. Each piece is `whole`, `live` (held, but not final), `missing`, \
            the reason why it is not held, or null where there is none to hold. `detail` is the pipeline's own document, `partial` when \
            it is of an older state than its row. `bridges` are `whole` or `not_asked`: GitLab is \
            asked for trigger jobs when somebody reads them.",
    parameters: &[],
    basis: Basis::Derived,
    answer: Answer::One(shapes::PIPELINE_COMPLETENESS),
    problems: &[],
};

/// How many pieces of one kind are in which state.
#[derive(Debug, Default, Serialize)]
struct Pieces {
    held: u64,
    live: u64,
    missing: u64,
    absent: BTreeMap<&'static str, u64>,
}

impl Pieces {
    fn count(&mut self, piece: Piece, count: u64) {
        match piece {
            Piece::Whole => self.held += count,
            Piece::Live | Piece::Partial => self.live += count,
            Piece::Missing => self.missing += count,
            Piece::Absent(reason) => *self.absent.entry(reason.as_str()).or_default() += count,
        }
    }
}

/// How many things there are, and of which status.
#[derive(Debug, Default, Serialize)]
struct Counted {
    total: u64,
    by_status: BTreeMap<Box<str>, u64>,
}

impl Counted {
    fn count(&mut self, status: &Status, count: u64) {
        self.total += count;
        *self.by_status.entry(status.as_str().into()).or_default() += count;
    }
}

/// Answers with how complete a project is.
pub(in crate::api) async fn project(
    request: HttpRequest,
    project: web::Path<String>,
    view: View,
) -> Result<HttpResponse, Problem> {
    let project = view.project(&project).await?;
    // One more than is listed, to know whether there are more.
    let standing = view.coverage(project, LISTED as u64 + 1).await?;
    let (mut jobs, mut pipelines) = (Counted::default(), Counted::default());
    let (mut logs, mut archives) = (Pieces::default(), Pieces::default());
    let (mut reports, mut details) = (Pieces::default(), Pieces::default());
    for tally in &standing.jobs {
        jobs.count(&tally.status, tally.count);
        for (pieces, piece, expected) in
            [(&mut logs, tally.log, tally.log_expected), (&mut archives, tally.archive, tally.archive_expected)]
        {
            if let Some(piece) = told(&tally.status, piece, expected) {
                pieces.count(piece, tally.count);
            }
        }
    }
    for tally in &standing.pipelines {
        pipelines.count(&tally.status, tally.count);
        // One of an older state is as good as missing.
        details.count(if tally.detail == Piece::Partial { Piece::Missing } else { tally.detail }, tally.count);
        // Whether a report that is missing is expected is told by the gaps.
        if tally.report != Piece::Missing {
            reports.count(tally.report, tally.count);
        }
    }
    reports.missing =
        standing.gaps.iter().filter(|gap| gap.kind == "report" && gap.state == Piece::Missing).count() as u64;
    let progress = standing.progress.as_ref();
    let listed = |total: usize| total.min(LISTED);
    let answer = json!({
        "project_id": project.project(),
        "complete": progress.is_some() && standing.gaps.is_empty(),
        "watermark": progress.map(|progress| progress.watermark),
        "covered_since": progress.map(|progress| progress.covered_since),
        "last_full_pass": progress.and_then(|progress| progress.full_pass_at),
        "without_ci_since": standing.without_ci,
        "pipelines": pipelines,
        "jobs": jobs,
        "logs": logs,
        "archives": archives,
        "details": details,
        "reports": reports,
        "gaps": standing.gaps[..listed(standing.gaps.len())],
        "more_gaps": standing.gaps.len() > LISTED,
        "failures": standing.failures[..listed(standing.failures.len())].iter().map(failure).collect::<Vec<_>>(),
        "more_failures": standing.failures.len() > LISTED,
        "waiting": standing.entries[..listed(standing.entries.len())].iter().map(waiting).collect::<Vec<_>>(),
        "more_waiting": standing.entries.len() > LISTED,
    });
    Ok(reply::json(&request, now(), answer.to_string()))
}

/// Answers with how complete a pipeline is.
pub(in crate::api) async fn pipeline(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    view: View,
) -> Result<HttpResponse, Problem> {
    let project = view.project(&path.0).await?;
    let Held { row, provenance } = view.pipeline(project, &path.1, PipelinePart::Document).await?;
    let rows = view.jobs_of(&row).await?;
    let bridges = view.holds_bridges(&row).await?;
    let (failures, entries) = view.unfinished(project, LISTED as u64).await?;
    let of_this = |kind: &str, id: u64| match kind {
        "job" => rows.iter().any(|job| job.key.job.0 == id),
        _ => id == row.key.pipeline.0,
    };
    let failures = failures.iter().filter(|failure| of_this(failure.target.kind(), failure.target.id()));
    let entries = entries.iter().filter(|entry| of_this(entry.target.kind(), entry.target.id()));
    let has_report = !row.report.build_ids.is_empty() || rows.iter().any(|job| job.junit != Junit::None);
    let is_gap = |piece: Option<Piece>| matches!(piece, Some(Piece::Missing | Piece::Absent(Reason::Failed)));
    let lacks = |job: &JobRow| {
        let job = pieces(job);
        is_gap(job.0) || is_gap(job.1)
    };
    let lacks_detail = !row.gone && row.detail.piece.is_gap();
    let expected = |piece: Piece| Some(piece).filter(|piece| has_report || *piece != Piece::Missing);
    let (report, summary) = (expected(row.report.piece), expected(row.report.summary_piece));
    let answer = json!({
        "project_id": row.key.project,
        "pipeline_id": row.key.pipeline,
        "complete": row.jobs_listed_at.is_some() && !lacks_detail && !is_gap(report) && !is_gap(summary) && !rows.iter().any(lacks),
        "status": row.status,
        "as_of": row.document.as_of,
        "jobs_listed_at": row.jobs_listed_at,
        "detail": row.detail.piece.as_str(),
        "report": report.map(Piece::as_str),
        "summary": summary.map(Piece::as_str),
        "bridges": if bridges { Piece::Whole.as_str() } else { NOT_ASKED },
        "jobs": rows.iter().map(job).collect::<Vec<_>>(),
        "failures": failures.map(failure).collect::<Vec<_>>(),
        "waiting": entries.map(waiting).collect::<Vec<_>>(),
    });
    Ok(reply::json(&request, provenance, answer.to_string()))
}

fn job(row: &JobRow) -> Value {
    let (log, archive) = pieces(row);
    json!({
        "id": row.key.job,
        "name": row.name,
        "status": row.status,
        "log": log.map(Piece::as_str),
        "log_note": row.log.note.map(LogNote::as_str),
        "archive": archive.map(Piece::as_str),
    })
}

/// Returns the state of a job's log and archive, as far as there are any.
fn pieces(row: &JobRow) -> (Option<Piece>, Option<Piece>) {
    let facts = crate::domain::Job::from_document(row.key.project, row.document.clone());
    let (ran, lists) = facts.map_or((true, false), |job| (job.started_at.is_some(), job.archive.is_some()));
    (told(&row.status, row.log.told(), ran), told(&row.status, row.archive.piece, lists))
}

/// Returns the state that readers are told; `None` where nothing is to be held.
fn told(status: &Status, piece: Piece, expected: bool) -> Option<Piece> {
    match piece {
        Piece::Whole | Piece::Live => Some(piece),
        Piece::Absent(reason) if reason != Reason::NotFinished => Some(piece),
        _ if status.job_phase() != JobPhase::Ended => Some(Piece::Absent(Reason::NotFinished)),
        _ => expected.then_some(Piece::Missing),
    }
}

fn failure(failure: &Failure) -> Value {
    json!({
        "kind": failure.target.kind(),
        "id": failure.target.id(),
        "problem": failure.problem,
        "attempts": failure.attempts,
        "at": failure.at,
    })
}

fn waiting(entry: &Entry) -> Value {
    json!({
        "kind": entry.target.kind(),
        "id": entry.target.id(),
        "attempts": entry.attempts,
        "next_try": entry.due,
    })
}
