//! What should be cached and is not (law 12). It reads only open documents and failures, never all jobs.

use std::collections::{BTreeMap, HashMap, HashSet};

use mongodb::bson::{DateTime, Document, doc};
use serde::Deserialize;

use super::Mongo;
use super::documents::{LIVE, NO_REPORT, UNLISTED};
use super::journal::{FailureDocument, failure_id};
use super::query::Query;
use super::reach::Collections;
use super::schema::{FAILURES, JOBS, JOBS_OPEN, PIPELINES, PIPELINES_OPEN};
use super::states::{gone, unreported};
use super::trouble::Trouble;
use super::values::{integer, natural};
use crate::domain::{JobId, JobKey, LogNote, Piece, PipelineId, PipelineKey, PipelinePhase, ProjectId, Reason, Status};
use crate::store::metrics::Operation;
use crate::store::slots::lacking_report;
use crate::store::{Error, Gap};
use crate::work::Target;

#[derive(Debug, Deserialize)]
struct Word {
    piece: Box<str>,
}

impl Word {
    fn piece(&self) -> Piece {
        Piece::from_word(&self.piece)
    }
}

#[derive(Debug, Deserialize)]
struct Reported {
    piece: Box<str>,
    /// As in [`super::pieces::ReportPart`].
    #[serde(default)]
    summary_piece: Option<Box<str>>,
}

impl Reported {
    /// Returns what of the two is lacking.
    fn lacking(&self) -> Option<(&'static str, Piece)> {
        let report = Piece::from_word(&self.piece);
        lacking_report(report, self.summary_piece.as_deref().map_or(report, Piece::from_word))
    }
}

#[derive(Debug, Deserialize)]
struct Noted {
    piece: Box<str>,
    note: Option<Box<str>>,
}

impl Noted {
    fn piece(&self) -> Piece {
        Piece::from_word(&self.piece)
    }

    fn problem(&self) -> Option<&'static str> {
        self.note.as_deref().and_then(LogNote::from_word).and_then(LogNote::problem)
    }
}

#[derive(Debug, Deserialize)]
struct OpenJob {
    #[serde(rename = "_id")]
    id: i64,
    project: i64,
    pipeline: i64,
    started: bool,
    archived: bool,
    open: i64,
    log: Noted,
    archive: Word,
}

#[derive(Debug, Deserialize)]
struct OpenPipeline {
    #[serde(rename = "_id")]
    id: i64,
    project: i64,
    status: Box<str>,
    jobs_listed_at: Option<DateTime>,
    open: i64,
    report: Reported,
    /// `None` where an earlier version wrote it.
    detail: Option<Word>,
}

impl Mongo {
    pub(in crate::store) async fn gaps(&self, project: Option<ProjectId>, limit: u64) -> Result<Vec<Gap>, Error> {
        self.read(Operation("gaps", "find gaps"), |collections| async move {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let of = project.map_or_else(Document::new, |project| doc! { "project": integer(project.0) });
            let (jobs, pipelines) = tokio::try_join!(
                of_jobs(&collections, of.clone(), limit),
                of_pipelines(&collections, of.clone(), limit),
            )?;
            let (mut gaps, told) = (jobs, pipelines.iter().map(|gap| (gap.project, gap.pipeline)).collect());
            gaps.extend(pipelines);
            gaps.extend(of_failures(&collections, of, &told, limit).await?);
            gaps.sort_by_key(|gap| (gap.project, gap.pipeline, gap.job));
            gaps.truncate(limit);
            Ok(gaps)
        })
        .await
    }
}

