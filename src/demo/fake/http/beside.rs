//! What GitLab has beside CI, as much of it as clients ask for and in the shapes of its documentation (doc/api: branches,
//! repository files, projects, merge requests, pipeline schedules, releases, project-level variables, groups).

use std::collections::BTreeSet;

use actix_web::HttpRequest;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::answer::Answer;
use super::asked::Asked;
use super::page::Page;
use super::route::decode;
use crate::demo::fake::documents::display_name;
use crate::domain::ProjectId;

/// How the paths below a project begin that are answered here.
pub(super) const KNOWN: [&str; 6] =
    ["languages", "merge_requests", "pipeline_schedules", "releases", "repository", "variables"];

/// Branches of every project.
const BRANCHES: usize = 45;

/// The level from which on one sees variables, those of schedules too (GitLab's `PipelineSchedulePolicy`).
const MAINTAINER: u32 = 40;

impl Asked<'_> {
    pub(super) fn beside(&self) -> Result<Answer, Answer> {
        if self.route.group {
            return self.group();
        }
        let project = self.project_id()?;
        let rest: Vec<&str> = self.route.rest.split('/').skip(1).collect();
        match rest.as_slice() {
            ["languages"] => Ok(Answer::json(json!({"Rust": 66.69, "Shell": 33.31}).to_string())),
            ["repository", "branches"] => self.page((0..BRANCHES).map(|number| branch(&name(number))).collect()),
            ["repository", "branches", asked] => {
                let known = (0..BRANCHES).map(name).find(|name| *name == decode(asked));
                let named = known.ok_or_else(|| Answer::message(404, "404 Branch Not Found"))?;
                Ok(Answer::json(branch(&named).to_string()))
            }
            ["repository", "commits", asked] => self.commit(project, &decode(asked)),
            ["repository", "commits", asked, "statuses"] => self.commit_statuses(project, &decode(asked)),
            ["repository", "files", path] => Ok(file(&decode(path))),
            ["repository", "files", _, "raw"] => Ok(Answer::new(200, "text/plain", "<script>alert(1)</script>\n")
                .header("Content-Disposition", "inline; filename=\"page.html\"")
                .header("Last-Modified", "Fri, 20 Nov 2026 09:14:02 GMT")
                .header("Cache-Control", "max-age=60, public, must-revalidate, stale-while-revalidate=60")),
            ["merge_requests", iid] => match iid.parse::<u64>() {
                Ok(iid @ 1..=9) => Ok(Answer::json(merge_request(project, iid).to_string())),
                _ => Err(Answer::not_found()),
            },
            ["merge_requests", iid, "pipelines"] => {
                let of_it = format!("refs/merge-requests/{iid}/");
                let pipelines = self.world.pipelines.values().rev();
                let theirs = pipelines.filter(|found| found.project == project && found.ref_name.starts_with(&of_it));
                self.page(theirs.map(|found| self.world.pipeline_stub(found)).collect())
            }
            ["pipeline_schedules"] => self.page(vec![schedule(1), schedule(2)]),
            ["pipeline_schedules", "1"] => {
                let mut schedule = schedule(1);
                if self.world.level(self.caller, project) >= MAINTAINER {
                    schedule["variables"] = json!([{"key": "DEPLOY_KEY", "variable_type": "env_var", "value": "schedule-secret"}]);
                }
                Ok(Answer::json(schedule.to_string()))
            }
            ["variables"] if self.world.level(self.caller, project) < MAINTAINER => Err(Answer::forbidden()),
            ["variables"] => self.page(vec![json!({"key": "DEPLOY_TOKEN", "value": "variable-secret",
                "variable_type": "env_var", "protected": false, "masked": false, "raw": false, "environment_scope": "*"})]),
            ["releases"] => self.page(vec![json!({"tag_name": "v1", "name": "First", "description": null})]),
            ["releases", "permalink", "latest"] => {
                let location = format!("{}/api/v4/projects/{project}/releases/v1", self.world.base_url);
                Ok(Answer::new(302, "application/json", "").header("Location", location))
            }
            ["releases", "v1"] => Ok(Answer::json(json!({"tag_name": "v1", "name": "First", "description": null}).to_string())),
            // A developer's link: its name is where it leads.
            ["releases", "v1", "downloads", place] => Ok(Answer::new(302, "text/html", "").header("Location", decode(place))),
            _ => Err(Answer::not_found()),
        }
    }

    /// One group, or all of them, of the projects that the caller sees.
    fn group(&self) -> Result<Answer, Answer> {
        let projects = self.world.projects.values().filter(|project| self.world.sees(self.caller, project.id));
        let paths: Vec<&str> = projects.map(|project| project.path.as_str()).collect();
        let groups = paths.iter().flat_map(|path| path.match_indices('/').map(|(end, _)| path.split_at(end).0));
        let mut groups: Vec<Value> =
            groups.collect::<BTreeSet<_>>().into_iter().map(|group| self.group_document(group, &paths)).collect();
        if let Some(asked) = self.route.project.as_deref() {
            let found = groups
                .iter()
                .find(|group| group["full_path"] == asked || asked.parse::<u64>().is_ok_and(|id| group["id"] == id));
            let found = found.ok_or_else(|| Answer::message(404, "404 Group Not Found"))?;
            return Ok(Answer::json(found.to_string()));
        }
        let words = self.query.text("search").unwrap_or_default();
        groups.retain(|group| {
            ["name", "path"].iter().any(|key| group[*key].as_str().is_some_and(|text| text.contains(words)))
        });
        groups.sort_by_key(|group| group["name"].to_string());
        self.page(groups)
    }

    /// As projects tell of it: the group that one is in has another number than the one around it.
    fn group_document(&self, path: &str, projects: &[&str]) -> Value {
        let is_own = projects.iter().any(|project| project.rsplit_once('/').is_some_and(|(own, _)| own == path));
        let names: Vec<String> = path.split('/').map(display_name).collect();
        json!({"id": if is_own { 88 } else { 12 }, "web_url": format!("{}/groups/{path}", self.world.base_url),
            "name": names.last(), "path": path.rsplit('/').next(), "description": "", "visibility": "private",
            "full_name": names.join(" / "), "full_path": path, "created_at": "2023-01-05T09:00:00.000Z",
            "parent_id": path.contains('/').then_some(12), "avatar_url": null})
    }

    pub(super) fn page(&self, rows: Vec<Value>) -> Result<Answer, Answer> {
        let page = Page::of(self.query)?;
        let answer = Answer::json(Value::from(page.rows(&rows).to_vec()).to_string());
        Ok(page.headers(answer, rows.len(), self.options.count_limit, &self.url(), self.query))
    }
}

