//! `hooks`: what a person typed, and the projects and groups that it means.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::Exit;
use super::args::Output;
use super::named::Named;
use super::run::{answer, could_not_ask, could_not_run};
use super::signals::unless_interrupted;
use crate::config::{Config, ProjectRef, parse_duration};
use crate::gitlab::{Class, Error, Gitlab, Kind, Trigger};
use crate::hooks::{Hooks, Outcome, Place, Rotation};
use crate::progress::tell;

/// What to do with webhooks.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum HooksVerb {
    /// Give every project its webhook, or repair the one it has
    Ensure(Ensure),
    /// Show the webhooks that point to this service
    List(Asked),
    /// Have GitLab send a test delivery and show how it was answered; a success enables a disabled webhook
    Test(Test),
    /// Give every webhook the first token, after it was put first and the service was restarted
    Rotate(Rotate),
    /// List deliveries of the last days that did not arrive, and have them sent again
    Failed(Failed),
}

/// Which projects and groups are meant.
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub struct Places {
    /// Only this project, instead of all that are cached; may be given several times
    #[arg(long = "project", value_name = "ID|PATH")]
    pub projects: Vec<ProjectRef>,
    /// The webhook of this group, which hears of all projects below it (Premium); may be given several times
    #[arg(long = "group", value_name = "PATH")]
    pub groups: Vec<String>,
}

/// The arguments of `hooks list`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Asked {
    /// Which projects and groups are meant.
    #[command(flatten)]
    pub places: Places,
    /// How the answer is written
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, value_name = "text|json")]
    pub output: Output,
}

/// The arguments of `hooks ensure`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Ensure {
    /// Which projects and groups are meant, and how the answer is written.
    #[command(flatten)]
    pub asked: Asked,
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
    /// Pipeline events only: for namespaces so big that GitLab.com would drop deliveries
    #[arg(long)]
    pub without_job_events: bool,
}

/// What a test delivery is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum TestEvent {
    /// The newest pipeline
    #[default]
    Pipeline,
    /// The newest job
    Job,
}

/// The arguments of `hooks test`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Test {
    /// Which projects and groups are meant, and how the answer is written.
    #[command(flatten)]
    pub asked: Asked,
    /// Which event to send
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, value_name = "pipeline|job")]
    pub event: TestEvent,
}

/// The arguments of `hooks rotate`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Rotate {
    /// Which projects and groups are meant, and how the answer is written.
    #[command(flatten)]
    pub asked: Asked,
    /// Also those that have the first token by their description
    #[arg(long)]
    pub all: bool,
}

/// The arguments of `hooks failed`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Failed {
    /// Which projects and groups are meant, and how the answer is written.
    #[command(flatten)]
    pub asked: Asked,
    /// How far back; GitLab keeps 7 days
    #[arg(long, value_name = "DURATION", default_value = "2d", value_parser = parse_duration)]
    pub since: Duration,
    /// Have each of them sent again: 5 a minute and webhook
    #[arg(long)]
    pub resend: bool,
}

/// Why a verb ended early.
enum Early {
    Gitlab(Error),
    /// The configuration does not fit this GitLab.
    Unfit(String),
}

impl From<Error> for Early {
    fn from(error: Error) -> Self {
        Self::Gitlab(error)
    }
}

impl From<Result<String, Error>> for Early {
    fn from(early: Result<String, Error>) -> Self {
        early.map_or_else(Self::Gitlab, Self::Unfit)
    }
}

/// Runs one of the verbs.
pub(super) async fn run(config: &Config, verb: HooksVerb) -> Exit {
    let (client, wanted) = match (config.require_gitlab(), config.require_hooks()) {
        // One after the other: nobody waits for it, and GitLab has better things to do.
        (Ok(gitlab), Ok(hooks)) => (Gitlab::new(crate::gitlab::Config { calls: 1, ..gitlab }), hooks),
        (Err(mistakes), _) | (_, Err(mistakes)) => {
            tell(mistakes);
            return Exit::Usage;
        }
    };
    let gitlab = match client {
        Ok(gitlab) => gitlab,
        Err(error) => return could_not_run(&error),
    };
    let named = Named::new(verb.asked().places.projects.clone());
    let places = match places(config, &gitlab, &named, &verb.asked().places).await {
        Ok(places) => places,
        Err(error) => return could_not_ask(config, &error),
    };
    let hooks = Hooks::new(gitlab, wanted);
    named.judge(carry_out(config, &hooks, &places, verb).await)
}

