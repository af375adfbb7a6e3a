//! One attempt to apply lists of changes to what is stored: read, judge, write what nobody else changed meanwhile.

use std::collections::{BTreeMap, HashSet};

use mongodb::bson::{Bson, RawDocumentBuf, doc, rawdoc};
use mongodb::error::Error as DriverError;
use serde::Deserialize;

use super::Mongo;
use super::apply::Order;
use super::blobs::{self, Fates, Of};
use super::calls::Update;
use super::documents::{JobDocument, PipelineDocument, Revised};
use super::facts::{self, Desk};
use super::journal::Ending;
use super::paths;
use super::query::Query;
use super::reach::Collections;
use super::schema::{BRIDGES, JOBS, JOBS_OF_PIPELINE, PIPELINES, PROJECTS};
use super::trouble::Trouble;
use super::values::{date, integer};
use crate::domain::{Job, Junit, Project, Reason};
use crate::store::Change;
use crate::work::Target;

/// How often a flag is set again because others wrote the same pipeline meanwhile.
const TRIES: u32 = 30;

/// How each list ended, by its number; those that are missing lost a race and have to be applied again.
pub(super) type Ended = BTreeMap<usize, Result<(), Trouble>>;

/// What a list made of documents, to be written down once they are written.
#[derive(Debug, Default)]
struct Made {
    of_jobs: Fates,
    of_pipelines: Fates,
    ending: Ending,
}

impl Mongo {
    /// Applies lists to what is stored now. The `uploaded` blobs came with them; with `trusted` they were stored a moment ago.
    pub(super) async fn round(
        &self,
        collections: &Collections,
        orders: &[Order],
        uploaded: &[i64],
        trusted: bool,
    ) -> Result<Ended, Trouble> {
        let owner = self.inner.owner.id;
        let changes = || orders.iter().flat_map(|order| &order.changes);
        let (_, _, mut jobs, mut pipelines) = tokio::try_join!(
            write_projects(collections, changes),
            write_bridges(collections, changes()),
            load::<JobDocument>(collections, JOBS, changes().filter_map(job_of)),
            load::<PipelineDocument>(collections, PIPELINES, changes().filter_map(pipeline_of)),
        )?;
        // Only after the documents were read: the sweep takes a blob first and then changes the revision of its document.
        let trusted = if trusted { uploaded } else { &[] };
        let claims = claims(orders, trusted);
        let mut in_hand = blobs::claim(collections, owner, &claims).await?;
        in_hand.extend(trusted);

        let mut made: BTreeMap<usize, Made> = BTreeMap::new();
        let mut ended = Ended::new();
        for (number, order) in orders.iter().enumerate() {
            let before = jobs.copy(order.changes.iter().filter_map(job_of));
            let mut own = Made::default();
            match order.to_jobs(&mut jobs, &mut own, &in_hand) {
                Ok(()) => drop(made.insert(number, own)),
                Err(trouble) => {
                    jobs.restore(before);
                    ended.insert(number, Err(trouble));
                }
            }
        }
        blobs::announce(collections, owner, made.values().map(|made| &made.of_jobs)).await?;
        let lost = write(collections, JOBS, &mut jobs).await?;
        made.retain(|number, _| !orders[*number].touches(job_of, &lost));

        for (number, order) in orders.iter().enumerate() {
            let Some(own) = made.get_mut(&number) else { continue };
            let before = pipelines.copy(order.changes.iter().filter_map(pipeline_of));
            if let Err(trouble) = order.to_pipelines(&mut pipelines, own, &in_hand) {
                pipelines.restore(before);
                made.remove(&number);
                ended.insert(number, Err(trouble));
            }
        }
        blobs::announce(collections, owner, made.values().map(|made| &made.of_pipelines)).await?;
        let fresh: Vec<i64> = pipelines.changed().filter(|(_, sheet)| sheet.read.is_none()).map(|(id, _)| id).collect();
        let mut lost = write(collections, PIPELINES, &mut pipelines).await?;
        lost.extend(self.flag_junit(collections, &fresh, &pipelines, changes()).await?);
        made.retain(|number, _| !orders[*number].touches(pipeline_of, &lost));

        let (mut fates, mut ending) = (Fates::default(), Ending::default());
        let mut done = Vec::new();
        for (number, made) in made {
            fates.add(made.of_jobs);
            fates.add(made.of_pipelines);
            ending.add(made.ending);
            done.push((number, &orders[number]));
        }
        let lists: Vec<&Order> = done.iter().map(|(_, order)| *order).collect();
        let (_, refused) = tokio::try_join!(fates.write(collections), self.end(collections, &lists, ending))?;
        // Small ones go at once; the sweep takes its time for large ones.
        let unneeded: Vec<i64> = fates.refused.iter().copied().filter(|blob| uploaded.contains(blob)).collect();
        blobs::remove(collections, &unneeded).await?;
        self.let_go(&fates.all().collect::<Vec<_>>());
        for (place, (number, _)) in done.into_iter().enumerate() {
            ended.insert(number, if refused.contains(&place) { Err(Trouble::Duplicate) } else { Ok(()) });
        }
        Ok(ended)
    }

