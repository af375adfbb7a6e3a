//! Looks after the webhooks that GitLab sends to this service: makes and repairs them, tests them, rotates their secret, finds
//! what did not arrive (contract, sections 1.3 to 1.7 and 2.1).
//!
//! Guarantees: only hooks whose URL is this service's are ever touched, and none is removed; running anything again does no
//! harm and goes on where it ended; one call at a time; a secret is sent to GitLab and nowhere else.
//!
//! What it does not do: it does not receive deliveries ([`crate::webhook`] does) and keeps no state: what it needs to know it
//! reads from GitLab. A hook's description holds which signing token it has, as eight digits of a hash, because GitLab tells
//! only that there is one.

mod ensure;
mod failed;
mod metrics;
mod patience;
mod plan;
mod rotate;
mod secret;
mod survey;
mod test;

use secrecy::SecretString;
use serde::{Serialize, Serializer};

pub use ensure::{Ensured, Outcome};
pub use failed::{Missed, Resent};
pub use metrics::Metrics;
pub use plan::{State, flaws};
pub use rotate::{Rotated, Rotation};
pub use survey::{Found, Listed};
pub use test::Tested;

use crate::gitlab::{Error, Gitlab, HookOwner, Kind};

/// What the hooks shall be.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where deliveries go.
    pub url: String,
    /// `webhook.signing_tokens`: the first is what hooks shall have.
    pub signing_tokens: Vec<SecretString>,
    /// `webhook.tokens`: the first is what hooks of an older GitLab shall have.
    pub tokens: Vec<SecretString>,
    /// `webhook.allow_unsigned`.
    pub allow_unsigned: bool,
}

/// A project or group whose hooks are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Which.
    pub owner: HookOwner,
    /// Its path.
    pub path: Box<str>,
}

impl Place {
    /// A project.
    pub fn project(id: crate::domain::ProjectId, path: &str) -> Self {
        Self { owner: HookOwner::Project(id), path: path.into() }
    }

    /// A group.
    pub fn group(path: &str) -> Self {
        Self { owner: HookOwner::Group(path.into()), path: path.into() }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if matches!(self.owner, HookOwner::Group(_)) { "group " } else { "" };
        write!(f, "{kind}{}", self.path)
    }
}

impl Serialize for Place {
    /// Writes `group/app`, or `group platform` of a group.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Manages webhooks.
#[derive(Debug)]
pub struct Hooks {
    gitlab: Gitlab,
    config: Config,
}

impl Hooks {
    /// Makes it; sends nothing. The client needs the token that manages webhooks.
    pub fn new(gitlab: Gitlab, config: Config) -> Self {
        Self { gitlab, config }
    }
}

/// Returns whether an error would meet every other question too, so that going on is in vain.
fn is_general(error: &Error) -> bool {
    matches!(error.kind, Kind::TokenRefused(_) | Kind::HooksTokenRefused(_) | Kind::Unavailable(_))
}

/// Says what went wrong at one place, and what to do.
fn explain(error: &Error, place: &Place) -> String {
    let group = matches!(place.owner, HookOwner::Group(_));
    match (&error.kind, group) {
        (Kind::Forbidden, false) => {
            "the user of gitlab.hooks_token is no Maintainer here: give it that role".to_owned()
        }
        (Kind::Forbidden | Kind::NotFound, true) => {
            "no such group, its user is no Owner of it, or this GitLab has no group webhooks (they need Premium): name \
             projects instead"
                .to_owned()
        }
        (Kind::NotFound, false) => "gitlab.hooks_token does not see it: add its user to the project".to_owned(),
        _ => error.kind.to_string(),
    }
}
