//! Test deliveries: GitLab sends one, and its log tells how we answered.

use serde::Serialize;

use super::patience::patiently;
use super::survey::Groups;
use super::{Hooks, Place, explain, is_general};
use crate::gitlab::{Class, Delivered, Error, HookOwner, Kind, Trigger};

/// How a test delivery went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tested {
    /// Whose hook.
    pub place: Place,
    /// The hook, if there is one.
    pub hook: Option<u64>,
    /// Whether it arrived and was answered with 2xx; `None`: GitLab does not tell.
    pub arrived: Option<bool>,
    /// The status it was answered with; `None` when nothing answered.
    pub status: Option<u16>,
    /// What the service said: an outcome word, or why it was refused.
    pub said: Option<String>,
    /// What is wrong, and what to do.
    pub problem: Option<String>,
}

impl Hooks {
    /// Has every hook for us of these places tested. A success enables a disabled hook again.
    pub async fn test(&self, places: &[Place], trigger: Trigger, out: &mut Vec<Tested>) -> Result<(), Error> {
        let mut groups = Groups::new();
        for place in places {
            let found = match self.found(place, &mut groups).await {
                Ok(found) => found,
                Err(error) if is_general(&error) => return Err(error),
                Err(error) => {
                    out.push(Tested { problem: Some(explain(&error, place)), ..Tested::of(place, None) });
                    continue;
                }
            };
            let problem = match found.covered_by {
                Some((group, _)) => {
                    Some(format!("the hook of {group} covers it: test that one, with --group {}", group.path))
                }
                None if found.hooks.is_empty() => Some("there is none: run cistern hooks ensure".to_owned()),
                None => None,
            };
            if problem.is_some() {
                out.push(Tested { problem, ..Tested::of(place, None) });
            }
            for hook in found.hooks {
                out.push(self.test_one(place, hook.id, trigger).await?);
            }
        }
        Ok(())
    }

    /// Has one hook tested.
    pub(super) async fn test_one(&self, place: &Place, hook: u64, trigger: Trigger) -> Result<Tested, Error> {
        let before = self.newest(&place.owner, hook).await?.into_iter().map(|delivered| delivered.id).max();
        let tested = Tested::of(place, Some(hook));
        match patiently!(self.gitlab.test_hook(&place.owner, hook, trigger)) {
            Ok(()) => {}
            Err(error) if is_general(&error) => return Err(error),
            Err(Error { kind: Kind::Refused { status: 422, message }, .. }) => {
                let problem =
                    format!("GitLab could not send one ({message}): it needs a pipeline, with jobs, to make it of");
                return Ok(Tested { problem: Some(problem), ..tested });
            }
            Err(error) => return Ok(Tested { problem: Some(explain(&error, place)), ..tested }),
        }
        // Another delivery may have come after it.
        let after = self.newest(&place.owner, hook).await?;
        let ours =
            after.into_iter().filter(|delivered| Some(delivered.id) > before).min_by_key(|delivered| delivered.id);
        Ok(ours.map_or(tested.clone(), |delivered| tested.with(delivered)))
    }

    /// Returns the newest entries of a hook's log; none where GitLab keeps no log that can be asked for.
    pub async fn newest(&self, owner: &HookOwner, hook: u64) -> Result<Vec<Delivered>, Error> {
        match patiently!(self.gitlab.deliveries(Class::Reader, owner, hook, None)) {
            Ok(page) => Ok(page.rows),
            Err(error) if matches!(error.kind, Kind::NotFound) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

impl Tested {
    fn of(place: &Place, hook: Option<u64>) -> Self {
        Self { place: place.clone(), hook, arrived: None, status: None, said: None, problem: None }
    }

    fn with(self, delivered: Delivered) -> Self {
        let problem = (!delivered.arrived()).then(|| advice(delivered.status).to_owned());
        Self { arrived: Some(delivered.arrived()), status: delivered.status, said: delivered.said, problem, ..self }
    }
}

/// Says what to do about a delivery that was answered so.
pub(super) fn advice(status: Option<u16>) -> &'static str {
    match status {
        None => "nothing answered: can GitLab reach server.public_url, and may it (Admin, Network, Outbound requests)?",
        Some(401 | 403) => {
            "the service refused it: does it run with the token that the hook has? cistern hooks ensure sets it"
        }
        Some(404 | 405) => "something else answered: does the proxy pass /webhooks/gitlab on?",
        Some(_) => "look at the service's log",
    }
}

impl std::fmt::Display for Tested {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mark = match (self.arrived, &self.problem) {
            (Some(true), None) => '✓',
            (_, Some(_)) => '✗',
            _ => '?',
        };
        write!(f, "{mark} {}", self.place)?;
        if let Some(hook) = self.hook {
            write!(f, ", webhook {hook}")?;
        }
        f.write_str(": ")?;
        match (self.arrived, self.status) {
            (Some(_), Some(status)) => write!(f, "answered {status}")?,
            (Some(_), None) => f.write_str("not answered")?,
            (None, _) if self.problem.is_none() => {
                f.write_str("sent; this GitLab does not tell how it was answered")?
            }
            (None, _) => {}
        }
        if let Some(said) = &self.said {
            write!(f, " ({said})")?;
        }
        if let Some(problem) = &self.problem {
            let between = if self.arrived.is_some() { "; " } else { "" };
            write!(f, "{between}{problem}")?;
        }
        Ok(())
    }
}
