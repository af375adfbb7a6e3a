//! Several `cistern serve` on one database: what they share, what they take over from each other, and what they do while
//! the database is away.

mod burst;
mod frozen;
mod killed;
mod outage;
mod permits;
mod rate;
mod starting;
mod sweeping;

use std::time::Duration;

use cistern::demo::fake::{Endpoint, Fault, FaultKind, JobSpec, PipelineSpec, World};
use cistern::domain::{JobKey, PipelineId, ProjectId};
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::process::Server;
use crate::rig::{Engine, Rig, eventually_by};

/// The store of all replicas.
pub(crate) const STORE: &str = "cistern.db";

/// How long a whole burst may take: hundreds of jobs, each a few round trips of a program that is not optimised.
pub(crate) const BURST: Duration = Duration::from_secs(60);

/// How many of these tests run at a time: each has several processes, and those that promise times run alone.
const PLACES: u32 = 4;
static MACHINE: Semaphore = Semaphore::const_new(PLACES as usize);

/// How many readers ask at once.
const READERS: usize = 8;

/// Waits for a place on the machine, beside others of these tests.
async fn place() -> SemaphorePermit<'static> {
    MACHINE.acquire().await.expect("never closed")
}

/// Waits until no other one of these tests runs: for one that measures times.
pub(crate) async fn alone() -> SemaphorePermit<'static> {
    MACHINE.acquire_many(PLACES).await.expect("never closed")
}

/// Starts so many replicas on one database.
async fn replicas(rig: &Rig, count: usize) -> Vec<Server> {
    join_all((0..count).map(|_| Server::start(rig, STORE))).await
}

/// An empty project, and replicas that know it and cannot sweep: what they cache came with an event.
pub(crate) async fn replicas_that_only_listen(
    count: usize,
    settings: &[(&str, &str)],
) -> (Rig, ProjectId, Vec<Server>) {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let rig = settings.iter().fold(Rig::new(world).on(Engine::Mongo), |rig, (key, value)| rig.set(key, value));
    let first = Server::start(&rig, STORE).await;
    first.until_swept().await;
    rig.fake.inject(Fault::new(FaultKind::HtmlStatus(503)).on(Endpoint::Projects));
    let mut servers = vec![first];
    servers.extend(replicas(&rig, count - 1).await);
    (rig, project, servers)
}

pub(crate) fn new_pipeline(rig: &Rig, project: ProjectId) -> PipelineId {
    rig.fake.with(|world| world.add_pipeline(project, PipelineSpec::default()))
}

/// Lets so many jobs end; nothing about their logs is left to come.
pub(crate) fn ended_jobs(rig: &Rig, pipeline: PipelineId, count: usize) -> Vec<JobKey> {
    rig.fake.with(|world| {
        let project = world.project_of_pipeline(pipeline).expect("a project");
        let ended = |world: &mut World, number| {
            let job = world.add_job(pipeline, JobSpec::new(&format!("unit {number}")));
            world.finish_job(job, "success");
            world.archive_trace(job);
            JobKey { project, job }
        };
        (0..count).map(|number| ended(world, number)).collect()
    })
}

/// Waits until readers of this replica get the logs of all these jobs, as GitLab has them.
pub(crate) async fn until_all_cached(rig: &Rig, server: &Server, jobs: &[JobKey], deadline: Instant) {
    let readers = stream::iter(jobs.to_vec()).for_each_concurrent(READERS, |job| async move {
        let whole = rig.fake.with(|world| world.trace(job.job)).expect("a log");
        assert!(!whole.is_empty(), "an empty log proves nothing");
        // Where the job is not known the body is an error.
        eventually_by(deadline, async || server.log_of(job).await == whole).await;
    });
    readers.await;
}
