//! Webhooks, and the log of what was delivered to them (contract, sections 1.3 to 1.7).

use serde_json::Value;

use super::World;
use crate::domain::{ProjectId, Timestamp};

/// Whose hook it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HookOwner {
    Project(ProjectId),
    /// By its path.
    Group(String),
}

/// A webhook.
#[derive(Debug, Clone)]
pub(crate) struct Hook {
    pub(crate) id: u64,
    pub(crate) owner: HookOwner,
    pub(crate) url: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) pipeline_events: bool,
    pub(crate) job_events: bool,
    pub(crate) push_events: bool,
    pub(crate) ssl: bool,
    pub(crate) template: String,
    pub(crate) token: Option<String>,
    pub(crate) signing_token: Option<String>,
    pub(crate) created_at: Timestamp,
    /// Failed deliveries in a row.
    pub(crate) failures: u32,
}

/// One delivery of the log.
#[derive(Debug, Clone)]
pub(crate) struct Logged {
    pub(crate) id: u64,
    pub(crate) hook: u64,
    pub(crate) url: String,
    pub(crate) trigger: &'static str,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) data: Value,
    /// A status code, or `internal error` when nothing answered.
    pub(crate) status: String,
    pub(crate) answer: String,
}

impl Hook {
    /// Returns the `alert_status`: after 4 failures in a row it is disabled for a while, after 40 for good.
    pub(crate) fn alert_status(&self) -> &'static str {
        match self.failures {
            0..4 => "executable",
            4..40 => "temporarily_disabled",
            40.. => "disabled",
        }
    }
}

impl World {
    /// Adds a hook of a project with pipeline and job events, as a person does; returns its id.
    pub fn add_hook(&mut self, project: ProjectId, url: &str) -> u64 {
        let mut hook = self.new_hook(HookOwner::Project(project));
        url.clone_into(&mut hook.url);
        (hook.pipeline_events, hook.job_events) = (true, true);
        let id = hook.id;
        self.hooks.insert(id, hook);
        id
    }

    /// Lets so many deliveries to a hook have failed in a row.
    pub fn set_hook_failures(&mut self, hook: u64, failures: u32) {
        if let Some(hook) = self.hooks.get_mut(&hook) {
            hook.failures = failures;
        }
    }

    /// Lets a hook point elsewhere and keep its tokens, as if its receiver had moved.
    pub fn set_hook_url(&mut self, hook: u64, url: &str) {
        if let Some(hook) = self.hooks.get_mut(&hook) {
            url.clone_into(&mut hook.url);
        }
    }

    /// Gives a hook another signing token and secret token, as a person may.
    pub fn set_hook_tokens(&mut self, hook: u64, signing: Option<&str>, secret: Option<&str>) {
        if let Some(hook) = self.hooks.get_mut(&hook) {
            (hook.signing_token, hook.token) = (signing.map(str::to_owned), secret.map(str::to_owned));
        }
    }

    /// Unticks a hook's job events and its verification of certificates, and gives it a body of its own.
    pub fn spoil_hook(&mut self, hook: u64) {
        if let Some(hook) = self.hooks.get_mut(&hook) {
            (hook.job_events, hook.ssl, hook.template) = (false, false, "{\"x\":1}".to_owned());
        }
    }

    /// Returns the ids of a project's hooks.
    pub fn hooks_of(&self, project: ProjectId) -> Vec<u64> {
        let of = |hook: &&Hook| hook.owner == HookOwner::Project(project);
        self.hooks.values().filter(of).map(|hook| hook.id).collect()
    }

    /// Returns a hook's signing token and its secret token.
    pub fn hook_tokens(&self, hook: u64) -> (Option<String>, Option<String>) {
        let hook = self.hooks.get(&hook);
        hook.map(|hook| (hook.signing_token.clone(), hook.token.clone())).unwrap_or_default()
    }

    /// Returns how many deliveries to a hook are in its log, and how many of them failed.
    pub fn deliveries_of(&self, hook: u64) -> (usize, usize) {
        let of = |logged: &&Logged| logged.hook == hook;
        let failed = self.logged.iter().filter(of).filter(|logged| !logged.status.starts_with('2')).count();
        (self.logged.iter().filter(of).count(), failed)
    }

    /// Sets the role of the reading credential in a project: 10 Guest, 20 Reporter, 30 Developer, 40 Maintainer.
    pub fn set_bot_role(&mut self, project: ProjectId, role: u8) {
        if let Some(project) = self.projects.get_mut(&project) {
            project.role = role;
        }
    }

    /// Sets the role of the credential that manages webhooks; it is 40, Maintainer, where nobody sets it.
    pub fn set_hooks_role(&mut self, project: ProjectId, role: u8) {
        if let Some(project) = self.projects.get_mut(&project) {
            project.hooks_role = role;
        }
    }

    /// Returns a hook as GitLab makes it when nothing is said.
    pub(crate) fn new_hook(&mut self, owner: HookOwner) -> Hook {
        let id = self.hooks.keys().last().map_or(551, |last| last + 1);
        Hook {
            id,
            owner,
            url: String::new(),
            name: String::new(),
            description: String::new(),
            pipeline_events: false,
            job_events: false,
            push_events: true,
            ssl: true,
            template: String::new(),
            token: None,
            signing_token: None,
            created_at: self.clock.tick(),
            failures: 0,
        }
    }
}
