//! `work`: what waits, runs and failed, whoever does it; having it done now; giving it up.
//!
//! An entry of the journal is its owner's alone (design, section 4.1): `retry` adds an entry of its own beside it, as an event
//! would, and `drop` leaves entries of a process that lives untouched and says so.

mod refused;
mod which;

use std::collections::HashSet;
use std::fmt::Write;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::Exit;
use super::args::Output;
use super::run::answer;
use super::stored::{Trouble, resolve, with_store};
use crate::config::Config;
use crate::domain::{ProjectId, Timestamp};
use crate::progress::tell;
use crate::store::{Change, Entry, EntryId, Failure, Store, Waiting, WorkFilter, WorkOwner};
use crate::work::{Cause, Lane, Target};

pub(super) use which::Which;
use which::{Kind, State, Why};

/// Entries read and written at a time.
const PAGE: u64 = 1000;

/// What to do with work.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum Work {
    /// Show what waits, runs and failed
    List(List),
    /// Have it done now instead of when it is due; failed things start anew
    Retry(Select),
    /// Give it up: failures are forgotten, entries that no process owns are deleted
    Drop(Select),
}

/// The arguments of `work list`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct List {
    #[command(flatten)]
    which: Which,
    /// How many are shown; all are counted
    #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
    limit: usize,
    /// How it is written
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, value_name = "text|json")]
    output: Output,
}

/// The arguments of `work retry` and `work drop`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Select {
    #[command(flatten)]
    which: Which,
    /// Everything, where nothing else says which
    #[arg(long)]
    all: bool,
    /// How it is written
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, value_name = "text|json")]
    output: Output,
}

/// What `work list --output json` prints.
#[derive(Debug, Default, Serialize)]
struct Listing {
    /// How many wait.
    waiting: u64,
    /// How many run.
    running: u64,
    /// How many failed.
    failed: u64,
    /// How many GitLab refuses to the token, where that was asked.
    forbidden: u64,
    /// The first of them.
    items: Vec<Item>,
}

/// What `work retry` and `work drop` print.
#[derive(Debug, Default, Serialize)]
struct Changed {
    /// How many things were put in order anew, or given up.
    changed: u64,
    /// What had to be left alone, and is its process's.
    untouched: Vec<Item>,
}

/// One piece of work.
#[derive(Debug, Clone, Serialize)]
struct Item {
    state: State,
    kind: &'static str,
    project: ProjectId,
    /// The pipeline's or job's id.
    id: u64,
    /// The entry of the journal; none for what failed.
    entry: Option<i64>,
    lane: Option<Lane>,
    cause: Option<Cause>,
    /// Not before; none for what failed.
    due: Option<Timestamp>,
    attempts: u32,
    /// Whether a process that lives owns it.
    owner: Option<WorkOwner>,
    /// Why it failed, and when.
    problem: Option<String>,
    failed_at: Option<Timestamp>,
    #[serde(skip)]
    target: Target,
}

impl Item {
    fn waiting(found: &Waiting) -> Self {
        let Entry { id, target, lane, cause, due, attempts, .. } = &found.entry;
        Self {
            state: if found.running { State::Running } else { State::Waiting },
            entry: Some(id.0),
            lane: Some(*lane),
            cause: Some(*cause),
            due: Some(*due),
            attempts: *attempts,
            owner: Some(found.owner),
            ..Self::of(*target)
        }
    }

    fn failed(failure: Failure) -> Self {
        Self {
            attempts: failure.attempts,
            problem: Some(failure.problem),
            failed_at: Some(failure.at),
            ..Self::of(failure.target)
        }
    }

    fn of(target: Target) -> Self {
        Self {
            state: State::Failed,
            kind: target.kind(),
            project: target.project(),
            id: target.id(),
            entry: None,
            lane: None,
            cause: None,
            due: None,
            attempts: 0,
            owner: None,
            problem: None,
            failed_at: None,
            target,
        }
    }

    fn in_words(&self) -> String {
        let mut text = match self.state {
            State::Waiting => "… waiting".to_owned(),
            State::Running => "▶ running".to_owned(),
            State::Failed => "✗ failed ".to_owned(),
            State::Forbidden => "⊘ forbidden".to_owned(),
        };
        let _ = write!(text, "  {}", self.target.in_words());
        if let (Some(cause), Some(due)) = (self.cause, self.due) {
            let _ = write!(text, "  because {}, due {due}", because(cause));
        }
        let _ = write!(text, "  {} attempts", self.attempts);
        if self.owner == Some(WorkOwner::Nobody) {
            text.push_str("  (no process has it yet)");
        }
        if let Some(problem) = &self.problem {
            let _ = write!(text, ": {problem}");
        }
        text.push('\n');
        text
    }
}

/// Each word that `--cause` takes stands in its sentence.
fn because(cause: Cause) -> &'static str {
    match cause {
        Cause::Ended => "an event said that it ended",
        Cause::Changed => "an event said that it changed",
        Cause::Planned => "a pass planned it: it was missing",
        Cause::Look => "it takes another look: it may not be final",
        Cause::Recheck => "GitLab refused it to the token, and is asked again",
        Cause::Full => "a full pass or a person asked for it",
        Cause::Fetch => "a reader had it fetched",
        Cause::Read => "a reader wanted to read it",
    }
}

/// Runs one of the three.
pub(super) async fn run(config: &Config, work: Work) -> Exit {
    if let Work::Retry(args) | Work::Drop(args) = &work
        && args.which.is_all() != args.all
    {
        tell("cistern: say which work by --project, --job, --kind, --state or --cause, or --all for all of it");
        return Exit::Usage;
    }
    if let Work::Drop(args) = &work
        && args.which.state == Some(State::Forbidden)
    {
        tell(
            "cistern: what GitLab refuses is no work that could be dropped: `cistern forget` it, or leave it to the passes",
        );
        return Exit::Usage;
    }
    let journal = config.limits.journal as u64;
    with_store(config, "work", async |store| match work {
        Work::List(args) => list(&store, args).await,
        Work::Retry(args) => retry(&store, args, journal).await,
        Work::Drop(args) => give_up(&store, args).await,
    })
    .await
}

