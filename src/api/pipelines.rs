//! Pipelines, their jobs and their test reports (contract, sections 5.4, 5.5 and 5.8).

use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::answer::{Problem, REASON};
use super::blob::File;
use super::freshness::PipelinePart;
use super::openapi::{Answer, Basis, Kind, Operation, PAGING, Parameter, parameter, shapes};
use super::own_documents::Own;
use super::pass::InPart;
use super::provenance::{Held, Listed, Provenance, Source};
use super::query::{Query, STATUSES};
use super::view::View;
use super::{listing, reply};
use crate::domain::{Document, Piece, PipelinePhase, Reason};
use crate::store::{JobFilter, PipelineFilter, PipelineOrder, PipelineRow, PipelineScope};

const SCOPES: [(&str, PipelineScope); 5] = [
    ("running", PipelineScope::Running),
    ("pending", PipelineScope::Pending),
    ("finished", PipelineScope::Finished),
    ("branches", PipelineScope::Branches),
    ("tags", PipelineScope::Tags),
];

pub(super) const LIST: Operation = Operation {
    id: "listPipelines",
    tag: "pipelines",
    summary: "A project's pipelines",
    about: "Child pipelines are left out unless `source=parent_pipeline`, as GitLab does. `username`, `yaml_errors` and \
            `order_by=user_id` look at the own documents of at most 10,000 pipelines that the other parameters leave. Of one whose \
            document is not held nobody knows; then the list says that it is not complete, or GitLab's own goes before it.",
    parameters: &[
        &[
            parameter("status", Kind::Word(&STATUSES), "Only with this status."),
            parameter(
                "scope",
                Kind::Word(&["running", "pending", "finished", "branches", "tags"]),
                "`finished`: ended, but not skipped. `branches`, `tags`: only the latest of each; which of them GitLab still \
                 has is not known here.",
            ),
            parameter("ref", Kind::Text, "Only for this branch or tag."),
            parameter("sha", Kind::Text, "Only for this commit."),
            parameter("source", Kind::Text, "Only from this source."),
            parameter("name", Kind::Text, "Only with this name (`workflow:name`)."),
            parameter("username", Kind::Text, "Only started by the user of this name."),
            parameter("yaml_errors", Kind::Switch, "Only with errors in the configuration, or only without."),
            parameter("updated_after", Kind::Date, "Only when changed since."),
            parameter("updated_before", Kind::Date, "Only when not changed since."),
            parameter("created_after", Kind::Date, "Only when made since."),
            parameter("created_before", Kind::Date, "Only when made before."),
            parameter("order_by", Kind::Word(&["id", "status", "ref", "updated_at", "user_id"]), "`id` if left out."),
            parameter("sort", Kind::Word(&["asc", "desc"]), "The smallest first, or the largest (if left out)."),
        ],
        PAGING,
    ],
    basis: Basis::Cached,
    answer: Answer::List(shapes::PIPELINE),
    problems: &[],
};

pub(super) const LATEST: Operation = Operation {
    id: "getLatestPipeline",
    tag: "pipelines",
    summary: "The latest pipeline of a branch",
    about: "The newest that is cached for the ref: which commit is the ref's latest is not known here.",
    parameters: &[&[parameter("ref", Kind::Text, "The branch or tag; the project's default branch if left out.")]],
    basis: Basis::Derived,
    answer: Answer::One(shapes::PIPELINE_DETAIL),
    problems: &[],
};

pub(super) const SHOW: Operation = Operation {
    id: "getPipeline",
    tag: "pipelines",
    summary: "One pipeline",
    about: "As lists have it where GitLab refuses more. Where GitLab listed a change after it gave the whole document, and cannot be \
            asked, what lists tell is of the change, the rest is of before, and `detailed_status` is left out.",
    parameters: &[],
    basis: Basis::Cached,
    answer: Answer::One(shapes::PIPELINE_DETAIL),
    problems: &[],
};

/// What lists of jobs can be chosen by.
pub(super) const JOB_SCOPE: &[Parameter] = &[parameter("scope", Kind::Words(&STATUSES), "Only with these statuses.")];

pub(super) const JOBS: Operation = Operation {
    id: "listPipelineJobs",
    tag: "jobs",
    summary: "A pipeline's jobs",
    about: "",
    parameters: &[JOB_SCOPE, &[parameter("include_retried", Kind::Switch, "Earlier attempts, too.")], PAGING],
    basis: Basis::Cached,
    answer: Answer::List(shapes::JOB),
    problems: &[],
};

