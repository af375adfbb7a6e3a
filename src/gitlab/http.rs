//! The only place that sends: one question, its permit, its redirects, its verdict.
//!
//! Guarantees that the token is added to calls to GitLab's origin only, that every call is under a permit from before it is
//! sent until its body ends, and that what an answer says about limits is known to everyone before the answer is
//! returned. It never retries.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, HeaderName, HeaderValue, LOCATION};
use reqwest::{Client, Method, RequestBuilder, Response};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::Instrument as _;
use url::Url;

use super::address::{Addresses, Resolver};
use super::answer::{Head, Meaning, Shape};
use super::body::Body;
use super::endpoint::Endpoint;
use super::limits::{Limits, Verdict};
use super::metrics::Metrics;
use super::permits::{Permit, Permits};
use super::question::{Credential, Question};
use super::redirect::{self, MAX_REDIRECTS, Origin};
use super::turns::Claim;
use super::window::Window;
use super::{Class, Config, Error, Kind, Timeouts, transport};
use crate::domain::{Alarm, Malformed, Timestamp};

const TOKEN: HeaderName = HeaderName::from_static("private-token");

/// A pause so short that a question waits it out instead of failing.
const SHORT_PAUSE: Duration = Duration::from_secs(1);

/// How much of an error's body is read to tell a refused token from a refused thing.
const ERROR_BYTES: usize = 8 * 1024;

/// At most one warning about slow questions in this time.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// GitLab takes this much longer for a test report than for anything else.
const REPORT_PATIENCE: u32 = 2;

/// What sends, and what it knows.
pub(super) struct Http {
    pub(super) permits: Permits,
    pub(super) metrics: Metrics,
    /// The API's root, without a slash at its end.
    pub(super) api: String,
    pub(super) origin: Origin,
    home: Client,
    elsewhere: Client,
    addresses: Arc<Addresses>,
    token: HeaderValue,
    /// The token that manages webhooks.
    pub(super) hooks_token: Option<HeaderValue>,
    limits: Mutex<Limits>,
    pub(super) window: Mutex<Window>,
    /// `limits.api_calls` and `limits.requests_per_minute`.
    pub(super) most: usize,
    pub(super) per_minute: Option<u32>,
    calls: AtomicU64,
    storage_calls: AtomicU64,
    up: Mutex<Option<bool>>,
    pub(super) timeouts: Timeouts,
    pub(super) slow: Alarm,
}

/// One step of a chain of redirects.
pub(super) struct Hop {
    pub(super) endpoint: Endpoint,
    /// Whether the chain has not left GitLab's origin, so that the token may be sent.
    pub(super) home: bool,
    pub(super) sent: Instant,
    pub(super) credential: Credential,
}

impl Http {
    pub(super) fn new(config: &Config, timeouts: Timeouts) -> Result<Self, Kind> {
        let root = config.url.as_str().split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
        let origin = Origin::of(&config.url);
        if !matches!(config.url.scheme(), "http" | "https") || !origin.owns(&config.url) {
            return Err(unusable("gitlab.url", "it has to be http(s)://host without credentials"));
        }
        let header = |token: &SecretString, name| -> Result<HeaderValue, Kind> {
            let mut header = HeaderValue::from_str(token.expose_secret())
                .map_err(|_| unusable(name, "it holds characters that no header can carry"))?;
            header.set_sensitive(true);
            Ok(header)
        };
        let token = header(&config.token, "gitlab.token")?;
        let hooks_token = config.hooks_token.as_ref().map(|token| header(token, "gitlab.hooks_token")).transpose()?;
        let addresses = Arc::new(Addresses::around(&config.url));
        let client = || transport::client(config, timeouts, Resolver(Arc::clone(&addresses)));
        let metrics = Metrics::new();
        metrics.window.set(i64::try_from(config.calls).unwrap_or(i64::MAX));
        Ok(Self {
            permits: Permits::new(config.calls, config.requests_per_minute, metrics.in_flight.clone()),
            metrics,
            api: format!("{root}/api/v4"),
            origin,
            home: client()?,
            elsewhere: client()?,
            addresses,
            token,
            hooks_token,
            limits: Mutex::default(),
            window: Mutex::new(Window::new(config.calls)),
            most: config.calls.max(1),
            per_minute: config.requests_per_minute,
            calls: AtomicU64::new(0),
            storage_calls: AtomicU64::new(0),
            up: Mutex::default(),
            timeouts,
            slow: Alarm::new(WARN_EVERY),
        })
    }

