//! The listings: projects, pipelines, jobs, trigger jobs.

use std::collections::{HashMap, HashSet};

use super::answer::Answer;
use super::asked::Asked;
use super::page::{Page, keyset_link};
use crate::demo::fake::documents::array;
use crate::demo::fake::options::Boundary;
use crate::demo::fake::world::{Job, Pipeline, Project, World};
use crate::domain::{JobId, PipelineId, ProjectId};

const PROJECT_ORDERS: [&str; 7] = ["id", "name", "path", "created_at", "updated_at", "star_count", "last_activity_at"];
const PIPELINE_ORDERS: [&str; 5] = ["id", "status", "ref", "updated_at", "user_id"];
/// The access level of who owns a project.
const OWNER: u64 = 50;

const SCOPES: [&str; 5] = ["running", "pending", "finished", "branches", "tags"];
const SOURCES: [&str; 18] = [
    "push",
    "web",
    "trigger",
    "schedule",
    "api",
    "external",
    "pipeline",
    "chat",
    "webide",
    "merge_request_event",
    "external_pull_request_event",
    "parent_pipeline",
    "ondemand_dast_scan",
    "ondemand_dast_validation",
    "security_orchestration_policy",
    "container_registry_push",
    "duo_workflow",
    "pipeline_execution_policy_schedule",
];

