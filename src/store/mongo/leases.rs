//! Leases and what is written under them: one holder at a time, judged by the database's clock, each taking with a higher
//! fence.

use std::time::Duration;

use mongodb::ClientSession;
use mongodb::bson::{DateTime, Document, doc};
use mongodb::error::{TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT};
use mongodb::options::ReturnDocument;
use serde::Deserialize;
use tokio::time::Instant;

use super::Mongo;
use super::calls::Urgency;
use super::query::Query;
use super::reach::{Collections, majority};
use super::schema::{LEASES, PROGRESS};
use super::trouble::{Trouble, is_duplicate};
use super::values::{date, integer, natural, time};
use crate::domain::ProjectId;
use crate::store::metrics::Operation;
use crate::store::{Error, Fence, Lease, Progress};

/// When a lease expires that nobody holds.
const NEVER: DateTime = DateTime::from_millis(0);

/// How often a transaction is tried again that met another one.
const TRIES: u32 = 20;

#[derive(Deserialize)]
struct ProgressDocument {
    #[serde(rename = "_id")]
    project: i64,
    watermark: DateTime,
    covered_since: DateTime,
    full_pass_at: Option<DateTime>,
}

impl ProgressDocument {
    fn progress(&self) -> Progress {
        Progress {
            watermark: time(self.watermark),
            covered_since: time(self.covered_since),
            full_pass_at: self.full_pass_at.map(time),
        }
    }
}

impl Mongo {
    pub(in crate::store) async fn take_lease(&self, name: &'static str) -> Result<Option<Lease>, Error> {
        let owner = self.inner.owner;
        let asked = Instant::now();
        self.run(Operation("take_lease", "take a lease"), Urgency::Urgent, |collections| async move {
            let leases = collections.of::<Document>(LEASES);
            let free = doc! { "_id": name, "$expr": { "$lte": ["$expires", "$$NOW"] } };
            let expires = doc! { "$add": ["$$NOW", owner.lease_millis] };
            let take = vec![
                doc! { "$set": { "owner": owner.id, "fence": { "$add": ["$fence", 1_i64] }, "expires": expires } },
            ];
            let taken = leases.find_one_and_update(free.clone(), take.clone()).return_document(ReturnDocument::After);
            let mut lease = taken.await?;
            if lease.is_none() && leases.find_one(doc! { "_id": name }).await?.is_none() {
                let nobody = doc! { "_id": name, "owner": null, "fence": 0_i64, "expires": NEVER };
                match leases.insert_one(nobody).await {
                    Err(error) if !is_duplicate(&error) => return Err(error.into()),
                    _ => {}
                }
                lease = leases.find_one_and_update(free, take).return_document(ReturnDocument::After).await?;
            }
            let fence =
                lease.map(|lease| lease.get_i64("fence").map_err(|_| Trouble::Unreadable("lease"))).transpose()?;
            Ok(fence.map(|fence| Lease { name, fence: Fence(fence), asked, length: owner.lease }))
        })
        .await
    }

    pub(in crate::store) async fn renew_lease(&self, lease: &Lease) -> Result<bool, Error> {
        let owner = self.inner.owner;
        let held = held(lease, owner.id);
        self.run(Operation("renew_lease", "renew a lease"), Urgency::Urgent, |collections| async move {
            let renew = vec![doc! { "$set": { "expires": { "$add": ["$$NOW", owner.lease_millis] } } }];
            Ok(collections.of::<Document>(LEASES).update_one(held, renew).await?.matched_count == 1)
        })
        .await
    }

    pub(in crate::store) async fn release_lease(&self, lease: &Lease, completed: bool) -> Result<(), Error> {
        let held = held(lease, self.inner.owner.id);
        self.run(Operation("release_lease", "give a lease back"), Urgency::Urgent, |collections| async move {
            release(&collections, held, completed).await
        })
        .await
    }

