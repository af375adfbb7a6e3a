//! Webhook payloads (contract, sections 3.1 and 4.1), made from the world as it is now, as GitLab's late workers do.

use serde_json::{Value, json};

use super::people::runner_of_event;
use super::pipeline::label;
use crate::demo::fake::world::{Job, Pipeline, World};
use crate::domain::{JobId, PipelineId, Timestamp};

/// Which dates a payload carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DateStyle {
    /// GitLab 19: ISO 8601 at the top, Ruby strings inside `builds[]`.
    #[default]
    Current,
    /// Older GitLab: Ruby strings everywhere.
    Legacy,
}

impl DateStyle {
    fn top(self, at: impl Into<Option<Timestamp>>) -> Value {
        match (self, at.into()) {
            (Self::Current, at) => json!(at),
            (Self::Legacy, Some(at)) => json!(ruby(at)),
            (Self::Legacy, None) => Value::Null,
        }
    }
}

/// Writes `2026-11-20 09:14:02 UTC`.
fn ruby(at: Timestamp) -> String {
    let iso = at.to_string();
    let (day, time) = iso.split_once('T').unwrap_or((&iso, ""));
    format!("{day} {} UTC", time.split('.').next().unwrap_or_default())
}

/// Writes `2026-11-20T09:14:02Z`.
fn seconds(at: Option<Timestamp>) -> Value {
    json!(at.map(|at| format!("{}Z", at.to_string().split('.').next().unwrap_or_default())))
}

/// Makes a pipeline event; `None` for an unknown pipeline.
pub(crate) fn pipeline_event(world: &World, id: PipelineId, dates: DateStyle) -> Option<Value> {
    let pipeline = world.pipelines.get(&id)?;
    let project = world.projects.get(&pipeline.project)?;
    let latest = pipeline.jobs.iter().filter_map(|id| world.jobs.get(id)).filter(|job| !job.retried);
    let mut jobs: Vec<&Job> = latest.collect();
    jobs.sort_by_key(|job| std::cmp::Reverse(job.id));
    let mut stages: Vec<&str> = Vec::new();
    for job in jobs.iter().rev() {
        if !stages.contains(&job.stage.as_str()) {
            stages.push(&job.stage);
        }
    }
    let builds: Vec<Value> = jobs.iter().map(|job| build(world, job)).collect();
    let mut event = json!({
        "object_kind": "pipeline",
        "object_attributes": attributes(world, pipeline, &stages, dates),
        "merge_request": null,
        "user": world.user_of_event(),
        "project": world.project_of_event(project),
        "commit": world.commit_of_pipeline_event(&project.path, &pipeline.sha),
        "builds": builds,
    });
    if let (Some(parent), Some(keys)) = (pipeline.parent, event.as_object_mut()) {
        let source = json!({
            "project": {
                "id": project.id,
                "web_url": world.web_url(&project.path),
                "path_with_namespace": project.path,
            },
            "job_id": parent.bridge,
            "pipeline_id": parent.pipeline,
        });
        keys.insert("source_pipeline".to_owned(), source);
    }
    Some(event)
}

fn attributes(world: &World, pipeline: &Pipeline, stages: &[&str], dates: DateStyle) -> Value {
    let variables: Vec<Value> =
        pipeline.variables.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
    let mut attributes = json!({
        "id": pipeline.id,
        "iid": pipeline.iid,
        "name": pipeline.name,
        "ref": pipeline.ref_name,
        "ref_status_name": null,
        "tag": pipeline.tag,
        "sha": pipeline.sha,
        "before_sha": "9d01b7e2c3f4a5968778695a4b3c2d1e0f123456",
        "source": pipeline.source,
        "status": pipeline.status,
        "detailed_status": label(&pipeline.status),
        "stages": stages,
        "created_at": dates.top(pipeline.created_at),
        "finished_at": dates.top(pipeline.finished_at),
        "duration": duration_secs(pipeline),
        "queued_duration": pipeline.started_at.map(|started| started.since(pipeline.created_at).as_secs()),
        "protected_ref": pipeline.ref_name == "main",
        "variables": variables,
        "url": world.pipeline_url(pipeline),
    });
    if let (DateStyle::Legacy, Some(keys)) = (dates, attributes.as_object_mut()) {
        keys.shift_remove("ref_status_name");
    }
    attributes
}

