//! `access.*`: who may read.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::Server;
use super::keys::{
    ACCESS_ALLOW_OPEN_NETWORK, ACCESS_MODE, ACCESS_NEGATIVE_TTL, ACCESS_POSITIVE_TTL, ACCESS_STALE_IF_ERROR,
    ACCESS_TOKENS,
};
use super::projects::Selection;
use super::reader::{Reader, one_of};
use super::units::Unfit;

/// The values of `access.mode`.
pub(super) const MODES: &[&str] = &["open", "token", "gitlab"];

/// A token shorter than this can be guessed by patience.
const SHORT_TOKEN: usize = 16;

/// The longest that a verdict may hold without GitLab being asked.
const LONGEST_TTL: Duration = Duration::from_secs(86_400);

/// The longest that a verdict may hold while GitLab cannot be asked.
const LONGEST_STALE: Duration = Duration::from_secs(7 * 86_400);

/// Who may read: `access.mode` and the settings that belong to it.
#[derive(Debug, Clone)]
pub enum Access {
    /// Everybody on this machine.
    Open {
        /// `access.allow_open_network`: reads through a proxy or from another machine are let through, too.
        allow_open_network: bool,
    },
    /// Whoever has one of these tokens; at least one.
    Token(Vec<ReadToken>),
    /// Whoever GitLab lets read.
    Gitlab(VerdictTimes),
}

/// A static token.
#[derive(Debug, Clone)]
pub struct ReadToken {
    /// What readers send.
    pub secret: SecretString,
    /// What it may read; `None`: everything.
    pub projects: Option<Selection>,
}

/// How long GitLab's word about a reader holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerdictTimes {
    /// `access.positive_ttl`.
    pub positive: Duration,
    /// `access.negative_ttl`.
    pub negative: Duration,
    /// `access.stale_if_error`: while GitLab cannot be asked.
    pub stale_if_error: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Open,
    Token,
    Gitlab,
}

impl Access {
    pub(super) fn read(reader: &mut Reader, server: Option<&Server>) -> Option<Self> {
        let mode = reader.optional(&ACCESS_MODE, parse_mode);
        let tokens = reader.list(&ACCESS_TOKENS, parse_token);
        let positive = reader.duration(&ACCESS_POSITIVE_TTL, Duration::ZERO..=LONGEST_TTL);
        let negative = reader.duration(&ACCESS_NEGATIVE_TTL, Duration::ZERO..=LONGEST_TTL);
        let stale_if_error = reader.duration(&ACCESS_STALE_IF_ERROR, Duration::ZERO..=LONGEST_STALE);
        let allow_open_network = reader.switch(&ACCESS_ALLOW_OPEN_NETWORK);
        let (mode, tokens, allow_open_network) = (mode?, tokens?, allow_open_network?);
        let elsewhere = server.is_some_and(|server| !server.listen.ip().is_loopback());
        check_network(reader, mode, elsewhere, allow_open_network);
        let mode = mode.unwrap_or(Mode::Open);
        if mode != Mode::Open && allow_open_network {
            reader.warn("access.allow_open_network does nothing while access.mode is not open");
        }
        if mode != Mode::Token && !tokens.is_empty() {
            reader.warn("access.tokens does nothing while access.mode is not token");
        }
        if tokens.iter().any(|token| token.secret.expose_secret().len() < SHORT_TOKEN) {
            reader.warn(format!("access.tokens: one is shorter than {SHORT_TOKEN} characters and can be guessed"));
        }
        Some(match mode {
            Mode::Open => Self::Open { allow_open_network },
            Mode::Token if tokens.is_empty() => {
                reader.missing(&ACCESS_TOKENS);
                return None;
            }
            Mode::Token => Self::Token(tokens),
            Mode::Gitlab => {
                Self::Gitlab(VerdictTimes { positive: positive?, negative: negative?, stale_if_error: stale_if_error? })
            }
        })
    }
}

/// A listener that others reach needs a word about who may read.
fn check_network(reader: &mut Reader, mode: Option<Mode>, elsewhere: bool, allow_open_network: bool) {
    match mode {
        None if elsewhere => {
            let problem = "needed here, because server.listen is reachable from other machines";
            let fix = "write gitlab, so that readers see what GitLab shows them, or token";
            reader.wrong(&ACCESS_MODE, Unfit::new(problem, fix));
        }
        Some(Mode::Open) if elsewhere && !allow_open_network => {
            let fix = "write gitlab or token, let server.listen be 127.0.0.1, or set access.allow_open_network = true \
                       if everybody who can reach it may read every cached log";
            let problem = "open, while server.listen is reachable from other machines";
            reader.wrong(&ACCESS_MODE, Unfit::new(problem, fix));
        }
        None | Some(Mode::Open) if allow_open_network => {
            reader.warn("access.allow_open_network: everybody who can reach server.listen may read every cached log");
        }
        _ => {}
    }
}

fn parse_mode(text: &str) -> Result<Mode, Unfit> {
    match text {
        "open" => Ok(Mode::Open),
        "token" => Ok(Mode::Token),
        "gitlab" => Ok(Mode::Gitlab),
        _ => Err(one_of(MODES)),
    }
}

/// Reads `SECRET` or `SECRET=PROJECT;PROJECT`, each project an id, a path or a pattern.
pub(super) fn parse_token(text: &str) -> Result<ReadToken, Unfit> {
    let (secret, projects) = match text.split_once('=') {
        Some((secret, projects)) => (secret, Some(projects)),
        None => (text, None),
    };
    if secret.is_empty() || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        let fix = "write visible letters without = and commas, such as `openssl rand -hex 32` makes";
        return Err(Unfit::new("one is empty or holds what no header can carry", fix));
    }
    let projects = projects
        .map(|projects| {
            let projects: Vec<&str> = projects.split(';').map(str::trim).collect();
            Selection::of(&projects).map_err(|unfit| {
                let fix = "write TOKEN=group/**;42 with at least one id, path or pattern behind =, or no = at all";
                Unfit::new(format!("the projects of one: {}", unfit.problem), fix)
            })
        })
        .transpose()?;
    Ok(ReadToken { secret: secret.into(), projects })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ProjectId;

    #[test]
    fn a_token_is_for_everything_or_for_some_projects() {
        let all = parse_token("abc").expect("a token");
        assert!(all.projects.is_none() && all.secret.expose_secret() == "abc");
        let some = parse_token("abc=group/**; 42").expect("a token");
        let projects = some.projects.expect("some projects");
        assert!(projects.matches(ProjectId(1), "group/app") && projects.matches(ProjectId(42), "x/y"));
        assert!(!projects.matches(ProjectId(1), "other/app"));
        for bad in ["", "=", "abc=", "abc==", "abc=group", "abc=a/b;", "a b", "abc=*"] {
            let unfit = parse_token(bad).expect_err(bad);
            assert!(bad.len() < 3 || !unfit.to_string().contains("abc"), "{unfit}");
        }
    }
}
