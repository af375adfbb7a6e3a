//! What a pass must know of stored pipelines.
//!
//! Of a pipeline's document only `open` is read, and of its jobs those with something left to do: an index holds no others, so
//! that a pass reads only what needs work, however many jobs are stored. Nothing of it is computed ahead over several
//! documents, which two writers could do from two different pictures.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use mongodb::bson::{DateTime, doc};
use serde::Deserialize;

use super::Mongo;
use super::documents::{LIVE, NO_REPORT, UNLISTED};
use super::jobs;
use super::journal::failure_id;
use super::query::Query;
use super::reach::Collections;
use super::schema::{FAILURES, JOBS, JOBS_OPEN, PIPELINES, PIPELINES_OPEN};
use super::trouble::Trouble;
use super::values::{integer, natural, time};
use crate::domain::{Piece, PipelineId, PipelineKey, ProjectId, Status};
use crate::store::metrics::Operation;
use crate::store::{Error, PipelineState};
use crate::work::Target;

#[derive(Debug, Deserialize)]
struct Known {
    #[serde(rename = "_id")]
    id: i64,
    status: Box<str>,
    updated_at: DateTime,
    jobs_listed_at: Option<DateTime>,
    open: i64,
    #[serde(default)]
    gone: bool,
    /// `None` where an earlier version wrote it, which does not know that something lacks.
    detail: Option<Detail>,
}

#[derive(Debug, Deserialize)]
struct Detail {
    piece: Box<str>,
}

#[derive(Debug, Deserialize)]
struct OpenJob {
    pipeline: i64,
    open: i64,
}

#[derive(Debug, Deserialize)]
struct Id {
    #[serde(rename = "_id")]
    id: i64,
}

impl Mongo {
    pub(in crate::store) async fn pipeline_states(
        &self,
        project: ProjectId,
        ids: Vec<PipelineId>,
    ) -> Result<HashMap<PipelineId, PipelineState>, Error> {
        self.read(Operation("pipeline_states", "compare pipelines"), |collections| async move {
            let ids: Vec<i64> = ids.iter().map(|id| integer(id.0)).collect();
            let states = states(&collections, project, &ids).await?;
            Ok(states.into_iter().map(|state| (state.id, state)).collect())
        })
        .await
    }

    pub(in crate::store) async fn unfinished(
        &self,
        project: ProjectId,
        live: bool,
        after: Option<PipelineId>,
        limit: u64,
    ) -> Result<Vec<PipelineState>, Error> {
        self.read(Operation("unfinished", "find unfinished pipelines"), |collections| async move {
            let mut after = after.map_or(0, |id| integer(id.0));
            let mut found = Vec::new();
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            while found.len() < limit {
                let ids = open(&collections, integer(project.0), after, limit).await?;
                let Some(last) = ids.last() else { break };
                after = *last;
                let states = states(&collections, project, &ids).await?.into_iter();
                let unfinished = |state: &PipelineState| {
                    let ended = state.status.pipeline_phase() == crate::domain::PipelinePhase::Ended;
                    !state.gone && (state.missing || (live && (state.live || state.undetailed)) || !ended)
                };
                found.extend(states.filter(unfinished));
            }
            found.truncate(limit);
            Ok(found)
        })
        .await
    }
}

fn open_job() -> mongodb::bson::Document {
    doc! { "_id": 0, "pipeline": 1, "open": 1 }
}

/// Returns the first `limit` pipelines after `after` that are open themselves or have open jobs, lowest id first.
async fn open(collections: &Collections, project: i64, after: i64, limit: usize) -> Result<Vec<i64>, Trouble> {
    let own = doc! { "project": project, "_id": { "$gt": after }, "open": { "$gt": 0 } };
    let own = Query::of(own).sort(doc! { "_id": 1 }).fields(doc! { "_id": 1 }).index(PIPELINES_OPEN);
    let own = collections.rows::<Id>(PIPELINES, own.limit(integer(limit as u64)));
    let of_jobs = async {
        let jobs = Query::of(doc! { "project": project, "pipeline": { "$gt": after }, "open": { "$gt": 0 } });
        let jobs = jobs.sort(doc! { "pipeline": 1, "_id": 1 }).fields(open_job()).index(JOBS_OPEN);
        let mut jobs = collections.cursor::<OpenJob>(JOBS, jobs).await?;
        let mut pipelines = BTreeSet::new();
        while pipelines.len() < limit
            && let Some(job) = jobs.next().await?
        {
            pipelines.insert(job.pipeline);
        }
        Ok(pipelines)
    };
    let (own, mut ids) = tokio::try_join!(own, of_jobs)?;
    ids.extend(own.into_iter().map(|found| found.id));
    Ok(ids.into_iter().take(limit).collect())
}

