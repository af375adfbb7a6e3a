//! The HTTP side of the fake: one server on two addresses, GitLab and its storage host.
//!
//! Every request is counted, waits for the latency, meets a fault if one is ordered, is counted against the rate
//! limit, shows its credential, and only then sees the world.

mod answer;
mod asked;
mod beside;
mod bomb;
mod commits;
mod fault;
mod files;
mod hooks;
mod lists;
mod page;
mod query;
mod route;
mod singles;

use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::dev::Extensions;
use actix_web::http::{Method, header};
use actix_web::{HttpRequest, HttpResponse, web};

pub use route::Endpoint;

pub(super) use answer::{Answer, http_date};
pub(super) use hooks::{Parcel, deliver};
pub(super) use route::Route;

use super::counters::{Counters, InFlight};
use super::faults::Faults;
use super::limit::Limiter;
use super::options::Options;
use super::world::{BadToken, World};
use asked::Asked;
use query::Query;

/// Headers that must never reach another host.
const CREDENTIALS: [&str; 5] = ["private-token", "authorization", "cookie", "referer", "job-token"];

/// Everything the worker threads share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) world: Mutex<World>,
    pub(super) options: Options,
    pub(super) counters: Arc<Counters>,
    pub(super) faults: Mutex<Faults>,
    pub(super) limiter: Option<Mutex<Limiter>>,
    /// How often hooks were tested and deliveries sent again.
    pub(super) hook_limits: Mutex<hooks::Limits>,
    pub(super) storage_port: u16,
    pub(super) storage_url: String,
    /// How many calls it answers at once without getting slower; 0: any number.
    pub(super) good_calls: AtomicU64,
}

impl Shared {
    /// Returns how long a call takes: above the calls that are good for it, every further one makes all of them slower.
    fn latency(&self) -> Duration {
        let good = self.good_calls.load(Ordering::Relaxed);
        let load = if good == 0 { 1.0 } else { (self.counters.in_flight() as f64 / good as f64).max(1.0) };
        self.options.latency.mul_f64(load * load)
    }
}

/// Locks; what a panicking holder left behind is still the best state there is.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The connection of a request, for faults that cut it.
#[derive(Debug)]
struct Connection(Option<std::net::TcpStream>);

