//! What a service needs beside what it has when idle, while it caches a log and an archive that are as large as they come.

use std::error::Error;
use std::time::Duration;

use cistern::demo::fake::{FakeGitlab, JobSpec, Log, Options, PipelineSpec, World};
use tempfile::TempDir;

use super::child::{SIGNING_TOKEN, Server};
use super::figure::{Aim, Figures};
use super::live::{Cached, send};
use super::parts_of::{archive, log};
use super::place::Place;

const LOG_BYTES: usize = 500_000_000;

/// Between two looks whether both are cached, and how many there are at most.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const LOOKS: u32 = 6_000;

/// One job's event, and then both at the same time.
pub(crate) fn measure(figures: &mut Figures) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for place in [Place::File, Place::Database] {
        runtime.block_on(cache(figures, place))?;
    }
    Ok(())
}

async fn cache(figures: &mut Figures, place: Place) -> Result<(), Box<dyn Error>> {
    let directory = TempDir::new()?;
    let mut world = World::new();
    let project = world.add_project("group/app");
    let options = Options { signing_token: Some(SIGNING_TOKEN.to_owned()), ..Options::default() };
    let fake = FakeGitlab::start(world, options)?;
    let settings = [("LIMITS_LOG_SIZE", "1GiB")];
    let server = Server::start_with(&fake, &place.url(directory.path(), "cistern.db"), &settings)?;
    let both = JobSpec::new("large").log(Log::bytes(log(LOG_BYTES))).archive(archive()?);
    let job = fake.with(|world| {
        let pipeline = world.add_pipeline(project, PipelineSpec::default());
        let job = world.add_job(pipeline, both);
        world.start_job(job);
        world.finish_job(job, "success");
        world.archive_trace(job);
        job
    });
    let idle = server.usage().mebibytes();
    send(&fake, &server, job).await?;
    let mut looks = 0;
    while Cached::now(&server).await?.events < 1.0 {
        looks += 1;
        if looks > LOOKS {
            return Err("a log of 500 MB and an archive of 1 GiB are not cached".into());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let more = server.usage().peak_mebibytes() - idle;
    let name = format!("memory beside that of the idle service while it caches 500 MB and 1 GiB{}", place.suffix());
    figures.plain(&name, more, "MiB").aim(Aim::AtMost(32.0));
    Ok(())
}
