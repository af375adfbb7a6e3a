//! The verbs and their arguments.

use std::ffi::OsString;
use std::time::Duration;

use clap::{Args, Command, FromArgMatches, Parser, Subcommand, ValueEnum};
use url::Url;

use super::forget::Forget;
use super::hooks::HooksVerb;
use super::prune::Prune;
use super::read::{ArtifactsArgs, LogArgs};
use super::settings;
use super::stats::Stats;
use super::work::Work;
use crate::config::{Flags, Needs, ProjectRef, parse_duration};

/// What a person typed.
#[derive(Debug, Clone)]
pub struct Cli {
    /// What to do.
    pub verb: Verb,
    /// The settings among the flags, not yet checked.
    pub flags: Flags,
}

const ABOUT: &str = "\
Cistern keeps a copy of a GitLab instance's CI: every job's log, test report and artifacts,
cached within seconds of the job's end and served without a call to GitLab.";

/// The command line as clap derives it, before the flags of settings are added.
#[derive(Debug, Parser)]
#[command(name = "cistern", version, arg_required_else_help = true, about = ABOUT, long_about = None)]
#[command(after_help = "\
Try it without a GitLab:   cistern demo
Point it at yours:         GITLAB_URL=https://gitlab.example.com GITLAB_TOKEN=… cistern serve

Every setting can be a flag, an environment variable or a line of the file given by --config:
`cistern serve --help` lists them. Exit codes: 0 done, also `serve` that was asked to stop and let its
work end; 1 done, but something failed, is missing or was cut off; 2 usage or configuration; 3 could not
run; 130 or 143 interrupted.")]
struct Typed {
    #[command(subcommand)]
    verb: Verb,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum Verb {
    /// Take webhooks, keep the cache complete, and answer reads
    Serve,
    /// Cache everything that is missing, then exit
    Backfill(Backfill),
    /// Compare the cache with GitLab and list every gap
    Verify(Verify),
    /// Look at configuration, store and GitLab, and say what has to be done; changes nothing
    ///
    /// A problem (✗) keeps something from working and ends with 1; warnings (!) and what cannot be known (?) end with 0.
    Check(Check),
    /// Make, list, test and repair GitLab's webhooks to this service
    #[command(subcommand)]
    Hooks(HooksVerb),
    /// Show, hurry or give up what waits, runs and failed
    ///
    /// What a process that lives has in hand is its own: `retry` adds an entry beside it, as an event would, and never touches what
    /// runs; `drop` leaves it alone, lists it and ends with 1. A running serve takes what is to be tried again within seconds.
    #[command(subcommand)]
    Work(Work),
    /// Remove what retention.* does not keep
    ///
    /// Everything is kept for ever until retention.* says otherwise; then serve prunes at its start and every hour, one replica at
    /// a time. A log's and an archive's age counts from the end of their job, a report's and a pipeline's from the pipeline's last
    /// change. What went has the reason `pruned`, is not fetched again and is no gap; what is too old when it is first seen is not
    /// fetched at all. A pipeline that retention.documents removed is gone without a trace. Room is given back 10 minutes later:
    /// SQLite's file shrinks, MongoDB uses it again.
    Prune(Prune),
    /// Remove a project, pipeline or job from the cache at once and keep it from coming back
    ///
    /// Our copy goes with all its bytes (in SQLite they are overwritten; backups are yours to care for) and leaves a tombstone:
    /// readers get 404 with the reason `forgotten`, and no event, pass or reader brings it back before --undo, after which a running
    /// serve, or the next backfill, fetches it again. A forgotten job's test cases stay in its pipeline's report: forget the pipeline
    /// for those.
    Forget(Forget),
    /// Show what is stored, by kind and project, and how it grows
    Stats(Stats),
    /// Write a completion script for a shell to stdout
    Completions(Completions),
    /// Show the whole of it against a made-up GitLab, without any configuration
    Demo(Demo),
    /// Print the OpenAPI description of everything that `serve` answers to readers
    Openapi,
    /// Show a job's log, or part of it
    Log(LogArgs),
    /// List a job's artifacts, or show one of them
    Artifacts(ArtifactsArgs),
    /// Ask a running `serve` whether it is ready; exit 0 if so
    Healthcheck(Healthcheck),
}

impl Verb {
    /// Returns its name, as typed.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::Backfill(_) => "backfill",
            Self::Verify(_) => "verify",
            Self::Check(_) => "check",
            Self::Hooks(_) => "hooks",
            Self::Work(_) => "work",
            Self::Prune(_) => "prune",
            Self::Forget(_) => "forget",
            Self::Stats(_) => "stats",
            Self::Completions(_) => "completions",
            Self::Demo(_) => "demo",
            Self::Openapi => "openapi",
            Self::Log(_) => "log",
            Self::Artifacts(_) => "artifacts",
            Self::Healthcheck(_) => "healthcheck",
        }
    }

    /// Returns what its configuration must hold.
    pub fn needs(&self) -> Needs {
        match self {
            Self::Serve | Self::Backfill(_) | Self::Verify(_) | Self::Check(_) => Needs::Gitlab,
            Self::Hooks(HooksVerb::List(_) | HooksVerb::Failed(_)) => Needs::Listing,
            Self::Hooks(_) => Needs::Hooks,
            Self::Work(_) | Self::Prune(_) | Self::Forget(_) | Self::Stats(_) => Needs::Nothing,
            Self::Completions(_) | Self::Openapi | Self::Healthcheck(_) | Self::Demo(_) => Needs::Nothing,
            Self::Log(_) | Self::Artifacts(_) => Needs::Nothing,
        }
    }
}

