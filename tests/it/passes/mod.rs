//! Passes over GitLab: what they cost, what they find, and how far they say that they came (design, sections 4.3, 4.7).

mod calls;
mod ci;
mod endless;
mod failing;
mod finds;
mod moving;
mod named;
mod odd;
mod paging;
mod watermark;

use std::time::Duration;

use cistern::demo::fake::{JobSpec, PipelineSpec, World};
use cistern::domain::{JobId, PipelineId, ProjectId, Timestamp};
use cistern::reconcile::Extent;

/// All that GitLab has.
const FULL: Extent = Extent::Full(Duration::from_secs(3650 * 86_400));

/// A world whose clock stands, an hour before ours.
fn world() -> World {
    World::at(Timestamp::from_millis(Timestamp::now().minus(Duration::from_secs(3600)).as_millis() / 1000 * 1000))
}

/// Adds a pipeline with one job that succeeded and whose log is archived.
fn done(world: &mut World, project: ProjectId) -> (PipelineId, JobId) {
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let job = world.add_job(pipeline, JobSpec::new("unit"));
    run(world, job);
    (pipeline, job)
}

/// Lets a job succeed.
fn run(world: &mut World, job: JobId) {
    world.start_job(job);
    world.finish_job(job, "success");
    world.archive_trace(job);
}
