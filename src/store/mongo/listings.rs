//! What looks at GitLab's lists showed: of each list one document.

use mongodb::bson::{DateTime, Document, doc};
use serde::Deserialize;

use super::Mongo;
use super::query::Query;
use super::reach::Collections;
use super::schema::LISTINGS;
use super::trouble::{Trouble, is_duplicate};
use super::values::{date, integer, natural, time};
use crate::domain::{PipelineSource, ProjectId, Timestamp};
use crate::store::metrics::Operation;
use crate::store::{Error, ListOf, Listing};

#[derive(Deserialize)]
struct Kept {
    as_of: DateTime,
    since: DateTime,
}

/// In place of a project's two listings: neither is to be had, because its CI is off.
#[derive(Deserialize)]
struct Off {
    without_ci: i64,
    since: DateTime,
}

impl Mongo {
    pub(in crate::store) async fn listing(&self, list: ListOf) -> Result<Option<Listing>, Error> {
        self.read(Operation("listing", "read what a look at a list showed"), |collections| async move {
            let found = collections.one::<Kept>(LISTINGS, Query::of(doc! { "_id": id(list) })).await?;
            Ok(found.map(|kept| Listing { as_of: time(kept.as_of), since: time(kept.since) }))
        })
        .await
    }

    pub(in crate::store) async fn without_ci(
        &self,
        project: Option<ProjectId>,
    ) -> Result<Vec<(ProjectId, Timestamp)>, Error> {
        self.read(Operation("without_ci", "list projects without CI"), move |collections| async move {
            let off = match project {
                Some(project) => doc! { "_id": off_id(project) },
                None => doc! { "without_ci": { "$exists": true } },
            };
            let off: Vec<Off> = collections.rows(LISTINGS, Query::of(off).sort(doc! { "without_ci": 1 })).await?;
            Ok(off.into_iter().map(|off| (ProjectId(natural(off.without_ci)), time(off.since))).collect())
        })
        .await
    }
}

/// Notes a look, unless a later one is noted.
pub(super) async fn note(collections: &Collections, (list, listing): (ListOf, Listing)) -> Result<(), Trouble> {
    let as_of = date(listing.as_of);
    let no_later = doc! { "_id": id(list), "as_of": { "$lte": as_of } };
    let seen = doc! { "$set": { "as_of": as_of, "since": date(listing.since) } };
    match collections.of::<Document>(LISTINGS).update_one(no_later, seen).upsert(true).await {
        // The one that is there is later, or was made at the same time.
        Err(error) if is_duplicate(&error) => Ok(()),
        noted => noted.map(drop).map_err(Trouble::from),
    }
}

/// Notes since when projects have no CI, unless that is noted, or that they have; one after the other, because a later one may
/// take back what an earlier one says.
pub(super) async fn note_ci(
    collections: &Collections,
    noted: &[(ProjectId, Option<Timestamp>)],
) -> Result<(), Trouble> {
    let listings = collections.of::<Document>(LISTINGS);
    for (project, since) in noted {
        let this = doc! { "_id": off_id(*project) };
        let Some(since) = since.map(date) else {
            listings.delete_one(this).await?;
            continue;
        };
        let off = doc! { "$setOnInsert": { "as_of": since, "since": since, "without_ci": integer(project.0) } };
        match listings.update_one(this, off).upsert(true).await {
            Err(error) if is_duplicate(&error) => {}
            noted => noted.map(drop)?,
        }
    }
    Ok(())
}

/// Forgets what was noted of a project.
pub(super) async fn forget(collections: &Collections, project: ProjectId) -> Result<(), Trouble> {
    let lists = [PipelineSource::Plain, PipelineSource::Child].map(|source| id(ListOf::Pipelines(project, source)));
    let all: Vec<String> = lists.into_iter().chain([id(ListOf::Project(project)), off_id(project)]).collect();
    collections.of::<Document>(LISTINGS).delete_many(doc! { "_id": { "$in": all } }).await?;
    Ok(())
}

fn off_id(project: ProjectId) -> String {
    format!("{project} without CI")
}

fn id(list: ListOf) -> String {
    match list {
        ListOf::Projects => "projects".to_owned(),
        ListOf::Pipelines(project, PipelineSource::Plain) => format!("{project} plain"),
        ListOf::Pipelines(project, PipelineSource::Child) => format!("{project} child"),
        ListOf::Project(project) => format!("{project} itself"),
    }
}