    /// Flags pipelines whose jobs and documents were stored by two writers at the same time. Whoever stores a job with JUnit
    /// looks for the pipeline afterwards, and whoever stores a new pipeline looks for such jobs afterwards: one of them sees
    /// the other. Returns pipelines that have appeared, whose lists are applied again.
    async fn flag_junit(
        &self,
        collections: &Collections,
        fresh: &[i64],
        pipelines: &Desk<PipelineDocument>,
        changes: impl Iterator<Item = &Change>,
    ) -> Result<HashSet<i64>, Trouble> {
        #[derive(Deserialize)]
        struct Found {
            pipeline: i64,
        }
        let unflagged: Vec<i64> =
            fresh.iter().copied().filter(|id| pipelines.get(*id).is_some_and(|found| !found.junit)).collect();
        if !unflagged.is_empty() {
            let projects: Vec<i64> =
                unflagged.iter().filter_map(|id| pipelines.get(*id)).map(|found| found.project).collect();
            let with = doc! { "project": { "$in": projects }, "pipeline": { "$in": unflagged }, "junit": true };
            let found = Query::of(with).fields(doc! { "_id": 0, "pipeline": 1 }).index(JOBS_OF_PIPELINE);
            let found: Vec<Found> = collections.rows(JOBS, found).await?;
            let found: HashSet<i64> = found.into_iter().map(|found| found.pipeline).collect();
            for _ in 0..TRIES {
                let mut desk = load::<PipelineDocument>(collections, PIPELINES, found.iter().copied()).await?;
                found.iter().for_each(|id| facts::has_junit(&mut desk, *id));
                if write(collections, PIPELINES, &mut desk).await?.is_empty() {
                    break;
                }
            }
        }
        let absent = changes.filter_map(|change| match change {
            Change::Job(job) if may_have_junit(job) => Some(integer(job.pipeline_key().pipeline.0)),
            _ => None,
        });
        let absent: HashSet<i64> = absent.filter(|id| pipelines.get(*id).is_none()).collect();
        let appeared = load::<PipelineDocument>(collections, PIPELINES, absent.iter().copied()).await?;
        Ok(absent.into_iter().filter(|id| appeared.get(*id).is_some()).collect())
    }
}

impl Order {
    fn to_jobs(&self, jobs: &mut Desk<JobDocument>, made: &mut Made, in_hand: &HashSet<i64>) -> Result<(), Trouble> {
        let Made { of_jobs: fates, ending, .. } = made;
        for change in &self.changes {
            match change {
                Change::Job(job) => facts::job(jobs, job, fates, ending),
                Change::Log { key, record, .. } => {
                    let held = jobs.get(integer(key.job.0)).and_then(|job| job.log.blob);
                    usable(record.blob.map(|blob| blob.0), held, in_hand)?;
                    facts::log(jobs, *key, record.clone(), fates)?;
                }
                Change::Archive { key, record, .. } => {
                    let held = jobs.get(integer(key.job.0)).and_then(|job| job.archive.blob);
                    usable(record.blob.map(|blob| blob.0), held, in_hand)?;
                    facts::archive(jobs, *key, record.clone(), fates)?;
                }
                Change::Refused(Target::Job(key), at) => facts::job_refused(jobs, *key, *at),
                Change::Damaged(Target::Job(key), blob) => facts::job_damaged(jobs, *key, *blob),
                Change::Fail { target: Target::Job(key), .. } => facts::fail(jobs, *key),
                _ => {}
            }
        }
        Ok(())
    }

