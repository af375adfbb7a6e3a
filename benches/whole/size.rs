//! What the program takes: on disk as a file, in memory while idle, and for the logs that it keeps.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Duration;

use cistern::demo::fake::{FakeGitlab, JobSpec, Log, Options, PipelineSpec, World};
use serde_json::Value;
use tempfile::TempDir;

use super::child::{self, Server};
use super::figure::{Aim, Figures};
use super::place::Place;

/// How long a service is left alone before it counts as idle.
const SETTLING: Duration = Duration::from_secs(3);

/// The program's file, as this command built it.
pub(crate) fn binary(figures: &mut Figures) -> Result<(), Box<dyn Error>> {
    let bytes = fs::metadata(env!("CARGO_BIN_EXE_cistern"))?.len() as f64;
    figures.plain("the program's file, release build", bytes / 1e6, "MB").aim(Aim::AtMost(18.0));
    Ok(())
}

/// Memory of a service that has cached everything and has nothing to do, on both stores.
pub(crate) fn idle(figures: &mut Figures) -> Result<(), Box<dyn Error>> {
    for place in [Place::File, Place::Database] {
        let directory = TempDir::new()?;
        let fake = FakeGitlab::start(World::demo(5, 10, 20, 7), Options::default())?;
        let store = place.url(directory.path(), "cistern.db");
        child::backfill(&fake, &store, &[])?;
        let server = Server::start(&fake, &store)?;
        #[expect(clippy::disallowed_methods, reason = "there is nothing else to do on this thread")]
        std::thread::sleep(SETTLING);
        let name = format!("memory of an idle service with 1000 cached jobs{}", place.suffix());
        figures.plain(&name, server.usage().mebibytes(), "MiB").aim(Aim::AtMost(40.0));
    }
    Ok(())
}

/// Real build logs, ingested as any others: what they take in the store beside what GitLab delivered.
pub(crate) fn logs(figures: &mut Figures) -> Result<(), Box<dyn Error>> {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let mut raw = 0;
    for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/logs"))? {
        let log = fs::read(file?.path())?;
        raw += log.len() as u64;
        let job = world.add_job(pipeline, JobSpec::new("build").log(Log::bytes(log)));
        world.start_job(job);
        world.finish_job(job, "success");
        world.archive_trace(job);
    }
    let directory = TempDir::new()?;
    let fake = FakeGitlab::start(world, Options::default())?;
    let store = Place::File.url(directory.path(), "cistern.db");
    child::backfill(&fake, &store, &[])?;
    let stats = child::stats(&fake, &store)?;
    let stored = |field: &str| stats.pointer(&format!("/kinds/log/{field}")).and_then(Value::as_u64);
    let (bytes, stored) = stored("bytes").zip(stored("stored_bytes")).ok_or("stats tells of logs")?;
    if bytes != raw {
        return Err(format!("{bytes} of {raw} bytes of logs were cached").into());
    }
    let name = "real build logs (fixtures/logs), stored";
    figures.against(name, stored as f64 / 1e3, "kB", raw as f64 / 1e3, "raw, with GitLab's time stamps");
    figures.plain("… raw in times of that", raw as f64 / stored as f64, "×").aim(Aim::AtLeast(8.0));
    Ok(())
}
