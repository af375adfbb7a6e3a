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
use super::answer::Head;
use super::body::Body;
use super::caller::Caller;
use super::endpoint::Endpoint;
use super::limits::{Limits, Verdict};
use super::metrics::Metrics;
use super::pass::Flows;
use super::permits::{Permit, Permits};
use super::question::Question;
use super::redirect::{MAX_REDIRECTS, Origin, Rules};
use super::refusals::Place;
use super::turns::Claim;
use super::window::Window;
use super::{Class, Config, Error, Kind, Timeouts, transport};
use crate::domain::{Alarm, Malformed, Timestamp};

pub(super) const TOKEN: HeaderName = HeaderName::from_static("private-token");

/// A pause so short that a question waits it out instead of failing.
const SHORT_PAUSE: Duration = Duration::from_secs(1);

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
    /// `gitlab.plain_storage_hosts`.
    plain: Vec<String>,
    token: Mutex<HeaderValue>,
    /// The token that manages webhooks.
    hooks_token: Mutex<Option<HeaderValue>>,
    limits: Mutex<Limits>,
    /// Held by the question that finds out what a refusal is about.
    pub(super) confirming: tokio::sync::Mutex<()>,
    pub(super) window: Mutex<Window>,
    /// `limits.api_calls` and `limits.requests_per_minute`.
    pub(super) most: usize,
    pub(super) per_minute: Option<u32>,
    calls: AtomicU64,
    storage_calls: AtomicU64,
    up: Mutex<Option<bool>>,
    pub(super) timeouts: Timeouts,
    pub(super) slow: Alarm,
    /// The passed answers on their way.
    pub(super) flows: Flows,
}

/// One step of a chain of redirects.
pub(super) struct Hop<'a> {
    pub(super) endpoint: Endpoint,
    /// Whether the chain has not left GitLab's origin, so that the token may be sent.
    pub(super) home: bool,
    pub(super) asker: Asker<'a>,
    pub(super) sent: Instant,
}

impl Hop<'_> {
    /// Whether the service asks for itself: what GitLab says to a reader's question, whoever's token carries it, says nothing about
    /// GitLab, because its reader may choose one that always fails.
    pub(super) fn judges(&self) -> bool {
        self.home && !matches!(self.asker, Asker::Caller(_)) && self.endpoint != Endpoint::Passed
    }
}

/// In whose name a call is made.
#[derive(Clone, Copy)]
pub(super) enum Asker<'a> {
    /// The service's, by `gitlab.token`.
    Reading,
    /// The operator's, by `gitlab.hooks_token`.
    Managing,
    /// That of somebody who reads here.
    Caller(&'a Caller),
}