/// How an answer is written to stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Output {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// The arguments of `backfill`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Backfill {
    /// Only this project; may be given several times
    #[arg(long = "project", value_name = "ID|PATH")]
    pub projects: Vec<ProjectRef>,
    /// How far back, instead of reconcile.since
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub since: Option<Duration>,
    /// How long to wait for another process that is sweeping
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = parse_duration)]
    pub wait: Duration,
    /// Only list what would be fetched, and how many GitLab calls that is
    #[arg(long)]
    pub dry_run: bool,
    /// One thing at a time: all limits are 1
    #[arg(long)]
    pub sequential: bool,
    /// How the summary is written
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, value_name = "text|json")]
    pub output: Output,
}

/// The arguments of `verify`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Verify {
    /// Only this project; may be given several times
    #[arg(long = "project", value_name = "ID|PATH")]
    pub projects: Vec<ProjectRef>,
    /// Read every stored byte again, too, and hold it against its checksum
    #[arg(long)]
    pub deep: bool,
    /// Compare so many jobs, chosen at random, with GitLab byte for byte, too; with --project so many of each
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub sample: Option<u64>,
    /// How the gaps are written; JSON has a list of gaps and of what could not be compared (state `unknown`), or with --deep or
    /// --sample an object of lists
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, value_name = "text|json")]
    pub output: Output,
}

/// The arguments of `check`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Check {
    /// How the findings are written
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, value_name = "text|json")]
    pub output: Output,
}

/// The arguments of `demo`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Demo {
    /// End after the summary instead of serving until Ctrl-C
    #[arg(long)]
    pub exit: bool,
    /// Projects of the made-up GitLab
    #[arg(long, value_name = "NUMBER", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub projects: u32,
    /// Pipelines of each project
    #[arg(long, value_name = "NUMBER", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub pipelines: u32,
    /// Jobs of each pipeline
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub jobs: u32,
    /// How long each call to it takes
    #[arg(long, value_name = "DURATION", default_value = "50ms", value_parser = parse_duration)]
    pub latency: Duration,
}

/// The arguments of `completions`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Completions {
    /// For which shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// The shells that completions are written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}

/// The arguments of `healthcheck`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Healthcheck {
    /// What to ask, instead of /readyz at server.listen
    #[arg(long)]
    pub url: Option<Url>,
}

impl Cli {
    /// Parses a command line, program name first. `--help` and `--version` come back as errors, too, whose `exit_code`
    /// is 0 and whose `print` goes to stdout.
    pub fn try_parse_from<T: Into<OsString> + Clone>(args: impl IntoIterator<Item = T>) -> Result<Self, clap::Error> {
        let matches = Self::command().try_get_matches_from(args)?;
        let verb = Typed::from_arg_matches(&matches)?.verb;
        let flags = matches.subcommand().map(|(name, matches)| settings::collect(name, matches)).unwrap_or_default();
        Ok(Self { verb, flags })
    }

