//! Tombstones: what a person told us to forget.
//!
//! A list of changes is held against them before it is written and again after: a tombstone that came in between finds either
//! the documents already there and removes them, or a writer who looks once more.

use std::collections::HashSet;

use mongodb::bson::{DateTime, Document, doc};
use serde::Deserialize;

use super::Mongo;
use super::apply::Order;
use super::blobs;
use super::calls::{BULK, timed};
use super::query::Query;
use super::reach::Collections;
use super::schema::FORGOTTEN;
use super::trouble::Trouble;
use super::values::{integer, natural, time};
use crate::domain::{ProjectId, Subject};
use crate::store::metrics::Operation;
use crate::store::{Error, Forgotten, forgetting};

#[derive(Debug, Deserialize)]
struct Tombstone {
    project: i64,
    kind: Box<str>,
    target: i64,
    at: DateTime,
}

impl Tombstone {
    fn subject(&self) -> Result<Subject, Trouble> {
        Subject::from_parts(&self.kind, ProjectId(natural(self.project)), natural(self.target))
            .ok_or(Trouble::Unreadable("tombstone"))
    }
}

impl Mongo {
    pub(in crate::store) async fn forget(&self, subject: Subject) -> Result<bool, Error> {
        self.read(Operation("forget", "leave a tombstone"), |collections| async move {
            let set = doc! { "$set": {
                "project": integer(subject.project().0),
                "kind": subject.kind(),
                "target": integer(subject.id()),
                "at": { "$ifNull": ["$at", "$$NOW"] },
            } };
            let tombstones = collections.of::<Document>(FORGOTTEN);
            let made = tombstones.update_one(doc! { "_id": id(&subject) }, vec![set]).upsert(true).await?;
            Ok(made.upserted_id.is_some())
        })
        .await
    }

    pub(in crate::store) async fn remember(&self, subject: Subject) -> Result<bool, Error> {
        self.read(Operation("remember", "take a tombstone away"), |collections| async move {
            let tombstones = collections.of::<Document>(FORGOTTEN);
            Ok(tombstones.delete_one(doc! { "_id": id(&subject) }).await?.deleted_count == 1)
        })
        .await
    }

    pub(in crate::store) async fn forgotten(&self, subjects: Vec<Subject>) -> Result<HashSet<Subject>, Error> {
        self.read(Operation("forgotten", "look for tombstones"), |collections| async move {
            found(&collections, subjects.iter()).await
        })
        .await
    }

    pub(in crate::store) async fn all_forgotten(&self) -> Result<Vec<Forgotten>, Error> {
        self.read(Operation("all_forgotten", "list tombstones"), |collections| async move {
            let all = Query::of(doc! {}).sort(doc! { "at": 1, "_id": 1 });
            let found: Vec<Tombstone> = collections.rows(FORGOTTEN, all).await?;
            found.into_iter().map(|found| Ok((found.subject()?, time(found.at)))).collect()
        })
        .await
    }

    /// Takes out of lists what is about forgotten subjects, with the blobs that were streamed for it.
    pub(super) async fn take_out_forgotten(
        &self,
        collections: &Collections,
        about: &HashSet<Subject>,
        orders: &mut [Order],
    ) -> Result<(), Trouble> {
        if about.is_empty() {
            return Ok(());
        }
        let forgotten = found(collections, about.iter()).await?;
        if forgotten.is_empty() {
            return Ok(());
        }
        let lost = orders.iter_mut().flat_map(|order| forgetting::take_out(&mut order.changes, &forgotten));
        let lost: Vec<i64> = lost.map(|blob| blob.0).collect();
        self.let_go(&lost);
        let mine = blobs::in_hand_of(collections, self.inner.owner.id, lost.into_iter()).await?;
        blobs::remove(collections, &mine.into_iter().collect::<Vec<_>>()).await
    }

    /// Removes what a list brought back because its subject was forgotten while it was written.
    pub(super) async fn remove_what_was_forgotten_meanwhile(&self, about: HashSet<Subject>) {
        if about.is_empty() {
            return;
        }
        let forgotten = async { found(&self.inner.reach.collections()?, about.iter()).await };
        let forgotten = match timed(BULK, forgotten).await {
            Ok(forgotten) => forgotten,
            Err(trouble) => {
                tracing::debug!(error = trouble.reason(), "could not look for tombstones once more");
                return;
            }
        };
        for subject in forgotten {
            if let Err(error) = self.remove(subject).await {
                tracing::warn!(%error, %subject, "could not remove what was forgotten meanwhile: forget it once more");
            }
        }
    }
}

async fn found(
    collections: &Collections,
    subjects: impl Iterator<Item = &Subject>,
) -> Result<HashSet<Subject>, Trouble> {
    let ids: Vec<String> = subjects.map(id).collect();
    let found: Vec<Tombstone> = collections.rows(FORGOTTEN, Query::of(doc! { "_id": { "$in": ids } })).await?;
    found.iter().map(Tombstone::subject).collect()
}

fn id(subject: &Subject) -> String {
    format!("{}/{}/{}", subject.kind(), subject.project(), subject.id())
}
