//! Jobs, their logs and their archives (contract, sections 5.5 to 5.7).

use actix_web::http::header::{
    CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ContentDisposition, DispositionParam, DispositionType,
    HeaderName,
};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde::Deserialize;

use super::answer::{Problem, REASON};
use super::blob::File;
use super::freshness::JobPart;
use super::openapi::{Answer, Basis, KEYSET, Kind, Operation, PAGING, parameter, shapes};
use super::pipelines::JOB_SCOPE;
use super::provenance::Held;
use super::query::Query;
use super::view::View;
use super::{listing, reply, simple};
use crate::access::FileRight;
use crate::domain::{ArchiveFile, JobId, Piece};
use crate::store::{JobRow, ProjectJobFilter, Slice};

/// Whether a log can still change: `settled` or `live` (design, section 4.4).
pub(super) const X_CISTERN_LOG: HeaderName = HeaderName::from_static("x-cistern-log");

/// The name of an archive whose job does not tell it, as GitLab does no longer once it expired.
const DEFAULT_ARCHIVE_NAME: &str = "artifacts.zip";

pub(super) const LIST: Operation = Operation {
    id: "listProjectJobs",
    tag: "jobs",
    summary: "A project's jobs, newest first",
    about: "All attempts of all pipelines. The list has no totals, as GitLab's has none; by key with `order_by=id` and \
            `sort=desc` only. It is complete as of the last pass: GitLab is not asked for it.",
    parameters: &[
        JOB_SCOPE,
        KEYSET,
        &[
            parameter("cursor", Kind::Text, "Where the page begins, as a `Link` of paging by key has it."),
            parameter("order_by", Kind::Word(&["id"]), "`id`."),
            parameter("sort", Kind::Word(&["desc"]), "`desc`."),
        ],
        PAGING,
    ],
    basis: Basis::Cached,
    answer: Answer::List(shapes::JOB),
    problems: &[],
};

pub(super) const SHOW: Operation = Operation {
    id: "getJob",
    tag: "jobs",
    summary: "One job",
    about: "",
    parameters: &[],
    basis: Basis::Cached,
    answer: Answer::One(shapes::JOB),
    problems: &[],
};

pub(super) const TRACE: Operation = Operation {
    id: "getJobTrace",
    tag: "jobs",
    summary: "A job's log",
    about: "Whole, it is sent as zstd or gzip to who takes them; a part of it is sent as it is. Where GitLab's answer is empty, \
            so is this one: the job never started, has not ended, or its log was erased. Any other log that is not held is 404. \
            Either way `X-Cistern-Reason` says why.",
    parameters: &[],
    basis: Basis::Cached,
    answer: Answer::Log,
    problems: &[],
};

pub(super) const ARTIFACTS: Operation = Operation {
    id: "getJobArtifacts",
    tag: "jobs",
    summary: "A job's archive of artifacts",
    about: "",
    parameters: &[],
    basis: Basis::Cached,
    answer: Answer::Archive,
    problems: &[],
};

/// Where a page of a project's jobs begins, in the words of GitLab's cursors: a JSON object in Base64.
#[derive(Deserialize)]
struct Cursor {
    id: String,
}

impl Cursor {
    fn read(query: &Query) -> Result<Option<JobId>, Problem> {
        let Some(text) = query.text("cursor") else { return Ok(None) };
        let read = || {
            let text = text.trim_end_matches('=');
            let bytes = URL_SAFE_NO_PAD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok()?;
            serde_json::from_slice::<Self>(&bytes).ok()?.id.parse().ok()
        };
        read().map(Some).ok_or(Problem::Invalid { name: "cursor", problem: "is invalid" })
    }

