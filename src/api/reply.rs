//! The answers that are documents and files: one place for what every good answer has.
//!
//! Guarantees: whoever has this version already gets a 304; a part is of one version; what is stored compressed is sent so to
//! whoever takes that; no cache that readers share keeps an answer.

use std::error::Error;
use std::ops::Range;

use actix_web::body::{BodyStream, BoxBody, SizedStream};
use actix_web::http::header::{
    ACCEPT_RANGES, AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, HeaderValue,
    LAST_MODIFIED, RANGE, VARY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::http::{ConnectionType, Method, StatusCode, Version};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes as body;
use futures_util::stream::{self, Stream};
use futures_util::{StreamExt, TryStreamExt};

use super::answer::Problem;
use super::blob::{Bytes, File};
use super::coding::Coding;
use super::compress::compressed;
use super::provenance::Provenance;
use super::range::Wanted;
use super::validators::Validators;
use super::view::View;
use crate::access::FileRight;
use crate::domain::Timestamp;

/// `hit`, `refreshed`, `stale`, `miss` or `passed`.
pub(super) const X_CISTERN_CACHE: HeaderName = HeaderName::from_static("x-cistern-cache");

/// GitLab's clock when GitLab said so.
const X_CISTERN_AS_OF: HeaderName = HeaderName::from_static("x-cistern-as-of");

/// Answers depend on who asks: they are for nobody else, and asked for again each time.
pub(super) const PRIVATE: HeaderValue = HeaderValue::from_static("private, no-cache");

/// Answers with a JSON text.
pub(super) fn json(request: &HttpRequest, provenance: Provenance, text: impl Into<String>) -> HttpResponse {
    document(request, provenance, text.into(), |_| {})
}

/// Answers with a JSON text and headers of its own, which stand for the version too.
pub(super) fn document(
    request: &HttpRequest,
    provenance: Provenance,
    text: String,
    head: impl FnOnce(&mut HttpResponseBuilder),
) -> HttpResponse {
    let coding = Coding::worthwhile(request.headers(), text.len());
    let validators = Validators::of(&text, coding, provenance.as_of);
    text_of(request, provenance, (coding, &validators), text, head)
}

/// As [`document`], for a list: its version is told by `more` than the text, and not by the time that it is of, at which only a
/// part of it may have been looked at.
pub(super) fn list(
    request: &HttpRequest,
    provenance: Provenance,
    more: impl std::hash::Hash,
    text: String,
    head: impl FnOnce(&mut HttpResponseBuilder),
) -> HttpResponse {
    let coding = Coding::worthwhile(request.headers(), text.len());
    let validators = Validators::of((&text, more), coding, provenance.as_of).by_tag_only();
    text_of(request, provenance, (coding, &validators), text, head)
}

fn text_of(
    request: &HttpRequest,
    provenance: Provenance,
    (coding, validators): (Coding, &Validators),
    body: String,
    head: impl FnOnce(&mut HttpResponseBuilder),
) -> HttpResponse {
    if validators.are_known(request.headers()) {
        return begin(StatusCode::NOT_MODIFIED, provenance, validators).finish();
    }
    let mut response = begin(StatusCode::OK, provenance, validators);
    response.insert_header((CONTENT_TYPE, "application/json"));
    head(&mut response);
    match (coding.encode(body.as_bytes()), coding.as_str()) {
        (Some(coded), Some(word)) => response.insert_header((CONTENT_ENCODING, word)).body(coded),
        _ => response.body(body),
    }
}

/// Answers with a file or the part of it that is asked for; `None` when it was replaced meanwhile.
pub(super) async fn file(
    request: &HttpRequest,
    provenance: Provenance,
    view: &View,
    (right, file): (FileRight, File),
    head: impl FnOnce(&mut HttpResponseBuilder),
) -> Result<Option<HttpResponse>, Problem> {
    let headers = request.headers();
    // A part is of the bytes that readers see, so that it means the same however they are stored.
    let coded = file.is_zstd() && !headers.contains_key(RANGE) && !is_old(request);
    let coding = if coded { Coding::of_stored(headers, file.size()) } else { Coding::Identity };
    let validators = Validators::of(&file, coding, provenance.as_of);
    if validators.are_known(headers) {
        let mut response = begin(StatusCode::NOT_MODIFIED, provenance, &validators);
        // The same bytes may have become final.
        head(&mut response);
        return Ok(Some(response.finish()));
    }
    let size = file.size();
    let wanted = wanted(request, &validators, size);
    let (status, bytes) = match &wanted {
        Wanted::Nothing => {
            return Ok(Some(unsatisfiable(provenance, &validators, size)));
        }
        Wanted::Part(part) => (StatusCode::PARTIAL_CONTENT, Bytes::Part(part.clone())),
        Wanted::Whole if coding == Coding::Zstd => (StatusCode::OK, Bytes::AsStored),
        Wanted::Whole => (StatusCode::OK, Bytes::Part(0..size)),
    };
    let body = match coding {
        Coding::Gzip => view.open_gzip(right, &file, request.method()).await?,
        Coding::Identity | Coding::Zstd => view.open(right, &file, bytes, request.method()).await?,
    };
    let Some(body) = body else { return Ok(None) };
    let mut response = begin(status, provenance, &validators);
    response.insert_header((ACCEPT_RANGES, "bytes"));
    head(&mut response);
    if let Wanted::Part(part) = wanted {
        response.insert_header((CONTENT_RANGE, content_range(&part, size)));
    }
    if let Some(word) = coding.as_str() {
        response.insert_header((CONTENT_ENCODING, word));
    }
    Ok(Some(response.body(body)))
}

/// Answers with bytes of a known number that are made while they are read, or with the part of them that is asked for, unless
/// that begins beyond `reach`: then with all of them, as RFC 9110 (section 14.2) allows. `version` stands for everything that they
/// are made of.
pub(super) fn sized<E: Into<Problem>>(
    request: &HttpRequest,
    provenance: Provenance,
    version: impl std::hash::Hash,
    (size, reach): (u64, u64),
    head: impl FnOnce(&mut HttpResponseBuilder),
    body: impl FnOnce(Range<u64>) -> Result<BoxBody, E>,
) -> Result<HttpResponse, Problem> {
    let headers = request.headers();
    let validators = Validators::of(version, Coding::Identity, provenance.as_of);
    if validators.are_known(headers) {
        return Ok(begin(StatusCode::NOT_MODIFIED, provenance, &validators).finish());
    }
    let (status, bytes) = match wanted(request, &validators, size) {
        Wanted::Nothing => return Ok(unsatisfiable(provenance, &validators, size)),
        Wanted::Part(part) if part.start <= reach => (StatusCode::PARTIAL_CONTENT, part),
        Wanted::Part(_) | Wanted::Whole => (StatusCode::OK, 0..size),
    };
    let mut response = begin(status, provenance, &validators);
    response.insert_header((ACCEPT_RANGES, "bytes"));
    head(&mut response);
    if status == StatusCode::PARTIAL_CONTENT {
        response.insert_header((CONTENT_RANGE, content_range(&bytes, size)));
    }
    match *request.method() {
        Method::HEAD => {
            let none = stream::empty::<Result<body::Bytes, Problem>>();
            Ok(response.body(SizedStream::new(bytes.end.saturating_sub(bytes.start), none)))
        }
        _ => Ok(response.body(body(bytes).map_err(Into::into)?)),
    }
}

/// Answers with a body that is made while it is read, of so many bytes if that is known. `version` stands for everything that it
/// is made of. The body is begun before the head is sent, so that what goes wrong at once is told by its status.
pub(super) async fn made<S, E>(
    request: &HttpRequest,
    provenance: Provenance,
    version: impl std::hash::Hash,
    head: impl FnOnce(&mut HttpResponseBuilder),
    size: Option<u64>,
    body: impl AsyncFnOnce() -> Result<S, Problem>,
) -> Result<HttpResponse, Problem>
where
    S: Stream<Item = Result<body::Bytes, E>> + 'static,
    E: Into<Box<dyn Error>> + 'static,
{
    let coding = if is_old(request) { Coding::Identity } else { Coding::of_made(request.headers(), size) };
    let validators = Validators::of(version, coding, provenance.as_of);
    if validators.are_known(request.headers()) {
        let mut response = begin(StatusCode::NOT_MODIFIED, provenance, &validators);
        head(&mut response);
        return Ok(response.finish());
    }
    let mut response = begin(StatusCode::OK, provenance, &validators);
    head(&mut response);
    if let Some(word) = coding.as_str() {
        response.insert_header((CONTENT_ENCODING, word));
    }
    let bytes = match *request.method() {
        Method::HEAD => stream::empty().boxed_local(),
        _ => compressed(body().await?.map_err(Into::into), coding, size),
    };
    Ok(match (coding, size) {
        (Coding::Identity, Some(size)) => response.body(SizedStream::new(size, bytes)),
        _ => to_its_end(request, response.body(BodyStream::new(bytes))),
    })
}

/// Returns whether the client knows no answer in chunks, whose length is told at its end.
fn is_old(request: &HttpRequest) -> bool {
    request.version() < Version::HTTP_11
}

/// Lets an answer of unknown length end as its reader understands it.
pub(super) fn to_its_end(request: &HttpRequest, mut response: HttpResponse) -> HttpResponse {
    if is_old(request) {
        response.head_mut().no_chunking(true);
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    response
}

/// Returns the part that is asked for. Only a GET has parts (RFC 9110, section 14.2).
fn wanted(request: &HttpRequest, validators: &Validators, size: u64) -> Wanted {
    match *request.method() {
        Method::GET if validators.allow_a_part(request.headers()) => Wanted::of(request.headers(), size),
        _ => Wanted::Whole,
    }
}

/// Answers with nothing, because there are no bytes.
pub(super) fn empty(provenance: Provenance, head: impl FnOnce(&mut HttpResponseBuilder)) -> HttpResponse {
    let mut response = begin(StatusCode::OK, provenance, &Validators::of((), Coding::Identity, provenance.as_of));
    head(&mut response);
    response.body("")
}

/// Answers that there is no such part.
fn unsatisfiable(provenance: Provenance, validators: &Validators, size: u64) -> HttpResponse {
    let mut response = begin(StatusCode::RANGE_NOT_SATISFIABLE, provenance, validators);
    response.insert_header((CONTENT_RANGE, format!("bytes */{size}"))).finish()
}

fn content_range(part: &Range<u64>, size: u64) -> String {
    format!("bytes {}-{}/{size}", part.start, part.end.saturating_sub(1))
}

/// Begins an answer with what all of them have.
fn begin(status: StatusCode, provenance: Provenance, validators: &Validators) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response
        .insert_header((X_CISTERN_CACHE, HeaderValue::from_static(provenance.source.as_str())))
        .insert_header((X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")))
        .insert_header((CACHE_CONTROL, PRIVATE))
        .insert_header((VARY, HeaderValue::from_static("Accept-Encoding")))
        .insert_header((ETAG, validators.tag.as_str()));
    if let Some(date) = validators.date() {
        response.insert_header((LAST_MODIFIED, date));
    }
    if let Some(as_of) = provenance.as_of {
        let age = Timestamp::now().since(as_of).as_secs();
        response.insert_header((AGE, age)).insert_header((X_CISTERN_AS_OF, as_of.to_string()));
    }
    response
}
