//! The middleware in front of every reading route: who asks?
//!
//! It refuses what needs no look at a project: no or a wrong token in mode `token`, a job token in mode `gitlab`, another machine
//! in mode `open`. In mode `gitlab` it asks nobody yet; [`Reader`] does, once it is known about what.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{HttpServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::header::RETRY_AFTER;
use actix_web::http::uri::Authority;
use actix_web::middleware::{Next, from_fn};
use actix_web::{Error, HttpMessage, HttpResponse, web};
use serde_json::json;

use super::reader::Reader;
use super::{Access, Rule, credential, open};

/// Why a request does not get past the guard.
enum Refusal {
    Open(open::Refusal),
    Unauthorized,
    TooMany,
}

/// Guards all routes that read. Webhooks and probes stay outside of it.
pub fn reads(access: Access, routes: impl FnOnce(&mut web::ServiceConfig)) -> impl HttpServiceFactory + 'static {
    web::scope("").wrap(from_fn(move |request, next| guard(access.clone(), request, next))).configure(routes)
}

/// Lets only those in who ask for this machine by a name that is its own: a web page can have any other name lead here.
pub async fn from_here(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let authority = request.uri().authority().map(Authority::as_str);
    match open::names_this_machine(authority, request.headers()) {
        true => next.call(request).await.map(ServiceResponse::map_into_boxed_body),
        false => {
            let message = "403 Forbidden: this was asked for by a host name that is not localhost, 127.0.0.0/8 or [::1]. \
                           To be asked by another name, set server.admin_listen to an address that others reach.";
            Ok(request.into_response(HttpResponse::Forbidden().json(json!({ "error": message }))))
        }
    }
}

async fn guard(
    access: Access,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    match access.reader(&request) {
        Ok(reader) => {
            request.extensions_mut().insert(reader);
            next.call(request).await.map(ServiceResponse::map_into_boxed_body)
        }
        Err(refusal) => Ok(request.into_response(refusal.answer())),
    }
}

impl Access {
    fn reader(&self, request: &ServiceRequest) -> Result<Reader, Refusal> {
        let store = self.store.clone();
        let peer = || request.peer_addr().map(|address| address.ip());
        match &self.rule {
            Rule::Open { allow_open_network: true } => Ok(Reader::everything(store)),
            Rule::Open { allow_open_network: false } => {
                let authority = request.uri().authority().map(Authority::as_str);
                open::judge(authority, request.headers()).map_err(Refusal::Open)?;
                Ok(Reader::everything(store))
            }
            Rule::Token(tokens, flood) => {
                let token = credential::static_token(request.headers(), request.query_string());
                let Ok(Some(token)) = token else { return Err(Refusal::Unauthorized) };
                match tokens.find(&token) {
                    Some(None) => Ok(Reader::everything(store)),
                    Some(Some(chosen)) => Ok(Reader::of(store, chosen)),
                    None => Err(unknown(flood.admits(peer(), Instant::now()), peer())),
                }
            }
            Rule::Gitlab(verdicts) => match credential::of_request(request.headers(), request.query_string()) {
                Ok(credential) => Ok(Reader::judged_by(store, Arc::clone(verdicts), credential, peer())),
                Err(credential::Unusable) => Err(Refusal::Unauthorized),
            },
        }
    }
}

fn unknown(admitted: bool, peer: Option<IpAddr>) -> Refusal {
    if admitted {
        return Refusal::Unauthorized;
    }
    tracing::debug!(?peer, "too many unknown tokens came from one address");
    Refusal::TooMany
}

impl Refusal {
    fn answer(&self) -> HttpResponse {
        match self {
            Self::Open(refusal) => HttpResponse::Forbidden().json(json!({ "message": refusal.message() })),
            Self::Unauthorized => HttpResponse::Unauthorized().json(json!({ "message": "401 Unauthorized" })),
            Self::TooMany => HttpResponse::TooManyRequests()
                .insert_header((RETRY_AFTER, "1"))
                .json(json!({ "message": "429 Too Many Requests: too many unknown tokens. Ask again in a second." })),
        }
    }
}
