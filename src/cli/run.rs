//! From a verb to its end: configuration, logging, the work, the exit code.

use std::io::IsTerminal;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::args::{Backfill, Cli, Output, Verb};
use super::named::Named;
use super::signals::{Interrupts, interrupted, unless_interrupted};
use super::{Exit, check, completions, forget, healthcheck, hooks, prune, read, stats, verify, work};
use crate::api::openapi;
use crate::app::{self, Engine, Listeners, OpenError, Service};
use crate::config::{Config, Flags, Parallel, Surroundings};
use crate::progress::{self, Progress, Summary, say, tell};
use crate::reconcile::{Extent, PassError};
use crate::scratch::Scratch;
use crate::store::Place;
use crate::telemetry::{self, AboveBars, Format};
use crate::{demo, gitlab};

/// Runs a verb to its end. Answers go to stdout, everything else to stderr.
pub async fn run(cli: Cli, around: &Surroundings) -> Exit {
    match verb(cli, around).await {
        // Whoever reads the answer later has none.
        Exit::Done | Exit::Incomplete if progress::is_unsaid() => Exit::CouldNotRun,
        exit => exit,
    }
}

async fn verb(cli: Cli, around: &Surroundings) -> Exit {
    // These are the same whatever is configured.
    if cli.verb == Verb::Openapi {
        say(&openapi::text());
        return Exit::Done;
    }
    if let Verb::Completions(args) = &cli.verb {
        say(&completions::script(args.shell));
        return Exit::Done;
    }
    let config = match Config::load(&cli.flags, around, cli.verb.needs()) {
        Ok(config) => config,
        Err(mistakes) => {
            tell(mistakes);
            return Exit::Usage;
        }
    };
    match cli.verb {
        Verb::Serve => serve(&config).await,
        Verb::Backfill(args) => backfill(config, args).await,
        Verb::Verify(args) => verify::run(config, args).await,
        Verb::Check(args) => {
            let findings = check::findings(&config).await;
            answer(args.output, &findings, || findings.iter().map(|finding| format!("{finding}\n")).collect());
            check::judge(&findings)
        }
        Verb::Openapi | Verb::Completions(_) => Exit::Done,
        Verb::Log(args) => read::log(&config, args).await,
        Verb::Artifacts(args) => read::artifacts(&config, args).await,
        Verb::Hooks(verb) => match log(&config, None) {
            Ok(()) => hooks::run(&config, verb).await,
            Err(exit) => exit,
        },
        Verb::Work(args) => work::run(&config, args).await,
        Verb::Forget(args) => forget::run(&config, args).await,
        Verb::Prune(args) => prune::run(&config, args).await,
        Verb::Stats(args) => stats::run(&config, args).await,
        Verb::Demo(args) => demo(args, config, cli.flags).await,
        Verb::Healthcheck(args) => healthcheck::run(&config, args).await,
    }
}

async fn serve(config: &Config) -> Exit {
    if let Err(exit) = log(config, None) {
        return exit;
    }
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    // It has no end of its own: whoever asks it to end gets what was asked for, also while it starts.
    let mut interrupts = Interrupts::listen();
    app::prepare(config);
    // Bound before anything is opened, so that a taken port is told at once.
    let listeners = match Listeners::bind(config) {
        Ok(listeners) => listeners,
        Err(error) => return could_not_run(&error),
    };
    let observer = std::sync::Arc::new(|unit: &crate::ingest::Unit| {
        if let Some(line) = progress::line(unit) {
            tracing::debug!(project.id = unit.target.project().0, "{line}");
        }
    });
    let started = async {
        let engine = Engine::open(config, "serve", observer).await.map_err(|error| could_not_open(&error))?;
        Service::start(config, engine, listeners).await.map_err(|error| could_not_run(&error))
    };
    let service = tokio::select! {
        started = started => match started {
            Ok(service) => service,
            Err(exit) => return exit,
        },
        _ = interrupts.first() => return Exit::Done,
    };
    tracing::info!(listen = %service.address(), admin.listen = %service.admin_address(), "serving");
    interrupts.first().await;
    match service.stop().await {
        0 => Exit::Done,
        _ => Exit::Incomplete,
    }
}

async fn backfill(mut config: Config, args: Backfill) -> Exit {
    let progress = if args.dry_run { Progress::silent() } else { Progress::on_stderr() };
    if let Err(exit) = log(&config, progress.multi()) {
        return exit;
    }
    if args.sequential {
        config.limits.parallel = Parallel::SEQUENTIAL;
    }
    let _elsewhere = match if args.dry_run { look_elsewhere(&mut config) } else { Ok(None) } {
        Ok(scratch) => scratch,
        Err(error) => return could_not_run(&error),
    };
    let engine = match Engine::open(&config, "backfill", progress.observer()).await {
        Ok(engine) => engine,
        Err(error) => return could_not_open(&error),
    };
    let since = args.since.unwrap_or(config.reconcile.since);
    let (reconciler, store, gitlab) = (engine.reconciler.clone(), engine.store.clone(), engine.gitlab.clone());
    let running = if args.dry_run { engine.start_asking().await } else { engine.start().await };
    let stop = CancellationToken::new();
    let work = async {
        let named = Named::find(args.projects, &store, &gitlab).await?;
        let only = named.only();
        if args.dry_run {
            let forecast = reconciler.forecast(since, &only).await?;
            answer(args.output, &forecast, || forecast.in_words());
            return Ok(named.judge(if forecast.skipped.is_empty() { Exit::Done } else { Exit::Incomplete }));
        }
        progress.begin();
        let report = reconciler.pass(Extent::Full(since), &only, args.wait).await?;
        progress.finish();
        let summary = Summary::new(report, progress.counts());
        answer(args.output, &summary, || summary.in_words());
        Ok(named.judge(if summary.pass.is_clean() { Exit::Done } else { Exit::Incomplete }))
    };
    let ended = unless_interrupted(work, &stop).await;
    progress.finish();
    running.stop(if ended.is_ok() { Duration::from_secs(5) } else { Duration::from_secs(1) }).await;
    match ended {
        Ok(result) => result.unwrap_or_else(|error| could_not_pass(&config, &error)),
        Err(exit) => {
            tell("cistern: interrupted; what was cached stays, the next run goes on from there");
            exit
        }
    }
}

