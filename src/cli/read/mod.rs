//! `log` and `artifacts`: what is cached of one job, from the local store or a running Cistern.

mod args;
mod local;
mod remote;

use std::io::{self, IsTerminal, Write};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};

pub use args::{Ansi, ArtifactsArgs, LogArgs, Where};

use super::Exit;
use super::signals::unless_interrupted;
use super::stored::NotOpened;
use crate::archive::{LeftOutCounts, shown};
use crate::config::{Config, ProjectRef};
use crate::domain::JobId;
use crate::progress::tell;
use crate::{parts, store};

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("{0}")]
    Usage(String),
    #[error("job {0} is not cached here: ask with the store.url of a Cistern that caches its project, or with --url")]
    NoJob(JobId),
    #[error("no project {0} is cached here: name it by its id, or see `cistern stats` for those that are")]
    NoProject(ProjectRef),
    /// For this reason, as `X-Cistern-Reason` tells it.
    #[error("{what} is not held: {why}")]
    NotHeld { what: String, why: String },
    /// Whoever was asked has an answer, and it is no.
    #[error("{what}: {said}")]
    Lacks { what: String, said: String },
    #[error(transparent)]
    NotOpened(#[from] NotOpened),
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A running Cistern cannot be asked, or does not answer.
    #[error("{0}")]
    Remote(String),
    #[error("write to stdout: {0}")]
    Stdout(io::Error),
}

impl Problem {
    /// What is asked for, `what`, is there, but this part of it is not, or cannot be read.
    fn of_part(what: &str, error: parts::Error) -> Self {
        match error {
            parts::Error::Store(error) => Self::Store(error),
            error => Self::Lacks { what: what.to_owned(), said: error.to_string() },
        }
    }
}

/// Shows part of a log.
pub(super) async fn log(config: &Config, args: LogArgs) -> Exit {
    let parameters = args.parameters(io::stdout().is_terminal());
    ended(async {
        match &args.place.url {
            Some(url) if args.follow => remote::follow(url, &args.place, args.live_lines()).await,
            Some(url) => remote::log(url, &args.place, &parameters).await,
            None => local::log(config, &args.place, &parameters).await,
        }
    })
    .await
}

/// Lists an archive, or shows one file of it.
pub(super) async fn artifacts(config: &Config, args: ArtifactsArgs) -> Exit {
    ended(async {
        match &args.place.url {
            Some(url) => remote::artifacts(url, &args.place, args.path.as_deref()).await,
            None => local::artifacts(config, &args.place, args.path.as_deref()).await,
        }
    })
    .await
}

async fn ended(work: impl Future<Output = Result<(), Problem>>) -> Exit {
    let stop = tokio_util::sync::CancellationToken::new();
    match unless_interrupted(work, &stop).await {
        Err(exit) => exit,
        Ok(Ok(())) => Exit::Done,
        // Whoever reads has seen enough, as `head` has.
        Ok(Err(Problem::Stdout(error))) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
        Ok(Err(problem)) => {
            tell(format_args!("cistern: {problem}"));
            match problem {
                Problem::Usage(_) => Exit::Usage,
                Problem::NoJob(_) | Problem::NoProject(_) | Problem::NotHeld { .. } | Problem::Lacks { .. } => {
                    Exit::Incomplete
                }
                Problem::NotOpened(_) | Problem::Store(_) | Problem::Remote(_) | Problem::Stdout(_) => {
                    Exit::CouldNotRun
                }
            }
        }
    }
}

/// Returns the line of a listing that a file has.
fn line(size: u64, path: &[u8]) -> String {
    format!("{size:>12}  {}\n", shown(path))
}

/// Tells what a listing does not have.
fn tell_left_out(counts: LeftOutCounts) {
    let reasons: Vec<String> = counts.each().map(|(why, count)| format!("{count} ({})", why.in_words())).collect();
    if !reasons.is_empty() {
        let (total, reasons) = (counts.total(), reasons.join(", "));
        tell(format_args!("cistern: left out because their names are no paths within the archive: {total}: {reasons}"));
    }
}

/// Writes to stdout what comes, as it comes.
async fn show(pieces: impl Stream<Item = Result<Bytes, Problem>>) -> Result<(), Problem> {
    let mut pieces = Box::pin(pieces);
    let mut out = io::stdout().lock();
    while let Some(piece) = pieces.next().await {
        out.write_all(&piece?).map_err(Problem::Stdout)?;
    }
    out.flush().map_err(Problem::Stdout)
}
