//! Webhooks as GitLab describes them (contract, sections 1.3 to 1.7 and 2.1), and what is wished of one.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::domain::{JobId, Malformed, PipelineId, ProjectId, Timestamp};

/// Whose webhooks are meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HookOwner {
    /// A project's.
    Project(ProjectId),
    /// A group's, by its path: they hear of all projects below it (Premium and Ultimate only).
    Group(Box<str>),
}

impl fmt::Display for HookOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Project(id) => write!(f, "project {id}"),
            Self::Group(path) => write!(f, "group {}", path.escape_debug()),
        }
    }
}

/// One webhook.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Hook {
    /// Its id.
    pub id: u64,
    /// Where its deliveries go. GitLab hides a password in it.
    pub url: String,
    /// What a person wrote about it; GitLab 17.1 and later.
    #[serde(default)]
    pub description: Option<String>,
    /// Whether it sends pipeline events.
    #[serde(default)]
    pub pipeline_events: bool,
    /// Whether it sends job events.
    #[serde(default)]
    pub job_events: bool,
    /// Whether it checks our certificate.
    #[serde(default)]
    pub enable_ssl_verification: bool,
    /// `executable`, `temporarily_disabled` or `disabled`; `None` where GitLab does not tell.
    #[serde(default)]
    pub alert_status: Option<String>,
    /// Until when it is disabled.
    #[serde(default)]
    pub disabled_until: Option<Timestamp>,
    /// A body that replaces GitLab's own, which nobody but its author can read.
    #[serde(default)]
    pub custom_webhook_template: Option<String>,
    /// Whether it has a secret token; `None` where GitLab does not tell.
    #[serde(default)]
    pub token_present: Option<bool>,
    /// Whether it has a signing token; `None` below GitLab 19.0, which knows none.
    #[serde(default)]
    pub signing_token_present: Option<bool>,
}

impl Hook {
    pub(super) fn parse(raw: &RawValue, _as_of: Timestamp) -> Result<Self, Malformed> {
        serde_json::from_str(raw.get()).map_err(|error| Malformed::json("webhook", &error))
    }
}

/// What a webhook shall be. What is `None` stays as it is, or as GitLab makes it.
#[derive(Debug, Clone, Default)]
pub struct HookWish {
    /// Where deliveries go; changing it makes GitLab forget the secret token.
    pub url: Option<String>,
    /// Its name; GitLab 17.1 and later.
    pub name: Option<String>,
    /// What is written about it; GitLab 17.1 and later.
    pub description: Option<String>,
    /// Whether it sends pipeline events.
    pub pipeline_events: Option<bool>,
    /// Whether it sends job events.
    pub job_events: Option<bool>,
    /// Whether it sends push events, which GitLab ticks where nobody says.
    pub push_events: Option<bool>,
    /// Whether it checks our certificate.
    pub ssl_verification: Option<bool>,
    /// Empty: GitLab's own body.
    pub template: Option<String>,
    /// The secret token.
    pub token: Option<SecretString>,
    /// The signing token; silently ignored below GitLab 19.0.
    pub signing_token: Option<SecretString>,
}

impl HookWish {
    pub(super) fn body(&self) -> String {
        let mut body = Map::new();
        let secret = |secret: &Option<SecretString>| secret.as_ref().map(|secret| json!(secret.expose_secret()));
        let wishes = [
            ("url", self.url.as_ref().map(|url| json!(url))),
            ("name", self.name.as_ref().map(|name| json!(name))),
            ("description", self.description.as_ref().map(|text| json!(text))),
            ("pipeline_events", self.pipeline_events.map(Value::Bool)),
            ("job_events", self.job_events.map(Value::Bool)),
            ("push_events", self.push_events.map(Value::Bool)),
            ("enable_ssl_verification", self.ssl_verification.map(Value::Bool)),
            ("custom_webhook_template", self.template.as_ref().map(|text| json!(text))),
            ("token", secret(&self.token)),
            ("signing_token", secret(&self.signing_token)),
        ];
        body.extend(wishes.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        Value::Object(body).to_string()
    }
}

/// What a test delivery is made of: the newest pipeline or job that the owner has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// A pipeline event.
    Pipeline,
    /// A job event.
    Job,
}

impl Trigger {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Pipeline => "pipeline_events",
            Self::Job => "job_events",
        }
    }
}

/// One entry of a hook's log of deliveries: the last 7 days. Of its body only identity is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// The entry's id.
    pub id: u64,
    /// `pipeline_hooks`, `job_hooks`, or another event's.
    pub trigger: String,
    /// What we answered; `None` when nothing did (GitLab writes `internal error`).
    pub status: Option<u16>,
    /// When it was sent; GitLab 19.0 and later.
    pub sent_at: Option<Timestamp>,
    /// The id that a delivery keeps when it is sent again; GitLab 17.4 and later.
    pub key: Option<String>,
    /// The project it is about.
    pub project: Option<ProjectId>,
    /// The pipeline it is about.
    pub pipeline: Option<PipelineId>,
    /// The job it is about.
    pub job: Option<JobId>,
    /// Our answer's `error`, else its `outcome`; of any other receiver nothing.
    pub said: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    id: u64,
    #[serde(default)]
    trigger: String,
    #[serde(default)]
    request_headers: Map<String, Value>,
    #[serde(default)]
    request_data: About,
    #[serde(default)]
    response_body: Value,
    #[serde(default)]
    response_status: Value,
    #[serde(default)]
    created_at: Option<Timestamp>,
}

