//! Pipelines, their jobs and their test reports (contract, sections 5.4, 5.5 and 5.8).

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, HttpResponse, web};

use super::answer::{Problem, REASON};
use super::blob::{Coding, File};
use super::provenance::Held;
use super::query::Query;
use super::view::View;
use super::{listing, reply};
use crate::domain::{Piece, PipelinePhase, Reason};
use crate::store::{JobFilter, PipelineFilter, PipelineRow};

/// What GitLab can filter pipelines by and Cistern cannot.
const UNSUPPORTED: [&str; 8] =
    ["created_after", "created_before", "name", "scope", "updated_after", "updated_before", "username", "yaml_errors"];

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
    query.refuse(&UNSUPPORTED)?;
    query.only("order_by", "id")?;
    let filter = PipelineFilter {
        status: query.status("status")?,
        ref_: query.owned("ref"),
        sha: query.owned("sha"),
        source: query.owned("source"),
        ascending: query.choice("sort", "asc", "desc")?.unwrap_or(false),
    };
    let paging = query.paging()?;
    let page = view.pipelines(view.project(&project).await?, filter, paging.slice()).await?;
    Ok(listing::respond(&request, &query, paging, &page))
}

/// Answers with one pipeline, in the shape of the listing (design, section 4.7).
pub(super) async fn show(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    view: View,
) -> Result<HttpResponse, Problem> {
    let held = find(&view, &path).await?;
    Ok(reply::json(&request, held.provenance, held.row.document.text))
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
    let pipeline = find(&view, &path).await?.row;
    let page = view.pipeline_jobs(&pipeline, filter, paging.slice()).await?;
    Ok(listing::respond(&request, &query, paging, &page))
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
        let Held { row, .. } = view.pipeline(project, &path.1).await?;
        let Some(blob) = row.report.blob else { return without_report(&row, ZERO_REPORT) };
        let file = File { blob, size: row.report.size, coding: Coding::Zstd };
        if let Some(body) = view.open(project.report(), file, request.method()).await? {
            return Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, "application/json")).body(body));
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
    let Held { row, provenance } = find(&view, &path).await?;
    match &row.report.summary {
        Some(summary) => Ok(reply::json(&request, provenance, summary.to_string())),
        None => without_report(&row, ZERO_SUMMARY),
    }
}

/// A pipeline without JUnit, and one that has not ended, gets GitLab's zeros. A report that should be here and is not
/// is 404: zeros would say that no test failed.
fn without_report(row: &PipelineRow, zero: &'static str) -> Result<HttpResponse, Problem> {
    let zeros = || {
        let mut response = HttpResponse::Ok();
        response.insert_header((CONTENT_TYPE, "application/json"));
        response
    };
    let not_finished = Piece::Absent(Reason::NotFinished);
    match row.report.piece {
        Piece::Whole | Piece::Live => Ok(zeros().body(zero)),
        piece if piece == not_finished || row.status.pipeline_phase() != PipelinePhase::Ended => {
            Ok(zeros().insert_header((REASON, not_finished.as_str())).body(zero))
        }
        piece => Err(Problem::NotHeld(piece)),
    }
}

async fn find(view: &View, path: &(String, String)) -> Result<Held<PipelineRow>, Problem> {
    view.pipeline(view.project(&path.0).await?, &path.1).await
}
