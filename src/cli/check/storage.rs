//! Where GitLab keeps archives, and whether they can be fetched from there.

use std::cmp::Reverse;

use crate::config::Config;
use crate::domain::Finding;
use crate::gitlab::{Class, Gitlab, Kind, Membership};

/// Projects whose latest jobs are looked through for an archive, the most active first: each costs a call.
const ASKED: usize = 5;

/// Begins to fetch the smallest archive of some latest jobs, as a pass would, and drops it: only that shows where a redirect
/// leads and whether this machine gets there.
pub(super) async fn findings(config: &Config, gitlab: &Gitlab, projects: &[Membership]) -> Vec<Finding> {
    let mut active: Vec<&Membership> = projects.iter().collect();
    active.sort_by_key(|project| Reverse(project.last_activity_at));
    active.truncate(ASKED);
    for project in &active {
        let Ok(jobs) = gitlab.latest_jobs(Class::Reader, project.project).await else { continue };
        let listed = jobs.rows.iter().filter_map(|job| Some((job.archive.as_ref()?.size, job.key)));
        let Some((_, job)) = listed.min_by_key(|(size, _)| size.unwrap_or(u64::MAX)) else { continue };
        return match gitlab.archive(Class::Reader, job).await {
            Ok(body) => body.place().map(|place| reached(config, &place)).into_iter().collect(),
            // It expired meanwhile, or the role is told about elsewhere.
            Err(error) if matches!(error.kind, Kind::NotFound | Kind::Forbidden) => continue,
            Err(error) if matches!(error.kind, Kind::PlainStorage(_) | Kind::Redirect(_)) => {
                vec![Finding::problem("storage", format!("no archive can be cached: {}", error.kind))]
            }
            Err(error) => vec![Finding::warning("storage", format!("an archive could not be fetched: {error}"))],
        };
    }
    let asked = active.len();
    let text = format!("where GitLab keeps archives is unknown: none of the latest jobs of {asked} projects has one");
    if asked == 0 { Vec::new() } else { vec![Finding::unknown("storage", text)] }
}

fn reached(config: &Config, place: &str) -> Finding {
    let home = config.gitlab.as_ref().map(|gitlab| gitlab.url.origin().ascii_serialization());
    let is_home = url::Url::parse(place).is_ok_and(|url| Some(url.origin().ascii_serialization()) == home);
    let is_secure = |home: String| home.starts_with("https://");
    let text = match (is_home, place.starts_with("http://") && home.is_some_and(is_secure)) {
        (true, _) => "archives come from GitLab itself".to_owned(),
        (false, false) => format!("archives come from GitLab's storage at {place}"),
        (false, true) => format!(
            "archives come from GitLab's storage at {place} without encryption, as gitlab.plain_storage_hosts allows"
        ),
    };
    Finding::fine("storage", text)
}
