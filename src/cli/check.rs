//! `check`: whether configuration, store and GitLab fit together. It changes nothing.

use super::Exit;
use crate::config::Config;
use crate::domain::{Finding, Verdict};
use crate::gitlab::{Class, Gitlab};
use crate::store::Store;

/// Looks at everything.
pub(super) async fn findings(config: &Config) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        config.warnings().iter().map(|warning| Finding::warning("configuration", warning)).collect();
    if findings.is_empty() {
        findings.push(Finding::fine("configuration", "every setting is good"));
    }
    let (store, gitlab) = tokio::join!(Store::inspect(&config.store.place), gitlab(config));
    findings.extend(store);
    findings.push(gitlab);
    findings
}

/// Returns how the program ends after these findings.
pub(super) fn judge(findings: &[Finding]) -> Exit {
    let bad = findings.iter().any(|finding| finding.verdict == Verdict::Problem);
    if bad { Exit::Incomplete } else { Exit::Done }
}

/// Asks GitLab for the first projects of the token: the call with which every pass begins.
async fn gitlab(config: &Config) -> Finding {
    let client = match config.require_gitlab() {
        Ok(gitlab) => Gitlab::new(gitlab),
        Err(mistakes) => return Finding::problem("gitlab", mistakes.to_string()),
    };
    let page = match client {
        Ok(client) => client.projects(Class::Reader, None).await,
        Err(error) => Err(error),
    };
    match page {
        Ok(page) if page.rows.is_empty() => {
            Finding::warning("gitlab", "it takes the token, which is a member of no project: add its user to a group")
        }
        Ok(page) => {
            let ours = page.rows.iter().filter(|project| config.projects.matches(project.id, &project.path)).count();
            let (seen, more) = (page.rows.len(), if page.next.is_some() { " first" } else { "" });
            Finding::fine("gitlab", format!("it takes the token; {ours} of its{more} {seen} projects are to be cached"))
        }
        Err(error) => Finding::problem("gitlab", error.to_string()),
    }
}
