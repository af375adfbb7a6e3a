//! `check`: whether configuration, store and GitLab fit together. It changes nothing.

use super::Exit;
use crate::config::Config;
use crate::domain::{Finding, Verdict};
use crate::gitlab::{Class, Credential, Gitlab};
use crate::store::Store;

/// The access level of Reporter, which is all that the token needs (contract, section 5.1).
const REPORTER: u32 = 20;

/// Looks at everything.
pub(super) async fn findings(config: &Config) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        config.warnings().iter().map(|warning| Finding::warning("configuration", warning)).collect();
    if findings.is_empty() {
        findings.push(Finding::fine("configuration", "every setting is good"));
    }
    let (store, gitlab) = tokio::join!(Store::inspect(&config.store.place), gitlab(config));
    findings.extend(store);
    findings.extend(gitlab);
    findings
}

/// Returns how the program ends after these findings.
pub(super) fn judge(findings: &[Finding]) -> Exit {
    let bad = findings.iter().any(|finding| finding.verdict == Verdict::Problem);
    if bad { Exit::Incomplete } else { Exit::Done }
}

/// Asks GitLab for the first projects of the token: the call with which every pass begins.
async fn gitlab(config: &Config) -> Vec<Finding> {
    let problem = |text: String| vec![Finding::problem("gitlab", text)];
    let (gitlab, client) = match config.require_gitlab().map(|gitlab| (gitlab.clone(), Gitlab::new(gitlab))) {
        Ok((gitlab, Ok(client))) => (gitlab, client),
        Ok((_, Err(error))) => return problem(error.to_string()),
        Err(mistakes) => return problem(mistakes.to_string()),
    };
    let page = match client.projects(Class::Reader, None).await {
        Ok(page) => page,
        Err(error) => return problem(error.to_string()),
    };
    let Some(first) = page.rows.first() else {
        let text = "it takes the token, which is a member of no project: add its user to a group";
        return vec![Finding::warning("gitlab", text)];
    };
    let ours = page.rows.iter().filter(|project| config.projects.matches(project.id, &project.path)).count();
    let (seen, more) = (page.rows.len(), if page.next.is_some() { " first" } else { "" });
    let text = format!("it takes the token; {ours} of its{more} {seen} projects are to be cached");
    let mut findings = vec![Finding::fine("gitlab", text)];
    // One project is enough to learn of a token that is above what it needs.
    match client.standing(&Credential::PrivateToken(gitlab.token), first.id).await {
        Ok(standing) if standing.level > REPORTER => findings.push(Finding::warning(
            "gitlab",
            format!(
                "the token is above Reporter in project {}: it reads the logs of jobs in debug mode, which are full of \
                 secrets, and readers of Reporter role would get them; use a token of Reporter role",
                first.id
            ),
        )),
        Ok(_) => {}
        Err(error) => findings.push(Finding::warning("gitlab", error.to_string())),
    }
    findings
}