impl Asked<'_> {
    /// All projects, or those below a group's path.
    pub(super) fn projects(&self, group: Option<&str>) -> Result<Answer, Answer> {
        let query = self.query;
        let (archived, active) = (query.flag("archived")?, query.flag("active")?);
        let (id_after, id_before) = (query.number("id_after")?, query.number("id_before")?);
        let (since, until) = (query.date("last_activity_after")?, query.date("last_activity_before")?);
        let search = query.text("search");
        let membership = query.flag("membership")?.unwrap_or(false);
        let owned = query.flag("owned")?.unwrap_or(false);
        let least = query.number("min_access_level")?.unwrap_or(0).max(if owned { OWNER } else { 0 });
        let subgroups = query.flag("include_subgroups")?.unwrap_or(false);
        let (world, caller) = (&*self.world, self.caller);
        let wanted = |project: &&Project| {
            let shown = if membership { world.level(caller, project.id) > 0 } else { world.sees(caller, project.id) };
            shown
                && u64::from(world.level(caller, project.id)) >= least
                && group.is_none_or(|group| {
                    project.path.strip_prefix(group).is_some_and(|rest| subgroups || !rest.contains('/'))
                })
                && archived.is_none_or(|archived| project.archived == archived)
                && active.is_none_or(|active| project.archived != active)
                && id_after.is_none_or(|id| project.id.0 > id)
                && id_before.is_none_or(|id| project.id.0 < id)
                && since.is_none_or(|since| project.last_activity_at >= since)
                && until.is_none_or(|until| project.last_activity_at <= until)
                && search.is_none_or(|text| project.path.contains(text))
        };
        let mut rows: Vec<&Project> = self.world.projects.values().filter(wanted).collect();
        let order = query.choice("order_by", &PROJECT_ORDERS)?.unwrap_or("created_at");
        rows.sort_by(|left, right| match order {
            "name" | "path" => segment(&left.path).cmp(segment(&right.path)),
            "last_activity_at" | "updated_at" => left.last_activity_at.cmp(&right.last_activity_at),
            _ => left.id.cmp(&right.id),
        });
        let ascending = query.ascending(false)?;
        if !ascending {
            rows.reverse();
        }
        if query.text("pagination") == Some("keyset") {
            if order != "id" || group.is_some() {
                return Err(Answer::message(
                    405,
                    "405 Keyset pagination is not yet available for this type of request",
                ));
            }
            return self.project_keyset(&rows, if ascending { "id_after" } else { "id_before" });
        }
        let page = Page::of(query)?;
        let answer = self.project_page(page.rows(&rows))?;
        Ok(page.headers(answer, rows.len(), self.options.count_limit, &self.url(), query))
    }

    fn project_keyset(&self, rows: &[&Project], cursor: &str) -> Result<Answer, Answer> {
        let size = Page::of(self.query)?.size;
        let shown = rows.get(..size.min(rows.len())).unwrap_or_default();
        let next = shown.last().filter(|_| rows.len() > size);
        let next = next.map(|last| [(cursor, last.id.to_string()), ("per_page", size.to_string())]);
        let answer = self.project_page(shown)?;
        Ok(keyset_link(answer, &self.url(), self.query, next.as_ref().map(<[_; 2]>::as_slice)))
    }

    fn project_page(&self, rows: &[&Project]) -> Result<Answer, Answer> {
        let simple = self.query.flag("simple")?.unwrap_or(false);
        let statistics = self.query.flag("statistics")?.unwrap_or(false);
        let texts: Vec<Vec<u8>> = rows
            .iter()
            .map(|project| match simple {
                true => self.world.simple_project(project).to_string().into_bytes(),
                false if statistics => self.world.with_statistics(project, self.caller).to_string().into_bytes(),
                false => self.world.full_project(project, self.caller).to_string().into_bytes(),
            })
            .collect();
        Ok(Answer::json(array(texts.iter().map(Vec::as_slice))))
    }

    /// The projects of a group; without `include_subgroups` only its own.
    pub(super) fn group_projects(&self) -> Result<Answer, Answer> {
        let group = format!("{}/", self.route.project.as_deref().unwrap_or_default());
        match self.world.projects.values().any(|project| project.path.starts_with(&group)) {
            true => self.projects(Some(&group)),
            false => Err(Answer::message(404, "404 Group Not Found")),
        }
    }

    /// A project's pipelines. Children are left out unless `source=parent_pipeline` asks for them, and then alone.
    pub(super) fn pipelines(&mut self) -> Result<Answer, Answer> {
        let project = self.ci_project_id()?;
        let query = self.query;
        let source = query.choice("source", &SOURCES)?;
        let (status, scope) = (query.status("status")?, query.choice("scope", &SCOPES)?);
        let (ref_name, sha, name) = (query.text("ref"), query.text("sha"), query.text("name"));
        let (updated_after, updated_before) = (query.date("updated_after")?, query.date("updated_before")?);
        let (created_after, created_before) = (query.date("created_after")?, query.date("created_before")?);
        let (username, yaml_errors) = (query.text("username"), query.flag("yaml_errors")?);
        let latest = scope.map(|scope| latest_of_refs(self.world, project, scope == "tags")).unwrap_or_default();
        let exclusive = self.options.updated_after == Boundary::Exclusive;
        let children = self.options.children_in_plain;
        let wanted = |pipeline: &&Pipeline| {
            (match source {
                Some(source) => pipeline.source == source,
                None => children || pipeline.source != "parent_pipeline",
            }) && status.is_none_or(|status| pipeline.status == status)
                && scope.is_none_or(|scope| in_scope(pipeline, scope, &latest))
                && ref_name.is_none_or(|name| pipeline.ref_name == name)
                && sha.is_none_or(|sha| pipeline.sha == sha)
                && name.is_none_or(|name| pipeline.name.as_deref() == Some(name))
                && updated_after.is_none_or(|at| pipeline.updated_at > at || !exclusive && pipeline.updated_at == at)
                && updated_before.is_none_or(|at| pipeline.updated_at <= at)
                && username.is_none_or(|name| {
                    self.world.user()["username"].as_str().is_some_and(|own| own.eq_ignore_ascii_case(name))
                })
                && yaml_errors.is_none_or(|errors| pipeline.yaml_errors.is_some() == errors)
                && created_after.is_none_or(|at| pipeline.created_at >= at)
                && created_before.is_none_or(|at| pipeline.created_at <= at)
        };
        let ids = self.world.projects.get(&project).map(|project| project.pipelines.as_slice()).unwrap_or_default();
        let mut rows: Vec<&Pipeline> =
            ids.iter().filter_map(|id| self.world.pipelines.get(id)).filter(wanted).collect();
        let order = query.choice("order_by", &PIPELINE_ORDERS)?.unwrap_or("id");
        rows.sort_by(|left, right| {
            let first = match order {
                "updated_at" => left.updated_at.cmp(&right.updated_at),
                "status" => left.status.cmp(&right.status),
                "ref" => left.ref_name.cmp(&right.ref_name),
                _ => std::cmp::Ordering::Equal,
            };
            first.then(left.id.cmp(&right.id))
        });
        if !query.ascending(false)? {
            rows.reverse();
        }
        let page = Page::of(query)?;
        let count = rows.len();
        let shown: Vec<PipelineId> = page.rows(&rows).iter().map(|pipeline| pipeline.id).collect();
        let texts: Vec<_> = shown.into_iter().filter_map(|id| self.world.pipeline_row_text(id)).collect();
        let answer = Answer::json(array(texts.iter().map(AsRef::as_ref)));
        Ok(page.headers(answer, count, self.options.count_limit, &self.url(), query))
    }

    /// A pipeline's jobs by falling number; retried attempts only on request.
    pub(super) fn pipeline_jobs(&mut self) -> Result<Answer, Answer> {
        let id = self.pipeline_id()?;
        let retried = self.query.flag("include_retried")?.unwrap_or(false);
        let scope = self.query.job_scope()?;
        let ids = self.world.jobs_of(id);
        let jobs = ids.iter().filter_map(|id| self.world.jobs.get(id));
        let mut rows: Vec<JobId> =
            jobs.filter(|job| (retried || !job.retried) && job_in_scope(job, &scope)).map(|job| job.id).collect();
        rows.sort_by(|left, right| right.cmp(left));
        let page = Page::of(self.query)?;
        let answer = self.job_page(page.rows(&rows));
        Ok(page.headers(answer, rows.len(), self.options.count_limit, &self.url(), self.query))
    }

    /// All jobs of a project by falling number, all attempts: keyset, or pages without totals.
    pub(super) fn project_jobs(&mut self) -> Result<Answer, Answer> {
        let project = self.ci_project_id()?;
        let scope = self.query.job_scope()?;
        let before = self.query.number("id_before")?.or(self.query.number("cursor")?);
        let jobs = self.world.jobs.values().rev().filter(|job| job.project == project && job_in_scope(job, &scope));
        let rows: Vec<JobId> = jobs.map(|job| job.id).filter(|id| before.is_none_or(|before| id.0 < before)).collect();
        let page = Page::of(self.query)?;
        if self.query.text("pagination") == Some("keyset") {
            let shown = rows.get(..page.size.min(rows.len())).unwrap_or_default();
            let next = shown.last().filter(|_| rows.len() > page.size).map(|last| [("id_before", last.to_string())]);
            let answer = self.job_page(shown);
            return Ok(keyset_link(answer, &self.url(), self.query, next.as_ref().map(<[_; 1]>::as_slice)));
        }
        let answer = self.job_page(page.rows(&rows));
        Ok(page.headers(answer, rows.len(), 0, &self.url(), self.query))
    }

    fn job_page(&mut self, ids: &[JobId]) -> Answer {
        let texts: Vec<_> = ids.iter().filter_map(|id| self.world.job_text(*id)).collect();
        Answer::json(array(texts.iter().map(AsRef::as_ref)))
    }

    /// A pipeline's trigger jobs by falling number.
    pub(super) fn bridges(&self) -> Result<Answer, Answer> {
        let id = self.pipeline_id()?;
        let scope = self.query.job_scope()?;
        let ids = self.world.pipelines.get(&id).map(|pipeline| pipeline.bridges.as_slice()).unwrap_or_default();
        let bridges = ids.iter().rev().filter_map(|id| self.world.bridges.get(id));
        let documents = bridges.filter_map(|bridge| self.world.bridge_document(bridge));
        let in_scope = |document: &serde_json::Value| {
            scope.is_empty() || document["status"].as_str().is_some_and(|status| scope.contains(&status))
        };
        let rows: Vec<Vec<u8>> = documents.filter(in_scope).map(|document| document.to_string().into_bytes()).collect();
        let page = Page::of(self.query)?;
        let answer = Answer::json(array(page.rows(&rows).iter().map(Vec::as_slice)));
        Ok(page.headers(answer, rows.len(), self.options.count_limit, &self.url(), self.query))
    }
}

