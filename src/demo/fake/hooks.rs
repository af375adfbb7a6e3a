//! Webhook deliveries: the exact bytes and headers that GitLab would send (contract, sections 1.1 and 2). They are
//! built here and sent by the caller.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;

use super::documents::{DateStyle, job_event, pipeline_event};
use super::world::World;
use crate::domain::{JobId, PipelineId};

/// One delivery. Its id stays the same over resends, its timestamp is the machine's time unless set.
#[derive(Debug, Clone)]
pub struct Delivery {
    event: String,
    body: Bytes,
    instance: String,
    id: String,
    timestamp_secs: i64,
    signing_token: Option<String>,
    secret_token: Option<String>,
    bad_signature: bool,
}

impl Delivery {
    /// A delivery of any event (`Pipeline Hook`, `Push Hook`, …) with exactly this body.
    pub fn new(event: &str, body: impl Into<Bytes>) -> Self {
        Self {
            event: event.to_owned(),
            body: body.into(),
            instance: "https://gitlab.ravenfield.example".to_owned(),
            id: uuid(),
            timestamp_secs: super::unix_seconds(),
            signing_token: None,
            secret_token: None,
            bad_signature: false,
        }
    }

    /// The Job Hook of a job as the world knows it now; `None` for an unknown job and for trigger jobs.
    pub fn job(world: &World, job: JobId, dates: DateStyle) -> Option<Self> {
        Some(Self::of(world, "Job Hook", &job_event(world, job, dates)?))
    }

    /// The Pipeline Hook of a pipeline as the world knows it now; `None` for an unknown pipeline.
    pub fn pipeline(world: &World, pipeline: PipelineId, dates: DateStyle) -> Option<Self> {
        Some(Self::of(world, "Pipeline Hook", &pipeline_event(world, pipeline, dates)?))
    }

    fn of(world: &World, event: &str, payload: &Value) -> Self {
        // GitLab escapes these in every string, so a body that is written anew has another signature.
        let body = payload.to_string().replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e");
        Self { instance: world.base_url.clone(), ..Self::new(event, body) }
    }

    /// Signs with a signing token `whsec_…`.
    #[must_use]
    pub fn signed_with(mut self, token: &str) -> Self {
        self.signing_token = Some(token.to_owned());
        self
    }

    /// Sends the plain secret token too.
    #[must_use]
    pub fn with_token(mut self, token: &str) -> Self {
        self.secret_token = Some(token.to_owned());
        self
    }

    /// Leaves the signature out; id and timestamp stay, as in GitLab.
    #[must_use]
    pub fn unsigned(mut self) -> Self {
        (self.signing_token, self.bad_signature) = (None, false);
        self
    }

    /// Leaves the plain secret token out.
    #[must_use]
    pub fn without_token(mut self) -> Self {
        self.secret_token = None;
        self
    }

    /// Sends a well-formed signature made with another key.
    #[must_use]
    pub const fn with_bad_signature(mut self) -> Self {
        self.bad_signature = true;
        self
    }

    /// Sets `webhook-timestamp` in Unix seconds; the signature covers it.
    #[must_use]
    pub const fn at(mut self, timestamp_secs: i64) -> Self {
        self.timestamp_secs = timestamp_secs;
        self
    }

    /// Sets the id of `webhook-id` and `Idempotency-Key`.
    #[must_use]
    pub fn with_id(mut self, id: &str) -> Self {
        id.clone_into(&mut self.id);
        self
    }

    /// Returns the body's exact bytes.
    pub fn body(&self) -> Bytes {
        self.body.clone()
    }

    /// Returns the id, the same over resends.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns all headers of the request but `Host` and `Content-Length`.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            ("Content-Type", "application/json".to_owned()),
            ("User-Agent", "GitLab/19.6.0-ee".to_owned()),
            ("Idempotency-Key", self.id.clone()),
            ("X-Gitlab-Event", self.event.clone()),
            ("X-Gitlab-Webhook-UUID", uuid()),
            ("X-Gitlab-Instance", self.instance.clone()),
            ("X-Gitlab-Event-UUID", uuid()),
        ];
        headers.extend(self.secret_token.clone().map(|token| ("X-Gitlab-Token", token)));
        headers.push(("webhook-id", self.id.clone()));
        headers.push(("webhook-timestamp", self.timestamp_secs.to_string()));
        headers.extend(self.signature().map(|signature| ("webhook-signature", signature)));
        headers
    }

    /// Returns `v1,…` over `id.timestamp.body`.
    fn signature(&self) -> Option<String> {
        let token = match (&self.signing_token, self.bad_signature) {
            (_, true) => Some(""),
            (token, false) => token.as_deref(),
        }?;
        // A token that is no `whsec_` base64 signs with an empty key: never valid, which is what it deserves.
        let key = token.strip_prefix("whsec_").and_then(|key| STANDARD.decode(key).ok()).unwrap_or_default();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes keys of any length");
        mac.update(format!("{}.{}.", self.id, self.timestamp_secs).as_bytes());
        mac.update(&self.body);
        Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
    }
}

/// Returns a random version 4 UUID.
pub(super) fn uuid() -> String {
    let bits = (fastrand::u128(..) & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default();
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
}
