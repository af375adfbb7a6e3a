//! The demo: a made-up GitLab, the full backfill, live webhooks, and the figures, with one command.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::fake::{FakeGitlab, Options as FakeOptions, World};
use super::webhooks;
use crate::app::{Engine, Listeners, Service};
use crate::config::{Config, Flags, Needs, Parallel, Surroundings};
use crate::domain::{JobId, PipelineId, ProjectId};
use crate::progress::{Progress, Summary, say, tell};
use crate::reconcile::{Extent, Only, Report};
use crate::scratch::Scratch;

/// The data set's seed: every demo shows the same data.
const SEED: u64 = 7;

/// How much of the data the sequential comparison takes: a whole one would take minutes.
const SEQUENTIAL_PIPELINES: u32 = 2;

/// How far back the demo's backfill goes: further than its oldest pipeline.
const SINCE: Duration = Duration::from_secs(365 * 24 * 3600);

/// A signing token as GitLab makes them; the demo's GitLab and service share it.
const SIGNING_TOKEN: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// How large the demo is.
#[derive(Debug, Clone)]
pub struct Options {
    /// End after the summary.
    pub exit: bool,
    /// Projects.
    pub projects: u32,
    /// Pipelines of each project.
    pub pipelines: u32,
    /// Jobs of each pipeline.
    pub jobs: u32,
    /// How long each call to the made-up GitLab takes.
    pub latency: Duration,
    /// Settings over those of the demo: listeners and limits.
    pub settings: Flags,
}

/// Whatever ends a demo early.
pub type Trouble = Box<dyn std::error::Error + Send + Sync>;

/// Runs the demo; with `exit` it returns after the summary, otherwise when `stop` is cancelled. Returns whether everything
/// was cached.
pub async fn run(options: &Options, progress: &Progress, stop: &CancellationToken) -> Result<bool, Trouble> {
    let scratch = Scratch::new("demo")?;
    let Staged { fake, service, all_well } = tokio::select! {
        staged = stage(options, progress, &scratch) => staged?,
        () = stop.cancelled() => return Ok(false),
    };
    if !options.exit {
        tell("\nCtrl-C ends it.");
        stop.cancelled().await;
    }
    service.stop().await;
    fake.stop().await?;
    Ok(all_well)
}

/// What stays up after the summary.
struct Staged {
    fake: FakeGitlab,
    service: Service,
    all_well: bool,
}

/// Shows everything up to the summary.
async fn stage(options: &Options, progress: &Progress, scratch: &Scratch) -> Result<Staged, Trouble> {
    let fake = start(options, options.projects, options.pipelines)?;
    tell(format_args!(
        "A made-up GitLab listens on {} and takes {:?} for each call; its token is {}.",
        fake.url(),
        options.latency,
        fake.token()
    ));
    tell(format_args!(
        "Backfill of {} projects × {} pipelines × {} jobs:\n",
        options.projects, options.pipelines, options.jobs
    ));
    progress.begin();
    let parallel = backfill(configure(&fake, scratch, "demo.db", &options.settings)?, progress).await?;
    progress.finish();
    tell(parallel.in_words().trim_end());

    let config = configure(&fake, scratch, "demo.db", &options.settings)?;
    let listeners = Listeners::bind(&config)?;
    let engine = Engine::open(&config, "serve", Progress::silent().observer()).await?;
    let store = engine.store.clone();
    let service = Service::start(&config, engine, listeners).await?;
    tell(format_args!("\nThe service listens on {}. GitLab now sends signed webhooks:\n", service.address()));
    let cached = webhooks::play(&fake, &store, service.address()).await?;

    let small = start(options, 1, SEQUENTIAL_PIPELINES.min(options.pipelines))?;
    let mut one_by_one = configure(&small, scratch, "sequential.db", &options.settings)?;
    one_by_one.limits.parallel = Parallel::SEQUENTIAL;
    let sequential = backfill(one_by_one, &Progress::silent()).await?;
    small.stop().await?;
    say(&compare(&parallel, &sequential));
    let sample = fake.with(|world| sample(world)).ok_or("the made-up GitLab has no job")?;
    say(&where_to_read(service.address(), service.admin_address(), sample));
    Ok(Staged { fake, service, all_well: cached && parallel.pass.is_clean() })
}

