//! `check`: whether configuration, store and GitLab fit together. It changes nothing; to time the disk it writes a small file
//! beside the store and removes it.

mod gitlab;
mod hooks;
mod roles;
mod storage;

use super::Exit;
use crate::config::Config;
use crate::domain::{Finding, Verdict};
use crate::store::Store;

/// Looks at everything.
pub(super) async fn findings(config: &Config) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        config.warnings().iter().map(|warning| Finding::warning("configuration", warning)).collect();
    if findings.is_empty() {
        findings.push(Finding::fine("configuration", "every setting is good"));
    }
    let (store, gitlab) = tokio::join!(Store::inspect(&config.store.place), gitlab::findings(config));
    findings.extend(gitlab);
    findings.extend(store);
    findings
}

/// Returns how the program ends after these findings: a warning is for a person to judge, a problem keeps something from working.
pub(super) fn judge(findings: &[Finding]) -> Exit {
    let bad = findings.iter().any(|finding| finding.verdict == Verdict::Problem);
    if bad { Exit::Incomplete } else { Exit::Done }
}

/// Joins the first names of a list and says how many more there are.
fn names<T: AsRef<str>>(names: &[T]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(AsRef::as_ref).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
