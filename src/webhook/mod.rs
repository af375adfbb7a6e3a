//! `POST /webhooks/gitlab`: verifies deliveries and offers what they are about to the queue.
//!
//! What it guarantees: nothing of a body is parsed before its sender proved a secret; of a body only identity is taken
//! (law 1); `accepted` and `coalesced` are answered only after the queue recorded the work (law 4); every delivery is
//! answered within 9 s, whatever the store does, since GitLab gives up after 10 s and disables hooks that fail; and a
//! verified hint that is not recorded, even because its sender hung up, leaves its project marked for an early sweep.
//!
//! What it deliberately does not do: it keeps no event body, asks neither GitLab nor the store, and does not remember
//! deliveries. A repeated delivery is a repeated hint.

mod answer;
mod body;
mod config;
pub mod event;
mod metrics;
mod refusal;
mod signature;
pub mod verify;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{ALLOW, HeaderMap};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;
use tokio::time::{Instant, timeout_at};
use tracing::field::Empty;
use tracing::{Instrument, Span, debug, info_span, warn};

use self::answer::{Outcome, Refused};
pub use self::body::MAX_BODY_BYTES;
use self::body::{Gate, Patience};
pub use self::config::{Config, ConfigError};
use self::event::Event;
use self::metrics::Label;
pub use self::metrics::Metrics;
pub use self::signature::{SigningKey, SigningTokenError};
use crate::domain::{Alarm, Origin, ProjectId, Timestamp};
use crate::queue::{Offer, Queue};
use crate::telemetry;
use crate::work::Work;

/// Where GitLab's hooks point to.
pub const PATH: &str = "/webhooks/gitlab";

/// How long the queue may take to record a hint before `deferred` is answered.
const OFFER_PATIENCE: Duration = Duration::from_secs(4);

/// When every delivery is answered, counted from its arrival; GitLab gives up after 10 s.
const ANSWER_DEADLINE: Duration = Duration::from_secs(9);

/// At most one warning about refused deliveries in this time.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// GitLab gives a delivery up after 10 s; an answer that takes longer than this is worth a word.
const SLOW: Duration = Duration::from_secs(2);

/// Tells whether a project, by id and when known by path, is one that this configuration caches.
pub type Selected = Arc<dyn Fn(ProjectId, Option<&str>) -> bool + Send + Sync>;

/// The route and what it needs.
pub struct Webhook {
    gate: Gate,
    refresh: Duration,
    queue: Queue,
    selected: Selected,
    metrics: Metrics,
    alarm: Alarm,
    slow: Alarm,
}

impl Webhook {
    /// Builds the route; fails with every secret that cannot be used.
    pub fn build(
        config: &Config,
        queue: Queue,
        selected: Selected,
        metrics: Metrics,
    ) -> Result<Self, Vec<ConfigError>> {
        let verifier = verify::Verifier::build(config)?;
        Ok(Self {
            gate: Gate::new(verifier, config.bytes_in_flight, Patience::default()),
            refresh: config.refresh,
            queue,
            selected,
            metrics,
            alarm: Alarm::new(WARN_EVERY),
            slow: Alarm::new(WARN_EVERY),
        })
    }

    /// Verifies deliveries that arrive from now on by these secrets; nothing else of the configuration is read. On an error
    /// the old ones stay.
    pub fn renew_secrets(&self, config: &Config) -> Result<(), Vec<ConfigError>> {
        self.gate.renew(verify::Verifier::build(config)?);
        Ok(())
    }

    /// Decides about one delivery.
    async fn decide(
        &self,
        request: &HttpRequest,
        payload: web::Payload,
        arrival: Instant,
    ) -> Result<(Label, Outcome), Refused> {
        let now = Timestamp::now();
        let from = request.peer_addr().map(|address| address.ip());
        let received = self.gate.receive(request.headers(), payload, from, arrival, now).await?;
        let verdict = self.read(&received.verify()?, request.headers(), now)?;
        drop(received);
        match verdict {
            Verdict::Ignore(label) => Ok((label, Outcome::Ignored)),
            Verdict::Offer(label, work) => {
                let origin = Origin {
                    delivery: delivery_id(request.headers()).map(Into::into),
                    trace: telemetry::trace_parent(),
                };
                Ok((label, self.offer(work, origin, arrival).await))
            }
        }
    }

