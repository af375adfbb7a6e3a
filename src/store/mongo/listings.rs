//! What looks at GitLab's lists showed: of each list one document.

use mongodb::bson::{DateTime, Document, doc};
use serde::Deserialize;

use super::Mongo;
use super::query::Query;
use super::reach::Collections;
use super::schema::LISTINGS;
use super::trouble::{Trouble, is_duplicate};
use super::values::{date, time};
use crate::domain::PipelineSource;
use crate::store::metrics::Operation;
use crate::store::{Error, ListOf, Listing};

#[derive(Deserialize)]
struct Kept {
    as_of: DateTime,
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

fn id(list: ListOf) -> String {
    match list {
        ListOf::Projects => "projects".to_owned(),
        ListOf::Pipelines(project, PipelineSource::Plain) => format!("{project} plain"),
        ListOf::Pipelines(project, PipelineSource::Child) => format!("{project} child"),
    }
}
