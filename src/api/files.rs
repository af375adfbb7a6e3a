//! The files of a job's archive, without the rest of it (contract, section 5.7).
//!
//! Whoever can run a job makes its archive: nothing of it is run here or trusted. A browser shows a report as a page of its own
//! without origin and without scripts.

use actix_web::body::{BoxBody, MessageBody, SizedStream};
use actix_web::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};

use super::answer::Problem;
use super::jobs::held_archive;
use super::openapi::{Answer, Kind, Operation, PAGING, parameter, shapes};
use super::provenance::{Held, Listed};
use super::query::Query;
use super::view::View;
use super::{listing, reply};
use crate::domain::Document;
use crate::parts;
use crate::store::Page;

/// The largest file that is taken out of an archive.
const MOST_BYTES: u64 = 16 << 30;

/// What a page that a job made may do: show itself, and nothing else.
const HARMLESS: &str = "sandbox; default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; \
                        media-src 'self'";

pub(super) const TREE: Operation = Operation {
    id: "listArtifactTree",
    tag: "artifacts",
    summary: "What is in a job's archive",
    about: "`refused` says why a file cannot be read.",
    parameters: &[
        &[
            parameter("path", Kind::Text, "In this directory; the archive itself if left out."),
            parameter("recursive", Kind::Switch, "In the directories below, too."),
        ],
        PAGING,
    ],
    answer: Answer::List(shapes::NODE),
    problems: &[415, 422],
};

pub(super) const FILE: Operation = Operation {
    id: "getArtifactFile",
    tag: "artifacts",
    summary: "One file of a job's archive",
    about: "Only its own bytes of the archive are read.",
    parameters: &[],
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
    let archive = view.archive(right, &row).await?;
    let slice = paging.slice();
    let directory = query.text("path").unwrap_or_default();
    let found = archive.directory().tree(directory, recursive, slice.offset, slice.limit);
    let found = found.ok_or(Problem::NoPart("the archive has no such directory"))?;
    let rows = found.nodes.iter().map(|node| {
        let text = serde_json::to_string(node).map_err(|_| Problem::Unusable)?;
        Ok(Document { text: text.into(), as_of: row.document.as_of })
    });
    let page = Page { rows: rows.collect::<Result<_, Problem>>()?, total: found.total };
    Ok(listing::respond(&request, &query, paging, &Listed { page, provenance, complete: true, counted: true }))
}

/// Answers with one file.
pub(super) async fn file(
    request: HttpRequest,
    path: web::Path<(String, String, String)>,
    view: View,
) -> Result<HttpResponse, Problem> {
    let (project, job, name) = path.into_inner();
    let path = (project, job);
    // An archive that is replaced between the row and its first byte is looked up once more.
    for _ in 0..2 {
        let (right, Held { row, provenance }) = held_archive(&view, &path).await?;
        let found = async {
            let mut archive = view.archive(right, &row).await?;
            archive.file(&name, MOST_BYTES).await.map_err(Problem::from)
        };
        let file = match found.await {
            Err(Problem::Away) => continue,
            found => found?,
        };
        let media = file.media_type();
        let head = |response: &mut HttpResponseBuilder| {
            response.insert_header((CONTENT_TYPE, media)).insert_header((CONTENT_SECURITY_POLICY, HARMLESS));
        };
        let version = (row.archive.blob, file.tag());
        return reply::sized(&request, provenance, version, file.size(), head, |bytes| {
            let length = bytes.end - bytes.start;
            Ok::<BoxBody, parts::Error>(SizedStream::new(length, file.stream(bytes)?).boxed())
        });
    }
    Err(Problem::Away)
}