fn start(options: &Options, projects: u32, pipelines: u32) -> std::io::Result<FakeGitlab> {
    let world = World::demo(projects.into(), pipelines.into(), options.jobs.into(), SEED);
    let fake_options = FakeOptions {
        latency: options.latency,
        signing_token: Some(SIGNING_TOKEN.to_owned()),
        ..FakeOptions::default()
    };
    FakeGitlab::start(world, fake_options)
}

/// One full pass over a fake into a store of its own.
async fn backfill(config: Config, progress: &Progress) -> Result<Summary, Trouble> {
    let engine = Engine::open(&config, "backfill", progress.observer()).await?;
    let reconciler = engine.reconciler.clone();
    let running = engine.start().await;
    let report = reconciler.pass(Extent::Full(SINCE), &Only::All, Duration::ZERO).await;
    running.stop(Duration::from_secs(5)).await;
    Ok(Summary::new(report?, progress.counts()))
}

/// The configuration of a demo: what a person would set, and a schedule that fits into a minute.
fn configure(fake: &FakeGitlab, scratch: &Scratch, store: &str, over: &Flags) -> Result<Config, Trouble> {
    let mut flags = Flags::default();
    flags.set("gitlab.url", fake.url());
    flags.set("gitlab.token", fake.token());
    flags.set("store.url", format!("sqlite://{}", scratch.path().join(store).display()));
    flags.set("server.listen", "127.0.0.1:0");
    flags.set("server.admin_listen", "127.0.0.1:0");
    flags.set("webhook.signing_tokens", SIGNING_TOKEN);
    flags.set("webhook.refresh", "1s");
    flags.set("reconcile.since", "365d");
    flags.set("schedule.scale", "0.02");
    flags.set_all(over);
    Ok(Config::load(&flags, &Surroundings::empty(), Needs::Gitlab)?)
}

/// The summary of section 1 beside the same with all limits at 1.
fn compare(parallel: &Summary, sequential: &Summary) -> String {
    let calls = |summary: &Summary| summary.gitlab_calls + summary.pass.storage_calls;
    let Summary { gitlab_calls, pass: Report { storage_calls, .. }, .. } = parallel;
    let (all, part) = (calls(parallel), calls(sequential));
    let scaled = if part == 0 { 0.0 } else { sequential.seconds / part as f64 * all as f64 };
    let faster = if parallel.seconds > 0.0 { scaled / parallel.seconds } else { 0.0 };
    format!(
        "\nParallel    {}\
         Sequential  {:.1} s for the same {gitlab_calls} calls and {storage_calls} downloads from GitLab's storage, scaled from {part} \
         of them ({} of {} pipelines) that took {:.2} s one at a time\n\
         Speed-up    {faster:.1} ×\n",
        parallel.in_words(),
        scaled,
        sequential.pipelines,
        parallel.pipelines,
        sequential.seconds,
    )
}

/// Returns a job that has everything there is to read, or any one where the demo is too small for that.
fn sample(world: &World) -> Option<(ProjectId, PipelineId, JobId)> {
    let project = world.projects().first().copied()?;
    let jobs = |pipeline| world.jobs_of(pipeline).into_iter().map(move |job| (project, pipeline, job));
    let jobs: Vec<_> = world.pipelines_of(project).into_iter().flat_map(jobs).collect();
    let whole = jobs.iter().find(|(_, _, job)| world.job_name(*job) == Some("unit") && world.archive(*job).is_some());
    whole.or(jobs.first()).copied()
}

fn where_to_read(
    address: SocketAddr,
    admin: SocketAddr,
    (project, pipeline, job): (ProjectId, PipelineId, JobId),
) -> String {
    let base = format!("http://{address}/api/v4/projects");
    format!(
        "\nRead it; what is final costs no call to GitLab, a list one when it is older than api.max_age (30 s):\n\
         \x20 curl {base}\n\
         \x20 curl {base}/{project}/pipelines\n\
         \x20 curl {base}/{project}/pipelines/{pipeline}/jobs\n\
         \x20 curl {base}/{project}/pipelines/{pipeline}/test_report\n\
         \x20 curl {base}/{project}/jobs/{job}/trace\n\
         \x20 curl {base}/{project}/jobs/{job}/artifacts -o artifacts.zip\n\
         \x20 curl http://{admin}/status\n\
         \x20 curl http://{admin}/metrics\n"
    )
}

/// How long something took, in words.
pub(super) fn since(began: Instant) -> String {
    format!("{:.0} ms", began.elapsed().as_secs_f64() * 1000.0)
}
