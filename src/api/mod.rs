//! `GET /api/v4/…`: what is cached, in GitLab's own shapes, for GitLab's existing clients (contract, section 5).
//!
//! What it guarantees: documents are GitLab's text, byte for byte; lists page as GitLab's do; a filter or order that
//! GitLab has and Cistern has not is passed on or 400, never silently ignored; what is not cached says why in `X-Cistern-Reason`
//! (law 12); logs, reports and archives stream in bounded memory.
//!
//! What is not cached, not settled or too old is asked for before it is answered ([`ReadThrough`]); every answer says where it
//! came from and how old it is.
//!
//! What it deliberately does not do: it never asks GitLab a question of its own (what it has no answer to may be passed on as it
//! is asked, see `pass`), never writes, and does not decide who may read: each route queries through a `view::View`, which asks
//! [`crate::access`] first.

mod about;
mod answer;
mod blob;
mod bodies;
mod by_ref;
mod choice;
mod coding;
mod commits;
mod compress;
mod cors;
mod files;
mod freshness;
mod groups;
mod jobs;
mod link;
mod listing;
mod merge_requests;
pub mod openapi;
mod own;
mod own_documents;
mod pass;
mod pipelines;
mod projects;
mod provenance;
mod query;
mod range;
mod reply;
mod simple;
mod table;
mod through;
mod validators;
mod view;

use std::sync::Arc;

use actix_web::middleware::from_fn;
use actix_web::{HttpRequest, HttpResponse, web};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use self::answer::Problem;
use self::bodies::Bodies;
pub use self::cors::{Cors, headers};
pub use self::link::PublicUrl;
use self::openapi::Operation;
use self::own::followers::Followers;
pub use self::pass::PassThrough;
use self::table::{Serving, Table};
pub use self::through::ReadThrough;
use crate::store::Store;

/// Directories of archives that are read at once, or one of more than half the length that is allowed. For one file each takes
/// 16 bytes for each entry for a moment; to list all of an archive, the name and some 110 bytes (500,000 entries with names of 60
/// bytes: 82 MB, measured).
const DIRECTORIES: u32 = 2;

/// What the routes answer from. Cheap to clone; clones share it.
#[derive(Debug, Clone)]
pub struct Api {
    store: Store,
    through: ReadThrough,
    passing: PassThrough,
    bodies: Bodies,
    /// Places for those who read the directory of an archive.
    archives: Arc<Semaphore>,
    /// The most entries of an archive that is read.
    archive_entries: u64,
    closing: CancellationToken,
    followers: Followers,
}

impl Api {
    /// Answers from a store, and reads through as told; of archives those of at most `archive_entries`.
    pub fn new(store: Store, through: ReadThrough, archive_entries: u64) -> Self {
        let archives = Arc::new(Semaphore::new(DIRECTORIES as usize));
        let (passing, bodies, closing, followers) = Default::default();
        Self { store, through, passing, bodies, archives, archive_entries, closing, followers }
    }

    /// Passes on what it has no answer to.
    #[must_use]
    pub fn passing(self, passing: PassThrough) -> Self {
        Self { passing, ..self }
    }

    /// Returns what ends the answers that would go on for as long as a job runs.
    pub fn closing(&self) -> CancellationToken {
        self.closing.clone()
    }
}

/// GitLab's own paths.
const V4: &str = "/api/v4";

/// Paths for what GitLab has no shape for.
const V1: &str = "/api/cistern/v1";

/// Adds the routes; wrap them with [`crate::access::reads`]. Every other path below them is passed on or 404.
pub fn routes(config: &mut web::ServiceConfig, api: Api) {
    let api = web::Data::new(api);
    let scope = |base| Serving(web::scope(base).app_data(api.clone()).default_service(web::to(unknown_path)));
    let (mut gitlabs, mut own, mut webs) = (scope(V4), scope(V1), scope(""));
    v4(&mut gitlabs);
    v1(&mut own);
    web(&mut webs);
    config.service(gitlabs.0.wrap(from_fn(pass::or_pass))).service(own.0).service(webs.0);
}

