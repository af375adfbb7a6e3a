//! What every answer of the main listener carries, and which web pages may read (`server.cors_origins`).
//!
//! Without origins no page of another origin may: browsers refuse it by themselves. Credentials are headers here, never
//! cookies, so that a page can only send what its own user gave it.

use std::sync::Arc;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderValue,
    ORIGIN, SERVER, VARY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse};

/// What a page may send beside what every page may.
const ASKED: HeaderValue =
    HeaderValue::from_static("Private-Token, Authorization, Range, If-Range, If-None-Match, If-Modified-Since");

/// What a page may see beside what every page may.
const SHOWN: HeaderValue = HeaderValue::from_static(
    "Accept-Ranges, Age, Content-Disposition, Content-Encoding, Content-Range, ETag, Link, Retry-After, X-Cistern-As-Of, \
     X-Cistern-Cache, X-Cistern-Complete, X-Cistern-Log, X-Cistern-Reason, X-Next-Page, X-Page, X-Per-Page, X-Prev-Page, \
     X-Total, X-Total-Pages",
);

/// The origins whose pages may read. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Cors(Arc<[HeaderValue]>);

impl Cors {
    /// Takes origins as browsers write them; what could not stand in a header no browser writes.
    pub fn new(origins: &[String]) -> Self {
        Self(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect())
    }

    /// Returns the origin that asks, if its pages may.
    fn allowed(&self, headers: &HeaderMap) -> Option<&HeaderValue> {
        let asking = headers.get(ORIGIN)?;
        self.0.iter().find(|origin| *origin == asking)
    }
}

/// Answers the questions that browsers ask before a page's own, and completes every answer.
pub async fn headers(
    cors: Cors,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let origin = cors.allowed(request.headers()).cloned();
    let asks_first =
        request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match &origin {
        Some(_) if asks_first => {
            let mut answer = HttpResponse::NoContent();
            answer
                .insert_header((ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD"))
                .insert_header((ACCESS_CONTROL_ALLOW_HEADERS, ASKED))
                .insert_header((ACCESS_CONTROL_MAX_AGE, "600"));
            request.into_response(answer.finish())
        }
        _ => next.call(request).await?.map_into_boxed_body(),
    };
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(SERVER, HeaderValue::from_static("cistern"));
    if !cors.0.is_empty() {
        headers.append(VARY, HeaderValue::from_static("Origin"));
    }
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, SHOWN);
    }
    Ok(response)
}
