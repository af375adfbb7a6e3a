//! What readers' looks at the listings of pipelines showed: a document for each of a project's two listings.

use mongodb::bson::{DateTime, Document, doc};
use serde::Deserialize;

use super::Mongo;
use super::query::Query;
use super::reach::Collections;
use super::schema::LISTINGS;
use super::trouble::{Trouble, is_duplicate};
use super::values::{date, time};
use crate::domain::{PipelineSource, ProjectId};
use crate::store::metrics::Operation;
use crate::store::{Error, Listing};

#[derive(Deserialize)]
struct Kept {
    as_of: DateTime,
    since: DateTime,
}

impl Mongo {
    pub(in crate::store) async fn listing(
        &self,
        project: ProjectId,
        source: PipelineSource,
    ) -> Result<Option<Listing>, Error> {
        self.read(Operation("listing", "read what a listing showed"), |collections| async move {
            let found = collections.one::<Kept>(LISTINGS, Query::of(doc! { "_id": id(project, source) })).await?;
            Ok(found.map(|kept| Listing { as_of: time(kept.as_of), since: time(kept.since) }))
        })
        .await
    }
}

/// Notes a look, unless a later one is noted.
pub(super) async fn note(
    collections: &Collections,
    (project, source, listing): (ProjectId, PipelineSource, Listing),
) -> Result<(), Trouble> {
    let as_of = date(listing.as_of);
    let no_later = doc! { "_id": id(project, source), "as_of": { "$lte": as_of } };
    let seen = doc! { "$set": { "as_of": as_of, "since": date(listing.since) } };
    match collections.of::<Document>(LISTINGS).update_one(no_later, seen).upsert(true).await {
        // The one that is there is later, or was made at the same time.
        Err(error) if is_duplicate(&error) => Ok(()),
        noted => noted.map(drop).map_err(Trouble::from),
    }
}

fn id(project: ProjectId, source: PipelineSource) -> String {
    match source {
        PipelineSource::Plain => format!("{project} plain"),
        PipelineSource::Child => format!("{project} child"),
    }
}
