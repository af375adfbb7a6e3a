//! `prune`: removes what `retention.*` does not keep, as a running `serve` does every hour.

use clap::Args;

use super::Exit;
use super::args::Output;
use super::run::answer;
use super::stored::{Trouble, with_store};
use crate::app;
use crate::config::Config;
use crate::progress::size;
use crate::retention::{PruneError, Report, Retention};

/// The arguments of `prune`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Prune {
    /// Only tell what would be removed
    #[arg(long)]
    dry_run: bool,
    /// How it is written
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, value_name = "text|json")]
    output: Output,
}

/// Prunes once.
pub(super) async fn run(config: &Config, args: Prune) -> Exit {
    with_store(config, "prune", async |store| {
        let retention = Retention::new(store.clone(), app::retention(config));
        if !retention.is_active() {
            tracing::warn!("everything is kept: set retention.logs, .artifacts, .reports, .documents or .size");
        }
        let report = match retention.prune(args.dry_run).await {
            Ok(report) => report,
            Err(PruneError::Store(error)) => return Err(error.into()),
            Err(taken @ PruneError::LeaseTaken) => {
                return Err(Trouble::Busy(format!("{taken}: run it again when that has ended")));
            }
        };
        if !args.dry_run {
            store.sweep_blobs().await?;
        }
        answer(args.output, &report, || in_words(&report));
        Ok(Exit::Done)
    })
    .await
}

fn in_words(report: &Report) -> String {
    let verb = if report.dry_run { "would be removed" } else { "removed" };
    let mut text = String::new();
    for (name, part) in report.parts().into_iter().filter(|(_, part)| part.count > 0) {
        let name = if name == "documents" { "pipelines with their jobs" } else { name };
        text.push_str(&format!("{} {name} {verb}, {}\n", part.count, size(part.bytes)));
    }
    if report.is_empty() {
        text.push_str(&format!("nothing {verb}\n"));
    }
    if let (Some(stored), Some(limit)) = (report.stored_bytes, report.size_limit) {
        text.push_str(&format!("{} stored of {} at most\n", size(stored), size(limit)));
    }
    let given_back = !report.dry_run && !report.is_empty();
    if given_back {
        text.push_str("the room is given back 10 min from now, by a serve or the next prune\n");
    }
    text
}
