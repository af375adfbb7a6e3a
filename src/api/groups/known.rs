//! What projects tell of their groups: the one that they are in by itself, those around it by paths and names.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::api::answer::Problem;
use crate::api::view::{Roster, View};
use crate::domain::{ProjectFacts, ProjectId};
use crate::store::Slice;

/// Returns every group by its path in small letters, and the projects in and below it, the nearest first.
pub(super) fn groups(facts: &[(ProjectId, ProjectFacts)]) -> BTreeMap<String, Vec<ProjectId>> {
    let mut groups: BTreeMap<String, Vec<(usize, ProjectId)>> = BTreeMap::new();
    for (id, facts) in facts {
        let path = facts.path.rsplit_once('/').map_or("", |(namespace, _)| namespace).to_lowercase();
        let around = path.match_indices('/').map(|(end, _)| end).chain((!path.is_empty()).then_some(path.len()));
        for end in around {
            let (group, below) = path.split_at(end);
            groups.entry(group.to_owned()).or_default().push((below.matches('/').count(), *id));
        }
    }
    let nearest = |mut projects: Vec<(usize, ProjectId)>| {
        projects.sort_unstable();
        projects.into_iter().map(|(_, id)| id).collect()
    };
    groups.into_iter().map(|(path, projects)| (path, nearest(projects))).collect()
}

/// Describes a group by the nearest of its projects that the reader may see. `None` when there is none, when it is a person's, and
/// when its id is not told.
pub(super) async fn described(
    view: &View,
    roster: Roster,
    path: &str,
    projects: Vec<ProjectId>,
) -> Result<Option<Value>, Problem> {
    let (nearest, _) = view.projects_of(roster, projects, Slice { offset: 0, limit: 1 }, Duration::ZERO).await?;
    let project = nearest.page.rows.first().map(|project| serde_json::from_str(&project.text).unwrap_or_default());
    Ok(project.and_then(|project| group(path.split('/').count(), &project)))
}

/// Makes the group that is so deep around a project, in the words of GitLab's `Entities::Group`. Names of groups have no slash.
fn group(depth: usize, project: &Value) -> Option<Value> {
    let namespace = &project["namespace"];
    let path: Vec<&str> = namespace["full_path"].as_str()?.split('/').collect();
    let names: Vec<&str> = project["name_with_namespace"].as_str()?.split(" / ").take(depth).collect();
    let is_own = path.len() == depth;
    let id = if is_own { &namespace["id"] } else { &namespace["parent_id"] };
    if namespace["kind"] == "user" || path.len() > depth + 1 || names.len() < depth || !id.is_number() {
        return None;
    }
    let path = path.get(..depth)?;
    let url = namespace["web_url"].as_str();
    let url = if is_own { url } else { url.and_then(|url| url.rsplit_once('/')).map(|(around, _)| around) };
    let mut group = json!({ "id": id, "web_url": url, "name": names.last(), "path": path.last(),
        "full_name": names.join(" / "), "full_path": path.join("/") });
    if is_own {
        group["avatar_url"] = namespace["avatar_url"].clone();
    }
    if is_own || depth == 1 {
        group["parent_id"] = if depth == 1 { Value::Null } else { namespace["parent_id"].clone() };
    }
    Some(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_tells_of_the_groups_around_it_what_it_knows() {
        let namespace = json!({"id": 88, "name": "Core", "path": "core", "kind": "group", "full_path": "harbour/core",
            "parent_id": 12, "avatar_url": null, "web_url": "https://gitlab.example/groups/harbour/core"});
        let mut project = json!({"name_with_namespace": "Harbour / Core / Tides", "namespace": namespace});
        let own = json!({"id": 88, "web_url": "https://gitlab.example/groups/harbour/core", "name": "Core", "path": "core",
            "full_name": "Harbour / Core", "full_path": "harbour/core", "avatar_url": null, "parent_id": 12});
        assert_eq!(group(2, &project), Some(own));
        let around = json!({"id": 12, "web_url": "https://gitlab.example/groups/harbour", "name": "Harbour",
            "path": "harbour", "full_name": "Harbour", "full_path": "harbour", "parent_id": null});
        assert_eq!(group(1, &project), Some(around));
        project["namespace"]["kind"] = "user".into();
        assert_eq!((group(1, &project), group(2, &json!({}))), (None, None));
    }

    #[test]
    fn every_group_has_its_nearest_projects_first() {
        let facts = |id, path: &str| (ProjectId(id), ProjectFacts { path: path.into(), ..ProjectFacts::default() });
        let groups = groups(&[facts(1, "A/b/deep"), facts(2, "a/flat"), facts(3, "alone")]);
        let ids = |path: &str| groups[path].iter().map(|id| id.0).collect::<Vec<_>>();
        assert_eq!((groups.len(), ids("a"), ids("a/b")), (2, vec![2, 1], vec![1]));
    }
}
