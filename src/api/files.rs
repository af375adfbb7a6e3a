//! The files of a job's archive, without the rest of it (contract, section 5.7).
//!
//! Whoever can run a job makes its archive: nothing of it is run here or trusted. A browser shows a report as a page of its own
//! without origin and without scripts.

use actix_web::body::{BoxBody, MessageBody, SizedStream};
use actix_web::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use percent_encoding::percent_decode_str;

use super::answer::Problem;
use super::jobs::held_archive;
use super::openapi::{Answer, Basis, Kind, Operation, PAGING, parameter, shapes};
use super::provenance::{Complete, Held, Listed};
use super::query::Query;
use super::view::View;
use super::{listing, reply};
use crate::domain::Document;
use crate::parts;
use crate::store::Page;

/// How many entries of the archive are in no tree, and why: `3;absolute=1;parent=2`.
const X_CISTERN_LEFT_OUT: HeaderName = HeaderName::from_static("x-cistern-left-out");

/// The segments of a file's URL before its path: of `/api/v4/projects/P/jobs/J/artifacts/`.
const SEGMENTS_BEFORE: usize = 8;

/// What a page that a job made may do: show itself, and nothing else.
const HARMLESS: &str = "sandbox; default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; \
                        media-src 'self'";

pub(super) const TREE: Operation = Operation {
    id: "listArtifactTree",
    tag: "artifacts",
    summary: "What is in a job's archive",
    about: "A directory's path ends with a slash. `refused` says why a file cannot be read. Where a path is no UTF-8, \
            `encoded_path` is what goes into a URL. `X-Cistern-Left-Out` counts the entries of the archive whose names \
            are no paths within it, and says why: `3;absolute=1;parent=2`.",
    parameters: &[
        &[
            parameter("path", Kind::Text, "In this directory; the archive itself if left out."),
            parameter("recursive", Kind::Switch, "In the directories below, too."),
        ],
        PAGING,
    ],
    basis: Basis::Derived,
    answer: Answer::List(shapes::NODE),
    problems: &[415, 422],
};

pub(super) const FILE: Operation = Operation {
    id: "getArtifactFile",
    tag: "artifacts",
    summary: "One file of a job's archive",
    about: "Only its own bytes of the archive are read. A part that begins behind 256 MiB of a compressed file is answered with \
            all of it. The path is percent-encoded; it need not be UTF-8.",
    parameters: &[],
    basis: Basis::Derived,
    answer: Answer::File,
    problems: &[415, 422],
};

/// Answers with a page of what is in a directory of the archive.
pub(super) async fn tree(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    view: View,
) -> Result<HttpResponse, Problem> {
    let query = Query::of(&request);
    let (paging, recursive) = (query.paging()?, query.flag("recursive")?);
    let (right, Held { row, provenance }) = held_archive(&view, &path).await?;
    let directory = bytes_of(request.query_string(), "path");
    let found = view.archive_tree(right, &row, (&directory, recursive), paging.slice()).await?;
    let rows = found.nodes.iter().map(|node| {
        let text = serde_json::to_string(node).map_err(|_| Problem::Unusable)?;
        Ok(Document { text: text.into(), as_of: row.document.as_of })
    });
    let page = Page { rows: rows.collect::<Result<_, Problem>>()?, total: found.total };
    let listed = Listed { page, provenance, complete: Complete::Yes, counted: true };
    let mut response = listing::respond(&request, &query, paging, &listed);
    if let Ok(left_out) = HeaderValue::from_str(&found.left_out.to_string()) {
        response.headers_mut().insert(X_CISTERN_LEFT_OUT, left_out);
    }
    Ok(response)
}

/// Answers with one file.
pub(super) async fn file(
    request: HttpRequest,
    path: web::Path<(String, String, String)>,
    view: View,
) -> Result<HttpResponse, Problem> {
    // The router has read the path as text, which it need not be.
    let (project, job, _) = path.into_inner();
    let name = request.uri().path().splitn(SEGMENTS_BEFORE + 1, '/').nth(SEGMENTS_BEFORE);
    let name: Vec<u8> = percent_decode_str(name.unwrap_or_default()).collect();
    named(&request, &(project, job), &name, &view).await
}

/// Answers with one file, where GitLab's pages lead to it: behind `/-/jobs/:id/artifacts/raw/`.
pub(super) async fn file_from_page(
    request: HttpRequest,
    path: web::Path<(String, String, String)>,
    view: View,
) -> Result<HttpResponse, Problem> {
    let (project, job, _) = path.into_inner();
    // No path of a project has this in it.
    let name = request.uri().path().split_once("/-/jobs/").and_then(|(_, rest)| rest.splitn(4, '/').nth(3));
    let name: Vec<u8> = percent_decode_str(name.unwrap_or_default()).collect();
    named(&request, &(project, job), &name, &view).await
}

/// Answers with the file of a job's archive that has this path.
pub(super) async fn named(
    request: &HttpRequest,
    path: &(String, String),
    name: &[u8],
    view: &View,
) -> Result<HttpResponse, Problem> {
    // An archive that is replaced between the row and its first byte is looked up once more.
    for _ in 0..2 {
        let (right, Held { row, provenance }) = held_archive(view, path).await?;
        let file = match view.archive_file(right, &row, name).await {
            Err(Problem::Away) => continue,
            found => found?,
        };
        let media = file.media_type();
        let head = |response: &mut HttpResponseBuilder| {
            response.insert_header((CONTENT_TYPE, media)).insert_header((CONTENT_SECURITY_POLICY, HARMLESS));
        };
        let version = (row.archive.blob, file.tag());
        return reply::sized(request, provenance, version, (file.size(), file.reach()), head, |bytes| {
            let length = bytes.end - bytes.start;
            Ok::<BoxBody, parts::Error>(SizedStream::new(length, file.stream(bytes)?).boxed())
        });
    }
    Err(Problem::Away)
}

/// Returns the value of a parameter as it was sent, which need not be UTF-8; empty without it.
fn bytes_of(query: &str, name: &str) -> Vec<u8> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let value = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value.replace('+', " ")).next_back();
    value.map(|value| percent_decode_str(&value).collect()).unwrap_or_default()
}
