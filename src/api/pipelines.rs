//! Pipelines, their jobs and their test reports (contract, sections 5.4, 5.5 and 5.8).

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, HttpResponse, web};

use super::answer::{Problem, REASON};
use super::blob::{Coding, File};
use super::listing;
use super::projects::{nothing_in, one, resolve};
use super::query::Query;
use crate::domain::{Piece, PipelineKey, PipelinePhase, Reason};
use crate::store::{JobFilter, PipelineFilter, PipelineRow, Store};

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
    store: web::Data<Store>,
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
    let project = resolve(&store, &project).await?;
    let page = store.pipelines(project, filter, paging.slice()).await?;
    if page.total == 0
        && let problem @ (Problem::ProjectNotFound | Problem::Away | Problem::Unusable) =
            nothing_in(&store, project).await
    {
        return Err(problem);
    }
    Ok(listing::respond(&request, &query, paging, &page))
}

/// Answers with one pipeline, in the shape of the listing (design, section 4.7).
pub(super) async fn show(path: web::Path<(String, String)>, store: web::Data<Store>) -> Result<HttpResponse, Problem> {
    Ok(one(find(&store, &path.0, &path.1).await?.document))
}

/// Answers with a page of a pipeline's jobs, newest first; only the latest attempts unless `include_retried`.
pub(super) async fn jobs(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    store: web::Data<Store>,
) -> Result<HttpResponse, Problem> {
    let query = Query::of(&request);
    let filter = JobFilter { scope: query.statuses("scope")?, include_retried: query.flag("include_retried")? };
    let paging = query.paging()?;
    let row = find(&store, &path.0, &path.1).await?;
    let page = store.pipeline_jobs(row.key, filter, paging.slice()).await?;
    Ok(listing::respond(&request, &query, paging, &page))
}

/// Answers with the test report.
pub(super) async fn report(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    store: web::Data<Store>,
) -> Result<HttpResponse, Problem> {
    // A report that is replaced between the row and its first byte is looked up once more.
    for _ in 0..2 {
        let row = find(&store, &path.0, &path.1).await?;
        let Some(blob) = row.report.blob else { return without_report(&row, ZERO_REPORT) };
        let file = File { blob, size: row.report.size, coding: Coding::Zstd };
        if let Some(body) = file.open(&store, request.method()).await? {
            return Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, "application/json")).body(body));
        }
    }
    Err(Problem::Away)
}

/// Answers with the counts of the test report, suite by suite.
pub(super) async fn summary(
    path: web::Path<(String, String)>,
    store: web::Data<Store>,
) -> Result<HttpResponse, Problem> {
    let row = find(&store, &path.0, &path.1).await?;
    match &row.report.summary {
        Some(summary) => {
            Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, "application/json")).body(summary.to_string()))
        }
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
        piece if row.gone && !piece.is_final() => Err(Problem::NotHeld(Piece::Absent(Reason::Expired))),
        piece if piece == not_finished || row.status.pipeline_phase() != PipelinePhase::Ended => {
            Ok(zeros().insert_header((REASON, not_finished.as_str())).body(zero))
        }
        piece => Err(Problem::NotHeld(piece)),
    }
}

async fn find(store: &Store, project: &str, pipeline: &str) -> Result<PipelineRow, Problem> {
    let pipeline = pipeline.parse().map_err(|_| Problem::Invalid { name: "pipeline_id", problem: "is invalid" })?;
    let project = resolve(store, project).await?;
    match store.pipeline(PipelineKey { project, pipeline }).await? {
        Some(row) => Ok(row),
        None => Err(nothing_in(store, project).await),
    }
}
