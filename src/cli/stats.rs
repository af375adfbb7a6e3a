//! `stats`: what is stored, by kind and by project, how well it is compressed, and how much was stored on each of the last days.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::Exit;
use super::args::Output;
use super::run::answer;
use super::stored::{Trouble, paths, resolve, with_store};
use crate::config::{Config, ProjectRef};
use crate::domain::{ProjectId, Timestamp};
use crate::progress::size;
use crate::store::{BlobKind, Documents, Room, Store, Usage};

/// The arguments of `stats`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Stats {
    /// Only this project; may be given several times
    #[arg(long = "project", value_name = "ID|PATH")]
    projects: Vec<ProjectRef>,
    /// For how many days, today included, to show how much was stored on them: when Cistern fetched it, not when the jobs ran
    #[arg(long, value_name = "NUMBER", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=366))]
    days: u32,
    /// How many projects are shown as text, the largest first; JSON has all
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    top: usize,
    /// How it is written
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, value_name = "text|json")]
    output: Output,
}

/// What `stats --output json` prints.
#[derive(Debug, Serialize)]
struct Answer {
    /// The room of the whole store.
    room: Room,
    /// Everything that is shown, together.
    total: Sum,
    /// By kind: `log`, `archive`, `report`.
    kinds: BTreeMap<&'static str, Sum>,
    /// By project, the largest first.
    projects: Vec<OfProject>,
    /// By day (UTC) on which it was stored, oldest first; a day on which nothing came is there, too.
    days: Vec<OfDay>,
}

/// Some stored things.
#[derive(Debug, Default, Clone, Copy, Serialize)]
struct Sum {
    /// How many.
    count: u64,
    /// How many bytes they are for readers.
    bytes: u64,
    /// How many bytes are stored.
    stored_bytes: u64,
}

#[derive(Debug, Serialize)]
struct OfProject {
    project: ProjectId,
    /// `null` when a pipeline was cached before its project.
    path: Option<Box<str>>,
    pipelines: u64,
    jobs: u64,
    #[serde(flatten)]
    total: Sum,
    kinds: BTreeMap<&'static str, Sum>,
}

#[derive(Debug, Serialize)]
struct OfDay {
    /// `2026-11-24`.
    day: String,
    #[serde(flatten)]
    total: Sum,
}

impl Sum {
    fn add(&mut self, usage: &Usage) {
        self.count += usage.count;
        self.bytes += usage.raw;
        self.stored_bytes += usage.stored;
    }

    fn ratio(&self) -> String {
        if self.stored_bytes == 0 {
            "–".to_owned()
        } else {
            format!("{:.1}×", self.bytes as f64 / self.stored_bytes as f64)
        }
    }
}

/// Adds up what is stored.
pub(super) async fn run(config: &Config, args: Stats) -> Exit {
    with_store(config, "stats", async |store| {
        let stats = gather(&store, &args).await?;
        answer(args.output, &stats, || stats.in_words(args.top));
        Ok(Exit::Done)
    })
    .await
}

async fn gather(store: &Store, args: &Stats) -> Result<Answer, Trouble> {
    const DAY: Duration = Duration::from_secs(86_400);
    let only = resolve(store, &args.projects).await?;
    let shown = |project: &ProjectId| only.is_empty() || only.contains(project);
    let since = Timestamp::now().day().minus(DAY * (args.days - 1));
    let (usage, documents, room, paths) =
        tokio::join!(store.usage(since), store.documents(), store.room(), paths(store));
    let (usage, documents, mut paths) = (usage?, documents?, paths?);
    let mut total = Sum::default();
    let mut kinds: BTreeMap<&'static str, Sum> =
        BlobKind::ALL.iter().map(|kind| (kind.as_str(), Sum::default())).collect();
    let mut of_projects: HashMap<ProjectId, OfProject> = HashMap::new();
    let mut of_days: BTreeMap<Timestamp, Sum> = BTreeMap::new();
    for back in 0..args.days {
        of_days.insert(since.plus(DAY * back), Sum::default());
    }
    for (project, Documents { pipelines, jobs }) in documents.into_iter().filter(|(project, _)| shown(project)) {
        let path = paths.remove(&project);
        let (total, kinds) = (Sum::default(), BTreeMap::new());
        of_projects.insert(project, OfProject { project, path, pipelines, jobs, total, kinds });
    }
    for usage in usage.iter().filter(|usage| shown(&usage.project)) {
        total.add(usage);
        kinds.entry(usage.kind.as_str()).or_default().add(usage);
        if let Some(day) = usage.day {
            of_days.entry(day).or_default().add(usage);
        }
        if let Some(project) = of_projects.get_mut(&usage.project) {
            project.total.add(usage);
            project.kinds.entry(usage.kind.as_str()).or_default().add(usage);
        }
    }
    let mut projects: Vec<OfProject> = of_projects.into_values().collect();
    projects.sort_by_key(|project| (std::cmp::Reverse(project.total.stored_bytes), project.project));
    let days = of_days.into_iter().map(|(day, total)| OfDay { day: date(day), total }).collect();
    Ok(Answer { room: room?, total, kinds, projects, days })
}

fn date(day: Timestamp) -> String {
    day.to_string().split('T').next().unwrap_or_default().to_owned()
}

impl Answer {
    fn in_words(&self, top: usize) -> String {
        let mut text = String::new();
        let mut row = |name: &str, sum: &Sum| {
            let (bytes, stored) = (size(sum.bytes), size(sum.stored_bytes));
            let _ = writeln!(text, "{name:<24} {:>10} {bytes:>14} {stored:>14} {:>8}", sum.count, sum.ratio());
        };
        for (kind, sum) in &self.kinds {
            row(kind, sum);
        }
        row("total", &self.total);
        let _ = writeln!(text, "\n{:<24} {:>10} {:>14} {:>14}", "stored on", "things", "bytes", "on disk");
        for OfDay { day, total } in &self.days {
            let (bytes, stored) = (size(total.bytes), size(total.stored_bytes));
            let _ = writeln!(text, "{day:<24} {:>10} {bytes:>14} {stored:>14}", total.count);
        }
        let _ =
            writeln!(text, "\n{:<40} {:>10} {:>10} {:>14} {:>8}", "project", "pipelines", "jobs", "on disk", "ratio");
        for project in self.projects.iter().take(top) {
            let name = project.path.as_deref().map_or_else(|| project.project.to_string(), str::to_owned);
            let OfProject { pipelines, jobs, total, .. } = project;
            let (stored, ratio) = (size(total.stored_bytes), total.ratio());
            let _ = writeln!(text, "{name:<40} {pipelines:>10} {jobs:>10} {stored:>14} {ratio:>8}");
        }
        if self.projects.len() > top {
            let _ = writeln!(text, "and {} smaller ones", self.projects.len() - top);
        }
        let Room { bytes, free_bytes } = self.room;
        let _ = writeln!(text, "\nthe store takes {}, of which {} are free", size(bytes), size(free_bytes));
        format!("{:<24} {:>10} {:>14} {:>14} {:>8}\n{text}", "kind", "stored", "bytes", "on disk", "ratio")
    }
}
