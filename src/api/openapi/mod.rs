//! `GET /openapi.json` and `cistern openapi`: the description of everything that can be read, in OpenAPI 3.1.
//!
//! Guarantees: it is made of the same table that the routes are added by, so that no route is without its description and
//! nothing is described that is not there.

mod document;
mod operation;
pub(super) mod shapes;

use std::sync::LazyLock;

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, HttpResponse, web};

pub(super) use operation::{Answer, Basis, KEYSET, Kind, Operation, PAGING, Parameter, parameter};

use super::answer::Problem;
use super::table::{self, Described};

static TEXT: LazyLock<String> = LazyLock::new(text);

/// Returns the document, as people would indent it.
pub fn text() -> String {
    let document = document::document(&described());
    serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
}

/// Returns every path that is described, in the order of the table.
pub fn paths() -> Vec<String> {
    described().into_iter().map(|described| described.path).collect()
}

fn described() -> Vec<Described> {
    let mut described = Vec::new();
    super::v4(&mut table::Describing { base: super::V4, into: &mut described });
    super::v1(&mut table::Describing { base: super::V1, into: &mut described });
    super::web(&mut table::Describing { base: "", into: &mut described });
    described
}

/// Adds `/openapi.json`, which holds nothing of what is cached: it needs no right to read.
pub fn route(config: &mut web::ServiceConfig) {
    config.service(table::resource("/openapi.json", show));
}

async fn show(_: HttpRequest) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, "application/json")).body(TEXT.as_str()))
}