async fn list(store: &Store, args: List) -> Result<Exit, Trouble> {
    let mut listing = Listing::default();
    each(store, &args.which, async |items| {
        for item in items {
            match item.state {
                State::Waiting => listing.waiting += 1,
                State::Running => listing.running += 1,
                State::Failed => listing.failed += 1,
                State::Forbidden => listing.forbidden += 1,
            }
            if listing.items.len() < args.limit {
                listing.items.push(item);
            }
        }
        Ok(())
    })
    .await?;
    answer(args.output, &listing, || {
        let lines: String = listing.items.iter().map(Item::in_words).collect();
        let Listing { waiting, running, failed, forbidden, .. } = &listing;
        let refused = if *forbidden > 0 { format!(", {forbidden} forbidden") } else { String::new() };
        format!("{lines}{waiting} waiting, {running} running, {failed} failed{refused}\n")
    });
    Ok(Exit::Done)
}

async fn retry(store: &Store, args: Select, journal: u64) -> Result<Exit, Trouble> {
    let mut changed = Changed::default();
    let mut seen = HashSet::new();
    each(store, &args.which, async |items| {
        let mut entries = Vec::new();
        for item in items {
            if item.state == State::Running {
                changed.untouched.push(item);
            } else if seen.insert(item.target) {
                let (lane, cause) = (item.lane.unwrap_or(Lane::Backfill), item.cause.unwrap_or(Cause::Full));
                entries.push(Entry::new(item.target, lane, cause, Timestamp::now()));
            }
        }
        if store.journal_len().await? + entries.len() as u64 > journal {
            return Err(Trouble::Refused("the journal is full (limits.journal): retry less at a time".to_owned()));
        }
        changed.changed += entries.len() as u64;
        match entries.is_empty() {
            true => Ok(()),
            false => Ok(store.apply(vec![Change::Append(entries)]).await?),
        }
    })
    .await?;
    answer(args.output, &changed, || {
        let running = changed.untouched.len();
        let rest = if running > 0 { format!("{running} are running already\n") } else { String::new() };
        format!(
            "{} are due now: a running serve takes them within seconds, otherwise the next serve or backfill\n{rest}",
            changed.changed
        )
    });
    Ok(Exit::Done)
}

async fn give_up(store: &Store, args: Select) -> Result<Exit, Trouble> {
    let mut changed = Changed::default();
    each(store, &args.which, async |items| {
        let failed: Vec<Target> =
            items.iter().filter(|item| item.state == State::Failed).map(|item| item.target).collect();
        if !failed.is_empty() {
            changed.changed += store.drop_failures(failed).await?;
        }
        let (free, owned): (Vec<Item>, Vec<Item>) = items
            .into_iter()
            .filter(|item| !matches!(item.state, State::Failed | State::Forbidden))
            .partition(|item| item.owner == Some(WorkOwner::Nobody));
        let free: Vec<EntryId> = free.iter().filter_map(|item| item.entry).map(EntryId).collect();
        if !free.is_empty() {
            changed.changed += store.drop_entries(free).await?;
        }
        changed.untouched.extend(owned);
        Ok(())
    })
    .await?;
    answer(args.output, &changed, || {
        let mut text =
            format!("{} dropped; what GitLab still has of them, the next full pass asks for\n", changed.changed);
        if !changed.untouched.is_empty() {
            let lines: String = changed.untouched.iter().map(Item::in_words).collect();
            let _ = writeln!(
                text,
                "{lines}{} left alone: they belong to a running process, and only it may end them. Stop it first, or \
                 `cistern forget` what they are about.",
                changed.untouched.len()
            );
        }
        text
    });
    Ok(if changed.untouched.is_empty() { Exit::Done } else { Exit::Incomplete })
}

/// Hands out what is meant, page by page: failures first, then the journal in the order of its entries.
async fn each(
    store: &Store,
    which: &Which,
    mut take: impl AsyncFnMut(Vec<Item>) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let projects = resolve(store, &which.projects).await?;
    let kind = which.kind.map(Kind::as_str);
    if which.takes_refused() {
        take(refused::items(store, &projects, which).await?).await?;
    }
    if which.state.is_none_or(|state| state == State::Failed) && which.cause.is_none() {
        let mut failures = store.failures(None).await?;
        failures.retain(|failure| {
            (projects.is_empty() || projects.contains(&failure.target.project()))
                && kind.is_none_or(|kind| failure.target.kind() == kind)
                && which.takes(&failure.target)
        });
        take(failures.into_iter().map(Item::failed).collect()).await?;
    }
    if matches!(which.state, Some(State::Failed | State::Forbidden)) {
        return Ok(());
    }
    let mut filter = WorkFilter { projects, kind, cause: which.cause.map(Why::cause), after: None };
    // What is appended meanwhile, by `retry` itself too, is not meant.
    let last = EntryId::fresh();
    loop {
        let page = store.work(filter.clone(), PAGE).await?;
        let Some(end) = page.last() else { return Ok(()) };
        filter.after = Some(end.entry.id);
        let meant = |found: &&Waiting| found.entry.id < last && which.takes(&found.entry.target);
        let items = page.iter().filter(meant).map(Item::waiting);
        take(items.filter(|item| which.state.is_none_or(|state| state == item.state)).collect()).await?;
        if filter.after >= Some(last) {
            return Ok(());
        }
    }
}