pub(super) const BRIDGES: Operation = Operation {
    id: "listPipelineBridges",
    tag: "jobs",
    summary: "A pipeline's trigger jobs",
    about: "They are fetched when somebody asks for them: until then the list is empty, and `X-Cistern-Reason` is `missing`.",
    parameters: &[JOB_SCOPE, PAGING],
    basis: Basis::Cached,
    answer: Answer::List(shapes::BRIDGE),
    problems: &[],
};

pub(super) const REPORT: Operation = Operation {
    id: "getTestReport",
    tag: "test reports",
    summary: "A pipeline's test report",
    about: "",
    parameters: &[],
    basis: Basis::Cached,
    answer: Answer::One(shapes::REPORT),
    problems: &[],
};

pub(super) const SUMMARY: Operation = Operation {
    id: "getTestReportSummary",
    tag: "test reports",
    summary: "The counts of a pipeline's test report",
    about: "",
    parameters: &[],
    basis: Basis::Cached,
    answer: Answer::One(shapes::SUMMARY),
    problems: &[],
};

/// GitLab's answer for a pipeline without a test report.
const ZERO_REPORT: &str = concat!(
    r#"{"total_time":0,"total_count":0,"success_count":0,"failed_count":0,"#,
    r#""skipped_count":0,"error_count":0,"test_suites":[]}"#
);

/// GitLab's summary for a pipeline without a test report.
const ZERO_SUMMARY: &str = concat!(
    r#"{"total":{"time":0,"count":0,"success":0,"failed":0,"skipped":0,"error":0,"suite_error":null},"#,
    r#""test_suites":[]}"#
);

/// Answers with a page of a project's pipelines, newest first unless `sort=asc`.
pub(super) async fn list(
    request: HttpRequest,
    project: web::Path<String>,
    view: View,
) -> Result<HttpResponse, Problem> {
    let query = Query::of(&request);
    let orders = [
        ("id", PipelineOrder::Id),
        ("status", PipelineOrder::Status),
        ("ref", PipelineOrder::Ref),
        ("updated_at", PipelineOrder::UpdatedAt),
        // Of those that one user started the id decides.
        ("user_id", PipelineOrder::Id),
    ];
    let filter = PipelineFilter {
        status: query.status("status")?,
        ref_: query.owned("ref"),
        sha: query.owned("sha"),
        source: query.owned("source"),
        name: query.owned("name"),
        scope: query.word("scope", &SCOPES)?,
        updated: query.span("updated_after", "updated_before")?,
        created: query.span("created_after", "created_before")?,
        order: query.word("order_by", &orders)?.unwrap_or_default(),
        ascending: query.choice("sort", "asc", "desc")?.unwrap_or(false),
    };
    let paging = query.paging()?;
    let since = query.instant("updated_after").max(query.instant("created_after"));
    let own = Own::of(&query, filter.ascending)?;
    let project = view.project(&project).await?;
    if own.asked().is_none() {
        let listed = view.pipelines(project, filter, paging.slice(), since).await?;
        return Ok(listing::respond(&request, &query, paging, &listed));
    }
    let (mut listed, every) = view.pipelines_by_own(project, filter, &own, since).await?;
    listed.page = listing::page_of(listed.page.rows, paging.slice());
    let mut response = listing::respond(&request, &query, paging, &listed);
    if !every {
        response.extensions_mut().insert(InPart);
    }
    Ok(response)
}

/// Answers with the newest pipeline of a ref.
pub(super) async fn latest(
    request: HttpRequest,
    project: web::Path<String>,
    view: View,
) -> Result<HttpResponse, Problem> {
    let ref_ = Query::of(&request).owned("ref");
    let held = view.latest(view.project(&project).await?, ref_).await?;
    Ok(reply::json(&request, held.provenance, own_document(held.row)))
}

/// Answers with one pipeline.
pub(super) async fn show(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    view: View,
) -> Result<HttpResponse, Problem> {
    let held = view.pipeline(view.project(&path.0).await?, &path.1, PipelinePart::Detail).await?;
    Ok(reply::json(&request, held.provenance, own_document(held.row)))
}

/// Returns a pipeline's own document, or its row of the listing where that is all there is.
fn own_document(row: PipelineRow) -> Box<str> {
    row.detail.answer(&row.document).unwrap_or(row.document).text
}

/// Answers with a page of a pipeline's jobs, newest first; only the latest attempts unless `include_retried`.
pub(super) async fn jobs(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    view: View,
) -> Result<HttpResponse, Problem> {
    let query = Query::of(&request);
    let filter = JobFilter { scope: query.statuses("scope")?, include_retried: query.flag("include_retried")? };
    let paging = query.paging()?;
    let pipeline = view.pipeline(view.project(&path.0).await?, &path.1, PipelinePart::Jobs).await?;
    let listed = view.pipeline_jobs(&pipeline, filter, paging.slice()).await?;
    Ok(listing::respond(&request, &query, paging, &listed))
}