    pub(in crate::store) async fn completed_ago(&self, name: &'static str) -> Result<Option<Duration>, Error> {
        #[derive(Deserialize)]
        struct Ago {
            millis: Option<i64>,
        }
        self.read(Operation("completed_ago", "read a lease"), |collections| async move {
            let stages = [
                doc! { "$match": { "_id": name } },
                doc! { "$project": { "_id": 0, "millis": { "$subtract": ["$$NOW", "$completed"] } } },
            ];
            let found: Vec<Ago> = collections.aggregated(LEASES, stages, None).await?;
            let millis = found.first().and_then(|ago| ago.millis);
            Ok(millis.map(|millis| Duration::from_millis(natural(millis))))
        })
        .await
    }

    pub(in crate::store) async fn progress(&self, project: ProjectId) -> Result<Option<Progress>, Error> {
        self.read(Operation("progress", "read a project's progress"), |collections| async move {
            let own = Query::of(doc! { "_id": integer(project.0) });
            Ok(collections.one(PROGRESS, own).await?.map(|found: ProgressDocument| found.progress()))
        })
        .await
    }

    pub(in crate::store) async fn all_progress(&self) -> Result<Vec<(ProjectId, Progress)>, Error> {
        self.read(Operation("all_progress", "read all progress"), |collections| async move {
            let found: Vec<ProgressDocument> =
                collections.rows(PROGRESS, Query::of(doc! {}).sort(doc! { "_id": 1 })).await?;
            Ok(found.iter().map(|found| (ProjectId(natural(found.project)), found.progress())).collect())
        })
        .await
    }

    pub(in crate::store) async fn save_progress(
        &self,
        project: ProjectId,
        progress: Progress,
        lease: &Lease,
    ) -> Result<(), Error> {
        let held = held(lease, self.inner.owner.id);
        let operation = Operation("save_progress", "save a project's progress");
        self.run(operation, Urgency::Bulk, |collections| async move {
            let mut session = collections.client.start_session().await?;
            for attempt in 0..TRIES {
                match save(&collections, &mut session, (&held, project), progress).await {
                    Err(Trouble::Driver(error)) if error.contains_label(TRANSIENT_TRANSACTION_ERROR) => {
                        // The server has ended it already; the session has to know.
                        let _ = session.abort_transaction().await;
                        let wait = fastrand::u64(0..=10 * u64::from(attempt + 1));
                        tokio::time::sleep(Duration::from_millis(wait)).await;
                    }
                    ended => return ended,
                }
            }
            Err(Trouble::Contended)
        })
        .await
    }
}

/// Gives leases back; their documents stay, so that the next fences are higher.
pub(super) async fn release(collections: &Collections, held: Document, completed: bool) -> Result<(), Trouble> {
    let mut free = doc! { "owner": null, "expires": NEVER };
    if completed {
        free.insert("completed", "$$NOW");
    }
    collections.of::<Document>(LEASES).update_many(held, vec![doc! { "$set": free }]).await?;
    Ok(())
}

fn held(lease: &Lease, owner: i64) -> Document {
    doc! { "_id": lease.name, "owner": owner, "fence": lease.fence.0 }
}

/// Writes the progress in one transaction that also writes to the lease, so that nobody can take it over in between.
async fn save(
    collections: &Collections,
    session: &mut ClientSession,
    (held, project): (&Document, ProjectId),
    progress: Progress,
) -> Result<(), Trouble> {
    session.start_transaction().write_concern(majority()).await?;
    let touch = doc! { "$inc": { "writes": 1_i64 } };
    let touched = collections.of::<Document>(LEASES).update_one(held.clone(), touch).session(&mut *session).await?;
    if touched.matched_count == 0 {
        // It ends by itself when this fails.
        let _ = session.abort_transaction().await;
        return Err(Trouble::FenceLost);
    }
    let later = doc! { "$set": {
        "watermark": { "$max": ["$watermark", date(progress.watermark)] },
        "covered_since": date(progress.covered_since),
        "full_pass_at": { "$max": ["$full_pass_at", progress.full_pass_at.map(date)] },
    } };
    let progress = collections.of::<Document>(PROGRESS);
    progress.update_one(doc! { "_id": integer(project.0) }, vec![later]).upsert(true).session(&mut *session).await?;
    loop {
        match session.commit_transaction().await {
            Err(error) if error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT) => {}
            ended => return Ok(ended?),
        }
    }
}
