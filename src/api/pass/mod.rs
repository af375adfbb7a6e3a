//! Pass-through: what Cistern has no answer to, GitLab answers (`api.pass_through`).
//!
//! Guarantees: a question goes up with the credential that its reader sent, or with the service's only where the operator opened
//! that and only below a cached project that the reader may read ([`service`]); what comes back is GitLab's answer to this
//! reader, and no cache that readers share keeps it; its links lead back here. What may travel is `crate::gitlab`'s to say.

mod links;
mod service;

use actix_web::body::{BodyStream, BoxBody, MessageBody, SizedStream};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, LINK, VARY};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest, HttpResponse, web};
use futures_util::stream;

use super::answer::Problem;
use super::query::Query;
use super::reply::{self, X_CISTERN_CACHE};
use super::view::View;
use super::{Api, V4, link};
use crate::access::Reader;
use crate::gitlab::{NotPassed, Passage, Passed, Passing};

/// In whose name questions are passed on.
#[derive(Debug, Clone, Default)]
pub enum PassThrough {
    /// In nobody's: they stay unanswered.
    #[default]
    Off,
    /// In their reader's.
    Caller(Passing),
    /// In the service's.
    Service(Passing),
}

/// Marks an answer of which only a part is known here: where GitLab may be asked and answers, its own goes before it.
#[derive(Debug, Clone, Copy)]
pub(super) struct InPart;

/// What an answer depends on beside its address.
const BY_CREDENTIAL: HeaderValue = HeaderValue::from_static("Authorization, PRIVATE-TOKEN, JOB-TOKEN");

/// Answers a GitLab route; what has no answer here is passed on where it may be.
pub(super) async fn or_pass(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let response = next.call(request).await?.map_into_boxed_body();
    let problem = response.response().error().and_then(|error| error.as_error::<Problem>());
    let in_part = response.response().extensions().contains::<InPart>();
    if !in_part && !problem.is_some_and(Problem::is_gitlab_s_to_answer) {
        return Ok(response);
    }
    let (request, unanswered) = response.into_parts();
    let answer = match pass(&request).await {
        Ok(Some(answer)) if in_part && answer.status().is_server_error() => unanswered,
        Ok(Some(answer)) => answer,
        Err(_) if in_part => unanswered,
        Ok(None) => unanswered,
        Err(problem) => HttpResponse::from_error(problem),
    };
    Ok(ServiceResponse::new(request, answer))
}

/// Passes a question on; `None` when it stays unanswered.
async fn pass(request: &HttpRequest) -> Result<Option<HttpResponse>, Problem> {
    let reader = request.extensions().get::<Reader>().cloned();
    let (Some(reader), Some(api)) = (reader, request.app_data::<web::Data<Api>>()) else { return Ok(None) };
    let query = Query::of(request);
    let Some(path) = request.uri().path().strip_prefix(V4) else { return Ok(None) };
    let passage = |path: &str, pairs: &[(String, String)]| {
        let mut passage = Passage::new(request.method() == Method::HEAD, path, pairs)?;
        for (name, value) in request.headers() {
            passage.condition(name.as_str(), value.as_bytes());
        }
        Some(passage)
    };
    let passed = match &api.passing {
        PassThrough::Off => return Ok(None),
        PassThrough::Caller(passing) => {
            let Some(passage) = passage(path, query.pairs()) else { return Ok(None) };
            let Some(caller) = reader.caller().await? else { return Ok(None) };
            caller.pass(passing, &passage).await?
        }
        PassThrough::Service(passing) => {
            let Some(open) = service::open(path, query.pairs()) else { return Ok(None) };
            let view = View::extract(request).await?;
            let (id, document) = view.cached(&open.project).await?;
            if !open.is_open_in(&document) {
                return Ok(None);
            }
            let root = format!("/projects/{id}/");
            let Some(passage) = passage(&format!("{root}{}", open.rest), &open.pairs) else { return Ok(None) };
            let passed = passing.for_service(&passage.within(root, service::is_open)).await?;
            if passed.status == 401 {
                // It is not the reader's token that GitLab refuses.
                return Err(Problem::Unreachable);
            }
            passed
        }
    };
    Ok(Some(answer(request, passed)))
}

/// Answers with what GitLab answered.
fn answer(request: &HttpRequest, passed: Passed) -> HttpResponse {
    let status = StatusCode::from_u16(passed.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = HttpResponse::build(status);
    response
        .insert_header((X_CISTERN_CACHE, HeaderValue::from_static("passed")))
        .insert_header((CACHE_CONTROL, reply::PRIVATE))
        .insert_header((VARY, BY_CREDENTIAL))
        // A file may be a page, which must not act in the name of this address.
        .insert_header((CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'"));
    for (name, value) in &passed.headers {
        let name = HeaderName::from_static(name);
        match name {
            // Whatever GitLab lets caches do that everybody shares, here not everybody may read it.
            CACHE_CONTROL if !value.contains("no-store") => {}
            CACHE_CONTROL => drop(response.insert_header((CACHE_CONTROL, "private, no-store"))),
            LINK => {
                let links = link::asked(request).and_then(|asked| links::at(&asked, value));
                links.map(|links| response.insert_header((LINK, links)));
            }
            name => {
                response.insert_header((name, value.as_str()));
            }
        }
    }
    let length = passed.length;
    if matches!(status, StatusCode::NOT_MODIFIED | StatusCode::NO_CONTENT) {
        return response.finish();
    }
    let pieces = Box::pin(stream::try_unfold(passed, |mut passed| async move {
        Ok::<_, NotPassed>(passed.chunk().await?.map(|piece| (piece, passed)))
    }));
    match length {
        Some(length) => response.body(SizedStream::new(length, pieces)),
        None => reply::to_its_end(request, response.body(BodyStream::new(pieces))),
    }
}

impl From<NotPassed> for Problem {
    fn from(why: NotPassed) -> Self {
        match why {
            NotPassed::Away => Self::Unreachable,
            NotPassed::TooLarge => {
                Self::NotPassed("GitLab's answer is larger than limits.artifact_size. Ask GitLab itself")
            }
            NotPassed::Circles => Self::NotPassed("GitLab's redirects do not end"),
        }
    }
}
