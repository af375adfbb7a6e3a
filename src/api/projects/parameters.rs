//! Which of GitLab's parameters for projects are answered here, and which are GitLab's to answer.
//!
//! What GitLab decides by who asks, it decides itself where it judges readers; where it does not, everybody is as the service's
//! token is, a member of Reporter role of all that is cached.

use crate::api::answer::Problem;
use crate::api::query::Query;
use crate::api::view::View;

/// Filters of which Cistern knows nothing, once they are switched on.
const SWITCHES: [&str; 9] = [
    "imported",
    "include_hidden",
    "include_pending_delete",
    "owned",
    "repository_checksum_failed",
    "shared",
    "starred",
    "wiki_checksum_failed",
    "with_security_reports",
];

/// Filters of which it knows nothing, whatever their value.
const FILTERS: [&str; 5] =
    ["custom_attributes", "marked_for_deletion_on", "repository_storage", "topic_id", "with_programming_language"];

/// Filters by what is switched on for who asks, and the key of the document that tells.
const ENABLED: [(&str, &str); 2] =
    [("with_issues_enabled", "issues_enabled"), ("with_merge_requests_enabled", "merge_requests_enabled")];

/// What adds something to each project, to whom GitLab shows it; left out it is as if they had a lower role.
const ADDITIONS: [&str; 3] = ["license", "statistics", "with_custom_attributes"];

/// The orders that GitLab has besides.
const ORDERS: [&str; 6] = ["packages_size", "repository_size", "similarity", "star_count", "storage_size", "wiki_size"];

/// GitLab's access levels.
const LEVELS: [u64; 8] = [5, 10, 15, 20, 25, 30, 40, 50];

/// The level of the service's token (contract, section 5.1).
const REPORTER: u64 = 20;

/// Succeeds when a list of projects can be made here as GitLab would make it.
pub(in crate::api) fn judge(query: &Query, view: &View) -> Result<(), Problem> {
    for name in SWITCHES {
        refuse(name, query.flag(name)?)?;
    }
    query.refuse(&FILTERS)?;
    for name in ENABLED.map(|(name, _)| name).into_iter().chain(["membership"]) {
        refuse(name, query.flag(name)? && view.is_judged())?;
    }
    if let Some(level) = query.id("min_access_level")? {
        if !LEVELS.contains(&level) {
            return Err(Problem::Invalid { name: "min_access_level", problem: "does not have a valid value" });
        }
        refuse("min_access_level", view.is_judged() || level > REPORTER)?;
    }
    refuse("order_by", query.text("order_by").is_some_and(|order| ORDERS.contains(&order)))?;
    judge_one(query, view)
}

/// As [`judge`], for one project.
pub(super) fn judge_one(query: &Query, view: &View) -> Result<(), Problem> {
    for name in ADDITIONS {
        refuse(name, query.flag(name)? && view.is_passed_on())?;
    }
    Ok(())
}

/// Returns the keys of what has to be switched on.
pub(super) fn enabled(query: &Query) -> Result<Vec<&'static str>, Problem> {
    let wanted = ENABLED.into_iter().map(|(name, key)| Ok(query.flag(name)?.then_some(key)));
    wanted.filter_map(Result::transpose).collect()
}

/// Returns the topics that are wanted.
pub(super) fn topics(query: &Query) -> Vec<String> {
    let topics = query.text("topic").unwrap_or_default().split(',').map(str::trim);
    topics.filter(|topic| !topic.is_empty()).map(str::to_owned).collect()
}

fn refuse(name: &'static str, is_unknown: bool) -> Result<(), Problem> {
    if is_unknown { Err(Problem::Unsupported(name)) } else { Ok(()) }
}