fn duration_secs(pipeline: &Pipeline) -> Option<u64> {
    pipeline.started_at.zip(pipeline.finished_at).map(|(from, to)| to.since(from).as_secs())
}

/// An entry of `builds[]`; its dates are Ruby strings in every version of GitLab.
fn build(world: &World, job: &Job) -> Value {
    let archive = job.archive.as_ref().filter(|_| job.has_archive());
    json!({
        "id": job.id,
        "stage": job.stage,
        "name": job.name,
        "status": job.status,
        "created_at": ruby(job.created_at),
        "started_at": job.started_at.map(ruby),
        "finished_at": job.finished_at.map(ruby),
        "duration": job.duration_secs(),
        "queued_duration": job.queued_secs(),
        "failure_reason": job.failure_reason,
        "when": if job.manual { "manual" } else { "on_success" },
        "manual": job.manual,
        "allow_failure": job.allow_failure,
        "user": world.user_of_event(),
        "runner": job.started_at.map(|_| runner_of_event(&job.tags)),
        "artifacts_file": {
            "filename": archive.map(|_| "artifacts.zip"),
            "size": archive.map(|archive| archive.size_bytes()),
        },
        "environment": null,
    })
}

/// Makes a job event; `None` for an unknown job and for a trigger job, for which GitLab sends none.
pub(crate) fn job_event(world: &World, id: JobId, dates: DateStyle) -> Option<Value> {
    let job = world.jobs.get(&id)?;
    let pipeline = world.pipelines.get(&job.pipeline)?;
    let project = world.projects.get(&job.project)?;
    let mut event = json!({
        "object_kind": "build",
        "ref": pipeline.ref_name,
        "tag": pipeline.tag,
        "before_sha": "9d01b7e2c3f4a5968778695a4b3c2d1e0f123456",
        "sha": pipeline.sha,
        "retries_count": job.retries_count,
        "build_id": job.id,
        "build_name": job.name,
        "build_stage": job.stage,
        "build_status": job.status,
        "build_created_at": dates.top(job.created_at),
        "build_started_at": dates.top(job.started_at),
        "build_finished_at": dates.top(job.finished_at),
        "build_created_at_iso": seconds(Some(job.created_at)),
        "build_started_at_iso": seconds(job.started_at),
        "build_finished_at_iso": seconds(job.finished_at),
        "build_duration": job.duration_secs(),
        "build_queued_duration": job.queued_secs(),
        "build_allow_failure": job.allow_failure,
        // GitLab's column default shows on every job that has not failed, once it is past `created`.
        "build_failure_reason": match job.status.as_str() {
            "created" => None,
            _ => Some(job.failure_reason.as_deref().unwrap_or("unknown_failure")),
        },
        "pipeline_id": pipeline.id,
        "runner": job.started_at.map(|_| runner_of_event(&job.tags)),
        "project_id": project.id,
        "project_name": World::full_name_of_event(project),
        "user": world.user_of_event(),
        "commit": commit(world, pipeline, dates),
        "repository": world.repository_of_event(project),
        "project": world.project_of_event(project),
        "environment": null,
    });
    if let (DateStyle::Legacy, Some(keys)) = (dates, event.as_object_mut()) {
        keys.retain(|key, _| !key.ends_with("_iso"));
    }
    Some(event)
}

/// The `commit` of a job event, whose `id` is the pipeline's.
fn commit(world: &World, pipeline: &Pipeline, dates: DateStyle) -> Value {
    let mut commit = json!({"id": pipeline.id, "name": pipeline.name});
    let more = json!({
        "status": pipeline.status,
        "duration": duration_secs(pipeline),
        "started_at": dates.top(pipeline.started_at),
        "finished_at": dates.top(pipeline.finished_at),
        "started_at_iso": seconds(pipeline.started_at),
        "finished_at_iso": seconds(pipeline.finished_at),
    });
    if let (Some(keys), Value::Object(person), Value::Object(more)) =
        (commit.as_object_mut(), world.commit_of_job_event(&pipeline.sha), more)
    {
        keys.extend(person);
        keys.extend(more);
    }
    commit
}
