//! How fresh answers are, what they cost GitLab, and what HTTP promises about them.

mod conditional;
mod listings;
mod misses;
mod moved;
mod parts;
mod paths;
mod projects;
mod running;
mod unreachable;

use std::net::SocketAddr;
use std::time::Duration;

use cistern::demo::fake::{JobSpec, Log, Options, PipelineSpec, World};
use cistern::domain::{JobId, PipelineId, ProjectId};

use crate::rig::{Rig, Sent as Answer, ask};

const STORE: &str = "cistern.db";

async fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, "GET", path, &[]).await
}

/// Asks the same many times at once.
async fn get_at_once(address: SocketAddr, path: &str, readers: usize) -> Vec<Answer> {
    futures_util::future::join_all((0..readers).map(|_| get(address, path))).await
}

/// A GitLab so slow that all of many readers ask before it answers the first, also on a busy machine.
fn slow() -> Options {
    Options { latency: Duration::from_millis(400), ..Options::default() }
}

/// A GitLab with one project, and a Cistern that reads through.
fn reading_through(options: Options) -> (Rig, ProjectId) {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let rig = Rig::with(world, options).set("api.read_through", "true");
    (rig, project)
}

/// Adds a job that nobody announces.
fn add_job(rig: &Rig, project: ProjectId, spec: JobSpec, status: &str) -> (PipelineId, JobId) {
    rig.fake.with(|world| {
        let pipeline = world.add_pipeline(project, PipelineSpec::default());
        let job = world.add_job(pipeline, spec);
        world.start_job(job);
        if status != "running" {
            world.finish_job(job, status);
            world.archive_trace(job);
        }
        (pipeline, job)
    })
}

fn job_with_log(text: &str) -> JobSpec {
    JobSpec::new("unit").log(Log::bytes(text.as_bytes().to_vec()))
}

fn job_path(project: ProjectId, job: JobId) -> String {
    format!("/api/v4/projects/{project}/jobs/{job}")
}
