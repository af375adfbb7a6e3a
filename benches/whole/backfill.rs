//! The main job: a backfill of 5 projects × 10 pipelines × 20 jobs into an empty store, then again with nothing new.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use cistern::demo::fake::{FakeGitlab, Options, World};
use tempfile::TempDir;

use super::child::{self, Backfill};
use super::figure::{Aim, Figures, median};
use super::load::{Answers, Load, Request};
use super::place::Place;

/// The data set is the demo's.
const SEED: u64 = 7;

/// How long each call takes, storage hops included.
pub(crate) const LATENCY: Duration = Duration::from_millis(50);

/// What a pass with nothing new may take beside three calls in a row.
const WARM_MARGIN: Duration = Duration::from_millis(20);

/// `limits.api_calls` as it is by default.
pub(crate) const IN_FLIGHT: u64 = 20;

/// Runs of which the median is told.
const RUNS: usize = 3;

/// One run over a fresh store.
pub(crate) struct Run {
    pub(crate) backfill: Backfill,
    /// Requests of every kind that GitLab and its storage saw.
    pub(crate) requests: u64,
    /// Of those, the calls to GitLab.
    calls: u64,
}

impl Run {
    pub(crate) fn of(fake: &FakeGitlab, store: &str, arguments: &[&str]) -> Result<Self, Box<dyn Error>> {
        fake.reset_counters();
        let backfill = child::backfill(fake, store, arguments)?;
        let seen = fake.requests();
        if fake.max_in_flight() > IN_FLIGHT {
            return Err(format!("{} requests were in flight", fake.max_in_flight()).into());
        }
        Ok(Self { backfill, requests: seen.total + seen.storage, calls: seen.total })
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.backfill.summary.get("seconds").and_then(serde_json::Value::as_f64).unwrap_or(f64::NAN)
    }
}

/// Cold, then warm, with a GitLab that takes its time.
pub(crate) fn with_latency(figures: &mut Figures) -> Result<(), Box<dyn Error>> {
    takes_its_time(figures, Place::File)
}

/// The same into MongoDB.
pub(crate) fn with_latency_on_mongodb(figures: &mut Figures) -> Result<(), Box<dyn Error>> {
    takes_its_time(figures, Place::Database)
}

fn takes_its_time(figures: &mut Figures, place: Place) -> Result<(), Box<dyn Error>> {
    let directory = TempDir::new()?;
    let stores = new_stores(place, directory.path());
    let on = place.suffix();
    let fake = fake_of(5, 10, LATENCY)?;
    let mut runs = Vec::new();
    for store in &stores {
        runs.push(Run::of(&fake, store, &[])?);
    }
    let requests = runs.iter().map(|run| run.requests).max().unwrap_or(0);
    let ideal = seconds(requests, LATENCY) / IN_FLIGHT as f64;
    let what = format!("{requests} requests × 50 ms / {IN_FLIGHT}, storage hops included");
    let took = median(runs.iter().map(Run::seconds).collect());
    let name = format!("cold backfill of 5×10×20, 50 ms per call, 20 in flight{on}");
    figures.against(&name, took, "s", ideal, &what).aim(Aim::RatioAtMost(1.08));
    let walls = runs.iter().map(|run| run.backfill.wall_seconds).collect();
    figures.against("… from the start of the process to its end", median(walls), "s", ideal, "the same");
    let calls = median(runs.iter().map(|run| run.calls as f64).collect());
    let least = least_calls(&fake) as f64;
    let what = "the least that a full pass needs";
    figures.against("… GitLab calls", calls, "calls", least, what).aim(Aim::RatioAtMost(1.02));
    let census = fake.with(|world| world.census());
    for (unit, count) in [("job", census.jobs as f64), ("pipeline", census.pipelines as f64)] {
        let name = format!("… GitLab calls per {unit}, cold");
        figures.against(&name, calls / count, "calls", least / count, "the same");
    }

    let mut runs = Vec::new();
    for store in &stores {
        runs.push(Run::of(&fake, store, &[])?);
    }
    let lists = 1 + 2 * census.projects;
    let calls = median(runs.iter().map(|run| run.calls as f64).collect());
    let name = format!("warm backfill, nothing new{on}: GitLab calls");
    figures.against(&name, calls, "calls", lists as f64, "project and pipeline lists").aim(Aim::RatioAtMost(1.0));
    for (unit, count) in [("job", census.jobs as f64), ("pipeline", census.pipelines as f64)] {
        let name = format!("… GitLab calls per {unit}, warm");
        figures.against(&name, calls / count, "calls", lists as f64 / count, "the same");
    }
    let times = median(runs.iter().map(|run| run.seconds() / LATENCY.as_secs_f64()).collect());
    let what = "projects, then both lists of each project";
    let most = 3.0 + WARM_MARGIN.div_duration_f64(LATENCY);
    figures.against("… in times of one call", times, "calls", 2.0, what).aim(Aim::AtMost(most));
    Ok(())
}

