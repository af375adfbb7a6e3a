//! The answers that are documents and files: one place for what every good answer has.

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, HttpResponse};

use super::provenance::Provenance;

/// Answers with a JSON text.
pub(super) fn json(_request: &HttpRequest, _provenance: Provenance, text: impl Into<String>) -> HttpResponse {
    HttpResponse::Ok().insert_header((CONTENT_TYPE, "application/json")).body(text.into())
}