fn name(number: usize) -> String {
    if number == 0 { "main".to_owned() } else { format!("feature/{number}") }
}

fn branch(name: &str) -> Value {
    json!({"name": name, "merged": false, "protected": name == "main", "default": name == "main", "developers_can_push": false,
        "developers_can_merge": false, "can_push": true, "commit": {"id": "7b5c3cc8be40ee161ae89a06bba6229da1032a0c",
        "short_id": "7b5c3cc", "title": "Add the tide tables", "committed_date": "2026-11-20T09:14:02.000Z"}})
}

fn merge_request(project: ProjectId, iid: u64) -> Value {
    json!({"id": 9000 + iid, "iid": iid, "project_id": project, "title": "Round slack water", "state": "opened",
        "source_branch": "feature/1", "target_branch": "main", "draft": false, "sha": "7b5c3cc8be40ee161ae89a06bba6229da1032a0c",
        "created_at": "2026-11-20T09:14:02.200Z", "has_conflicts": false, "detailed_merge_status": "mergeable"})
}

fn schedule(id: u64) -> Value {
    json!({"id": id, "description": "Nightly", "ref": "refs/heads/main", "cron": "0 1 * * *", "cron_timezone": "UTC",
        "next_run_at": "2026-11-21T01:00:00.000Z", "active": true, "created_at": "2026-01-05T09:00:00.000Z"})
}

/// A file with its facts in its head, which is all that a HEAD asks for.
fn file(path: &str) -> Answer {
    let body = json!({"file_name": path, "file_path": path, "size": 26, "encoding": "base64", "ref": "main",
        "content": "PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pgo="});
    Answer::json(body.to_string())
        .header("X-Gitlab-File-Name", path)
        .header("X-Gitlab-Size", 26)
        .header("X-Gitlab-Ref", "main")
}

/// Adds what GitLab sends with every answer, and answers 304 to who has it already.
pub(super) fn dress(answer: Answer, request: &HttpRequest) -> Answer {
    let digest = Sha256::digest(&answer.body);
    let tag = format!("W/\"{}\"", digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect::<String>());
    let known = request.headers().get("if-none-match").and_then(|value| value.to_str().ok());
    let mut answer = match answer.status {
        200 if known == Some(tag.as_str()) => Answer { status: 304, body: bytes::Bytes::new(), ..answer },
        _ => answer,
    };
    if !answer.headers.iter().any(|(name, _)| *name == "Cache-Control") {
        answer = answer.header("Cache-Control", "max-age=0, private, must-revalidate");
    }
    answer
        .header("ETag", tag)
        .header("Set-Cookie", "_gitlab_session=0123456789abcdef; path=/; HttpOnly")
        .header("X-Request-Id", "01JD2V6Y5C")
        .header("X-Runtime", "0.034")
        .header("X-Gitlab-Meta", "{\"correlation_id\":\"01JD2V6Y5C\",\"version\":\"1\"}")
        .header("Vary", "Origin")
}

/// Returns the head of a request as it was sent, names in small letters.
pub(super) fn written(request: &HttpRequest) -> String {
    let mut head = format!("{} {}\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        head.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
    }
    head
}
