//! `forget`: removes our copy of a job, pipeline or project at once and leaves a tombstone, so that nothing brings it back
//! until `--undo`.

use std::fmt::Write;

use clap::Args;
use serde::Serialize;

use super::Exit;
use super::args::Output;
use super::run::answer;
use super::stored::{Trouble, resolve, with_store};
use crate::config::{Config, ProjectRef};
use crate::domain::{JobId, JobKey, PipelineId, PipelineKey, ProjectId, Subject, Timestamp};
use crate::progress;
use crate::store::{Change, Entry, Removed, Store};
use crate::work::{Cause, Lane, Target};

/// The arguments of `forget`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Forget {
    /// The project to forget, or whose pipelines or jobs to forget
    #[arg(long, value_name = "ID|PATH", required_unless_present = "list")]
    project: Option<ProjectRef>,
    /// Only this pipeline of it, with all of its jobs and its report; may be given several times
    #[arg(long = "pipeline", value_name = "ID", conflicts_with = "jobs")]
    pipelines: Vec<PipelineId>,
    /// Only this job of it, without naming its pipeline; may be given several times
    #[arg(long = "job", value_name = "ID")]
    jobs: Vec<JobId>,
    /// Let it be cached again: what GitLab still has of it is fetched
    #[arg(long, conflicts_with = "list")]
    undo: bool,
    /// Show what was forgotten
    #[arg(long, conflicts_with_all = ["project", "pipelines", "jobs"])]
    list: bool,
    /// How it is written
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, value_name = "text|json")]
    output: Output,
}

/// One row of what `forget --output json` prints.
#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    subject: Subject,
    /// Whether there is a tombstone now.
    forgotten: bool,
    /// Whether that was otherwise before.
    changed: bool,
    /// What was removed.
    removed: Removed,
}

/// One row of what `forget --list --output json` prints.
#[derive(Debug, Serialize)]
struct Listed {
    #[serde(flatten)]
    subject: Subject,
    /// When it was forgotten.
    at: Timestamp,
}

/// Forgets, or lists what was forgotten.
pub(super) async fn run(config: &Config, args: Forget) -> Exit {
    with_store(config, "forget", async |store| {
        let Some(project) = args.project.clone() else { return list(&store, args.output).await };
        let mut rows = Vec::new();
        for project in resolve(&store, &[project]).await? {
            for subject in args.subjects(project) {
                rows.push(if args.undo { undo(&store, subject).await? } else { forget(&store, subject).await? });
            }
        }
        // The file system gets back what is free now.
        store.sweep_blobs().await?;
        answer(args.output, &rows, || rows.iter().map(Row::in_words).collect());
        Ok(Exit::Done)
    })
    .await
}

impl Forget {
    fn subjects(&self, project: ProjectId) -> Vec<Subject> {
        let pipelines =
            self.pipelines.iter().map(|pipeline| Subject::Pipeline(PipelineKey { project, pipeline: *pipeline }));
        let jobs = self.jobs.iter().map(|job| Subject::Job(JobKey { project, job: *job }));
        let parts: Vec<Subject> = pipelines.chain(jobs).collect();
        if parts.is_empty() { vec![Subject::Project { project }] } else { parts }
    }
}

impl Row {
    fn in_words(&self) -> String {
        let Self { subject, forgotten, changed, removed } = self;
        match (forgotten, changed) {
            (true, true) if *removed == Removed::default() => {
                format!("! {subject} was not cached; it will not be, before --undo, if it exists\n")
            }
            (true, false) if *removed == Removed::default() => {
                format!("– {subject} was forgotten before; it is not cached again before --undo\n")
            }
            (true, _) => {
                let Removed { pipelines, jobs, blobs, bytes } = removed;
                let bytes = progress::size(*bytes);
                format!(
                    "✓ forgot {subject}: {pipelines} pipelines, {jobs} jobs and {blobs} files of {bytes} are gone; it is not \
                     cached again before --undo\n"
                )
            }
            (false, true) => format!("✓ {subject} may be cached again; a serve or the next backfill fetches it\n"),
            (false, false) => format!("– {subject} was not forgotten\n"),
        }
    }
}

async fn list(store: &Store, output: Output) -> Result<Exit, Trouble> {
    let found = store.all_forgotten().await?;
    let rows: Vec<Listed> = found.into_iter().map(|(subject, at)| Listed { subject, at }).collect();
    answer(output, &rows, || {
        let mut text = String::new();
        for Listed { subject, at } in &rows {
            let _ = writeln!(text, "{at}  {subject}");
        }
        let _ = writeln!(text, "{} forgotten", rows.len());
        text
    });
    Ok(Exit::Done)
}

/// The tombstone first, so that what is removed cannot come back in between.
async fn forget(store: &Store, subject: Subject) -> Result<Row, Trouble> {
    let changed = store.forget(subject).await?;
    let removed = store.remove(subject).await?;
    Ok(Row { subject, forgotten: true, changed, removed })
}

async fn undo(store: &Store, subject: Subject) -> Result<Row, Trouble> {
    let changed = store.remember(subject).await?;
    if changed {
        let (target, rest) = match subject {
            Subject::Pipeline(key) => (Target::Pipeline(key), None),
            Subject::Job(key) => (Target::Job(key), None),
            // Readers find it by its document; a sweep lists what is in it.
            Subject::Project { project } => (Target::Project(project), Some(Change::Mark(project))),
        };
        let entry = Entry::new(target, Lane::Backfill, Cause::Full, Timestamp::now());
        let changes = std::iter::once(Change::Append(vec![entry])).chain(rest).collect();
        store.apply(changes).await?;
    }
    Ok(Row { subject, forgotten: false, changed, removed: Removed::default() })
}