    fn write(id: JobId) -> String {
        STANDARD.encode(format!(r#"{{"id":"{id}","_kd":"n"}}"#))
    }
}

/// Answers with a page of a project's jobs, newest first, all attempts, without totals.
pub(super) async fn list(
    request: HttpRequest,
    project: web::Path<String>,
    view: View,
) -> Result<HttpResponse, Problem> {
    view.named()?;
    let query = Query::of(&request);
    let scope = query.statuses("scope")?;
    let below = Cursor::read(&query)?;
    let paging = query.paging()?;
    if query.is_keyset() {
        let is = |name, word| query.text(name).is_none_or(|given| given == word);
        if !is("order_by", "id") || !is("sort", "desc") {
            return Err(Problem::NoKeyset);
        }
        let slice = Slice { offset: 0, limit: paging.per_page };
        let filter = ProjectJobFilter { scope, below };
        let listed = view.project_jobs(view.project(&project).await?, filter, slice).await?;
        let last = listed.page.rows.last().filter(|_| listed.page.total > paging.per_page).and_then(simple::id_of);
        let next = last.map(|id| ("cursor", Cursor::write(id)));
        return Ok(listing::respond_keyset(&request, &query, paging.per_page, &listed, next));
    }
    let paging = query.shallow_paging("Ci::Build")?;
    let filter = ProjectJobFilter { scope, below: None };
    let listed = view.project_jobs(view.project(&project).await?, filter, paging.slice()).await?;
    Ok(listing::respond(&request, &query, paging, &listed))
}

/// Answers with one job.
pub(super) async fn show(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    view: View,
) -> Result<HttpResponse, Problem> {
    let held = find(&view, &path, JobPart::Document).await?;
    Ok(reply::json(&request, held.provenance, held.row.document.text))
}

/// Answers with a job's log as far as it is held. Without one the answer says why; it is empty where GitLab's is, and never
/// where GitLab may have a log.
pub(super) async fn trace(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    view: View,
) -> Result<HttpResponse, Problem> {
    view.named()?;
    let project = view.project(&path.0).await?;
    let right = view.may_read_log(project, &path.1).await?;
    // A log that is replaced between the row and its first byte is looked up once more.
    for _ in 0..2 {
        let Held { mut row, provenance } = view.job(project, &path.1, JobPart::Log).await?;
        let state = match row.log.told() {
            Piece::Whole => (X_CISTERN_LOG, "settled"),
            Piece::Live | Piece::Partial => (X_CISTERN_LOG, "live"),
            _ => match row.log_absence() {
                absence if absence.reads_as_empty() => (REASON, absence.as_str()),
                absence => return Err(Problem::NotHeld(absence)),
            },
        };
        // As GitLab writes it.
        let disposition = format!("infile; filename=\"{}.log\"", row.key.job);
        let head = |response: &mut HttpResponseBuilder| {
            as_text(response);
            response.insert_header(state).insert_header((CONTENT_DISPOSITION, disposition.clone()));
        };
        let Some(blob) = row.log.blob else { return Ok(reply::empty(provenance, head)) };
        let file = File::Zstd { blob, size: row.log.size, frames: std::mem::take(&mut row.log.frames) };
        if let Some(answer) = reply::file(&request, provenance, &view, (right, file), head).await? {
            return Ok(answer);
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
    for _ in 0..2 {
        let (right, Held { row, provenance }) = held_archive(&view, &path).await?;
        let blob = row.archive.blob.ok_or(Problem::NotFound)?;
        let file = File::Plain { blob, size: row.archive.size, sha256: row.archive.sha256 };
        let head = |response: &mut HttpResponseBuilder| {
            response
                .insert_header((CONTENT_TYPE, "application/zip"))
                .insert_header((CONTENT_DISPOSITION, attachment(&row.document.text)));
        };
        if let Some(answer) = reply::file(&request, provenance, &view, (right, file), head).await? {
            return Ok(answer);
        }
    }
    Err(Problem::Away)
}

/// Finds an archive that is held, and the right to read it.
pub(super) async fn held_archive(view: &View, path: &(String, String)) -> Result<(FileRight, Held<JobRow>), Problem> {
    let project = view.project(&path.0).await?;
    let right = view.may_read_archive(project, &path.1).await?;
    let held = view.job(project, &path.1, JobPart::Archive).await?;
    let row = &held.row;
    if row.archive.blob.is_some() {
        return Ok((right, held));
    }
    Err(Problem::NotHeld(row.archive_absence()))
}

async fn find(view: &View, path: &(String, String), part: JobPart) -> Result<Held<JobRow>, Problem> {
    view.named()?;
    view.job(view.project(&path.0).await?, &path.1, part).await
}

/// Logs hold what a job printed, so a browser must not take them for anything but text.
fn as_text(response: &mut HttpResponseBuilder) {
    response
        .insert_header((CONTENT_TYPE, "text/plain; charset=utf-8"))
        .insert_header((CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'"));
}

/// Names the file for saving as the job's document names it, without what a header or a file system could trip over.
fn attachment(document: &str) -> ContentDisposition {
    let name = ArchiveFile::listed_in(document).map(|archive| archive.filename).unwrap_or_default();
    let harmless = |c: &char| c.is_ascii_alphanumeric() || "._- +()".contains(*c);
    let name: String = name.chars().map(|c| if harmless(&c) { c } else { '_' }).take(255).collect();
    let name = if name.trim_matches(['.', ' ']).is_empty() { DEFAULT_ARCHIVE_NAME.to_owned() } else { name };
    ContentDisposition { disposition: DispositionType::Attachment, parameters: vec![DispositionParam::Filename(name)] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_in_every_alphabet_and_others_are_refused() {
        let read = |text: &str| Cursor::read(&Query::parse(&format!("cursor={text}")));
        let written = Cursor::write(JobId(810_291)).replace('+', "%2B");
        assert_eq!(read(&written), Ok(Some(JobId(810_291))));
        assert_eq!(read("eyJpZCI6IjciLCJfa2QiOiJuIn0"), Ok(Some(JobId(7))));
        assert_eq!(read(""), Ok(None));
        for text in ["7", "eyJpZCI6MH0=", "%00"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

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
