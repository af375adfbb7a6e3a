//! `GET /api/v4/…`: what is cached, in GitLab's own shapes, for GitLab's existing clients (contract, section 5).
//!
//! What it guarantees: documents are GitLab's text, byte for byte; lists page as GitLab's do; a filter or order that
//! GitLab has and Cistern has not is 400, never silently ignored; what is not cached says why in `X-Cistern-Reason`
//! (law 12); logs, reports and archives stream in bounded memory.
//!
//! What is not cached, not settled or too old is asked for before it is answered ([`ReadThrough`]); every answer says where it
//! came from and how old it is.
//!
//! What it deliberately does not do: it never asks GitLab itself, never writes, and does not decide who may read: each route
//! queries through a [`view::View`], which asks [`crate::access`] first.

mod answer;
mod blob;
mod bodies;
mod coding;
mod cors;
mod freshness;
mod jobs;
mod listing;
mod pipelines;
mod projects;
mod provenance;
mod query;
mod range;
mod reply;
mod through;
mod validators;
mod view;

use actix_web::dev::Handler;
use actix_web::{FromRequest, HttpRequest, HttpResponse, Resource, Responder, guard, web};

use self::answer::Problem;
use self::bodies::Bodies;
pub use self::cors::{Cors, headers};
pub use self::through::ReadThrough;
use crate::store::Store;

/// What the routes answer from. Cheap to clone; clones share it.
#[derive(Debug, Clone)]
pub struct Api {
    store: Store,
    through: ReadThrough,
    bodies: Bodies,
}

impl Api {
    /// Answers from a store, and reads through as told.
    pub fn new(store: Store, through: ReadThrough) -> Self {
        Self { store, through, bodies: Bodies::default() }
    }
}

/// Adds the routes; wrap them with [`crate::access::reads`]. Every other path below `/api/v4` is 404.
pub fn routes(config: &mut web::ServiceConfig, api: Api) {
    config.service(
        web::scope("/api/v4")
            .app_data(web::Data::new(api))
            .service(read("/projects", projects::list))
            .service(read("/projects/{project}", projects::show))
            .service(read("/projects/{project}/pipelines", pipelines::list))
            .service(read("/projects/{project}/pipelines/{pipeline}", pipelines::show))
            .service(read("/projects/{project}/pipelines/{pipeline}/jobs", pipelines::jobs))
            .service(read("/projects/{project}/pipelines/{pipeline}/test_report", pipelines::report))
            .service(read("/projects/{project}/pipelines/{pipeline}/test_report_summary", pipelines::summary))
            .service(read("/projects/{project}/jobs/{job}", jobs::show))
            .service(read("/projects/{project}/jobs/{job}/trace", jobs::trace))
            .service(read("/projects/{project}/jobs/{job}/artifacts", jobs::artifacts))
            .default_service(web::to(unknown_path)),
    );
}

/// Answers for a path that Cistern does not have; meant as the main listener's default service.
pub async fn unknown_path(request: HttpRequest) -> HttpResponse {
    let reads = [actix_web::http::Method::GET, actix_web::http::Method::HEAD];
    let problem = if reads.contains(request.method()) { Problem::UnknownPath } else { Problem::OnlyReads };
    actix_web::ResponseError::error_response(&problem)
}

/// Returns a resource that answers GET and HEAD, and 405 to every other method.
fn read<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    web::resource(path)
        .route(web::route().guard(guard::Any(guard::Get()).or(guard::Head())).to(handler))
        .default_service(web::to(unknown_path))
}

#[cfg(test)]
mod tests;