    /// Asks a question at its own address.
    pub(super) async fn ask(&self, class: Class, question: Question) -> Result<Body, Error> {
        let url = question.url(&self.api);
        self.ask_at(class, question, &url).await
    }

    /// Asks a question at an address that GitLab gave, at GitLab's own origin.
    pub(super) async fn ask_at(&self, class: Class, question: Question, url: &str) -> Result<Body, Error> {
        let endpoint = question.endpoint().as_str();
        let span = match tracing::Span::current().is_none() {
            true => tracing::Span::none(),
            false => tracing::debug_span!(
                "gitlab",
                otel.kind = "client",
                otel.name = endpoint,
                error = tracing::field::Empty
            ),
        };
        match self.answer(class, &question, url).instrument(span.clone()).await {
            Ok((response, permit, as_of)) => Ok(Body::new(question, response, permit, as_of, self.timeouts.idle)),
            Err(kind) => {
                span.record("error", tracing::field::display(&kind));
                Err(Error { question: question.to_string(), kind })
            }
        }
    }

    /// Returns how many calls were sent to GitLab, downloads from its object storage not counted.
    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Returns how many downloads were begun at GitLab's object storage.
    pub(super) fn storage_calls(&self) -> u64 {
        self.storage_calls.load(Ordering::Relaxed)
    }

    /// Returns whether GitLab answered the last call properly; `None` before the first.
    pub(super) fn is_up(&self) -> Option<bool> {
        *self.up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns why GitLab refuses the token, if it does.
    pub(super) fn refusal(&self) -> Option<&'static str> {
        self.limits().refusal()
    }

    /// Returns until when nothing may be sent, and why.
    pub(super) fn paused(&self) -> Option<(Timestamp, &'static str)> {
        let now = Instant::now();
        let (until, why) = self.limits().paused(now)?;
        Some((wall_clock(now, until), why))
    }

    async fn answer(
        &self,
        class: Class,
        question: &Question,
        url: &str,
    ) -> Result<(Response, Permit, Timestamp), Kind> {
        let mut url = Url::parse(url).map_err(|_| Kind::Rejected(400))?;
        let endpoint = question.endpoint();
        let credential = question.credential();
        self.holds(credential)?;
        let asked = Instant::now();
        let permit = self.admit(class, endpoint).await?;
        let mut hop = Hop { endpoint, home: true, sent: Instant::now(), credential };
        let waited = hop.sent - asked;
        for _ in 0..=MAX_REDIRECTS {
            let response = self.send(&hop, url).await.inspect_err(|kind| self.weigh(&hop, Some(kind)))?;
            let head = Head::read(response.status().as_u16(), response.headers());
            if hop.home {
                self.learn(&head, &hop);
            }
            if !matches!(head.status, 301 | 302 | 303 | 307 | 308) {
                self.note_slow(question, class, waited, hop.sent.elapsed());
                let judged = self.judge(&hop, &head, response).await;
                self.weigh(&hop, judged.as_ref().err());
                return judged.map(|response| (response, permit, head.as_of));
            }
            self.weigh(&hop, None);
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            url = redirect::follow(&self.origin, &self.addresses, response.url(), location, endpoint.is_file())
                .map_err(Kind::Redirect)?;
            drop(response);
            // A chain that left GitLab never gets the token back, even where it leads home.
            let home = hop.home && self.origin.owns(&url);
            if home {
                self.permits.another_call(class).await;
            }
            let endpoint = if home { endpoint } else { Endpoint::Storage };
            hop = Hop { endpoint, home, sent: Instant::now(), credential };
        }
        Err(Kind::Redirect("there are too many"))
    }

