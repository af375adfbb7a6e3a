//! A webhook and an entry of its delivery log, with every key that GitLab writes (contract, sections 1.3 to 1.7).

use serde_json::{Map, Value, json};

use crate::demo::fake::world::{Hook, HookOwner, Logged};

impl Hook {
    /// The entity; an instance that does not sign tells nothing about tokens.
    pub(crate) fn document(&self, signs: bool) -> Value {
        let mut document = json!({
            "id": self.id,
            "url": self.url,
            "name": self.name,
            "description": self.description,
            "push_events": self.push_events,
            "push_events_branch_filter": "",
            "branch_filter_strategy": "wildcard",
            "issues_events": false,
            "confidential_issues_events": false,
            "merge_requests_events": false,
            "tag_push_events": false,
            "note_events": false,
            "confidential_note_events": false,
            "job_events": self.job_events,
            "pipeline_events": self.pipeline_events,
            "wiki_page_events": false,
            "deployment_events": false,
            "releases_events": false,
            "milestone_events": false,
            "feature_flag_events": false,
            "enable_ssl_verification": self.ssl,
            "repository_update_events": false,
            "alert_status": self.alert_status(),
            "disabled_until": (self.alert_status() == "temporarily_disabled").then_some("2026-11-20T09:22:02.114Z"),
            "url_variables": [],
            "created_at": self.created_at,
            "resource_access_token_events": false,
            "custom_webhook_template": self.template,
            "custom_headers": [],
        });
        let mut more = Map::new();
        match &self.owner {
            HookOwner::Project(id) => more.insert("project_id".to_owned(), json!(id)),
            HookOwner::Group(_) => more.insert("group_id".to_owned(), json!(88)),
        };
        if signs {
            more.insert("token_present".to_owned(), json!(self.token.is_some()));
            more.insert("signing_token_present".to_owned(), json!(self.signing_token.is_some()));
        }
        if let Some(keys) = document.as_object_mut() {
            keys.extend(more);
        }
        document
    }
}

impl Logged {
    /// The entity, with the secret token hidden as GitLab hides it.
    pub(crate) fn document(&self) -> Value {
        let headers: Map<String, Value> = self
            .headers
            .iter()
            .map(|(name, value)| {
                let hidden = name.eq_ignore_ascii_case("x-gitlab-token");
                (name.clone(), json!(if hidden { "[REDACTED]" } else { value.as_str() }))
            })
            .collect();
        json!({
            "id": self.id,
            "url": self.url,
            "trigger": self.trigger,
            "request_headers": headers,
            "request_data": self.data,
            "response_headers": {},
            "response_body": self.answer,
            "execution_duration": 0.123,
            "response_status": self.status,
        })
    }
}