    /// Returns the description of the command line that [`Self::try_parse_from`] follows.
    pub fn command() -> Command {
        settings::add(<Typed as clap::CommandFactory>::command())
    }
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;

    use super::*;
    use crate::config::{Config, Surroundings};
    use crate::domain::ProjectId;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn verbs_have_typed_arguments() -> Result<(), clap::Error> {
        let verb = parse("cistern backfill --project 7 --project a/b --since 30d --dry-run --output json")?.verb;
        let Verb::Backfill(backfill) = verb else { panic!("{verb:?}") };
        let projects = vec![ProjectRef::Id(ProjectId(7)), ProjectRef::Path("a/b".to_owned())];
        let since = Some(Duration::from_secs(30 * 86_400));
        let (wait, dry_run, sequential, output) = (Duration::from_secs(600), true, false, Output::Json);
        assert_eq!(backfill, Backfill { projects, since, wait, dry_run, sequential, output });

        let verb = parse("cistern demo --exit --jobs 3")?.verb;
        let latency = Duration::from_millis(50);
        assert_eq!(verb, Verb::Demo(Demo { exit: true, projects: 5, pipelines: 10, jobs: 3, latency }));
        assert_eq!((verb.name(), verb.needs()), ("demo", Needs::Nothing));
        Ok(())
    }

    #[test]
    fn settings_are_flags_of_the_verbs_they_concern() -> Result<(), clap::Error> {
        let line = "cistern serve --limits-jobs 3 --projects-include a/b --projects-include 7,c/** \
                    --webhook-allow-unsigned --reconcile-since=5d";
        let cli = Cli::try_parse_from(line.split_whitespace())?;
        let config = Config::load(&cli.flags, &Surroundings::empty(), Needs::Nothing).expect("good settings");
        assert_eq!(config.limits.parallel.jobs, 3);
        assert!(config.webhook.allow_unsigned);
        assert!(config.projects.matches(ProjectId(7), "x/y") && config.projects.matches(ProjectId(1), "c/d"));

        let refused = parse("cistern backfill --webhook-refresh 1s").map(|_| ()).map_err(|error| error.exit_code());
        assert_eq!(refused, Err(2));
        let secret = parse("cistern backfill --gitlab-token-file /run/token")?;
        assert!(format!("{:?}", secret.flags).contains("gitlab.token_file"));
        for setting in
            ["--gitlab-url=https://gitlab.example.com", "--store-url=mongodb://db/cistern", "--webhook-refresh=1s"]
        {
            Cli::try_parse_from(["cistern", "check", setting])?;
        }
        Ok(())
    }

    #[test]
    fn usage_errors_and_help_are_values() {
        let kind = |line: &str| parse(line).map(|_| ()).map_err(|error| (error.kind(), error.exit_code()));
        assert_eq!(kind("cistern --help"), Err((ErrorKind::DisplayHelp, 0)));
        assert_eq!(kind("cistern -V"), Err((ErrorKind::DisplayVersion, 0)));
        assert_eq!(kind("cistern backfill --since 30"), Err((ErrorKind::ValueValidation, 2)));
        assert_eq!(kind("cistern backfill --project group"), Err((ErrorKind::ValueValidation, 2)));
        assert_eq!(kind("cistern fly"), Err((ErrorKind::InvalidSubcommand, 2)));
        assert_eq!(kind("cistern").map_err(|(_, code)| code), Err(2));
    }

    #[test]
    fn a_misspelt_flag_does_not_print_its_secret() {
        for line in ["cistern serve --gitlab-tokn=glpat-s3cret", "cistern serve --gitlab-tokn glpat-s3cret"] {
            let text = parse(line).expect_err("no such flag").to_string();
            assert!(text.contains("--gitlab-token") && !text.contains("s3cret"), "{text}");
        }
    }

    #[test]
    fn help_shows_every_setting_and_its_variable() {
        let text = parse("cistern serve --help").expect_err("help").to_string();
        for key in crate::config::keys::KEYS {
            assert!(text.contains(&crate::config::keys::flag(key.name)), "{}", key.name);
            assert!(text.contains(&crate::config::keys::variable(key.name)), "{}", key.name);
        }
    }
}
