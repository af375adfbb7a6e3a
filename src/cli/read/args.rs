//! The arguments of `log` and `artifacts`.

use std::ffi::{OsStr, OsString};

use clap::{Args, ValueEnum};
use url::Url;

use crate::archive::shown;
use crate::config::ProjectRef;
use crate::domain::JobId;
use crate::log::{LiveLines, Timestamps};

/// Which job, and where it is read.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Where {
    /// The job's id
    #[arg(value_name = "JOB", value_parser = job)]
    pub job: JobId,
    /// Its project; a local store finds it by the job
    #[arg(long, value_name = "ID|PATH")]
    pub project: Option<ProjectRef>,
    /// Ask a running Cistern at this address, instead of the local store
    #[arg(long, value_name = "URL", requires = "project")]
    pub url: Option<Url>,
    /// A file with the token that the running Cistern asks for
    #[arg(long, value_name = "FILE", requires = "url")]
    pub token_file: Option<std::path::PathBuf>,
}

impl Where {
    /// Returns what is asked for, in words.
    pub(super) fn log_in_words(&self) -> String {
        format!("the log of job {}", self.job)
    }

    /// As [`Self::log_in_words`], of the archive or of one file of it.
    pub(super) fn archive_in_words(&self, path: Option<&OsStr>) -> String {
        let of = path.map(|path| format!("{} in ", shown(path.as_encoded_bytes()))).unwrap_or_default();
        format!("{of}the archive of job {}", self.job)
    }
}

/// What becomes of colours and other control sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Ansi {
    /// As the job wrote them
    Keep,
    /// Without them
    Strip,
    /// As HTML for a `<pre>`
    Html,
}

/// The arguments of `log`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct LogArgs {
    /// Which job, and where it is read
    #[command(flatten)]
    pub place: Where,
    /// Only so many of the last lines
    #[arg(long, value_name = "N", group = "part")]
    pub tail: Option<u64>,
    /// Only so many of the first lines
    #[arg(long, value_name = "N", group = "part")]
    pub head: Option<u64>,
    /// Only these lines, as in 1-100 or 50-
    #[arg(long, value_name = "A-B", group = "part")]
    pub lines: Option<String>,
    /// Only the first section of this name
    #[arg(long, value_name = "NAME", group = "part")]
    pub section: Option<String>,
    /// Only where it went wrong: the last command, what it wrote, the runner's verdict
    #[arg(long, group = "part")]
    pub errors: bool,
    /// Go on for as long as the job runs
    #[arg(long, requires = "url", conflicts_with_all = ["part", "grep", "json"])]
    pub follow: bool,
    /// Only lines that match this regular expression
    #[arg(long, value_name = "RE")]
    pub grep: Option<String>,
    /// Whatever the case of letters
    #[arg(long, requires = "grep")]
    pub ignore_case: bool,
    /// So many lines around each match
    #[arg(long, value_name = "N", requires = "grep")]
    pub context: Option<u64>,
    /// Only how many lines match
    #[arg(long, requires = "grep")]
    pub count: bool,
    /// What becomes of colours; without it they stay on a terminal only
    #[arg(long, value_enum)]
    pub ansi: Option<Ansi>,
    /// Without the time before each line
    #[arg(long)]
    pub no_timestamps: bool,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `artifacts`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct ArtifactsArgs {
    /// Which job, and where it is read
    #[command(flatten)]
    pub place: Where,
    /// The file to write to stdout; without it the files are listed
    #[arg(value_name = "PATH", conflicts_with = "list")]
    pub path: Option<OsString>,
    /// List the files
    #[arg(long)]
    pub list: bool,
}

impl LogArgs {
    /// Returns what puts a log together while it grows.
    pub(super) fn live_lines(&self) -> LiveLines {
        let timestamps = if self.no_timestamps { Timestamps::Strip } else { Timestamps::Keep };
        LiveLines::new(timestamps, self.ansi != Some(Ansi::Strip))
    }

    /// Returns what is asked, in the words of the API.
    pub fn parameters(&self, terminal: bool) -> Vec<(&'static str, String)> {
        let number = |value: Option<u64>| value.map(|value| value.to_string());
        let switch = |on: bool| on.then(|| "true".to_owned());
        let ansi = match self.ansi {
            Some(Ansi::Keep) => "keep",
            Some(Ansi::Html) => "html",
            Some(Ansi::Strip) => "strip",
            None if terminal => "keep",
            None => "strip",
        };
        [
            ("tail", number(self.tail)),
            ("head", number(self.head)),
            ("lines", self.lines.clone()),
            ("section", self.section.clone()),
            ("errors", switch(self.errors)),
            ("grep", self.grep.clone()),
            ("ignore_case", switch(self.ignore_case)),
            ("context", number(self.context)),
            ("count", switch(self.count)),
            ("ansi", Some(ansi.to_owned())),
            ("timestamps", self.no_timestamps.then(|| "strip".to_owned())),
            ("format", self.json.then(|| "json".to_owned())),
        ]
        .into_iter()
        .filter_map(|(key, value)| value.map(|value| (key, value)))
        .collect()
    }
}

fn job(text: &str) -> Result<JobId, String> {
    text.parse().map_err(|_| "a job's id is a whole number, as in 5678".to_owned())
}