/// Answers with a page of a pipeline's trigger jobs, newest first; an empty one that says so while nobody fetched them.
pub(super) async fn bridges(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    view: View,
) -> Result<HttpResponse, Problem> {
    let query = Query::of(&request);
    let (scope, paging) = (query.statuses("scope")?, query.paging()?);
    let pipeline = view.pipeline(view.project(&path.0).await?, &path.1, PipelinePart::Document).await?;
    let held = view.bridges(&pipeline).await?;
    let rows = held.as_ref().map(|list| in_scope(&list.row, &scope)).transpose()?.unwrap_or_default();
    let page = listing::page_of(rows, paging.slice());
    let provenance = held.as_ref().map_or(pipeline.provenance, |held| held.provenance);
    let complete = (held.is_some() && provenance.source != Source::Stale).into();
    let mut response =
        listing::respond(&request, &query, paging, &Listed { page, provenance, complete, counted: true });
    if held.is_none() {
        response.headers_mut().insert(REASON, HeaderValue::from_static(Piece::Missing.as_str()));
    }
    Ok(response)
}

/// Returns the trigger jobs of some statuses, each as GitLab wrote it.
fn in_scope(list: &Document, scope: &[String]) -> Result<Vec<Document>, Problem> {
    #[derive(Deserialize)]
    struct Bridge {
        #[serde(default)]
        status: String,
    }
    let rows: Vec<&RawValue> = serde_json::from_str(&list.text).map_err(|_| Problem::Unusable)?;
    let wanted = |row: &&RawValue| {
        scope.is_empty() || serde_json::from_str::<Bridge>(row.get()).is_ok_and(|row| scope.contains(&row.status))
    };
    let rows = rows.into_iter().filter(wanted);
    Ok(rows.map(|row| Document { text: row.get().into(), as_of: list.as_of }).collect())
}

/// Answers with the test report.
pub(super) async fn report(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    view: View,
) -> Result<HttpResponse, Problem> {
    // A report that is replaced between the row and its first byte is looked up once more.
    for _ in 0..2 {
        let project = view.project(&path.0).await?;
        let Held { row, provenance } = view.report(project, &path.1, |report| report.piece).await?;
        let Some(blob) = row.report.blob else {
            return without_report(&request, provenance, (&row, row.report.piece), ZERO_REPORT);
        };
        let file = File::Zstd { blob, size: row.report.size, frames: Vec::new() };
        let head = |response: &mut HttpResponseBuilder| {
            response.insert_header((CONTENT_TYPE, "application/json"));
        };
        if let Some(answer) = reply::file(&request, provenance, &view, (project.report(), file), head).await? {
            return Ok(answer);
        }
    }
    Err(Problem::Away)
}

/// Answers with the counts of the test report, suite by suite.
pub(super) async fn summary(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    view: View,
) -> Result<HttpResponse, Problem> {
    let Held { row, provenance } =
        view.report(view.project(&path.0).await?, &path.1, |report| report.summary_piece).await?;
    match &row.report.summary {
        Some(summary) => Ok(reply::json(&request, provenance, summary.to_string())),
        None => without_report(&request, provenance, (&row, row.report.summary_piece), ZERO_SUMMARY),
    }
}

/// A pipeline without JUnit, and one that has not ended, gets GitLab's zeros. A report that should be here and is not
/// is 404: zeros would say that no test failed.
fn without_report(
    request: &HttpRequest,
    provenance: Provenance,
    (row, piece): (&PipelineRow, Piece),
    zero: &'static str,
) -> Result<HttpResponse, Problem> {
    let not_finished = Piece::Absent(Reason::NotFinished);
    match piece {
        Piece::Whole | Piece::Live => Ok(reply::json(request, provenance, zero)),
        piece if row.gone && !piece.is_final() => Err(Problem::NotHeld(Piece::Absent(Reason::Expired))),
        piece if piece.is_final() && row.status.pipeline_phase() != PipelinePhase::Active => {
            Err(Problem::NotHeld(piece))
        }
        piece if piece == not_finished || row.status.pipeline_phase() != PipelinePhase::Ended => {
            Ok(reply::document(request, provenance, zero.to_owned(), |response| {
                response.insert_header((REASON, not_finished.as_str()));
            }))
        }
        piece => Err(Problem::NotHeld(piece)),
    }
}
