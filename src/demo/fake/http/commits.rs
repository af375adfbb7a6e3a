//! Commits of pipelines and their statuses (GitLab's source: `commits.rs`, `commit_statuses.rs` and their entities).

use serde_json::{Value, json};

use super::answer::Answer;
use super::asked::Asked;
use crate::demo::fake::world::{Caller, Pipeline};
use crate::domain::ProjectId;

impl Asked<'_> {
    /// A commit by its SHA or as the head of a branch or tag: here every branch ends at the commit of its newest pipeline.
    pub(super) fn commit(&self, project: ProjectId, asked: &str) -> Result<Answer, Answer> {
        let sha = self.sha_of(project, asked)?;
        let path = self.world.projects.get(&project).map_or("", |project| project.path.as_str());
        let mut commit = self.world.commit(path, &sha);
        if self.query.flag("stats")?.unwrap_or(true) {
            commit["stats"] = json!({"additions": 12, "deletions": 3, "total": 15});
        }
        let last = self.pipelines_of(project).find(|pipeline| pipeline.sha == sha);
        commit["status"] = json!(last.map(|pipeline| &pipeline.status));
        commit["project_id"] = json!(project);
        commit["last_pipeline"] = json!(last.map(|pipeline| self.world.pipeline_stub(pipeline)));
        Ok(Answer::json(commit.to_string()))
    }

    pub(super) fn commit_statuses(&self, project: ProjectId, asked: &str) -> Result<Answer, Answer> {
        if self.caller == Caller::Anonymous {
            return Err(Answer::unauthorized());
        }
        self.ci_project_id()?;
        self.sha_of(project, asked)?;
        let query = self.query;
        let (all, number) = (query.flag("all")?.unwrap_or(false), query.number("pipeline_id")?);
        let by_pipeline = query.choice("order_by", &["id", "pipeline_id"])? == Some("pipeline_id");
        let mut rows = Vec::new();
        for pipeline in self.pipelines_of(project).filter(|pipeline| pipeline.sha == asked) {
            let jobs = pipeline.jobs.iter().filter_map(|id| self.world.jobs.get(id)).filter(|job| all || !job.retried);
            rows.extend(jobs.map(|job| Value::Object(self.world.job_document(job, pipeline))));
            let triggers = pipeline.bridges.iter().filter_map(|id| self.world.bridges.get(id));
            rows.extend(triggers.filter_map(|trigger| self.world.bridge_document(trigger)));
        }
        rows.retain(|job| number.is_none_or(|number| job["pipeline"]["id"] == number));
        rows.retain(|job| {
            ["ref", "stage", "name"].iter().all(|key| query.text(key).is_none_or(|text| job[*key] == text))
        });
        rows.sort_by_key(|job| (by_pipeline.then(|| job["pipeline"]["id"].as_u64()), job["id"].as_u64()));
        if !query.ascending(true)? {
            rows.reverse();
        }
        self.page(rows.iter().map(|job| self.status(job)).collect())
    }

    fn status(&self, job: &Value) -> Value {
        json!({"id": job["id"], "sha": job["pipeline"]["sha"], "ref": job["ref"], "status": job["status"],
            "name": job["name"], "target_url": job["web_url"], "description": null, "created_at": job["created_at"],
            "started_at": job["started_at"], "finished_at": job["finished_at"], "allow_failure": job["allow_failure"],
            "coverage": job["coverage"], "pipeline_id": job["pipeline"]["id"], "author": self.world.user()})
    }

    fn sha_of(&self, project: ProjectId, asked: &str) -> Result<String, Answer> {
        let found = self.pipelines_of(project).find(|found| found.sha == asked || found.ref_name == asked);
        found.map(|found| found.sha.clone()).ok_or_else(|| Answer::message(404, "404 Commit Not Found"))
    }

    /// The newest first, without child pipelines and those that GitLab calls dangling.
    fn pipelines_of(&self, project: ProjectId) -> impl Iterator<Item = &Pipeline> {
        let counts = move |found: &&Pipeline| {
            found.project == project && !["parent_pipeline", "webide"].contains(&found.source.as_str())
        };
        self.world.pipelines.values().rev().filter(counts)
    }
}