/// Returns what is known of pipelines, lowest id first.
async fn states(collections: &Collections, project: ProjectId, ids: &[i64]) -> Result<Vec<PipelineState>, Trouble> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let number = integer(project.0);
    let keys = doc! { "status": 1, "updated_at": 1, "jobs_listed_at": 1, "open": 1, "gone": 1, "detail.piece": 1 };
    let known = doc! { "_id": { "$in": ids }, "project": number };
    let known = collections.rows::<Known>(PIPELINES, Query::of(known).fields(keys).sort(doc! { "_id": 1 }));
    let jobs = Query::of(doc! { "project": number, "pipeline": { "$in": ids }, "open": { "$gt": 0 } });
    let jobs = collections.rows::<OpenJob>(JOBS, jobs.fields(open_job()).index(JOBS_OPEN));
    let (known, jobs) = tokio::try_join!(known, jobs)?;
    let (failed, unreported) = tokio::try_join!(
        failed(collections, project, &known),
        unreported(collections, number, known.iter().filter(|found| found.open & NO_REPORT != 0).map(|found| found.id)),
    )?;
    let mut open: BTreeMap<i64, i64> = BTreeMap::new();
    for job in jobs {
        *open.entry(job.pipeline).or_default() |= job.open;
    }
    let states = known.into_iter().map(|found| {
        let jobs = open.get(&found.id).copied().unwrap_or(0);
        PipelineState {
            id: PipelineId(natural(found.id)),
            updated_at: time(found.updated_at),
            jobs_listed_at: found.jobs_listed_at.map(time),
            missing: found.open & UNLISTED != 0 || jobs & 2 != 0 || unreported.contains(&found.id),
            live: found.open & LIVE != 0 || jobs & 1 != 0,
            undetailed: !found.gone && found.detail.is_none_or(|detail| Piece::from_word(&detail.piece).is_gap()),
            failed: failed.contains(&found.id),
            gone: found.gone,
            status: Status(found.status),
        }
    });
    Ok(states.collect())
}

/// Of these pipelines, returns those that GitLab deleted.
pub(super) async fn gone(
    collections: &Collections,
    pipelines: impl IntoIterator<Item = i64>,
) -> Result<HashSet<i64>, Trouble> {
    let pipelines: BTreeSet<i64> = pipelines.into_iter().collect();
    if pipelines.is_empty() {
        return Ok(HashSet::new());
    }
    let pipelines: Vec<i64> = pipelines.into_iter().collect();
    let found = Query::of(doc! { "_id": { "$in": pipelines }, "gone": true }).fields(doc! { "_id": 1 });
    let found: Vec<Id> = collections.rows(PIPELINES, found).await?;
    Ok(found.into_iter().map(|found| found.id).collect())
}

async fn failed(collections: &Collections, project: ProjectId, known: &[Known]) -> Result<HashSet<i64>, Trouble> {
    #[derive(Deserialize)]
    struct Failed {
        target: i64,
    }
    if known.is_empty() {
        return Ok(HashSet::new());
    }
    let key = |id: i64| PipelineKey { project, pipeline: PipelineId(natural(id)) };
    let ids: Vec<String> = known.iter().map(|found| failure_id(&Target::Pipeline(key(found.id)))).collect();
    let found = Query::of(doc! { "_id": { "$in": ids } }).fields(doc! { "target": 1 });
    let found: Vec<Failed> = collections.rows(FAILURES, found).await?;
    Ok(found.into_iter().map(|failed| failed.target).collect())
}

/// Of pipelines without a report or summary, returns those of which one of the latest attempts delivered JUnit, or may have: only
/// they should have them.
pub(super) async fn unreported(
    collections: &Collections,
    project: i64,
    pipelines: impl Iterator<Item = i64>,
) -> Result<HashSet<i64>, Trouble> {
    let pipelines: Vec<i64> = pipelines.collect();
    if pipelines.is_empty() {
        return Ok(HashSet::new());
    }
    let listed = jobs::listed(collections, project, &pipelines).await?;
    let latest = jobs::latest(&listed);
    Ok(listed.iter().filter(|job| job.junit && latest.contains(&job.id)).map(|job| job.pipeline).collect())
}
