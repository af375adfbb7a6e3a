//! Removing blobs that nothing points to.
//!
//! A blob in the hands of a process that is gone, or that let go of it, is either published, and the crash came before that
//! was written down, or it is not. So it is first taken from everybody, then held against the document that would point to
//! it; if that does not, its revision is changed, so that whoever read it before cannot publish the blob any more. Only then
//! it goes.

use mongodb::bson::{DateTime, Document, doc};
use serde::Deserialize;

use super::Mongo;
use super::blobs::{self, Holder, Metadata};
use super::processes::roll;
use super::query::Query;
use super::reach::Collections;
use super::schema::{FILES, JOBS, PIPELINES};
use super::trouble::Trouble;
use crate::store::Error;
use crate::store::metrics::Operation;

/// How long a replaced blob stays for those who read it.
const GRACE_MILLIS: i64 = 10 * 60 * 1000;

/// Blobs that one sweep looks at; the next one goes on.
const BLOBS_PER_SWEEP: i64 = 10_000;

/// `replaced_at` of what is taken from everybody: as if it had lost its pointer long ago.
const DOOMED: DateTime = DateTime::from_millis(0);

/// After how many of its leases a silent process loses its blobs.
const LEASES: i64 = 2;

#[derive(Debug, Deserialize)]
struct Loose {
    #[serde(rename = "_id")]
    id: i64,
    metadata: Metadata,
}

impl Mongo {
    pub(in crate::store) async fn sweep_blobs(&self) -> Result<u64, Error> {
        let own = self.inner.owner.id;
        let operation = Operation("sweep_blobs", "find loose blobs");
        let abandoned = self.read(operation, |collections| async move { abandoned(&collections, own).await }).await?;
        let in_hand = |blob: i64| self.inner.in_hand.lock().is_ok_and(|blobs| blobs.contains(&blob));
        for Loose { id, metadata } in abandoned {
            if metadata.owner == Some(own) && in_hand(id) {
                continue;
            }
            let judge = |collections: Collections| async move { take(&collections, id, metadata).await };
            self.read(Operation("sweep_blobs", "hold a blob against its document"), judge).await?;
        }
        let replaced = self.read(operation, |collections| async move { replaced(&collections).await }).await?;
        let mut removed = 0;
        for blob in replaced {
            let remove = |collections: Collections| async move { blobs::remove(&collections, &[blob]).await };
            self.read(Operation("remove_blob", "remove a blob"), remove).await?;
            removed += 1;
        }
        Ok(removed)
    }
}

/// Returns blobs in the hands of processes that are gone for two leases, and of this one.
async fn abandoned(collections: &Collections, own: i64) -> Result<Vec<Loose>, Trouble> {
    let files = collections.of::<Document>(FILES);
    let in_hand = doc! { "metadata.owner": { "$exists": true } };
    let owners = files.distinct("metadata.owner", in_hand).await?;
    if owners.is_empty() {
        return Ok(Vec::new());
    }
    let roll = roll(collections).await?;
    let gone = |id: i64| id == own || roll.as_ref().is_none_or(|roll| !roll.is_alive(id, LEASES));
    let gone: Vec<i64> = owners.iter().filter_map(mongodb::bson::Bson::as_i64).filter(|id| gone(*id)).collect();
    let of_gone = doc! { "metadata.owner": { "$in": gone } };
    collections.rows(FILES, Query::of(of_gone).limit(BLOBS_PER_SWEEP)).await
}

/// Takes a blob from everybody unless its document points to it.
async fn take(collections: &Collections, blob: i64, metadata: Metadata) -> Result<(), Trouble> {
    let files = collections.of::<Document>(FILES);
    let owned = doc! { "_id": blob, "metadata.owner": metadata.owner };
    let when = doc! { "$ifNull": ["$metadata.replaced_at", DOOMED] };
    let doomed = vec![doc! { "$set": { "metadata.replaced_at": when } }];
    if files.update_one(owned, doomed).await?.matched_count == 0 {
        // Its owner lives, and published it or gave it up.
        return Ok(());
    }
    // It may have been claimed since it was found.
    let found = collections.one::<Loose>(FILES, Query::of(doc! { "_id": blob })).await?;
    let Some(Holder { kind, id }) = found.and_then(|found| found.metadata.of) else {
        // Nobody can have read it.
        let free = doc! { "$unset": { "metadata.owner": "" } };
        files.update_one(doc! { "_id": blob, "metadata.of": { "$exists": false } }, free).await?;
        return Ok(());
    };
    let (name, pointer) = match &*kind {
        "log" => (JOBS, "log.blob"),
        "archive" => (JOBS, "archive.blob"),
        "report" => (PIPELINES, "report.blob"),
        _ => (PIPELINES, "report.summary_blob"),
    };
    let holders = collections.of::<Document>(name);
    // One command either finds the pointer or makes sure that nobody who read the document before can set it.
    let elsewhere = doc! { "_id": id, pointer: { "$ne": blob } };
    let revised = doc! { "$set": { "rev": fastrand::i64(..) } };
    holders.update_one(elsewhere, revised).await?;
    let points = holders.find_one(doc! { "_id": id, pointer: blob }).await?.is_some();
    let fate = if points {
        vec![doc! { "$unset": ["metadata.owner", "metadata.replaced_at"] }]
    } else {
        // Its readers, if it was published once, have their time to finish.
        let known = doc! { "$gt": ["$metadata.replaced_at", DOOMED] };
        let when = doc! { "$cond": [known, "$metadata.replaced_at", "$$NOW"] };
        vec![doc! { "$set": { "metadata.replaced_at": when } }, doc! { "$unset": "metadata.owner" }]
    };
    files.update_one(doc! { "_id": blob }, fate).await?;
    Ok(())
}

/// Returns blobs that nothing has pointed to for long enough.
async fn replaced(collections: &Collections) -> Result<Vec<i64>, Trouble> {
    let stages = [
        // One in somebody's hands is not judged yet.
        doc! { "$match": { "metadata.replaced_at": { "$exists": true }, "metadata.owner": { "$exists": false } } },
        doc! { "$match": { "$expr": { "$lte": ["$metadata.replaced_at", { "$subtract": ["$$NOW", GRACE_MILLIS] }] } } },
        doc! { "$limit": BLOBS_PER_SWEEP },
        doc! { "$project": { "metadata": 1 } },
    ];
    let found: Vec<Loose> = collections.aggregated(FILES, stages, None).await?;
    Ok(found.into_iter().map(|loose| loose.id).collect())
}