/// For a verb that only looks: a store file that does not exist is as good as an empty one, which is made elsewhere and goes with
/// the value that is returned. A directory that does not exist stays a mistake.
pub(super) fn look_elsewhere(config: &mut Config) -> std::io::Result<Option<Scratch>> {
    let Place::Sqlite(path) = &config.store.place else { return Ok(None) };
    let beside = std::path::absolute(path)?;
    if beside.exists() || !beside.parent().is_some_and(std::path::Path::is_dir) {
        return Ok(None);
    }
    let scratch = Scratch::new("look")?;
    config.store.place = Place::Sqlite(scratch.path().join("cistern.db"));
    Ok(Some(scratch))
}

async fn demo(args: super::args::Demo, mut config: Config, flags: Flags) -> Exit {
    let progress = Progress::on_stderr();
    // The script tells what happens; the service's own lines would stand between its own.
    if config.log.level == "info" {
        "error".clone_into(&mut config.log.level);
    }
    if let Err(exit) = log(&config, progress.multi()) {
        return exit;
    }
    let stop = CancellationToken::new();
    let options = demo::Options {
        exit: args.exit,
        projects: args.projects,
        pipelines: args.pipelines,
        jobs: args.jobs,
        latency: args.latency,
        settings: flags,
    };
    let demo = demo::run(&options, &progress, &stop);
    tokio::pin!(demo);
    let ended = tokio::select! {
        ended = &mut demo => ended,
        exit = interrupted() => {
            stop.cancel();
            let ended = demo.await;
            progress.finish();
            return ended.map_or_else(|error| could_not_run(&*error), |_| exit);
        }
    };
    progress.finish();
    match ended {
        Ok(true) => Exit::Done,
        Ok(false) => Exit::Incomplete,
        Err(error) => could_not_run(&*error),
    }
}

/// Sets logging up: around the bars where there are some.
pub(super) fn log(config: &Config, bars: Option<indicatif::MultiProgress>) -> Result<(), Exit> {
    let terminal = std::io::stderr().is_terminal();
    let format = config.log.format.unwrap_or(if terminal { Format::Text } else { Format::Json });
    let color = config.log.color && terminal;
    let traces = config.traces.as_ref();
    let done = match bars {
        Some(bars) => telemetry::init_with(format, &config.log.level, color, AboveBars::new(bars), traces),
        None => telemetry::init_with(format, &config.log.level, color, std::io::stderr, traces),
    };
    done.map_err(|error| {
        tell(format_args!("cistern: could not {error}"));
        Exit::Usage
    })
}

/// Prints the one answer of a verb.
pub(super) fn answer<T: serde::Serialize>(output: Output, value: &T, in_words: impl FnOnce() -> String) {
    match output {
        Output::Text => say(&in_words()),
        Output::Json => match serde_json::to_string_pretty(value) {
            Ok(json) => say(&(json + "\n")),
            Err(error) => tell(format_args!("cistern: could not write the answer: {error}")),
        },
    }
}

pub(super) fn could_not_open(error: &OpenError) -> Exit {
    if let OpenError::Config(mistakes) = error {
        tell(mistakes);
        return Exit::Usage;
    }
    could_not_run(error)
}

/// As [`could_not_run`], for what sweeps.
pub(super) fn could_not_pass(config: &Config, error: &PassError) -> Exit {
    match error {
        PassError::Gitlab(error) => could_not_ask(config, error),
        error => could_not_run(error),
    }
}

/// As [`could_not_run`], for what GitLab did not answer.
pub(super) fn could_not_ask(config: &Config, error: &gitlab::Error) -> Exit {
    tell(format_args!("cistern: {}", unanswered(config, error)));
    Exit::CouldNotRun
}

/// Says what GitLab did not answer, where it was asked, and what to look at.
pub(super) fn unanswered(config: &Config, error: &gitlab::Error) -> String {
    let advice = match error.kind {
        gitlab::Kind::Unavailable(_) => {
            ": see that gitlab.url is right, that GitLab runs and that this machine reaches it"
        }
        gitlab::Kind::Withheld { everything: true, .. } => {
            ": sign in to GitLab as the user of gitlab.token to see what it wants; what was cached stays, and what it refused is \
             asked for again by the next run"
        }
        gitlab::Kind::TokenRefused(_) => ": put a token of scope read_api into gitlab.token",
        _ => "",
    };
    // It holds no user, password or query: the configuration refuses those.
    let address = config.gitlab.as_ref().map(|gitlab| format!(" (asked at {})", gitlab.url)).unwrap_or_default();
    format!("{error}{address}{advice}")
}

pub(super) fn could_not_run(error: &dyn std::error::Error) -> Exit {
    tell(format_args!("cistern: {error}"));
    Exit::CouldNotRun
}