/// The same with all limits 1.
pub(crate) fn one_at_a_time(figures: &mut Figures) -> Result<(), Box<dyn Error>> {
    let directory = TempDir::new()?;
    let fake = fake_of(5, 10, LATENCY)?;
    let url = |name: &str| Place::File.url(directory.path(), name);
    let run = Run::of(&fake, &url("sequential.db"), &["--sequential"])?;
    let what = format!("{} requests × 50 ms", run.requests);
    let name = "cold backfill of 5×10×20, 50 ms per call, all limits 1";
    figures.against(name, run.seconds(), "s", seconds(run.requests, LATENCY), &what);
    let mut parallel = Vec::new();
    for number in 0..RUNS {
        parallel.push(Run::of(&fake, &url(&format!("{number}.db")), &[])?.seconds());
    }
    let times = run.seconds() / median(parallel);
    let what = "as many as calls in flight";
    figures
        .against("… times the time of the default limits", times, "×", IN_FLIGHT as f64, what)
        .aim(Aim::AtLeast(18.0));
    Ok(())
}

/// Cold, with a GitLab that answers as fast as it can.
pub(crate) fn without_latency(figures: &mut Figures) -> Result<(), Box<dyn Error>> {
    as_fast_as_it_can(figures, Place::File)
}

/// The same into MongoDB.
pub(crate) fn without_latency_on_mongodb(figures: &mut Figures) -> Result<(), Box<dyn Error>> {
    as_fast_as_it_can(figures, Place::Database)
}

fn as_fast_as_it_can(figures: &mut Figures, place: Place) -> Result<(), Box<dyn Error>> {
    let directory = TempDir::new()?;
    let on = place.suffix();
    let fake = fake_of(5, 10, Duration::ZERO)?;
    let mut runs = Vec::new();
    for store in new_stores(place, directory.path()) {
        runs.push(Run::of(&fake, &store, &[])?);
    }
    let jobs = fake.with(|world| world.census().jobs) as f64;
    let rate = median(runs.iter().map(|run| jobs / run.seconds()).collect());
    let requests = runs.iter().map(|run| run.requests).max().unwrap_or(0) as f64;
    let ideal = jobs * bare_reads_per_second(&fake)? / requests;
    let what = "a bare client that asks as often and keeps nothing";
    figures.against(&format!("cold backfill of 5×10×20, no latency{on}"), rate, "jobs/s", ideal, what);
    let cpu = median(runs.iter().map(|run| run.backfill.usage.cpu_seconds * 1000.0 / jobs).collect());
    figures.plain("… processor time", cpu, "ms/job");
    let peak = median(runs.iter().map(|run| run.backfill.usage.peak_mebibytes()).collect());
    figures.plain("… peak memory", peak, "MiB");

    let fake = fake_of(5, 100, Duration::ZERO)?;
    let run = Run::of(&fake, &place.url(directory.path(), "large.db"), &[])?;
    let jobs = fake.with(|world| world.census().jobs) as f64;
    let name = format!("cold backfill of 5×100×20, no latency{on}");
    figures.against(&name, jobs / run.seconds(), "jobs/s", rate, "as fast as with a tenth of the jobs");
    figures.against(
        "… peak memory",
        run.backfill.usage.peak_mebibytes(),
        "MiB",
        peak,
        "as much as with a tenth of the jobs",
    );
    Ok(())
}

fn new_stores(place: Place, directory: &Path) -> Vec<String> {
    (0..RUNS).map(|number| place.url(directory, &format!("{number}.db"))).collect()
}

/// Starts a GitLab with pipelines of 20 jobs each.
pub(crate) fn fake_of(projects: u64, pipelines: u64, latency: Duration) -> std::io::Result<FakeGitlab> {
    FakeGitlab::start(World::demo(projects, pipelines, 20, SEED), Options { latency, ..Options::default() })
}

/// Returns how long so many requests take one after the other.
pub(crate) fn seconds(requests: u64, latency: Duration) -> f64 {
    requests as f64 * latency.as_secs_f64()
}

/// The least calls of a full pass into an empty store: every listing here is one page.
fn least_calls(fake: &FakeGitlab) -> u64 {
    let census = fake.with(|world| world.census());
    1 + 2 * census.projects + 2 * census.pipelines + census.logs + census.archives + 2 * census.reports
}

/// How often a client that does nothing else can read a log.
pub(crate) fn bare_reads_per_second(fake: &FakeGitlab) -> Result<f64, Box<dyn Error>> {
    let mut requests = Vec::new();
    fake.with(|world| {
        for project in world.projects() {
            for pipeline in world.pipelines_of(project) {
                let jobs = world.jobs_of(pipeline).into_iter().filter(|job| world.trace(*job).is_some());
                requests.extend(jobs.map(|job| format!("/api/v4/projects/{project}/jobs/{job}/trace")));
            }
        }
    });
    let token = fake.token();
    let head = |path: String| format!("GET {path} HTTP/1.1\r\nHost: gitlab\r\nPRIVATE-TOKEN: {token}\r\n\r\n");
    let requests = requests.into_iter().map(|path| Request::new(head(path).into_bytes(), Vec::new())).collect();
    let address = fake.url().trim_start_matches("http://").parse()?;
    let done = Load { address, connections: IN_FLIGHT as usize, answers: Answers::default() }.run(requests)?;
    Ok(done.per_second())
}
