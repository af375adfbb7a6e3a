//! The queue and its journal, as events and readers see them (design, sections 4.1 and 4.2).

mod asking_again;
mod bounds;
mod coalescing;
mod failing;
mod priority;

use cistern::demo::fake::{Delivery, JobSpec, PipelineSpec, World};
use cistern::domain::{JobId, PipelineId, ProjectId};

use crate::process::outcome;
use crate::rig::eventually;
use crate::rig::{Rig, Serving};

/// A world with one project that has nothing to be found by the pass at start.
fn empty() -> (World, ProjectId) {
    let mut world = World::new();
    let project = world.add_project("group/app");
    (world, project)
}

/// Adds a pipeline of jobs that have ended and whose logs are archived: nothing needs a second look.
fn settled_jobs(rig: &Rig, project: ProjectId, count: usize) -> (PipelineId, Vec<JobId>) {
    rig.fake.with(|world| {
        let pipeline = world.add_pipeline(project, PipelineSpec::default());
        let jobs = (0..count).map(|number| settled_job(world, pipeline, &format!("unit {number}"))).collect();
        (pipeline, jobs)
    })
}

fn settled_job(world: &mut World, pipeline: PipelineId, name: &str) -> JobId {
    let job = world.add_job(pipeline, JobSpec::new(name));
    world.finish_job(job, "success");
    world.archive_trace(job);
    job
}

/// Delivers and returns the outcome word; everything but 200 and 202 fails the test.
async fn deliver(serving: &Serving, delivery: &Delivery) -> String {
    let answer = serving.deliver(delivery).await;
    assert!(matches!(answer.status, 200 | 202), "{} {}", answer.status, String::from_utf8_lossy(&answer.body));
    outcome(&answer)
}

fn job_event(rig: &Rig, job: JobId) -> Delivery {
    rig.fake.job_event(job).expect("an event")
}

fn pipeline_event(rig: &Rig, pipeline: PipelineId) -> Delivery {
    rig.fake.pipeline_event(pipeline).expect("an event")
}

/// Returns a job's log as a reader gets it, or the error that says why not.
async fn log_of(serving: &Serving, project: ProjectId, job: JobId) -> Vec<u8> {
    serving.get(&format!("/api/v4/projects/{project}/jobs/{job}/trace")).await.body
}

/// Waits until a reader gets the job's log, all that GitLab has of it.
async fn cached(rig: &Rig, serving: &Serving, project: ProjectId, job: JobId) {
    let whole = rig.fake.with(|world| world.trace(job)).expect("a log");
    assert!(!whole.is_empty(), "an empty log proves nothing");
    eventually(async || log_of(serving, project, job).await == whole).await;
}