    /// Reads a verified body down to an identity.
    fn read(&self, verified: &verify::Verified<'_>, headers: &HeaderMap, now: Timestamp) -> Result<Verdict, Refused> {
        let announced = headers.get("x-gitlab-event").and_then(|event| event.to_str().ok());
        let hint = match event::parse(*verified, announced).map_err(|_| Refused::NotAnObject)? {
            Event::Hint(hint) => hint,
            Event::Other => return Ok(Verdict::Ignore(Label::Other)),
            Event::Unreadable { project } => {
                if let Some(project) = project.filter(|project| (self.selected)(*project, None)) {
                    self.queue.mark(project);
                }
                return Ok(Verdict::Ignore(Label::Unreadable));
            }
        };
        let label = Label::Hint(hint.kind);
        if let Some(finished_at) = hint.finished_at {
            self.metrics.lag(now.since(finished_at));
        }
        let span = Span::current();
        span.record("project.id", hint.target.project().0);
        span.record(if hint.target.kind() == "job" { "job.id" } else { "pipeline.id" }, hint.target.id());
        debug!(work.cause = ?hint.cause, "received an event");
        if !(self.selected)(hint.target.project(), hint.path.as_deref()) {
            return Ok(Verdict::Ignore(label));
        }
        Ok(hint.work(now, self.refresh).map_or(Verdict::Ignore(label), |work| Verdict::Offer(label, work)))
    }

    /// Has the work recorded, or its project marked.
    async fn offer(&self, work: Work, origin: Origin, arrival: Instant) -> Outcome {
        let unrecorded = MarkOnDrop { queue: &self.queue, project: work.target.project() };
        let deadline = (Instant::now() + OFFER_PATIENCE).min(arrival + ANSWER_DEADLINE);
        match timeout_at(deadline, self.queue.offer_from(work, Some(Arc::new(origin)))).await {
            Ok(Offer::Accepted) => {
                unrecorded.defuse();
                Outcome::Accepted
            }
            Ok(Offer::Coalesced) => {
                unrecorded.defuse();
                Outcome::Coalesced
            }
            Ok(Offer::Deferred) | Err(_) => Outcome::Deferred,
        }
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("gate", &self.gate).field("refresh", &self.refresh).finish_non_exhaustive()
    }
}

/// What is to be done about a verified delivery.
enum Verdict {
    Ignore(Label),
    Offer(Label, Work),
}

/// Marks the project unless the work was recorded: also when the wait was given up, or the sender hung up meanwhile.
struct MarkOnDrop<'a> {
    queue: &'a Queue,
    project: ProjectId,
}

impl MarkOnDrop<'_> {
    fn defuse(self) {
        std::mem::forget(self);
    }
}

impl Drop for MarkOnDrop<'_> {
    fn drop(&mut self) {
        self.queue.mark(self.project);
    }
}

/// Adds the route to a listener. Other methods on its path are 405.
pub fn routes(config: &mut web::ServiceConfig, webhook: web::Data<Webhook>) {
    config.service(
        web::resource(PATH).app_data(webhook).route(web::post().to(receive)).default_service(web::to(only_post)),
    );
}

async fn receive(request: HttpRequest, payload: web::Payload, webhook: web::Data<Webhook>) -> HttpResponse {
    let span = info_span!(
        "webhook",
        otel.kind = "server",
        delivery.id = delivery_id(request.headers()).as_deref(),
        project.id = Empty,
        pipeline.id = Empty,
        job.id = Empty,
        outcome = Empty,
    );
    answer(request, payload, &webhook).instrument(span).await
}

async fn answer(request: HttpRequest, payload: web::Payload, webhook: &Webhook) -> HttpResponse {
    let arrival = Instant::now();
    match webhook.decide(&request, payload, arrival).await {
        Ok((label, outcome)) => {
            webhook.metrics.answered(label, outcome, arrival.elapsed());
            let took = arrival.elapsed();
            Span::current().record("outcome", outcome.as_str());
            debug!("answered");
            if took > SLOW
                && let Some(deliveries) = webhook.slow.ring(std::time::Instant::now())
            {
                let reason = if outcome == Outcome::Deferred {
                    "the store did not record it in time"
                } else {
                    "its body or the store's commit took long"
                };
                warn!(
                    deliveries,
                    took_ms = millis(took),
                    reason,
                    "slow answers to webhooks since the last warning, the last one so"
                );
            }
            outcome.response()
        }
        Err(refused) => {
            webhook.metrics.refused(&refused, arrival.elapsed());
            let reason = refused.reason();
            Span::current().record("outcome", reason);
            debug!("refused a delivery");
            if let Some(deliveries) = webhook.alarm.ring(std::time::Instant::now()) {
                warn!(deliveries, "refused webhook deliveries since the last warning, the last one so");
            }
            refused.response()
        }
    }
}

async fn only_post() -> HttpResponse {
    HttpResponse::MethodNotAllowed()
        .insert_header((ALLOW, "POST"))
        .json(json!({ "outcome": "refused", "error": "GitLab's webhooks are sent here with POST." }))
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Returns the delivery's id for the log, stripped of everything that an id does not need.
fn delivery_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get("webhook-id").or_else(|| headers.get("idempotency-key"))?.as_bytes();
    let kept = id.iter().filter(|byte| byte.is_ascii_alphanumeric() || **byte == b'-').take(64);
    Some(kept.map(|byte| char::from(*byte)).collect())
}