async fn carry_out(config: &Config, hooks: &Hooks, places: &[Place], verb: HooksVerb) -> Exit {
    let to = (config, verb.asked().output);
    match verb {
        HooksVerb::Ensure(args) => {
            let mut out = Vec::new();
            let ended = watched(hooks.ensure(places, !args.without_job_events, args.dry_run, &mut out)).await;
            told(to, &out, ended, |ensured| ensured.outcome != Outcome::Failed)
        }
        HooksVerb::List(_) => {
            let mut out = Vec::new();
            let ended = watched(hooks.list(places, &mut out)).await;
            told(to, &out, ended, |listed| listed.problems.is_empty())
        }
        HooksVerb::Test(args) => {
            let trigger = match args.event {
                TestEvent::Pipeline => Trigger::Pipeline,
                TestEvent::Job => Trigger::Job,
            };
            let mut out = Vec::new();
            let ended = watched(hooks.test(places, trigger, &mut out)).await;
            told(to, &out, ended, |tested| tested.problem.is_none())
        }
        HooksVerb::Rotate(args) => {
            let mut out = Vec::new();
            let ended = watched(hooks.rotate(places, args.all, &mut out)).await;
            told(to, &out, ended, |rotated| matches!(rotated.outcome, Rotation::Rotated | Rotation::Already))
        }
        HooksVerb::Failed(args) => {
            let mut out = Vec::new();
            let ended = watched(hooks.failed(places, args.since, args.resend, &mut out)).await;
            told(to, &out, ended, |missed| !missed.is_open())
        }
    }
}

/// Lists the projects that are meant: those that are cached, or those that were named.
async fn places(config: &Config, gitlab: &Gitlab, named: &Named, asked: &Places) -> Result<Vec<Place>, Error> {
    let mut places: Vec<Place> = asked.groups.iter().map(|path| Place::group(path.trim_matches('/'))).collect();
    if !places.is_empty() && asked.projects.is_empty() {
        return Ok(places);
    }
    let only = named.only();
    let mut next = None;
    loop {
        let page = gitlab.projects(Class::Reader, next.as_ref()).await?;
        for project in page.rows {
            if only.takes(&project) && project.ci_enabled && config.projects.matches(project.id, &project.path) {
                places.push(Place::project(project.id, &project.path));
            }
        }
        next = page.next;
        if next.is_none() {
            return Ok(places);
        }
    }
}

/// Runs it until it ends or somebody interrupts it: what was done until then is told all the same.
async fn watched<E>(work: impl Future<Output = Result<(), E>>) -> Result<(), Result<Early, Exit>>
where
    Early: From<E>,
{
    match unless_interrupted(work, &CancellationToken::new()).await {
        Ok(done) => done.map_err(|early| Ok(early.into())),
        Err(exit) => Err(Err(exit)),
    }
}

/// Prints what was done and returns how the program ends.
fn told<T: Serialize + std::fmt::Display>(
    (config, output): (&Config, Output),
    lines: &[T],
    ended: Result<(), Result<Early, Exit>>,
    is_good: impl Fn(&T) -> bool,
) -> Exit {
    answer(output, &lines, || lines.iter().map(|line| format!("{line}\n")).collect());
    match ended {
        Ok(()) if lines.iter().all(is_good) => Exit::Done,
        Ok(()) => Exit::Incomplete,
        Err(Ok(Early::Unfit(sentence))) => {
            tell(format_args!("cistern: {sentence}"));
            Exit::Usage
        }
        Err(Ok(Early::Gitlab(error))) => {
            if matches!(error.kind, Kind::HooksTokenRefused(_)) {
                tell("cistern: gitlab.hooks_token needs scope api and role Maintainer (of a group: Owner)");
            }
            could_not_ask(config, &error)
        }
        Err(Err(exit)) => {
            tell("cistern: interrupted; what is told above was done, and running it again goes on from there");
            exit
        }
    }
}

impl HooksVerb {
    fn asked(&self) -> &Asked {
        match self {
            Self::Ensure(Ensure { asked, .. })
            | Self::List(asked)
            | Self::Test(Test { asked, .. })
            | Self::Rotate(Rotate { asked, .. })
            | Self::Failed(Failed { asked, .. }) => asked,
        }
    }
}
