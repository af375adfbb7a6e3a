//! What GitLab refused to the token, and what was asked for least recently. Five small indexes hold nothing else.

use std::collections::HashSet;

use mongodb::bson::{DateTime, doc};
use serde::Deserialize;

use super::Mongo;
use super::query::Query;
use super::reach::Collections;
use super::schema::{
    ARCHIVES_REFUSED, DETAILS_REFUSED, JOBS, LOGS_REFUSED, PIPELINES, REPORTS_REFUSED, SUMMARIES_REFUSED,
};
use super::trouble::Trouble;
use super::values::{date, integer, natural};
use crate::domain::{JobId, JobKey, PipelineId, PipelineKey, ProjectId, Timestamp};
use crate::store::Error;
use crate::store::metrics::Operation;
use crate::work::Target;

#[derive(Debug, Deserialize)]
struct Found {
    #[serde(rename = "_id")]
    id: i64,
    refused_at: Option<DateTime>,
    detail_refused_at: Option<DateTime>,
}

impl Mongo {
    pub(in crate::store) async fn refused(
        &self,
        project: ProjectId,
        before: Timestamp,
        limit: u64,
    ) -> Result<Vec<Target>, Error> {
        self.read(Operation("refused", "list what GitLab refused"), |collections| async move {
            let of = |collection, (piece, index)| {
                found(collections.clone(), collection, (piece, "refused_at", index), (project, before, limit))
            };
            let details = ("detail.piece", "detail_refused_at", DETAILS_REFUSED);
            let (details, logs, archives, reports, summaries) = tokio::try_join!(
                found(collections.clone(), PIPELINES, details, (project, before, limit)),
                of(JOBS, ("log.piece", LOGS_REFUSED)),
                of(JOBS, ("archive.piece", ARCHIVES_REFUSED)),
                of(PIPELINES, ("report.piece", REPORTS_REFUSED)),
                of(PIPELINES, ("report.summary_piece", SUMMARIES_REFUSED)),
            )?;
            let job = |id| Target::Job(JobKey { project, job: JobId(natural(id)) });
            let report = |id| Target::Report(PipelineKey { project, pipeline: PipelineId(natural(id)) });
            let detail = |id| Target::Detail(PipelineKey { project, pipeline: PipelineId(natural(id)) });
            let jobs = logs.into_iter().chain(archives).map(|found| (found.refused_at, found.id, job(found.id)));
            let mut all: Vec<_> = jobs.collect();
            all.extend(
                reports.into_iter().chain(summaries).map(|found| (found.refused_at, found.id, report(found.id))),
            );
            all.extend(details.into_iter().map(|found| (found.detail_refused_at, found.id, detail(found.id))));
            all.sort_by_key(|(at, id, _)| (*at, *id));
            // Of one thing two pieces may have been refused.
            let mut seen = HashSet::new();
            let each = all.into_iter().map(|(_, _, target)| target).filter(|target| seen.insert(*target));
            Ok(each.take(usize::try_from(limit).unwrap_or(usize::MAX)).collect())
        })
        .await
    }
}

async fn found(
    collections: Collections,
    collection: &'static str,
    (piece, asked_at, index): (&'static str, &'static str, &'static str),
    (project, before, limit): (ProjectId, Timestamp, u64),
) -> Result<Vec<Found>, Trouble> {
    let of = doc! { "project": integer(project.0), piece: "forbidden", asked_at: { "$not": { "$gte": date(before) } } };
    let found = Query::of(of).sort(doc! { asked_at: 1, "_id": 1 }).fields(doc! { asked_at: 1 }).index(index);
    collections.rows(collection, found.limit(integer(limit))).await
}
