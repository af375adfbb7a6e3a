//! The webhooks: whether they are there, enabled and signed, and whether the last deliveries arrived.

use std::collections::{BTreeMap, BTreeSet};

use super::{gitlab, names};
use crate::config::Config;
use crate::domain::Finding;
use crate::gitlab::{Gitlab, HookOwner, OwnToken};
use crate::hooks::{Hooks, Listed, Place};

/// Webhooks whose deliveries are looked at: each costs a call.
const LOOKED_AT: usize = 50;

/// Looks at the webhooks of these projects.
pub(super) async fn findings(config: &Config, gitlab: &Gitlab, projects: Option<&[Place]>) -> Vec<Finding> {
    let managed = config.gitlab.as_ref().is_some_and(|gitlab| gitlab.hooks_token.is_some());
    let unknown = |text: &str| vec![Finding::unknown("hooks", text)];
    if !managed {
        return unknown(
            "whether GitLab's webhooks are in place and enabled is unknown without gitlab.hooks_token: set it (scope api, role \
             Maintainer) and server.public_url, or look at Settings, Webhooks in GitLab",
        );
    }
    let wanted = match config.require_hooks() {
        Ok(wanted) => wanted,
        Err(_) => return unknown("which webhooks are this service's is unknown without server.public_url: set it"),
    };
    let mut findings = gitlab::token(gitlab, OwnToken::Managing).await;
    let Some(projects) = projects else { return findings };
    let hooks = Hooks::new(gitlab.clone(), wanted);
    let mut listed = Vec::new();
    if let Err(error) = hooks.list(projects, &mut listed).await {
        findings.push(Finding::problem("hooks", error.to_string()));
    }
    findings.extend(judge(&listed));
    findings.extend(deliveries(&hooks, &listed).await);
    findings
}

fn judge(listed: &[Listed]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let good: Vec<&Listed> = listed.iter().filter(|hook| hook.problems.is_empty()).collect();
    if !good.is_empty() {
        let unsigned = good.iter().filter(|hook| hook.signing_token != Some(true)).count();
        let signed = if unsigned == 0 { "signed".to_owned() } else { format!("{unsigned} of them not signed") };
        findings.push(Finding::fine("hooks", format!("{} projects have a webhook, enabled, {signed}", good.len())));
    }
    let mut missing: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for hook in listed.iter().filter(|hook| hook.hook.is_none()) {
        missing.entry(hook.problems.join("; ")).or_default().push(hook.place.to_string());
    }
    for (problem, places) in missing {
        let text =
            format!("no webhook of {} was found, so its events come late, with passes; {problem}", names(&places));
        findings.push(Finding::warning("hooks", text));
    }
    for hook in listed.iter().filter(|hook| hook.hook.is_some() && !hook.problems.is_empty()) {
        let text = format!("webhook of {}: {}", hook.place, hook.problems.join("; "));
        findings.push(if hook.state.loses() {
            Finding::problem("hooks", text)
        } else {
            Finding::warning("hooks", text)
        });
    }
    findings
}

/// Looks at the newest deliveries of each webhook.
async fn deliveries(hooks: &Hooks, listed: &[Listed]) -> Vec<Finding> {
    let owners: BTreeSet<(HookOwner, u64, String)> = listed
        .iter()
        .filter_map(|listed| {
            let place = listed.covered_by.as_deref().map_or(listed.place.clone(), Place::group);
            Some((place.owner.clone(), listed.hook?, place.to_string()))
        })
        .collect();
    let (mut findings, mut arrived, mut silent) = (Vec::new(), 0, 0);
    for (owner, hook, place) in owners.iter().take(LOOKED_AT) {
        let newest = match hooks.newest(owner, *hook).await {
            Ok(newest) => newest,
            Err(error) => {
                findings.push(Finding::unknown("hooks", error.to_string()));
                continue;
            }
        };
        let failed = newest.iter().filter(|delivered| !delivered.arrived()).count();
        match newest.first() {
            None => silent += 1,
            Some(last) if last.arrived() && failed == 0 => arrived += 1,
            Some(last) => {
                let status = last.status.map_or("not answered".to_owned(), |status| format!("answered {status}"));
                let text = format!(
                    "of the last {} deliveries of {place}'s webhook {failed} failed, the newest was {status}: run cistern hooks failed",
                    newest.len()
                );
                findings.push(Finding::warning("hooks", text));
            }
        }
    }
    if arrived > 0 {
        findings.push(Finding::fine("hooks", format!("the last deliveries of {arrived} webhooks arrived")));
    }
    if silent > 0 {
        let text =
            format!("{silent} webhooks delivered nothing in the last days: cistern hooks test shows whether they can");
        findings.push(Finding::fine("hooks", text));
    }
    findings
}
