//! From the configuration to the rule of who may read.

use std::sync::Arc;

use secrecy::SecretString;

use super::Engine;
use crate::access::{Chosen, Mode, Times};
use crate::config::{Access, Config, ReadToken, Selection, VerdictTimes};

/// Of the GitLab calls that may be in flight, checks of readers take one of so many at most.
const CHECKS_PART: usize = 4;

/// Returns who may read.
pub(super) fn readers(config: &Config, engine: &Engine) -> Mode {
    match &config.access {
        Access::Open { allow_open_network } => Mode::Open { allow_open_network: *allow_open_network },
        Access::Token(tokens) => Mode::Token(static_tokens(tokens.clone())),
        Access::Gitlab(VerdictTimes { positive, negative, stale_if_error }) => {
            let checks = (config.limits.parallel.api_calls / CHECKS_PART).max(1);
            let (positive, negative, stale_if_error) = (*positive, *negative, *stale_if_error);
            Mode::Gitlab(Times { positive, negative, stale_if_error, checks }, engine.gitlab.clone())
        }
    }
}

/// Returns static tokens, each with what it is for.
pub(super) fn static_tokens(tokens: Vec<ReadToken>) -> Vec<(SecretString, Option<Chosen>)> {
    tokens.into_iter().map(|ReadToken { secret, projects }| (secret, projects.map(chosen))).collect()
}

fn chosen(projects: Selection) -> Chosen {
    Arc::new(move |id, path| projects.matches(id, path))
}
