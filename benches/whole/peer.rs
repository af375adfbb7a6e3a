//! The main job by another design: `benches/peer/parallel.py`, asyncio with nested semaphores, into MongoDB. The same data,
//! the same limits, in turn with ours, so that what else the machine does meets both.

use std::error::Error;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use cistern::demo::fake::FakeGitlab;
use mongodb::Client;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, Document, doc};
use tempfile::TempDir;

use super::backfill::{IN_FLIGHT, LATENCY, Run, bare_reads_per_second, fake_of, seconds};
use super::child::{self, Ended};
use super::fetched;
use super::figure::{Aim, Figures, median};
use super::place::Place;

/// Runs of which the median is told.
const RUNS: usize = 3;

/// At a GitLab that takes its time, and at one that answers as fast as it can.
pub(crate) fn measure(figures: &mut Figures) -> Result<(), Box<dyn Error>> {
    let python = match fetched::python() {
        Ok(python) => python,
        Err(why) => {
            let name = "cold backfill of 5×10×20 by asyncio in Python into MongoDB: times the time of ours";
            figures.absent(name, &format!("cannot be had: {why}")).aim(Aim::AtLeast(1.6));
            return Ok(());
        }
    };
    let fake = fake_of(5, 10, LATENCY)?;
    compare(figures, &python, &fake, "50 ms per call", 1.6, |requests| {
        Ok((seconds(requests, LATENCY) / IN_FLIGHT as f64, "calls of 50 ms, 20 in flight, and nothing else"))
    })?;
    let fake = fake_of(5, 10, Duration::ZERO)?;
    compare(figures, &python, &fake, "no latency", 10.0, |requests| {
        Ok((requests as f64 / bare_reads_per_second(&fake)?, "a bare client that asks as often and keeps nothing"))
    })
}

/// Measures both; `ideal` returns the least seconds that so many requests take, and of whom.
fn compare(
    figures: &mut Figures,
    python: &Path,
    fake: &FakeGitlab,
    latency: &str,
    least: f64,
    ideal: impl Fn(u64) -> Result<(f64, &'static str), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let directory = TempDir::new()?;
    let places = [Place::File, Place::Database];
    let (mut theirs, mut ours) = (Vec::new(), places.map(|_| Vec::new()));
    for number in 0..RUNS {
        theirs.push(Peer::run(python, fake)?);
        for (place, ours) in places.into_iter().zip(&mut ours) {
            ours.push(Run::of(fake, &place.url(directory.path(), &format!("{number}.db")), &[])?);
        }
    }
    let took = median(theirs.iter().map(|run| run.seconds).collect());
    let cpu = median(theirs.iter().map(|run| run.ended.usage.cpu_seconds).collect());
    let requests = theirs.iter().map(|run| run.requests).max().unwrap_or(0);
    let (fastest, what) = ideal(requests)?;
    let name = format!("cold backfill of 5×10×20 by asyncio in Python into MongoDB, {latency}");
    figures.against(&name, took, "s", fastest, &format!("{requests} requests: {what}"));
    figures.plain("… processor time", cpu, "s");
    let all = fake.with(|world| world.census().logs) as f64;
    let logs = theirs.iter().map(|run| run.logs as f64).fold(all, f64::min);
    figures.against("… logs that it stored", logs, "logs", all, "it lists neither retried jobs nor child pipelines");
    for (place, ours) in places.into_iter().zip(ours) {
        let on = place.suffix();
        let requests = ours.iter().map(|run| run.requests).max().unwrap_or(0);
        let times = took / median(ours.iter().map(Run::seconds).collect());
        let (fastest, what) = ideal(requests)?;
        let (name, what) = (format!("… times the time of ours{on}"), format!("{requests} requests: {what}"));
        figures.against(&name, times, "×", took / fastest, &what).aim(Aim::AtLeast(least));
        figures.plain(&format!("… times the time of ours for each log stored{on}"), times * all / logs, "×");
        let share = median(ours.iter().map(|run| run.backfill.usage.cpu_seconds).collect()) / cpu;
        figures.plain(&format!("… part of its processor time that ours takes{on}"), share, "×").aim(Aim::AtMost(0.1));
    }
    Ok(())
}

/// One run of the peer.
struct Peer {
    /// From its first call to its end, as it says: without its start, as with ours.
    seconds: f64,
    ended: Ended,
    /// Requests of every kind that GitLab and its storage saw.
    requests: u64,
    /// Logs that it stored.
    logs: u64,
}

impl Peer {
    fn run(python: &Path, fake: &FakeGitlab) -> Result<Self, Box<dyn Error>> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peer/parallel.py");
        let store = Place::Database.url(Path::new(""), "");
        fake.reset_counters();
        let mut program = Command::new(python);
        program.arg(script).args([fake.url(), fake.token(), &store]).stdin(Stdio::null());
        let ended = child::run(&mut program)?;
        let seen = fake.requests();
        if fake.max_in_flight() > IN_FLIGHT {
            return Err(format!("the peer had {} requests in flight", fake.max_in_flight()).into());
        }
        let said = |field: &str| ended.answer.split_whitespace().find_map(|word| word.strip_prefix(field));
        let seconds = said("seconds=").and_then(|seconds| seconds.parse().ok()).ok_or("the peer said no seconds")?;
        let jobs = said("jobs=").and_then(|jobs| jobs.parse().ok()).ok_or("the peer said no jobs")?;
        let logs = stored(&store, jobs, seen.storage)?;
        Ok(Self { seconds, requests: seen.total + seen.storage, logs, ended })
    }
}

/// Returns how many logs the peer stored, and makes sure that it stored what it asked for: its design leaves out silently
/// what fails.
fn stored(store: &str, jobs: u64, downloads: u64) -> Result<u64, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (logs, filled, tests, archives) = runtime.block_on(async {
        let database = Client::with_uri_str(store).await?.default_database().ok_or("the URL names a database")?;
        let count =
            async |collection, filter| database.collection::<Document>(collection).count_documents(filter).await;
        let empty = Binary { subtype: BinarySubtype::Generic, bytes: Vec::new() };
        let filled = count("logs", doc! { "log": { "$nin": [Bson::Null, empty] } }).await?;
        let (logs, tests) = (count("logs", doc! {}).await?, count("tests", doc! {}).await?);
        let archives = count("artifacts.files", doc! {}).await?;
        database.drop().await?;
        Ok::<_, Box<dyn Error>>((logs, filled, tests, archives))
    })?;
    if (logs, tests, archives) == (jobs, jobs, downloads) {
        return Ok(filled);
    }
    let kept = format!("{logs} logs, {tests} reports, {archives} archives");
    Err(format!("the peer kept {kept} of {jobs} jobs and {downloads} downloads").into())
}
