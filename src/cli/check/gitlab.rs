//! GitLab itself, its clock and the tokens.

use std::time::{Duration, Instant};

use super::{hooks, roles, storage};
use crate::cli::run::unanswered;
use crate::config::Config;
use crate::domain::{Finding, Timestamp};
use crate::gitlab::{Class, Gitlab, Instance, Kind, Membership, OwnToken, TokenFacts};
use crate::hooks::Place;

/// The oldest version whose API was read (contract, first line).
const OLDEST: u32 = 17;

/// A clock this far off is worth a word; webhooks' signatures are good for 5 minutes.
const CLOCK_OFF: Duration = Duration::from_secs(10);
const CLOCK_WRONG: Duration = Duration::from_secs(240);

/// A token that ends within this time should be replaced now; an alert says so, too.
const ENDS_SOON: Duration = Duration::from_secs(14 * 86_400);

/// Asks GitLab about itself, then looks at everything that needs its answers.
pub(super) async fn findings(config: &Config) -> Vec<Finding> {
    let client = match config.require_gitlab() {
        Ok(gitlab) => Gitlab::new(gitlab),
        Err(mistakes) => return vec![Finding::problem("gitlab", mistakes.to_string())],
    };
    let gitlab = match client {
        Ok(gitlab) => gitlab,
        Err(error) => return vec![Finding::problem("gitlab", error.to_string())],
    };
    let (began, before) = (Instant::now(), Timestamp::now());
    let mut findings = match gitlab.instance(Class::Reader).await {
        Ok(instance) => vec![version(&instance, began.elapsed()), clock(instance.as_of, before, Timestamp::now())],
        Err(error) => return vec![Finding::problem("gitlab", unanswered(config, &error))],
    };
    findings.extend(token(&gitlab, OwnToken::Reading).await);
    let projects = roles::findings(config, &gitlab, &mut findings).await;
    findings.extend(storage::findings(config, &gitlab, projects.as_deref().unwrap_or_default()).await);
    let place = |project: &Membership| Place::project(project.project, &project.path);
    let places = projects.map(|projects| projects.iter().map(place).collect::<Vec<_>>());
    findings.extend(hooks::findings(config, &gitlab, places.as_deref()).await);
    findings
}

fn version(instance: &Instance, took: Duration) -> Finding {
    let text = format!("GitLab {} answers after {} ms", instance.version, took.as_millis());
    match instance.major() {
        Some(major) if major < OLDEST => {
            Finding::warning("gitlab", format!("{text}; Cistern was made for {OLDEST} and later: upgrade it"))
        }
        _ => Finding::fine("gitlab", text),
    }
}

/// Compares GitLab's clock, which shows whole seconds, with ours before and after the question.
fn clock(theirs: Timestamp, before: Timestamp, after: Timestamp) -> Finding {
    let ahead = before.since(theirs.plus(Duration::from_secs(1)));
    let behind = theirs.since(after);
    let (off, way) = if ahead > behind { (ahead, "ahead of") } else { (behind, "behind") };
    let text = format!("this machine's clock is {} s {way} GitLab's", off.as_secs());
    match off {
        off if off >= CLOCK_WRONG => Finding::problem(
            "clock",
            format!("{text}: signed webhooks are refused from 5 minutes on; let NTP set both"),
        ),
        off if off >= CLOCK_OFF => Finding::warning("clock", format!("{text}: let NTP set both")),
        _ => Finding::fine("clock", "this machine and GitLab have the same time"),
    }
}

/// Asks what a token may do and when it ends.
pub(super) async fn token(gitlab: &Gitlab, which: OwnToken) -> Vec<Finding> {
    let (name, scope) = match which {
        OwnToken::Reading => ("gitlab.token", "read_api"),
        OwnToken::Managing => ("gitlab.hooks_token", "api"),
    };
    let facts = match gitlab.token(Class::Reader, which).await {
        Ok(facts) => facts,
        Err(error) if matches!(error.kind, Kind::TokenRefused(_) | Kind::HooksTokenRefused(_)) => {
            let text = format!("{error}: make a new one of scope {scope} and put it into {name}");
            return vec![Finding::problem("token", text)];
        }
        Err(error) => {
            return vec![Finding::unknown(
                "token",
                format!("what {name} may do, and until when, GitLab does not tell: {error}"),
            )];
        }
    };
    vec![scopes(&facts, name, scope), expiry(&facts, name)]
}

fn scopes(facts: &TokenFacts, name: &str, scope: &str) -> Finding {
    let held = facts.scopes.join(", ");
    let has = |scope: &str| facts.scopes.iter().any(|held| held == scope);
    match scope {
        "read_api" if has("api") => Finding::warning(
            "token",
            format!("{name} has scope api and may change everything its user may: read_api is enough"),
        ),
        _ if has(scope) => Finding::fine("token", format!("{name} has scope {held}")),
        _ => Finding::problem("token", format!("{name} has scope {held}, and {scope} is needed: make a new token")),
    }
}

fn expiry(facts: &TokenFacts, name: &str) -> Finding {
    let Some(ends) = facts.ends_at() else { return Finding::fine("token", format!("{name} does not expire")) };
    let day = facts.expires_at.as_deref().unwrap_or_default();
    let left = ends.since(Timestamp::now());
    let days = left.as_secs() / 86_400;
    match left {
        left if left.is_zero() => Finding::problem("token", format!("{name} ended on {day}: make a new one")),
        left if left < ENDS_SOON => {
            let text = format!("{name} ends on {day}, in {days} days: make a new one, put it in its place and restart");
            Finding::warning("token", text)
        }
        _ => Finding::fine("token", format!("{name} is good until {day}, {days} days")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Verdict;

    #[test]
    fn clocks_differ_only_where_the_whole_second_and_the_call_do_not_explain_it() {
        let at = |millis| Timestamp::from_millis(millis);
        for (theirs, before, after, verdict) in [
            (10_000, 10_900, 10_950, Verdict::Fine),
            (10_000, 9_000, 12_000, Verdict::Fine),
            (10_000, 22_000, 22_100, Verdict::Warning),
            (40_000, 10_000, 10_100, Verdict::Warning),
            (10_000, 251_000, 251_100, Verdict::Problem),
            (300_000, 10_000, 10_100, Verdict::Problem),
        ] {
            let finding = clock(at(theirs), at(before), at(after));
            assert_eq!(finding.verdict, verdict, "{finding}");
        }
    }
}
