//! Which hooks there are.

use std::collections::HashMap;

use serde::Serialize;

use super::patience::patiently;
use super::secret::Secret;
use super::{Hooks, Place, State, explain, flaws, is_general};
use crate::domain::Timestamp;
use crate::gitlab::{Class, Error, Hook, HookOwner, Kind};

/// One hook, or that there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Whose.
    pub place: Place,
    /// The hook; `None`: there is none for us.
    pub hook: Option<u64>,
    /// The group whose hook covers this project.
    pub covered_by: Option<String>,
    /// Whether it sends pipeline events.
    pub pipeline_events: bool,
    /// Whether it sends job events.
    pub job_events: bool,
    /// Whether it verifies our certificate.
    pub ssl_verification: bool,
    /// Whether it has a signing token; `None` where GitLab does not tell.
    pub signing_token: Option<bool>,
    /// Whether that is the first of `webhook.signing_tokens`; `None` where nobody can tell.
    pub current: Option<bool>,
    /// Whether GitLab sends to it.
    pub state: State,
    /// Until when not.
    pub disabled_until: Option<Timestamp>,
    /// What is wrong, in words.
    pub problems: Vec<String>,
}

/// The hooks of one place that are for us.
#[derive(Debug, Clone)]
pub struct Found {
    /// Those of the place itself.
    pub hooks: Vec<Hook>,
    /// The group whose hook covers it.
    pub covered_by: Option<(Place, Hook)>,
}

/// Groups that were looked at, and the hook that each has for us.
pub(super) type Groups = HashMap<Box<str>, Option<Hook>>;

impl Hooks {
    /// Lists the hooks of places that are for us.
    pub async fn list(&self, places: &[Place], out: &mut Vec<Listed>) -> Result<(), Error> {
        let mut groups = Groups::new();
        for place in places {
            match self.found(place, &mut groups).await {
                Ok(found) => self.show(place, &found, out),
                Err(error) if is_general(&error) => return Err(error),
                Err(error) => out.push(Listed { problems: vec![explain(&error, place)], ..nothing(place) }),
            }
        }
        Ok(())
    }

    /// Returns the hooks of a place that are for us; of a project without one also its groups'.
    pub(super) async fn found(&self, place: &Place, groups: &mut Groups) -> Result<Found, Error> {
        let hooks = self.hooks_of(&place.owner).await?;
        let mut covered_by = None;
        if hooks.is_empty() && matches!(place.owner, HookOwner::Project(_)) {
            covered_by = self.covering(&place.path, groups).await?;
        }
        Ok(Found { hooks, covered_by })
    }

    /// Returns the hooks of an owner whose URL is ours.
    pub(super) async fn hooks_of(&self, owner: &HookOwner) -> Result<Vec<Hook>, Error> {
        let mut hooks = Vec::new();
        let mut next = None;
        loop {
            let page = patiently!(self.gitlab.hooks(Class::Reader, owner, next.as_ref()))?;
            hooks.extend(page.rows.into_iter().filter(|hook| self.is_ours(hook)));
            next = page.next;
            if next.is_none() {
                return Ok(hooks);
            }
        }
    }

    /// Returns the first hook for us of the groups that a project is in. A group that the token may not look at has none.
    async fn covering(&self, path: &str, groups: &mut Groups) -> Result<Option<(Place, Hook)>, Error> {
        let mut rest = path;
        while let Some((group, _)) = rest.rsplit_once('/') {
            rest = group;
            if !groups.contains_key(group) {
                let found = match self.hooks_of(&HookOwner::Group(group.into())).await {
                    Ok(hooks) => hooks.into_iter().next(),
                    Err(error) if matches!(error.kind, Kind::NotFound | Kind::Forbidden) => None,
                    Err(error) => return Err(error),
                };
                groups.insert(group.into(), found);
            }
            if let Some(Some(hook)) = groups.get(group) {
                return Ok(Some((Place::group(group), hook.clone())));
            }
        }
        Ok(None)
    }

    fn is_ours(&self, hook: &Hook) -> bool {
        hook.url.trim_end_matches('/') == self.config.url
    }

    fn show(&self, place: &Place, found: &Found, out: &mut Vec<Listed>) {
        if let Some((group, hook)) = &found.covered_by {
            out.push(Listed { covered_by: Some(group.path.to_string()), ..self.listed(place, hook) });
        } else if found.hooks.is_empty() {
            let problems = vec!["there is none: run cistern hooks ensure".to_owned()];
            out.push(Listed { problems, ..nothing(place) });
        }
        for hook in &found.hooks {
            let mut listed = self.listed(place, hook);
            if found.hooks.len() > 1 {
                listed
                    .problems
                    .push("another hook has the same URL, so events arrive twice: delete one in GitLab".to_owned());
            }
            out.push(listed);
        }
    }

    fn listed(&self, place: &Place, hook: &Hook) -> Listed {
        let signed = !self.config.signing_tokens.is_empty() && hook.signing_token_present.is_some();
        let first = self.config.signing_tokens.first().map(Secret::Signing);
        let current = first.and_then(|secret| secret.is_held(hook.description.as_deref()));
        let mut problems: Vec<String> = flaws(hook, signed).into_iter().map(str::to_owned).collect();
        if !problems.is_empty() {
            problems.push("run cistern hooks ensure".to_owned());
        }
        if current == Some(false) {
            problems.push("has an older signing token: run cistern hooks rotate".to_owned());
        }
        let state = State::of(hook);
        if state.loses() {
            problems.push(
                "GitLab disabled it after failed deliveries: run cistern hooks test, whose success enables it"
                    .to_owned(),
            );
        }
        Listed {
            place: place.clone(),
            hook: Some(hook.id),
            covered_by: None,
            pipeline_events: hook.pipeline_events,
            job_events: hook.job_events,
            ssl_verification: hook.enable_ssl_verification,
            signing_token: hook.signing_token_present,
            current,
            state,
            disabled_until: hook.disabled_until,
            problems,
        }
    }
}

fn nothing(place: &Place) -> Listed {
    Listed {
        place: place.clone(),
        hook: None,
        covered_by: None,
        pipeline_events: false,
        job_events: false,
        ssl_verification: false,
        signing_token: None,
        current: None,
        state: State::Unknown,
        disabled_until: None,
        problems: Vec::new(),
    }
}

impl std::fmt::Display for Listed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mark = if self.problems.is_empty() { '✓' } else { '!' };
        write!(f, "{mark} {}: ", self.place)?;
        match (self.hook, &self.covered_by) {
            (None, _) => {}
            (Some(hook), Some(group)) => {
                write!(f, "covered by webhook {hook} of group {group}, {}", self.state.as_str())?
            }
            (Some(hook), None) => write!(f, "webhook {hook}, {}", self.state.as_str())?,
        }
        if self.hook.is_some() {
            let events = match (self.pipeline_events, self.job_events) {
                (true, true) => "pipelines and jobs",
                (true, false) => "pipelines",
                (false, true) => "jobs",
                (false, false) => "no events",
            };
            let secret = match (self.signing_token, self.current) {
                (Some(true), Some(true)) => "signed with the first token",
                (Some(true), _) => "signed",
                (Some(false), _) => "not signed",
                (None, _) => "GitLab does not tell whether it has a secret",
            };
            write!(f, ", {events}, {secret}")?;
        }
        if let Some(until) = self.disabled_until {
            write!(f, ", disabled until {until}")?;
        }
        let between = if self.hook.is_some() && !self.problems.is_empty() { "; " } else { "" };
        write!(f, "{between}{}", self.problems.join("; "))
    }
}