    /// Waits for a permit, unless GitLab does not want to be asked: that is looked at before queueing, so that nobody
    /// queues in vain, and again when it is the question's turn.
    pub(super) async fn admit(&self, class: Class, endpoint: Endpoint) -> Result<Permit, Kind> {
        let claim = Claim { class, bulk: endpoint.is_bulk() };
        loop {
            let now = Instant::now();
            let before = self.limits().peek(now, class, endpoint);
            if let Some(short) = pause(now, before)? {
                sleep_until(short).await;
                continue;
            }
            let permit = self.permits.acquire(claim).await;
            let now = Instant::now();
            let verdict = self.limits().claim(now, class, endpoint);
            match pause(now, verdict)? {
                None => return Ok(permit),
                Some(short) => {
                    drop(permit);
                    sleep_until(short).await;
                }
            }
        }
    }

    async fn send(&self, hop: &Hop, url: Url) -> Result<Response, Kind> {
        let mut request = self.request(hop, Method::GET, url);
        if matches!(hop.endpoint, Endpoint::Archive | Endpoint::Storage) {
            // Archives are compressed already, and their announced length is worth more.
            request = request.header(ACCEPT_ENCODING, const { HeaderValue::from_static("identity") });
        }
        self.exchange(hop, request).await
    }

    /// Begins a request; the token goes to GitLab's origin only.
    pub(super) fn request(&self, hop: &Hop, method: Method, url: Url) -> RequestBuilder {
        if !hop.home || !self.origin.owns(&url) {
            return self.elsewhere.request(method, url);
        }
        let request = self.home.request(method, url);
        match hop.credential {
            Credential::Reading => request.header(TOKEN, self.token.clone()),
            Credential::Managing => {
                self.hooks_token.iter().fold(request, |request, token| request.header(TOKEN, token))
            }
        }
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn exchange(&self, hop: &Hop, request: RequestBuilder) -> Result<Response, Kind> {
        let patience = if hop.endpoint == Endpoint::TestReport { REPORT_PATIENCE } else { 1 };
        let counter = if hop.endpoint == Endpoint::Storage { &self.storage_calls } else { &self.calls };
        counter.fetch_add(1, Ordering::Relaxed);
        let outcome = timeout(self.timeouts.head.saturating_mul(patience), request.send()).await;
        let status = outcome.as_ref().ok().and_then(|sent| sent.as_ref().ok()).map(|answer| answer.status().as_u16());
        self.metrics.count(hop.endpoint, status, hop.sent.elapsed());
        if hop.home {
            let up = status.is_some_and(|status| status < 500);
            *self.up.lock().unwrap_or_else(PoisonError::into_inner) = Some(up);
        }
        match outcome {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(transport::unavailable(error)),
            Err(_) => Err(Kind::Unavailable("no answer in time".to_owned())),
        }
    }

    /// Takes in what any answer of GitLab says about its limits and our token.
    pub(super) fn learn(&self, head: &Head, hop: &Hop) {
        // A redirect or a page may come from something that did not look at the token.
        let accepted =
            hop.credential == Credential::Reading && matches!(head.status, 200 | 404) && head.shape != Shape::Html;
        let news = {
            let mut limits = self.limits();
            if let Some(budget) = head.budget {
                limits.budget(Instant::now(), budget, self.permits.held() as u64);
            }
            accepted && limits.accepted(hop.sent)
        };
        if let Some(budget) = head.budget {
            self.metrics.limit_remaining.set(i64::try_from(budget.remaining).unwrap_or(i64::MAX));
        }
        if news {
            tracing::info!("GitLab accepts the token again");
        }
    }

    /// Passes an answer on, or says what came instead, and stops whom it concerns.
    async fn judge(&self, hop: &Hop, head: &Head, response: Response) -> Result<Response, Kind> {
        if !hop.home {
            return match head.meaning_of_storage() {
                Meaning::Answer if head.shape != Shape::Html => Ok(response),
                Meaning::NotFound => Err(Kind::NotFound),
                _ => Err(Kind::Unavailable(format!("its storage answers {}", head.status))),
            };
        }
        let body = match head.status {
            401 | 403 => self.beginning(response).await,
            _ => return self.judge_with(hop, head, &[]).map(|()| response),
        };
        match self.judge_with(hop, head, &body) {
            Err(kind) => Err(kind),
            Ok(()) => Err(Kind::Unavailable(format!("status {}", head.status))),
        }
    }

    pub(super) fn judge_with(&self, hop: &Hop, head: &Head, body: &[u8]) -> Result<(), Kind> {
        let now = Instant::now();
        match head.meaning(body) {
            Meaning::Answer if head.shape == Shape::Html => {
                Err(Kind::Unavailable("an HTML page with status 200: a login or maintenance page?".to_owned()))
            }
            Meaning::Answer if head.shape != Shape::Json && !hop.endpoint.is_file() => {
                Err(Kind::Unavailable("status 200, but not JSON".to_owned()))
            }
            Meaning::Answer if head.shape == Shape::Json && hop.endpoint.is_file() => {
                Err(Kind::Unavailable("status 200, but JSON instead of a file".to_owned()))
            }
            Meaning::Answer => Ok(()),
            Meaning::NotFound => Err(Kind::NotFound),
            Meaning::Forbidden => Err(Kind::Forbidden),
            Meaning::Rejected => Err(Kind::Rejected(head.status)),
            Meaning::Unavailable => Err(Kind::Unavailable(format!("status {}", head.status))),
            // Only the reading token's refusal concerns all questions.
            Meaning::TokenRefused(reason) if hop.credential == Credential::Managing => {
                Err(Kind::HooksTokenRefused(reason))
            }
            Meaning::TokenRefused(reason) => {
                if self.limits().refused(now, reason) {
                    tracing::error!(
                        reason,
                        "GitLab refuses the token: nothing is asked for 10 minutes, then one question tries it again; \
                         put a valid read_api token into gitlab.token and restart"
                    );
                }
                Err(Kind::TokenRefused(reason))
            }
            Meaning::ThrottledEverywhere(wait) => Err(self.throttled(now, None, wait)),
            Meaning::ThrottledHere(wait) => Err(self.throttled(now, Some(hop.endpoint), wait)),
        }
    }

    fn throttled(&self, now: Instant, endpoint: Option<Endpoint>, wait: Duration) -> Kind {
        let until = wall_clock(now, self.limits().throttled(now, endpoint, wait));
        match endpoint {
            None => tracing::warn!(%until, "GitLab asks to wait: every question waits"),
            Some(endpoint) => tracing::warn!(%until, %endpoint, "GitLab asks to wait at one endpoint"),
        }
        Kind::Throttled { until, everything: endpoint.is_none() }
    }

    /// Reads the beginning of a small error body; what cannot be read is left out, the status says enough.
    async fn beginning(&self, mut response: Response) -> Vec<u8> {
        let mut body = Vec::new();
        while let Ok(Ok(Some(piece))) = timeout(self.timeouts.idle, response.chunk()).await {
            if body.len() + piece.len() > ERROR_BYTES {
                break;
            }
            body.extend_from_slice(&piece);
        }
        body
    }

    pub(super) fn limits(&self) -> MutexGuard<'_, Limits> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns until when to wait before asking again, when that is so soon that waiting beats failing.
fn pause(now: Instant, verdict: Verdict) -> Result<Option<Instant>, Kind> {
    match verdict {
        Verdict::Go => Ok(None),
        Verdict::Wait { until, .. } if until.duration_since(now) < SHORT_PAUSE => Ok(Some(until)),
        Verdict::Wait { until, everything } => Err(Kind::Throttled { until: wall_clock(now, until), everything }),
        Verdict::Refused(reason) => Err(Kind::TokenRefused(reason)),
    }
}

fn unusable(what: &'static str, problem: &str) -> Kind {
    Kind::Malformed(Malformed { what, problem: problem.to_owned() })
}

fn wall_clock(now: Instant, until: Instant) -> Timestamp {
    Timestamp::now().plus(until.saturating_duration_since(now))
}