async fn of_jobs(collections: &Collections, mut of: Document, limit: usize) -> Result<Vec<Gap>, Trouble> {
    of.insert("open", doc! { "$gt": 0 });
    let found = Query::of(of).fields(open_job()).sort(doc! { "project": 1, "pipeline": 1, "_id": 1 }).index(JOBS_OPEN);
    let mut found = collections.cursor::<OpenJob>(JOBS, found).await?;
    let mut gaps = Vec::new();
    let mut checked = 0;
    loop {
        let next = if gaps.len() < limit { found.next().await? } else { None };
        let Some(job) = next else {
            // What GitLab deleted before it was fetched makes room for more.
            let deleted = gone(collections, gaps[checked..].iter().map(|gap: &Gap| integer(gap.pipeline.0))).await?;
            let before = gaps.len();
            gaps.retain(|gap| !deleted.contains(&integer(gap.pipeline.0)));
            if before < limit || gaps.len() == before {
                break;
            }
            checked = gaps.len();
            continue;
        };
        for (kind, expected, piece) in
            [("log", job.started, job.log.piece()), ("archive", job.archived, job.archive.piece())]
        {
            if expected && piece.is_gap() {
                gaps.push(gap((job.project, job.pipeline, Some(job.id)), kind, piece == Piece::Absent(Reason::Failed)));
            }
        }
        if let Some(problem) = job.log.problem() {
            let gap = gap((job.project, job.pipeline, Some(job.id)), "log", true);
            gaps.push(Gap { problem: Some(problem.to_owned()), ..gap });
        }
    }
    explain(collections, &mut gaps).await?;
    Ok(gaps)
}

