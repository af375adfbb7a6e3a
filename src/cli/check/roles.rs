//! The reading token's role in each project that is to be cached.

use super::names;
use crate::config::Config;
use crate::domain::Finding;
use crate::gitlab::{Class, Gitlab, Membership};

/// GitLab's number of the role that is needed and enough.
const REPORTER: u32 = 20;

/// Adds what is found; returns the projects that are to be cached, `None` when they could not be listed.
pub(super) async fn findings(config: &Config, gitlab: &Gitlab, findings: &mut Vec<Finding>) -> Option<Vec<Membership>> {
    let (mut ours, mut seen, mut next, mut links) = (Vec::new(), 0, None, None);
    loop {
        let page = match gitlab.memberships(Class::Reader, next.as_ref()).await {
            Ok(page) => page,
            Err(error) => {
                findings.push(Finding::problem("gitlab", error.to_string()));
                return None;
            }
        };
        seen += page.received;
        links = links.or(page.links_lead_to);
        ours.extend(page.rows.into_iter().filter(|project| config.projects.matches(project.project, &project.path)));
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    findings.extend(links.map(|links| address(config, &links)));
    findings.push(match (seen, ours.len()) {
        (0, _) => Finding::warning("gitlab", "the token is a member of no project: add its user to a group or project"),
        (_, 0) => Finding::warning(
            "gitlab",
            format!(
                "of the token's {seen} projects none is to be cached: correct projects.include and projects.exclude"
            ),
        ),
        (_, ours) => Finding::fine("gitlab", format!("of the token's {seen} projects {ours} are to be cached")),
    });
    findings.extend(judge(&ours));
    Some(ours)
}

/// GitLab's links lead to its `external_url`, wherever it is asked.
fn address(config: &Config, links: &str) -> Finding {
    let asked = config.gitlab.as_ref().map_or("", |gitlab| gitlab.url.as_str());
    let text = format!(
        "GitLab calls itself {links} (its external_url) and is asked at {asked}: Cistern takes only page marks from its links \
         and goes on asking there; web_url in its documents leads to {links}"
    );
    Finding::fine("gitlab", text)
}

fn judge(projects: &[Membership]) -> Vec<Finding> {
    let those = |wanted: fn(Option<u32>) -> bool| -> Vec<&str> {
        projects.iter().filter(|project| wanted(project.level)).map(|project| &*project.path).collect()
    };
    let (below, right, above, unknown) = (
        those(|level| level.is_some_and(|level| level < REPORTER)),
        those(|level| level == Some(REPORTER)),
        those(|level| level.is_some_and(|level| level > REPORTER)),
        those(|level| level.is_none()),
    );
    let mut findings = Vec::new();
    if !right.is_empty() {
        findings.push(Finding::fine("roles", format!("the token is Reporter in {} projects", right.len())));
    }
    if !below.is_empty() {
        let text =
            format!("the token is below Reporter in {} and may not read logs there: make it Reporter", names(&below));
        findings.push(Finding::problem("roles", text));
    }
    if !above.is_empty() {
        let text = format!(
            "the token is above Reporter in {}: logs of jobs in debug mode, which show secrets, are cached too; Reporter is enough",
            names(&above)
        );
        findings.push(Finding::warning("roles", text));
    }
    if !unknown.is_empty() {
        let text = format!("GitLab does not tell the token's role in {}: see that it is Reporter", names(&unknown));
        findings.push(Finding::unknown("roles", text));
    }
    findings
}
