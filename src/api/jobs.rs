//! Jobs, their logs and their archives (contract, sections 5.5 to 5.7).

use actix_web::http::header::{
    CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ContentDisposition, DispositionParam, DispositionType,
    HeaderName, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use serde::Deserialize;

use super::answer::{Problem, REASON};
use super::blob::{Coding, File};
use super::provenance::Held;
use super::reply;
use super::view::View;
use crate::domain::{JobPhase, Piece, Reason};
use crate::store::JobRow;

/// Whether a log can still change: `settled` or `live` (design, section 4.4).
const X_CISTERN_LOG: HeaderName = HeaderName::from_static("x-cistern-log");

/// The name of an archive whose job does not tell it, as GitLab does no longer once it expired.
const DEFAULT_ARCHIVE_NAME: &str = "artifacts.zip";

/// Answers with one job.
pub(super) async fn show(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    view: View,
) -> Result<HttpResponse, Problem> {
    let held = find(&view, &path).await?;
    Ok(reply::json(&request, held.provenance, held.row.document.text))
}

/// Answers with a job's log as far as it is held. Without one the answer is empty, as GitLab's is, and says why.
pub(super) async fn trace(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    view: View,
) -> Result<HttpResponse, Problem> {
    // A log that is replaced between the row and its first byte is looked up once more.
    view.named()?;
    let project = view.project(&path.0).await?;
    for _ in 0..2 {
        let Held { row, .. } = view.job(project, &path.1).await?;
        let right = view.may_read_log(project, &path.1).await?;
        let mut response = log_response();
        match row.log.piece {
            Piece::Whole => response.insert_header((X_CISTERN_LOG, "settled")),
            Piece::Live => response.insert_header((X_CISTERN_LOG, "live")),
            piece => response.insert_header((REASON, reason(&row, piece).as_str())),
        };
        let Some(blob) = row.log.blob else { return Ok(response.body("")) };
        let file = File { blob, size: row.log.size, coding: Coding::Zstd };
        if let Some(body) = view.open(right, file, request.method()).await? {
            return Ok(response.body(body));
        }
    }
    Err(Problem::Away)
}

/// Answers with a job's archive.
pub(super) async fn artifacts(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    view: View,
) -> Result<HttpResponse, Problem> {
    let project = view.project(&path.0).await?;
    for _ in 0..2 {
        let Held { row, .. } = view.job(project, &path.1).await?;
        let right = view.may_read_archive(project, &path.1).await?;
        let Some(blob) = row.archive.blob else {
            return Err(match reason(&row, row.archive.piece) {
                // Nothing is missing from a job that made none.
                Piece::Missing if listed_archive(&row.document.text).is_none() => Problem::NotFound,
                piece => Problem::NotHeld(piece),
            });
        };
        let file = File { blob, size: row.archive.size, coding: Coding::Plain };
        if let Some(body) = view.open(right, file, request.method()).await? {
            return Ok(HttpResponse::Ok()
                .insert_header((CONTENT_TYPE, "application/zip"))
                .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
                .insert_header((CONTENT_DISPOSITION, attachment(&row.document.text)))
                .body(body));
        }
    }
    Err(Problem::Away)
}

async fn find(view: &View, path: &(String, String)) -> Result<Held<JobRow>, Problem> {
    view.named()?;
    view.job(view.project(&path.0).await?, &path.1).await
}

/// Logs hold what a job printed, so a browser must not take them for anything but text.
fn log_response() -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response
        .insert_header((CONTENT_TYPE, "text/plain; charset=utf-8"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'"));
    response
}

/// Nothing is missing from a job that has not ended, and what has no bytes is not held, whatever its slot says.
fn reason(row: &JobRow, piece: Piece) -> Piece {
    match piece {
        Piece::Absent(_) => piece,
        _ if row.status.job_phase() != JobPhase::Ended => Piece::Absent(Reason::NotFinished),
        _ => Piece::Missing,
    }
}

/// Returns the name of the archive that a job's document lists.
fn listed_archive(document: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        artifacts_file: Option<FileName>,
    }
    #[derive(Deserialize)]
    struct FileName {
        filename: String,
    }
    serde_json::from_str::<Named>(document).ok()?.artifacts_file.map(|file| file.filename)
}

/// Names the file for saving as the job's document names it, without what a header or a file system could trip over.
fn attachment(document: &str) -> ContentDisposition {
    let name = listed_archive(document).unwrap_or_default();
    let harmless = |c: &char| c.is_ascii_alphanumeric() || "._- +()".contains(*c);
    let name: String = name.chars().map(|c| if harmless(&c) { c } else { '_' }).take(255).collect();
    let name = if name.trim_matches(['.', ' ']).is_empty() { DEFAULT_ARCHIVE_NAME.to_owned() } else { name };
    ContentDisposition { disposition: DispositionType::Attachment, parameters: vec![DispositionParam::Filename(name)] }
}

#[cfg(test)]
mod tests {
    use super::attachment;

    #[test]
    fn an_archive_is_named_as_its_job_says_but_harmlessly() {
        let named = |name: &str| {
            let document = serde_json::json!({ "id": 1, "artifacts_file": { "filename": name, "size": 3 } });
            attachment(&document.to_string()).to_string()
        };
        assert_eq!(named("build.zip"), r#"attachment; filename="build.zip""#);
        assert_eq!(named("../a\"b\r\nX: y/ü.zip"), r#"attachment; filename=".._a_b__X_ y__.zip""#);
        for odd in ["", "..", "  "] {
            assert_eq!(named(odd), r#"attachment; filename="artifacts.zip""#, "{odd:?}");
        }
        assert_eq!(attachment(r#"{"id":1}"#).to_string(), r#"attachment; filename="artifacts.zip""#);
    }
}