async fn of_pipelines(collections: &Collections, mut of: Document, limit: usize) -> Result<Vec<Gap>, Trouble> {
    of.insert("open", doc! { "$gt": 0 });
    let keys = doc! { "project": 1, "status": 1, "jobs_listed_at": 1, "open": 1, "detail.piece": 1, "report.piece": 1, "report.summary_piece": 1 };
    let found = Query::of(of).fields(keys).sort(doc! { "project": 1, "_id": 1 }).index(PIPELINES_OPEN);
    let mut found = collections.cursor::<OpenPipeline>(PIPELINES, found).await?;
    let mut gaps = Vec::new();
    let mut candidates: BTreeMap<i64, Vec<(i64, &'static str, bool)>> = BTreeMap::new();
    while gaps.len() < limit
        && let Some(pipeline) = found.next().await?
    {
        if pipeline.jobs_listed_at.is_none() {
            gaps.push(gap((pipeline.project, pipeline.id, None), "jobs", false));
        }
        let detail = pipeline.detail.as_ref().map_or(Piece::Missing, Word::piece);
        if detail.is_gap() {
            gaps.push(gap((pipeline.project, pipeline.id, None), "detail", detail == Piece::Absent(Reason::Failed)));
        }
        let over = Status(pipeline.status).pipeline_phase() != PipelinePhase::Active;
        if over
            && let Some((kind, piece)) = pipeline.report.lacking()
            && pipeline.open & (LIVE | NO_REPORT | UNLISTED) != 0
        {
            let failed = piece == Piece::Absent(Reason::Failed);
            candidates.entry(pipeline.project).or_default().push((pipeline.id, kind, failed));
        }
    }
    for (project, pipelines) in candidates {
        let expected = unreported(collections, project, pipelines.iter().map(|(id, ..)| *id)).await?;
        let missed = pipelines.into_iter().filter(|(id, ..)| expected.contains(id));
        gaps.extend(missed.map(|(id, kind, failed)| gap((project, id, None), kind, failed)));
    }
    explain(collections, &mut gaps).await?;
    Ok(gaps)
}

/// Failures that no missing piece shows: of a job or pipeline that is not stored, or that misses nothing we know of. The
/// failed report of a pipeline that goes on is not missed: there will be another. Nothing is missed of one that is gone.
async fn of_failures(
    collections: &Collections,
    of: Document,
    told: &HashSet<(ProjectId, PipelineId)>,
    limit: usize,
) -> Result<Vec<Gap>, Trouble> {
    #[derive(Deserialize)]
    struct Phase {
        #[serde(rename = "_id")]
        id: i64,
        status: Box<str>,
    }
    let found = Query::of(of).sort(doc! { "project": 1 }).limit(integer(limit as u64));
    let failures: Vec<FailureDocument> = collections.rows(FAILURES, found).await?;
    let (of_jobs, of_pipelines): (Vec<_>, Vec<_>) = failures.into_iter().partition(|failure| &*failure.kind == "job");
    let ids: Vec<i64> = of_jobs.iter().map(|failure| failure.target).collect();
    let jobs = Query::of(doc! { "_id": { "$in": ids } }).fields(open_job());
    let jobs = collections.rows::<OpenJob>(JOBS, jobs);
    let ids: Vec<i64> = of_pipelines.iter().map(|failure| failure.target).collect();
    let phases = Query::of(doc! { "_id": { "$in": ids } }).fields(doc! { "status": 1 });
    let phases = collections.rows::<Phase>(PIPELINES, phases);
    let (jobs, phases) = tokio::try_join!(jobs, phases)?;
    let jobs: HashMap<i64, OpenJob> = jobs.into_iter().map(|job| (job.id, job)).collect();
    let active: HashSet<i64> = phases
        .into_iter()
        .filter(|found| Status(found.status.clone()).pipeline_phase() == PipelinePhase::Active)
        .map(|found| found.id)
        .collect();
    let known = jobs.values().map(|job| job.pipeline).chain(of_pipelines.iter().map(|failure| failure.target));
    let deleted = gone(collections, known).await?;
    let mut gaps = Vec::new();
    for failure in of_jobs {
        let job = jobs.get(&failure.target);
        let failed = |piece: Piece| piece == Piece::Absent(Reason::Failed);
        let shown = |job: &OpenJob| job.open == 2 || failed(job.log.piece()) || failed(job.archive.piece());
        if job.is_none_or(|job| !shown(job) && !deleted.contains(&job.pipeline)) {
            let pipeline = job.map_or(0, |job| job.pipeline);
            gaps.push(Gap {
                problem: Some(failure.problem.into()),
                ..gap((failure.project, pipeline, Some(failure.target)), "job", true)
            });
        }
    }
    // Trigger jobs are fetched for readers only: that they could not be is no gap. A document that lacks is shown by its piece.
    for failure in of_pipelines.into_iter().filter(|failure| !matches!(&*failure.kind, "bridges" | "detail")) {
        let key = (ProjectId(natural(failure.project)), PipelineId(natural(failure.target)));
        let kind = if &*failure.kind == "report" { "report" } else { "pipeline" };
        let another_will_come = kind == "report" && active.contains(&failure.target);
        if !told.contains(&key) && !another_will_come && !deleted.contains(&failure.target) {
            gaps.push(Gap {
                problem: Some(failure.problem.into()),
                ..gap((failure.project, failure.target, None), kind, true)
            });
        }
    }
    Ok(gaps)
}

/// Adds the reasons of what failed; a gap of which a failure tells is a failed one.
async fn explain(collections: &Collections, gaps: &mut [Gap]) -> Result<(), Trouble> {
    let ids = |gap: &Gap| match gap.job {
        Some(job) => vec![failure_id(&Target::Job(JobKey { project: gap.project, job }))],
        None if gap.kind == "detail" => {
            let key = PipelineKey { project: gap.project, pipeline: gap.pipeline };
            vec![failure_id(&Target::Detail(key))]
        }
        None => {
            let key = PipelineKey { project: gap.project, pipeline: gap.pipeline };
            vec![failure_id(&Target::Pipeline(key)), failure_id(&Target::Report(key))]
        }
    };
    let asked: Vec<String> = gaps.iter().flat_map(ids).collect();
    if asked.is_empty() {
        return Ok(());
    }
    let found: Vec<FailureDocument> = collections.rows(FAILURES, Query::of(doc! { "_id": { "$in": asked } })).await?;
    let problems: HashMap<Box<str>, Box<str>> = found.into_iter().map(|found| (found.id, found.problem)).collect();
    for gap in gaps {
        let told = ids(gap).iter().find_map(|id| problems.get(&**id)).map(|problem| problem.to_string());
        gap.problem = told.or(gap.problem.take());
        if gap.job.is_none() && gap.problem.is_some() {
            gap.state = Piece::Absent(Reason::Failed);
        }
    }
    Ok(())
}

fn open_job() -> Document {
    doc! {
        "project": 1, "pipeline": 1, "started": 1, "archived": 1, "open": 1, "log.piece": 1, "log.note": 1,
        "archive.piece": 1,
    }
}

fn gap((project, pipeline, job): (i64, i64, Option<i64>), kind: &'static str, failed: bool) -> Gap {
    Gap {
        project: ProjectId(natural(project)),
        pipeline: PipelineId(natural(pipeline)),
        job: job.map(|id| JobId(natural(id))),
        kind,
        state: if failed { Piece::Absent(Reason::Failed) } else { Piece::Missing },
        problem: None,
    }
}
