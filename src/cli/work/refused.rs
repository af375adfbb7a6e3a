//! What GitLab refuses to the token: no work yet, but it can be asked for again.

use super::which::{Kind, State, Which};
use super::{Item, Trouble};
use crate::cli::stored::paths;
use crate::domain::{ProjectId, Timestamp};
use crate::store::Store;
use crate::work::Cause;

/// Things of one project that are listed at most.
const MOST: u64 = 100_000;

/// Returns what is meant, the thing of each project first that was asked for least recently.
pub(super) async fn items(store: &Store, projects: &[ProjectId], which: &Which) -> Result<Vec<Item>, Trouble> {
    let mut projects = projects.to_vec();
    if projects.is_empty() {
        projects = paths(store).await?.into_keys().collect();
        projects.sort_unstable();
    }
    let kind = which.kind.map(Kind::as_str);
    let mut items = Vec::new();
    for project in projects {
        let mut targets = store.refused(project, Timestamp::now(), MOST).await?;
        targets.retain(|target| which.takes(target) && kind.is_none_or(|kind| target.kind() == kind));
        items.extend(targets.into_iter().map(|target| Item {
            state: State::Forbidden,
            cause: Some(Cause::Recheck),
            problem: Some("GitLab refuses a piece of it to the token (403)".to_owned()),
            ..Item::of(target)
        }));
    }
    Ok(items)
}