/// The last part of a project's path.
fn segment(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// The latest pipelines of all tags, or of all branches, of which every one still exists here.
fn latest_of_refs(world: &World, project: ProjectId, tags: bool) -> HashSet<PipelineId> {
    let mut latest: HashMap<&str, PipelineId> = HashMap::new();
    for pipeline in world.pipelines.values().filter(|pipeline| pipeline.project == project) {
        let is_ref = pipeline.tag == tags && !pipeline.ref_name.starts_with("refs/");
        if is_ref && pipeline.source != "parent_pipeline" {
            let id = latest.entry(&pipeline.ref_name).or_insert(pipeline.id);
            *id = pipeline.id.max(*id);
        }
    }
    latest.into_values().collect()
}

fn in_scope(pipeline: &Pipeline, scope: &str, latest: &HashSet<PipelineId>) -> bool {
    match scope {
        // Without `skipped` (app/models/concerns/ci/has_status.rb).
        "finished" => matches!(pipeline.status.as_str(), "success" | "failed" | "canceled"),
        "tags" | "branches" => latest.contains(&pipeline.id),
        status => pipeline.status == status,
    }
}

fn job_in_scope(job: &Job, scope: &[&str]) -> bool {
    scope.is_empty() || scope.contains(&job.status.as_str())
}