/// GitLab's routes. A fixed word goes before the id that stands in the same place.
fn v4(table: &mut impl Table) {
    table.read("/version", &about::VERSION, about::version);
    table.read("/metadata", &about::METADATA, about::version);
    table.read("/user", &about::USER, about::user);
    table.read("/personal_access_tokens/self", &about::TOKEN, about::token);
    table.read("/projects", &projects::LIST, projects::list);
    table.read("/projects/{project}", &projects::SHOW, projects::show);
    table.read("/groups", &groups::LIST, groups::list);
    table.read("/groups/{group}", &groups::SHOW, groups::show);
    table.read("/groups/{group}/projects", &groups::PROJECTS, groups::projects);
    table.read("/projects/{project}/pipelines", &pipelines::LIST, pipelines::list);
    table.read("/projects/{project}/pipelines/latest", &pipelines::LATEST, pipelines::latest);
    table.read("/projects/{project}/pipelines/{pipeline}", &pipelines::SHOW, pipelines::show);
    table.read("/projects/{project}/pipelines/{pipeline}/jobs", &pipelines::JOBS, pipelines::jobs);
    table.read("/projects/{project}/pipelines/{pipeline}/bridges", &pipelines::BRIDGES, pipelines::bridges);
    table.read("/projects/{project}/pipelines/{pipeline}/test_report", &pipelines::REPORT, pipelines::report);
    table.read("/projects/{project}/pipelines/{pipeline}/test_report_summary", &pipelines::SUMMARY, pipelines::summary);
    table.read(
        "/projects/{project}/merge_requests/{merge_request}/pipelines",
        &merge_requests::PIPELINES,
        merge_requests::pipelines,
    );
    table.read("/projects/{project}/repository/commits/{commit}", &commits::SHOW, commits::show);
    table.read("/projects/{project}/repository/commits/{commit}/statuses", &commits::STATUSES, commits::statuses);
    table.read("/projects/{project}/jobs", &jobs::LIST, jobs::list);
    table.read("/projects/{project}/jobs/artifacts/{ref:.*}/download", &by_ref::ARCHIVE, by_ref::archive);
    table.read("/projects/{project}/jobs/artifacts/{ref:.*}/raw/{path:.*}", &by_ref::FILE, by_ref::file);
    table.read("/projects/{project}/jobs/{job}", &jobs::SHOW, jobs::show);
    table.read("/projects/{project}/jobs/{job}/trace", &jobs::TRACE, jobs::trace);
    table.read("/projects/{project}/jobs/{job}/artifacts", &jobs::ARTIFACTS, jobs::artifacts);
    table.read("/projects/{project}/jobs/{job}/artifacts/tree", &files::TREE, files::tree);
    table.read("/projects/{project}/jobs/{job}/artifacts/{path:.*}", &files::FILE, files::file);
}

/// Our own routes.
fn v1(table: &mut impl Table) {
    table.read("/projects/{project}/completeness", &own::completeness::PROJECT, own::completeness::project);
    table.read(
        "/projects/{project}/pipelines/{pipeline}/completeness",
        &own::completeness::PIPELINE,
        own::completeness::pipeline,
    );
    table.read("/projects/{project}/jobs/{job}/test_report", &own::suites::REPORT, own::suites::report);
    table.read("/projects/{project}/jobs/{job}/log", &own::log::PART, own::log::part);
    table.read("/projects/{project}/jobs/{job}/log/sections", &own::log::SECTIONS, own::log::sections);
    table.read("/projects/{project}/jobs/{job}/log/errors", &own::log::ERRORS, own::log::errors);
    table.read("/projects/{project}/jobs/{job}/log/follow", &own::follow::FOLLOW, own::follow::follow);
}

/// Where GitLab's pages lead to files: scripts take them from there, too (GitLab's source: `config/routes/project.rb`). A project's
/// path is as long as it likes.
fn web(table: &mut impl Table) {
    table.read(
        "/{project:.*}/-/jobs/artifacts/{ref:.*}/download",
        &Operation { id: "getArtifactsByRefFromPage", ..by_ref::ARCHIVE },
        by_ref::archive,
    );
    table.read(
        "/{project:.*}/-/jobs/artifacts/{ref:.*}/raw/{path:.*}",
        &Operation { id: "getArtifactFileByRefFromPage", ..by_ref::FILE },
        by_ref::file,
    );
    table.read(
        "/{project:.*}/-/jobs/{job}/artifacts/download",
        &Operation { id: "getJobArtifactsFromPage", ..jobs::ARTIFACTS },
        jobs::artifacts,
    );
    table.read(
        "/{project:.*}/-/jobs/{job}/artifacts/raw/{path:.*}",
        &Operation { id: "getArtifactFileFromPage", ..files::FILE },
        files::file_from_page,
    );
    table.read("/{project:.*}/-/jobs/{job}/raw", &Operation { id: "getJobTraceFromPage", ..jobs::TRACE }, jobs::trace);
}

/// Answers for a path that Cistern does not have; meant as the main listener's default service.
pub async fn unknown_path(request: HttpRequest) -> actix_web::Result<HttpResponse> {
    let reads = [actix_web::http::Method::GET, actix_web::http::Method::HEAD];
    let problem = if reads.contains(request.method()) { Problem::UnknownPath } else { Problem::OnlyReads };
    Err(problem.into())
}

#[cfg(test)]
mod tests;
