//! Project entities: the small one of `simple=true`, the full one, and the one in webhooks.

use serde_json::{Value, json};

use super::display_name;
use crate::demo::fake::world::{Caller, Project, World};

/// The access level from which on somebody runs a project, and sees how it is run.
const MAINTAINER: u32 = 40;

/// The access level from which on somebody knows whom a project is shared with.
const REPORTER: u32 = 20;

/// A project's path taken apart, with the display names that GitLab shows.
struct Names<'a> {
    name: String,
    segment: &'a str,
    namespace: &'a str,
    /// `Harbour / Core / Tide Ledger`.
    full: String,
}

impl<'a> Names<'a> {
    fn of(path: &'a str) -> Self {
        let (namespace, segment) = path.rsplit_once('/').unwrap_or(("", path));
        let full = path.split('/').map(display_name).collect::<Vec<_>>().join(" / ");
        Self { name: display_name(segment), segment, namespace, full }
    }

    fn last_namespace(&self) -> &'a str {
        self.namespace.rsplit('/').next().unwrap_or_default()
    }
}

impl World {
    pub(crate) fn web_url(&self, path: &str) -> String {
        format!("{}/{path}", self.base_url)
    }

    fn ssh_url(&self, path: &str) -> String {
        let host = self.base_url.split("://").nth(1).unwrap_or_default();
        format!("git@{}:{path}.git", host.split(':').next().unwrap_or_default())
    }

    /// The entity of `simple=true`.
    pub(crate) fn simple_project(&self, project: &Project) -> Value {
        let path = project.path.as_str();
        let names = Names::of(path);
        let web_url = self.web_url(path);
        json!({
            "id": project.id,
            "description": null,
            "name": names.name,
            "name_with_namespace": names.full,
            "path": names.segment,
            "path_with_namespace": path,
            "created_at": project.created_at,
            "default_branch": "main",
            "tag_list": [],
            "topics": project.topics,
            "ssh_url_to_repo": self.ssh_url(path),
            "http_url_to_repo": format!("{web_url}.git"),
            "web_url": web_url,
            "readme_url": format!("{web_url}/-/blob/main/README.md"),
            "forks_count": 0,
            "avatar_url": null,
            "star_count": 0,
            "last_activity_at": project.last_activity_at,
            "visibility": project.visibility.as_str(),
            "namespace": {
                "id": 88,
                "name": display_name(names.last_namespace()),
                "path": names.last_namespace(),
                "kind": "group",
                "full_path": names.namespace,
                "parent_id": names.namespace.contains('/').then_some(12),
                "avatar_url": null,
                "web_url": format!("{}/groups/{}", self.base_url, names.namespace),
            },
        })
    }

    /// The full entity, for who has a token; everybody else gets the small one. The service's token gets the keys that depend on the
    /// role, whatever its own is, with values that must never be stored; of readers those get them who run the project.
    pub(crate) fn full_project(&self, project: &Project, caller: Caller) -> Value {
        let mut document = match self.simple_project(project) {
            Value::Object(keys) if caller != Caller::Anonymous => keys,
            small => return small,
        };
        let level = self.level(caller, project.id);
        // Only groups that the caller may know of.
        let partners = json!([{"group_id": 91, "group_name": "Partners", "group_full_path": "secret/partners"}]);
        let shown_to = |enabled: bool| if enabled { "private" } else { "disabled" };
        let more = json!({
            "empty_repo": false,
            "archived": project.archived,
            "marked_for_deletion_on": null,
            "marked_for_deletion_at": null,
            "updated_at": project.last_activity_at,
            "creator_id": 412,
            "issues_enabled": true,
            "merge_requests_enabled": true,
            "jobs_enabled": project.ci_enabled,
            "builds_access_level": shown_to(project.ci_enabled),
            "repository_access_level": shown_to(project.repository_enabled),
            "public_jobs": project.public_pipelines,
            "shared_runners_enabled": true,
            "group_runners_enabled": true,
            "ci_default_git_depth": 20,
            "ci_job_token_scope_enabled": false,
            "ci_config_path": null,
            "build_timeout": 3600,
            "keep_latest_artifact": true,
            "open_issues_count": 0,
            "shared_with_groups": if level >= REPORTER { partners } else { json!([]) },
            "import_status": "none",
        });
        let run = json!({
            "import_url": "https://user:never-store-me@elsewhere.example/repository.git",
            "import_error": null,
            "runners_token": "never-store-me-runners-token",
        });
        for (more, is_shown) in [(more, true), (run, level >= MAINTAINER)] {
            document.extend(more.as_object().filter(|_| is_shown).cloned().unwrap_or_default());
        }
        let access = match level {
            0 => Value::Null,
            level => json!({"access_level": level, "notification_level": 3}),
        };
        document.insert("permissions".to_owned(), json!({"project_access": access, "group_access": null}));
        Value::Object(document)
    }

    /// What only the project's own document tells, to who runs it.
    pub(crate) fn single_project(&self, project: &Project, caller: Caller) -> Value {
        let mut document = self.full_project(project, caller);
        if self.level(caller, project.id) >= MAINTAINER {
            document["build_git_strategy"] = "fetch".into();
        }
        document
    }

    /// What `statistics=true` adds to the full entity, for reporters and above.
    pub(crate) fn with_statistics(&self, project: &Project, caller: Caller) -> Value {
        let mut document = self.full_project(project, caller);
        if self.level(caller, project.id) >= REPORTER {
            document["statistics"] =
                json!({"commit_count": 37, "storage_size": 1_038_090, "repository_size": 1_038_090});
        }
        document
    }

    /// The project as webhooks show it.
    pub(super) fn project_of_event(&self, project: &Project) -> Value {
        let path = project.path.as_str();
        let names = Names::of(path);
        json!({
            "id": project.id,
            "name": names.name,
            "description": null,
            "web_url": self.web_url(path),
            "avatar_url": null,
            "git_ssh_url": self.ssh_url(path),
            "git_http_url": format!("{}.git", self.web_url(path)),
            "namespace": names.last_namespace(),
            "visibility_level": 0,
            "path_with_namespace": path,
            "default_branch": "main",
            "ci_config_path": null,
        })
    }

    /// The `repository` of a job event.
    pub(super) fn repository_of_event(&self, project: &Project) -> Value {
        let path = project.path.as_str();
        json!({
            "name": Names::of(path).name,
            "url": self.ssh_url(path),
            "description": null,
            "homepage": self.web_url(path),
            "git_http_url": format!("{}.git", self.web_url(path)),
            "git_ssh_url": self.ssh_url(path),
            "visibility_level": 0,
        })
    }

    /// The `project_name` of a job event.
    pub(super) fn full_name_of_event(project: &Project) -> String {
        Names::of(&project.path).full
    }
}