#[derive(Default, Deserialize)]
struct About {
    project_id: Option<u64>,
    build_id: Option<u64>,
    pipeline_id: Option<u64>,
    #[serde(default)]
    object_attributes: Id,
    #[serde(default)]
    project: Id,
}

#[derive(Default, Deserialize)]
struct Id {
    id: Option<u64>,
}

impl Delivered {
    /// Returns whether GitLab counts it as delivered: 2xx or 3xx (contract, section 1.2).
    pub fn arrived(&self) -> bool {
        self.status.is_some_and(|status| (200..400).contains(&status))
    }

    /// Returns whether it is about a pipeline or a job.
    pub fn is_ours(&self) -> bool {
        matches!(self.trigger.as_str(), "pipeline_hooks" | "job_hooks")
    }

    pub(super) fn parse(raw: &RawValue, _as_of: Timestamp) -> Result<Self, Malformed> {
        let entry: Entry =
            serde_json::from_str(raw.get()).map_err(|error| Malformed::json("webhook delivery", &error))?;
        let header = |names: [&str; 2]| {
            let found =
                entry.request_headers.iter().find(|(name, _)| names.iter().any(|n| name.eq_ignore_ascii_case(n)));
            found.and_then(|(_, value)| value.as_str()).map(str::to_owned)
        };
        let sent_at = header(["webhook-timestamp", "webhook-timestamp"])
            .and_then(|seconds| seconds.parse::<i64>().ok())
            .map(|seconds| Timestamp::from_millis(seconds.saturating_mul(1000)));
        let status = match &entry.response_status {
            Value::Number(status) => status.as_u64().and_then(|status| u16::try_from(status).ok()),
            Value::String(status) => status.parse().ok(),
            _ => None,
        };
        let about = entry.request_data;
        let is_job = about.build_id.is_some();
        Ok(Self {
            id: entry.id,
            trigger: entry.trigger,
            status,
            sent_at: sent_at.or(entry.created_at),
            key: header(["idempotency-key", "webhook-id"]),
            project: about.project_id.or(about.project.id).map(ProjectId),
            pipeline: if is_job { about.pipeline_id } else { about.object_attributes.id }.map(PipelineId),
            job: about.build_id.map(JobId),
            said: said(&entry.response_body),
        })
    }
}

/// Takes what we say from an answer; whatever else may be there (a proxy's page) is not repeated.
fn said(body: &Value) -> Option<String> {
    #[derive(Deserialize)]
    struct Ours {
        outcome: Option<String>,
        error: Option<String>,
    }
    let ours: Ours = serde_json::from_str(body.as_str()?).ok()?;
    ours.error.or(ours.outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse<T>(text: &str, parse: fn(&RawValue, Timestamp) -> Result<T, Malformed>) -> T {
        let raw = RawValue::from_string(text.to_owned()).expect("JSON");
        parse(&raw, Timestamp::from_millis(0)).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn a_hook_of_the_contract_is_read() {
        let text = include_str!("../../fixtures/rest/30-api-project-hook.json");
        let hook = parse(text, Hook::parse);
        assert_eq!((hook.id, hook.job_events, hook.signing_token_present), (551, true, Some(true)));
        assert_eq!(hook.alert_status.as_deref(), Some("temporarily_disabled"));
        let old = parse(r#"{"id": 1, "url": "https://x/"}"#, Hook::parse);
        assert_eq!((old.signing_token_present, old.alert_status), (None, None));
    }

    #[test]
    fn of_a_delivery_identity_is_taken_and_of_an_answer_only_ours() {
        let text = r#"{"id": 7, "trigger": "job_hooks", "response_status": "internal error", "response_body": "<html>",
            "request_headers": {"Idempotency-Key": "k", "webhook-timestamp": "1795392000", "X-Gitlab-Token": "[REDACTED]"},
            "request_data": {"object_kind": "build", "build_id": 5, "pipeline_id": 4, "project_id": 3}}"#;
        let delivered = parse(text, Delivered::parse);
        assert_eq!((delivered.status, delivered.arrived(), delivered.said), (None, false, None));
        assert_eq!(
            (delivered.job, delivered.pipeline, delivered.project),
            (Some(JobId(5)), Some(PipelineId(4)), Some(ProjectId(3)))
        );
        assert_eq!(delivered.key.as_deref(), Some("k"));
        let text = r#"{"id": 8, "trigger": "pipeline_hooks", "response_status": "202", "response_body": "{\"outcome\":\"accepted\"}",
            "request_data": {"object_attributes": {"id": 9}, "project": {"id": 3}}}"#;
        let delivered = parse(text, Delivered::parse);
        assert!(delivered.arrived() && delivered.is_ours());
        assert_eq!((delivered.pipeline, delivered.said.as_deref()), (Some(PipelineId(9)), Some("accepted")));
    }

    #[test]
    fn a_wish_says_what_it_wishes_and_shows_no_secret() {
        let wish = HookWish { job_events: Some(true), token: Some("s3cret".into()), ..HookWish::default() };
        assert_eq!(wish.body(), r#"{"job_events":true,"token":"s3cret"}"#);
        assert!(!format!("{wish:?}").contains("s3cret"));
    }
}
