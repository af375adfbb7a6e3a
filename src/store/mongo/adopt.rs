//! Taking over the work of processes that are gone, and judging what of it may have killed them.

use std::collections::HashSet;

use mongodb::bson::{Document, doc};
use serde::Deserialize;

use super::Mongo;
use super::journal::{self, EntryDocument};
use super::processes::roll;
use super::query::Query;
use super::reach::Collections;
use super::schema::JOURNAL;
use super::trouble::Trouble;
use super::values::{integer, natural};
use crate::store::change::{Blame, DEATHS, POISON};
use crate::store::metrics::Operation;
use crate::store::{Change, Entry, Error};

/// Entries that one call takes at most.
const ADOPTED: i64 = 4000;

impl Mongo {
    pub(in crate::store) async fn adopt(&self) -> Result<u64, Error> {
        let own = self.inner.owner.id;
        let adopted = self
            .read(Operation("adopt", "take journal entries over"), |collections| async move {
                adopt(&collections, own).await
            })
            .await?;
        if adopted > 0 {
            let poison: Vec<Entry> = self
                .read(Operation("adopt", "find entries that kill"), |collections| async move {
                    let fatal = doc! { "owner": own, "deaths": { "$gte": i64::from(DEATHS) } };
                    let found: Vec<EntryDocument> = collections.rows(JOURNAL, Query::of(fatal)).await?;
                    found.into_iter().map(journal::entry).collect()
                })
                .await?;
            for Entry { id, target, attempts, .. } in poison {
                let (entries, problem) = (vec![id], POISON.to_owned());
                self.apply(vec![Change::Fail { target, entries, problem, attempts }]).await?;
            }
        }
        Ok(adopted)
    }
}

async fn adopt(collections: &Collections, own: i64) -> Result<u64, Trouble> {
    let journal = collections.of::<Document>(JOURNAL);
    let owners = journal.distinct("owner", doc! {}).await?;
    let owners: Vec<i64> =
        owners.iter().filter_map(mongodb::bson::Bson::as_i64).filter(|owner| *owner != own).collect();
    if owners.is_empty() {
        return Ok(0);
    }
    let Some(roll) = roll(collections).await? else { return Ok(0) };
    let mut left = ADOPTED;
    for owner in owners.into_iter().filter(|owner| !roll.is_alive(*owner, 1)) {
        #[derive(Deserialize)]
        struct Id {
            #[serde(rename = "_id")]
            id: i64,
        }
        if left <= 0 {
            break;
        }
        blame(collections, owner).await?;
        let first = Query::of(doc! { "owner": owner }).sort(doc! { "lane": 1, "due": 1, "_id": 1 });
        let ids: Vec<Id> = collections.rows(JOURNAL, first.limit(left).fields(doc! { "_id": 1 })).await?;
        let ids: Vec<i64> = ids.into_iter().map(|found| found.id).collect();
        let take = doc! { "$set": { "owner": own } };
        let taken = journal.update_many(doc! { "_id": { "$in": ids }, "owner": owner }, take).await?;
        left -= integer(taken.matched_count);
    }
    Ok(natural(ADOPTED - left))
}

/// Notes what the death of a process says about what it was working on. Two processes that do so at once may count fewer targets
/// than there were: for one that was not alone, each of three deaths would have to be judged so.
async fn blame(collections: &Collections, owner: i64) -> Result<(), Trouble> {
    let under_way = doc! { "owner": owner, "running": 1_i64 };
    let found: Vec<EntryDocument> = collections.rows(JOURNAL, Query::of(under_way.clone())).await?;
    if found.is_empty() {
        return Ok(());
    }
    let target = |entry: &EntryDocument| (entry.kind.clone(), entry.project, entry.target);
    let targets: HashSet<_> = found.iter().map(target).collect();
    let suspects: HashSet<_> = found.iter().filter(|entry| entry.suspicion > 0).map(target).collect();
    let Blame { deaths, suspects, others } = Blame::of(targets.len() as u64, suspects.len() as u64);
    let is_suspect = doc! { "$gt": [{ "$ifNull": ["$suspicion", 0_i64] }, 0_i64] };
    let judged = vec![doc! { "$set": {
        "deaths": { "$add": ["$deaths", i64::from(deaths)] },
        "suspicion": { "$cond": [is_suspect, suspects.number(), others.number()] },
        "running": 0_i64,
    } }];
    collections.of::<Document>(JOURNAL).update_many(under_way, judged).await?;
    Ok(())
}
