//! What the sender of an event experiences: from its acceptance until everything it announced is cached.

use std::error::Error;
use std::time::Duration;

use cistern::demo::fake::{Archive, FakeGitlab, JobSpec, Options, World};
use cistern::domain::{JobId, ProjectId};
use cistern::loopback;
use cistern::webhook::PATH;
use tempfile::TempDir;

use super::child::{SIGNING_TOKEN, Server};
use super::figure::{Aim, Figures};
use super::place::Place;

/// How long each call to GitLab takes.
const LATENCY: Duration = Duration::from_millis(50);

/// Events whose time counts; as many go before them.
const EVENTS: u32 = 20;

/// Between two looks whether an event's job is cached.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// An event of an ended job with a log and an archive, while there is nothing else to do and while there is very much.
pub(crate) fn measure(figures: &mut Figures) -> Result<(), Box<dyn Error>> {
    let idle = seconds_to_cached(World::new())?;
    let ideal = 3.0 * LATENCY.as_secs_f64() * 1000.0;
    let what = "three calls of 50 ms: the job, its archive, the storage";
    let name = "an ended job's event to its log and archive being cached";
    figures.against(name, idle * 1000.0, "ms", ideal, what).aim(Aim::RatioAtMost(1.2));
    // Its pass at start has more to fetch than the events take.
    let busy = seconds_to_cached(World::demo(5, 100, 20, 7))?;
    let name = "… during a full backfill";
    figures.against(name, busy * 1000.0, "ms", idle * 1000.0, "as when it is idle").aim(Aim::RatioAtMost(2.0));
    Ok(())
}

/// Returns how long an event takes on average beside the pass over a world at start.
fn seconds_to_cached(world: World) -> Result<f64, Box<dyn Error>> {
    let directory = TempDir::new()?;
    let signing_token = Some(SIGNING_TOKEN.to_owned());
    let fake = FakeGitlab::start(world, Options { latency: LATENCY, signing_token, ..Options::default() })?;
    let project = fake.with(|world| world.add_project("group/app"));
    let server = Server::start(&fake, &Place::File.url(directory.path(), "cistern.db"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let before = Cached::after(&fake, &server, project, EVENTS).await?;
        let after = Cached::after(&fake, &server, project, 2 * EVENTS).await?;
        Ok((after.seconds - before.seconds) / f64::from(EVENTS))
    })
}

/// `event_to_cached_seconds` at one time.
pub(crate) struct Cached {
    pub(crate) events: f64,
    seconds: f64,
}

impl Cached {
    /// Sends one event after the other until so many are cached.
    async fn after(
        fake: &FakeGitlab,
        server: &Server,
        project: ProjectId,
        events: u32,
    ) -> Result<Self, Box<dyn Error>> {
        loop {
            let before = Self::now(server).await?;
            if before.events >= f64::from(events) {
                return Ok(before);
            }
            send(fake, server, ended_job(fake, project)?).await?;
            while Self::now(server).await?.events <= before.events {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }

    pub(crate) async fn now(server: &Server) -> Result<Self, Box<dyn Error>> {
        let answer = loopback::send(server.admin_address, "GET", "/metrics", &[], b"").await?;
        let metrics = String::from_utf8(answer.body)?;
        let value = |name: &str| {
            let name = format!("cistern_event_to_cached_seconds_{name} ");
            metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or(0.0)
        };
        Ok(Self { events: value("count"), seconds: value("sum") })
    }
}

fn ended_job(fake: &FakeGitlab, project: ProjectId) -> Result<JobId, Box<dyn Error>> {
    let archive = Archive::zip([("report.txt", &b"all is well"[..])])?;
    Ok(fake.with(|world| {
        let pipeline = world.add_pipeline(project, Default::default());
        let job = world.add_job(pipeline, JobSpec::new("unit").archive(archive));
        world.start_job(job);
        world.finish_job(job, "success");
        world.archive_trace(job);
        job
    }))
}

/// Sends the event of a job, which has to be accepted.
pub(crate) async fn send(fake: &FakeGitlab, server: &Server, job: JobId) -> Result<(), Box<dyn Error>> {
    let delivery = fake.job_event(job).ok_or("the job has an event")?;
    let headers: Vec<(String, String)> =
        delivery.headers().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let answer = loopback::send(server.address, "POST", PATH, &headers, &delivery.body()).await?;
    if answer.status == 202 { Ok(()) } else { Err(format!("answered {}", answer.status).into()) }
}