impl Http {
    pub(super) fn new(config: &Config, timeouts: Timeouts) -> Result<Self, Kind> {
        let root = config.url.as_str().split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
        let origin = Origin::of(&config.url);
        if !matches!(config.url.scheme(), "http" | "https") || !origin.owns(&config.url) {
            return Err(unusable("gitlab.url", "it has to be http(s)://host without credentials"));
        }
        let token = Mutex::new(header(&config.token, "gitlab.token")?);
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
            plain: config.plain_storage_hosts.clone(),
            token,
            hooks_token: Mutex::new(hooks_token),
            limits: Mutex::default(),
            confirming: tokio::sync::Mutex::default(),
            window: Mutex::new(Window::new(config.calls)),
            most: config.calls.max(1),
            per_minute: config.requests_per_minute,
            calls: AtomicU64::new(0),
            storage_calls: AtomicU64::new(0),
            up: Mutex::default(),
            timeouts,
            slow: Alarm::new(WARN_EVERY),
            flows: Flows::default(),
        })
    }

    /// Asks with this token from now on. What GitLab said about the old one no longer counts, also what is still to come.
    pub(super) fn renew_token(&self, token: &SecretString) -> Result<(), Kind> {
        *self.token() = header(token, "gitlab.token")?;
        self.limits().token_renewed(Instant::now());
        self.show_refusal();
        Ok(())
    }

    /// Manages webhooks with this token from now on.
    pub(super) fn renew_hooks_token(&self, token: &SecretString) -> Result<(), Kind> {
        *self.lock_hooks_token() = Some(header(token, "gitlab.hooks_token")?);
        Ok(())
    }

    /// Returns the token that manages webhooks.
    pub(super) fn hooks_token(&self) -> Result<HeaderValue, Kind> {
        self.lock_hooks_token().clone().ok_or(Kind::HooksTokenRefused("it is not set"))
    }

    /// Asks a question at its own address.
    pub(super) async fn ask(&self, class: Class, question: Question) -> Result<Body, Error> {
        let asker = question.asker();
        self.ask_by(class, question, asker).await
    }

    /// Asks a question at its own address with the credential of somebody who reads here.
    pub(super) async fn ask_as(&self, class: Class, question: Question, caller: &Caller) -> Result<Body, Error> {
        self.ask_by(class, question, Asker::Caller(caller)).await
    }

    async fn ask_by(&self, class: Class, question: Question, asker: Asker<'_>) -> Result<Body, Error> {
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
        match self.answer_or_confirm(class, &question, asker).instrument(span.clone()).await {
            Ok((response, permit, as_of)) => Ok(Body::new(question, response, permit, as_of, self.timeouts)),
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

    /// Returns what every question meets while GitLab refuses the token, if it does.
    pub(super) fn refusal(&self) -> Option<Kind> {
        let limits = self.limits();
        let withheld = || limits.refusals.barred(Place::User).map(|(place, _, reason)| place.withheld(reason));
        limits.refusal().map(Kind::TokenRefused).or_else(withheld)
    }

    /// Returns until when nothing may be sent, and why.
    pub(super) fn paused(&self) -> Option<(Timestamp, &'static str)> {
        let now = Instant::now();
        let (until, why) = self.limits().paused(now)?;
        Some((wall_clock(now, until), why))
    }

    pub(super) async fn answer(
        &self,
        class: Class,
        question: &Question,
        asker: Asker<'_>,
    ) -> Result<(Response, Permit, Timestamp), Kind> {
        let mut url = Url::parse(&question.url(&self.api)).map_err(|_| Kind::Rejected(400))?;
        let endpoint = question.endpoint();
        if matches!(asker, Asker::Managing) {
            self.hooks_token()?;
        }
        let asked = Instant::now();
        let permit = self.admit_unless_withheld(class, question, asker).await?;
        let mut hop = Hop { endpoint, home: true, asker, sent: Instant::now() };
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
            let rules = Rules { origin: &self.origin, addresses: &self.addresses, plain: &self.plain };
            url = rules.follow(response.url(), location, endpoint.is_file())?;
            if matches!(asker, Asker::Caller(_)) && !self.origin.owns(&url) {
                return Ok((response, permit, head.as_of));
            }
            drop(response);
            // A chain that left GitLab never gets the token back, even where it leads home.
            let home = hop.home && self.origin.owns(&url);
            if home {
                self.permits.another_call(class).await;
            }
            let endpoint = if home { endpoint } else { Endpoint::Storage };
            hop = Hop { endpoint, home, asker, sent: Instant::now() };
        }
        Err(Kind::Redirect("there are too many"))
    }

    /// Waits for a permit, unless GitLab does not want to be asked: that is looked at before queueing, so that nobody
    /// queues in vain, and again when it is the question's turn.
    pub(super) async fn admit(&self, class: Class, endpoint: Endpoint, asker: Asker<'_>) -> Result<Permit, Kind> {
        let claim = Claim { class, bulk: endpoint.is_bulk() };
        loop {
            let now = Instant::now();
            let reader = matches!(asker, Asker::Caller(_));
            let before = match asker {
                Asker::Reading => self.limits().peek(now, class, endpoint),
                _ => self.limits().peek_with_another(now, class, endpoint, reader),
            };
            if let Some(short) = pause(now, before)? {
                sleep_until(short).await;
                continue;
            }
            let permit = self.permits.acquire(claim).await;
            let now = Instant::now();
            let verdict = match asker {
                Asker::Reading => self.limits().claim(now, class, endpoint),
                _ => self.limits().claim_with_another(now, class, endpoint, reader),
            };
            match pause(now, verdict)? {
                None => return Ok(permit),
                Some(short) => {
                    drop(permit);
                    sleep_until(short).await;
                }
            }
        }
    }

    async fn send(&self, hop: &Hop<'_>, url: Url) -> Result<Response, Kind> {
        let mut request = self.request(hop, Method::GET, url);
        if matches!(hop.endpoint, Endpoint::Archive | Endpoint::Storage) {
            // Archives are compressed already, and their announced length is worth more.
            request = request.header(ACCEPT_ENCODING, const { HeaderValue::from_static("identity") });
        }
        self.exchange(hop, request).await
    }

    /// Begins a request; the token goes to GitLab's origin only.
    pub(super) fn request(&self, hop: &Hop<'_>, method: Method, url: Url) -> RequestBuilder {
        if !hop.home || !self.origin.owns(&url) {
            return self.elsewhere.request(method, url);
        }
        let request = self.home.request(method, url);
        let token = match hop.asker {
            Asker::Reading => Some((TOKEN, self.token().clone())),
            Asker::Managing => self.hooks_token().ok().map(|token| (TOKEN, token)),
            Asker::Caller(Caller(token)) => token.clone(),
        };
        match token {
            Some((name, token)) => request.header(name, token),
            None => request,
        }
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn exchange(&self, hop: &Hop<'_>, request: RequestBuilder) -> Result<Response, Kind> {
        let patience = if hop.endpoint == Endpoint::TestReport { REPORT_PATIENCE } else { 1 };
        let counter = if hop.endpoint == Endpoint::Storage { &self.storage_calls } else { &self.calls };
        counter.fetch_add(1, Ordering::Relaxed);
        let outcome = timeout(self.timeouts.head.saturating_mul(patience), request.send()).await;
        let status = outcome.as_ref().ok().and_then(|sent| sent.as_ref().ok()).map(|answer| answer.status().as_u16());
        self.metrics.count(hop.endpoint, status, hop.sent.elapsed());
        let outcome = match outcome {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(transport::unavailable(error)),
            Err(_) => Err(Kind::Unavailable("no answer in time".to_owned())),
        };
        let up = status.is_some_and(|status| status < 500);
        if hop.judges() {
            let before = self.up.lock().unwrap_or_else(PoisonError::into_inner).replace(up);
            // Later on only an outage is worth a word, which the circuit tells.
            if let (None, Err(problem)) = (before, &outcome) {
                tracing::warn!(gitlab = %self.origin, error = %problem, "cannot reach GitLab: asking again for a while");
            }
        }
        outcome
    }

    fn token(&self) -> MutexGuard<'_, HeaderValue> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_hooks_token(&self) -> MutexGuard<'_, Option<HeaderValue>> {
        self.hooks_token.lock().unwrap_or_else(PoisonError::into_inner)
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

fn header(token: &SecretString, name: &'static str) -> Result<HeaderValue, Kind> {
    let mut header = HeaderValue::from_str(token.expose_secret())
        .map_err(|_| unusable(name, "it holds characters that no header can carry"))?;
    header.set_sensitive(true);
    Ok(header)
}

fn unusable(what: &'static str, problem: &str) -> Kind {
    Kind::Malformed(Malformed { what, problem: problem.to_owned() })
}

pub(super) fn wall_clock(now: Instant, until: Instant) -> Timestamp {
    Timestamp::now().plus(until.saturating_duration_since(now))
}