    fn to_pipelines(
        &self,
        pipelines: &mut Desk<PipelineDocument>,
        made: &mut Made,
        in_hand: &HashSet<i64>,
    ) -> Result<(), Trouble> {
        for change in &self.changes {
            match change {
                Change::Pipeline(pipeline) => facts::pipeline(pipelines, pipeline),
                Change::Sketch(pipeline) if pipelines.get(integer(pipeline.key.pipeline.0)).is_none() => {
                    facts::pipeline(pipelines, pipeline);
                }
                _ => {}
            }
        }
        for (number, change) in self.changes.iter().enumerate() {
            match change {
                Change::Gone(key) => {
                    facts::gone(pipelines, *key);
                    Target::of_pipeline(*key).iter().for_each(|target| made.ending.forget(target));
                }
                Change::Refused(Target::Report(key), at) => facts::report_refused(pipelines, *key, *at),
                Change::Damaged(Target::Report(key), blob) => facts::report_damaged(pipelines, *key, *blob),
                Change::Refused(Target::Detail(key), at) => facts::detail_refused(pipelines, *key, *at),
                Change::NoDetail(key, reason) => facts::no_detail(pipelines, *key, *reason),
                Change::Fail { target: Target::Detail(key), .. } => {
                    facts::no_detail(pipelines, *key, Reason::Failed);
                }
                Change::JobsListed(key, at) => facts::jobs_listed(pipelines, *key, *at)?,
                Change::Job(job) if may_have_junit(job) => {
                    facts::has_junit(pipelines, integer(job.pipeline_key().pipeline.0));
                }
                Change::Report { key, record, .. } => {
                    let held = pipelines.get(integer(key.pipeline.0)).and_then(|pipeline| pipeline.report.blob);
                    usable(record.blob.map(|blob| blob.0), held, in_hand)?;
                    let summary = self.summaries.get(&number).copied();
                    facts::report(pipelines, *key, record.clone(), summary, &mut made.of_pipelines)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn touches(&self, of: impl Fn(&Change) -> Option<i64>, documents: &HashSet<i64>) -> bool {
        !documents.is_empty() && self.changes.iter().filter_map(of).any(|id| documents.contains(&id))
    }
}

/// A blob that is neither held already nor in this process's hands was swept, because the process was silent for long.
fn usable(offered: Option<i64>, held: Option<i64>, in_hand: &HashSet<i64>) -> Result<(), Trouble> {
    match offered {
        Some(blob) if offered != held && !in_hand.contains(&blob) => Err(Trouble::FenceLost),
        _ => Ok(()),
    }
}

/// Returns whether a report may have to be asked for because of a job, whatever is known of it.
fn may_have_junit(job: &Job) -> bool {
    Junit::of(job, None) != Junit::None
}

/// Returns the job that a change is about.
fn job_of(change: &Change) -> Option<i64> {
    match change {
        Change::Job(job) => Some(integer(job.key.job.0)),
        Change::Log { key, .. } | Change::Archive { key, .. } => Some(integer(key.job.0)),
        Change::Refused(Target::Job(key), _) | Change::Damaged(Target::Job(key), _) => Some(integer(key.job.0)),
        Change::Fail { target: Target::Job(key), .. } => Some(integer(key.job.0)),
        _ => None,
    }
}

/// Returns the pipeline that a change is about.
fn pipeline_of(change: &Change) -> Option<i64> {
    match change {
        Change::Pipeline(pipeline) | Change::Sketch(pipeline) => Some(integer(pipeline.key.pipeline.0)),
        Change::JobsListed(key, _) | Change::Gone(key) | Change::Report { key, .. } => Some(integer(key.pipeline.0)),
        Change::Job(job) if may_have_junit(job) => Some(integer(job.pipeline_key().pipeline.0)),
        Change::Refused(Target::Report(key) | Target::Detail(key), _) | Change::Damaged(Target::Report(key), _) => {
            Some(integer(key.pipeline.0))
        }
        Change::NoDetail(key, _) | Change::Fail { target: Target::Detail(key), .. } => Some(integer(key.pipeline.0)),
        _ => None,
    }
}

/// Returns the streamed blobs that are offered, whose they would be, how long they are, and how long for readers.
fn claims(orders: &[Order], trusted: &[i64]) -> BTreeMap<i64, (Of, u64, u64)> {
    let changes = orders.iter().flat_map(|order| &order.changes);
    let offers = changes.filter_map(|change| {
        let (of, piece, blob, length, raw) = match change {
            Change::Log { key, record, .. } => {
                let length = record.frames.iter().copied().map(u64::from).sum();
                (Of::Log(*key), record.piece, record.blob, length, record.size)
            }
            Change::Archive { key, record, .. } => {
                (Of::Archive(*key), record.piece, record.blob, record.size, record.size)
            }
            Change::Report { key, record, .. } => {
                (Of::Report(*key), record.piece, record.blob, record.size, record.size)
            }
            _ => return None,
        };
        let holds = piece.is_held();
        Some((blob.filter(|blob| holds && !trusted.contains(&blob.0))?.0, (of, length, raw)))
    });
    offers.collect()
}

/// Reads documents by their ids.
async fn load<D: Revised + Unpin>(
    collections: &Collections,
    name: &str,
    ids: impl Iterator<Item = i64>,
) -> Result<Desk<D>, Trouble> {
    let ids: HashSet<i64> = ids.collect();
    if ids.is_empty() {
        return Ok(Desk::new(ids.into_iter(), Vec::new()));
    }
    let asked: Vec<Bson> = ids.iter().copied().map(Bson::Int64).collect();
    let found = collections.rows(name, Query::of(doc! { "_id": { "$in": asked } })).await?;
    Ok(Desk::new(ids.into_iter(), found))
}

/// Writes what changed, each document only if it is still the revision that was read. Returns those that were not.
async fn write<D: Revised>(collections: &Collections, name: &str, desk: &mut Desk<D>) -> Result<HashSet<i64>, Trouble> {
    #[derive(Deserialize)]
    struct Found {
        #[serde(rename = "_id")]
        id: i64,
        rev: i64,
    }
    let mut revisions = BTreeMap::new();
    let mut updates = Vec::new();
    for (id, sheet) in desk.changed() {
        let Some(document) = &mut sheet.now else { continue };
        let revision = fastrand::i64(..);
        document.revise(revision);
        revisions.insert(id, revision);
        let filter = match sheet.read {
            Some(read) => rawdoc! { "_id": id, "rev": read },
            // It is made where there is none; where another writer was faster its `_id` is taken.
            None => rawdoc! { "_id": id, "rev": { "$exists": false } },
        };
        let change = mongodb::bson::serialize_to_raw_document_buf(document).map_err(DriverError::from)?;
        updates.push(Update { filter, change: change.into(), upsert: sheet.read.is_none(), multi: false });
    }
    if updates.is_empty() {
        return Ok(HashSet::new());
    }
    let updated = collections.update(name, updates).await?;
    if updated.matched == revisions.len() as u64 {
        return Ok(HashSet::new());
    }
    // A repeated command finds its own first attempt: the revision tells.
    let ids: Vec<i64> = revisions.keys().copied().collect();
    let found = Query::of(doc! { "_id": { "$in": ids } }).fields(doc! { "rev": 1 });
    for Found { id, rev } in collections.rows(name, found).await? {
        if revisions.get(&id) == Some(&rev) {
            revisions.remove(&id);
        }
    }
    Ok(revisions.into_keys().collect())
}

/// Writes projects' documents that are not older than the stored ones.
async fn write_projects<'a, C: Iterator<Item = &'a Change>>(
    collections: &Collections,
    changes: impl Fn() -> C,
) -> Result<(), Trouble> {
    let updates = changes().filter_map(|change| match change {
        Change::Project(project) => Some(project_update(project)),
        _ => None,
    });
    // A newer one is there where the id is taken.
    collections.update(PROJECTS, updates.collect()).await?;
    paths::note(collections, changes()).await
}

fn project_update(project: &Project) -> Update {
    let id = integer(project.id.0);
    let as_of = date(project.document.as_of);
    let filter = rawdoc! { "_id": id, "as_of": { "$lte": as_of } };
    let change: RawDocumentBuf = rawdoc! {
        "_id": id,
        "path": &*project.path,
        "path_key": project.path.to_ascii_lowercase(),
        "as_of": as_of,
        "facts": serde_json::to_string(&project.facts).unwrap_or_default(),
        "doc": &*project.document.text,
    };
    Update { filter, change: change.into(), upsert: true, multi: false }
}

/// Writes pipelines' trigger jobs that are not older than the stored ones.
async fn write_bridges(collections: &Collections, changes: impl Iterator<Item = &Change>) -> Result<(), Trouble> {
    let updates = changes.filter_map(|change| match change {
        Change::Bridges(key, document) => {
            let (id, as_of) = (integer(key.pipeline.0), date(document.as_of));
            let filter = rawdoc! { "_id": id, "as_of": { "$lte": as_of } };
            let project = integer(key.project.0);
            let change: RawDocumentBuf =
                rawdoc! { "_id": id, "project": project, "as_of": as_of, "doc": &*document.text };
            Some(Update { filter, change: change.into(), upsert: true, multi: false })
        }
        _ => None,
    });
    collections.update(BRIDGES, updates.collect()).await.map(drop)
}