impl Connection {
    fn cut(&self) {
        if let Some(stream) = &self.0 {
            // A connection that is closed already is as cut as can be.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Remembers a connection when it is accepted.
pub(super) fn on_connect(stream: &dyn std::any::Any, extensions: &mut Extensions) {
    let stream = stream.downcast_ref::<actix_web::rt::net::TcpStream>();
    let copy = stream.and_then(|stream| stream.as_fd().try_clone_to_owned().ok()).map(Into::into);
    extensions.insert(Arc::new(Connection(copy)));
}

/// Answers every request to either address.
pub(super) async fn serve(request: HttpRequest, body: web::Bytes, shared: web::Data<Shared>) -> HttpResponse {
    let at_storage = request.app_config().local_addr().port() == shared.storage_port;
    let path = request.uri().path();
    let route = if at_storage { Route::parse_storage(path) } else { Route::parse(path) };
    let in_flight = shared.counters.begin(route.endpoint);
    if matches!(route.endpoint, Endpoint::Beside | Endpoint::Unknown) {
        shared.counters.keep_head(beside::written(&request));
    }
    if at_storage {
        for header in CREDENTIALS.iter().filter(|name| request.headers().contains_key(**name)) {
            shared.counters.leaked(header);
        }
    }
    if !shared.options.latency.is_zero() {
        tokio::time::sleep(shared.latency()).await;
    }
    let fault = lock(&shared.faults).take(&route);
    let connection = request.conn_data::<Arc<Connection>>().cloned();
    let query = Query::parse(request.uri().query().unwrap_or_default());
    match fault {
        None => match answer(&request, &query, &body, &shared, &route, at_storage) {
            Done::Answer(answer) => respond(answer, in_flight),
            Done::Deliver(parcel) => respond(hooks::deliver(&shared, parcel).await, in_flight),
        },
        Some(kind) => {
            // What a fault hides is not delivered either.
            let healthy = |query| match answer(&request, &query, &body, &shared, &route, at_storage) {
                Done::Answer(answer) => answer,
                Done::Deliver(_) => Answer::server_error(),
            };
            fault::apply(kind, healthy, query, connection, in_flight).await
        }
    }
}

/// What becomes of a request.
enum Done {
    Answer(Answer),
    /// It is answered once this was sent.
    Deliver(hooks::Parcel),
}

/// Computes the answer without faults.
fn answer(request: &HttpRequest, query: &Query, body: &[u8], shared: &Shared, route: &Route, at_storage: bool) -> Done {
    let mut world = lock(&shared.world);
    let date = http_date(world.now());
    if at_storage {
        return Done::Answer(files::stored(&world, route.subject, query).header("Date", date));
    }
    let verdict = shared.limiter.as_ref().map(|limiter| lock(limiter).observe());
    let token = token(request, query);
    let caller = world.caller(token.as_deref(), &shared.options.token);
    let answer = match (verdict, caller) {
        (Some(verdict), _) if verdict.refused() => {
            shared.counters.refuse();
            verdict.refusal()
        }
        _ if route.endpoint.is_of_hooks() => {
            let asked =
                hooks::Asked { world: &mut world, options: &shared.options, limits: &shared.hook_limits, route };
            match asked.answer(request.method(), query, body, token.as_deref().unwrap_or_default()) {
                Ok(hooks::Answered::Now(answer)) | Err(answer) => answer,
                Ok(hooks::Answered::Deliver(parcel)) => return Done::Deliver(parcel),
            }
        }
        _ if route.endpoint == Endpoint::User && token.is_some() && token == shared.options.hooks_token => {
            asked::token(&shared.options, &["api".to_owned()])
        }
        (_, Err(BadToken::Unknown)) => Answer::unauthorized(),
        (_, Err(BadToken::Revoked)) => {
            Answer::invalid_token("Token was revoked. You have to re-authorize from the user.")
        }
        (_, Err(BadToken::Expired)) => {
            Answer::invalid_token("Token is expired. You can either do re-authorization or token refresh.")
        }
        _ if !matches!(*request.method(), Method::GET | Method::HEAD) => match route.endpoint {
            Endpoint::Unknown => Answer::unknown_address(),
            _ => Answer::wrong_method(),
        },
        (_, Ok(caller)) => {
            let (options, storage_url) = (&shared.options, shared.storage_url.as_str());
            Asked { world: &mut world, caller, options, route, query, path: request.uri().path(), storage_url }.answer()
        }
    };
    let answer = if route.endpoint == Endpoint::Beside { beside::dress(answer, request) } else { answer };
    let answer = shared.options.links.pass(answer).header("Date", date);
    Done::Answer(match verdict {
        Some(verdict) => verdict.headers(answer),
        None => answer,
    })
}

/// Returns the token that a request carries, wherever GitLab looks for one.
fn token(request: &HttpRequest, query: &Query) -> Option<String> {
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let bearer = text(header::AUTHORIZATION.as_str()).and_then(|value| value.strip_prefix("Bearer "));
    let token = query.text("private_token").or(text("private-token")).or(bearer).or(query.text("access_token"));
    token.or(text("job-token")).filter(|token| !token.is_empty()).map(str::to_owned)
}

/// Writes a whole answer; the request counts as in flight until here.
fn respond(answer: Answer, in_flight: InFlight) -> HttpResponse {
    let body = answer.body.clone();
    drop(in_flight);
    head(&answer).body(body)
}

fn head(answer: &Answer) -> actix_web::HttpResponseBuilder {
    let status = status_code(answer.status);
    let mut head = HttpResponse::build(status);
    head.insert_header((header::CONTENT_TYPE, answer.content_type));
    for (name, value) in &answer.headers {
        head.insert_header((*name, value.as_str()));
    }
    head
}

fn status_code(status: u16) -> actix_web::http::StatusCode {
    actix_web::http::StatusCode::from_u16(status).unwrap_or(actix_web::http::StatusCode::INTERNAL_SERVER_ERROR)
}
