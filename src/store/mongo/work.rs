//! The journal as a whole, for people: everybody's entries, and what may be done to them.

use mongodb::bson::{Bson, Document, doc};

use super::Mongo;
use super::journal::{self, EntryDocument, failure_id};
use super::processes::roll;
use super::query::Query;
use super::schema::{FAILURES, JOURNAL};
use super::trouble::Trouble;
use super::values::integer;
use crate::store::metrics::Operation;
use crate::store::{EntryId, Error, Waiting, WorkFilter, WorkOwner};
use crate::work::Target;

impl Mongo {
    pub(in crate::store) async fn work(&self, filter: WorkFilter, limit: u64) -> Result<Vec<Waiting>, Error> {
        self.read(Operation("work", "list the journal"), |collections| async move {
            let mut which = Document::new();
            if let Some(after) = filter.after {
                which.insert("_id", doc! { "$gt": after.0 });
            }
            if let Some(kind) = filter.kind {
                which.insert("kind", kind);
            }
            if let Some(cause) = filter.cause {
                let cause = mongodb::bson::serialize_to_bson(&cause).map_err(|_| Trouble::Unreadable("filter"))?;
                which.insert("cause", cause);
            }
            if !filter.projects.is_empty() {
                let projects: Vec<Bson> = filter.projects.iter().map(|id| Bson::Int64(integer(id.0))).collect();
                which.insert("project", doc! { "$in": projects });
            }
            let entries = Query::of(which).sort(doc! { "_id": 1 }).limit(integer(limit.max(1)));
            let found: Vec<EntryDocument> = collections.rows(JOURNAL, entries).await?;
            let roll = roll(&collections).await?;
            let waiting = found.into_iter().map(|found| {
                let owned = roll.as_ref().is_some_and(|roll| roll.is_alive(found.owner, 1));
                let owner = if owned { WorkOwner::Process } else { WorkOwner::Nobody };
                Ok(Waiting { running: owned && found.running != 0, owner, entry: journal::entry(found)? })
            });
            waiting.collect()
        })
        .await
    }

    pub(in crate::store) async fn drop_entries(&self, entries: Vec<EntryId>) -> Result<u64, Error> {
        self.read(Operation("drop_entries", "drop journal entries"), |collections| async move {
            let journal = collections.of::<Document>(JOURNAL);
            let ids: Vec<i64> = entries.iter().map(|entry| entry.0).collect();
            let owners = journal.distinct("owner", doc! { "_id": { "$in": &ids } }).await?;
            let roll = roll(&collections).await?;
            let gone = |owner: i64| roll.as_ref().is_none_or(|roll| !roll.is_alive(owner, 1));
            let gone: Vec<i64> = owners.iter().filter_map(Bson::as_i64).filter(|owner| gone(*owner)).collect();
            // One that was adopted since then has another owner.
            let nobodys = doc! { "_id": { "$in": ids }, "owner": { "$in": gone } };
            Ok(journal.delete_many(nobodys).await?.deleted_count)
        })
        .await
    }

    pub(in crate::store) async fn drop_failures(&self, targets: Vec<Target>) -> Result<u64, Error> {
        self.read(Operation("drop_failures", "drop failures"), |collections| async move {
            let ids: Vec<String> = targets.iter().map(failure_id).collect();
            let failures = collections.of::<Document>(FAILURES);
            Ok(failures.delete_many(doc! { "_id": { "$in": ids } }).await?.deleted_count)
        })
        .await
    }
}
