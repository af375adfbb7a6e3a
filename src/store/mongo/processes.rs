//! The processes on one database: heartbeats, by the database's clock, and each one's share of the permits.
//!
//! They are one document, replaced only by who has seen its latest revision: shares change one after the other, as in
//! [`grant`], whatever the replicas do at the same time.

use std::time::{Duration, Instant};

use mongodb::bson::{Bson, DateTime, doc};
use mongodb::error::Error as DriverError;
use serde::{Deserialize, Serialize};

use super::Mongo;
use super::calls::{URGENT, timed};
use super::reach::Collections;
use super::schema::PROCESSES;
use super::trouble::{Trouble, is_duplicate};
use super::values::small;
use crate::store::metrics::Operation;
use crate::store::share::{Claimant, grant};
use crate::store::standing::Did;
use crate::store::{Error, Kind, Owner};

/// The only document of its collection.
const ID: &str = "processes";

/// How long after its lease a silent process still counts, so that its permits are not given away too early.
const SILENCE_MILLIS: i64 = 60_000;

/// How often a heartbeat is written again when other processes wrote theirs meanwhile.
const TRIES: u32 = 50;

/// One process as it last told of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Process {
    pub(super) id: i64,
    kind: Box<str>,
    share: i64,
    wanted: i64,
    /// How long it may be silent, in milliseconds.
    lease: i64,
    seen: DateTime,
}

/// All processes, and what time it is at the database.
#[derive(Debug, Deserialize)]
pub(super) struct Roll {
    #[serde(rename = "rev")]
    revision: i64,
    list: Vec<Process>,
    now: DateTime,
}

impl Roll {
    /// Returns whether a process was heard of within so many of its leases.
    pub(super) fn is_alive(&self, id: i64, leases: i64) -> bool {
        self.list.iter().any(|process| process.id == id && process.heard(leases, 0, self.now))
    }
}

impl Process {
    fn heard(&self, leases: i64, more_millis: i64, now: DateTime) -> bool {
        let silent = now.timestamp_millis().saturating_sub(self.seen.timestamp_millis());
        silent < self.lease.saturating_mul(leases).saturating_add(more_millis)
    }
}

impl Mongo {
    pub(in crate::store) async fn heartbeat(&self, held: u32, wanted: u32, total: u32) -> Result<u32, Error> {
        let operation = Operation("heartbeat", "write the heartbeat");
        let begin = Instant::now();
        let _permit = self.inner.urgent.acquire().await.map_err(|_| Error::new(operation.1, Kind::Closed))?;
        let _in_flight = self.inner.metrics.enter();
        // The one operation that asks although nothing answered a moment ago.
        let outcome = match self.inner.reach.try_collections().await {
            Ok(collections) => timed(URGENT, beat(&collections, self.inner.owner, (held, wanted), total)).await,
            Err(trouble) => Err(trouble),
        };
        self.settle(operation, begin, Did::Write, outcome)
    }
}

async fn beat(collections: &Collections, owner: Owner, (held, wanted): (u32, u32), total: u32) -> Result<u32, Trouble> {
    for attempt in 0..TRIES {
        let Some(Roll { revision, list, now }) = roll(collections).await? else {
            make(collections).await?;
            continue;
        };
        let written = list.iter().find(|process| process.id == owner.id).map_or(0, |process| small(process.share));
        // Its blobs are swept after two leases, its entries are taken after one: nobody needs a process after that.
        let mut list: Vec<Process> = list
            .into_iter()
            .filter(|process| process.id != owner.id && process.heard(2, SILENCE_MILLIS, now))
            .collect();
        let others: Vec<Claimant> = list
            .iter()
            .filter(|process| process.heard(1, SILENCE_MILLIS, now))
            .map(|process| Claimant {
                serves: &*process.kind == "serve",
                share: small(process.share),
                wanted: small(process.wanted),
            })
            .collect();
        let own = Claimant { serves: owner.kind == "serve", share: held, wanted };
        let granted = grant(own, written, &others, total);
        list.push(Process {
            id: owner.id,
            kind: owner.kind.into(),
            share: i64::from(granted.written),
            wanted: i64::from(wanted),
            lease: owner.lease_millis,
            seen: now,
        });
        if replace(collections, revision, list).await? {
            return Ok(granted.allowed);
        }
        tokio::time::sleep(Duration::from_millis(fastrand::u64(0..=u64::from(attempt.min(20))))).await;
    }
    Err(Trouble::Contended)
}

/// Takes a process off the list: its entries, leases and permits are free at once.
pub(super) async fn sign_off(collections: &Collections, owner: i64) -> Result<(), Trouble> {
    for _ in 0..TRIES {
        let Some(Roll { revision, mut list, .. }) = roll(collections).await? else { return Ok(()) };
        list.retain(|process| process.id != owner);
        if replace(collections, revision, list).await? {
            return Ok(());
        }
    }
    Err(Trouble::Contended)
}

/// Reads all processes and the database's clock; `None` before the first heartbeat of all.
pub(super) async fn roll(collections: &Collections) -> Result<Option<Roll>, Trouble> {
    let stages = [doc! { "$match": { "_id": ID } }, doc! { "$set": { "now": "$$NOW" } }];
    Ok(collections.aggregated(PROCESSES, stages, None).await?.pop())
}

async fn make(collections: &Collections) -> Result<(), Trouble> {
    let nobody = doc! { "_id": ID, "rev": 0_i64, "list": [] };
    match collections.of(PROCESSES).insert_one(nobody).await {
        Err(error) if !is_duplicate(&error) => Err(error.into()),
        _ => Ok(()),
    }
}

async fn replace(collections: &Collections, revision: i64, list: Vec<Process>) -> Result<bool, Trouble> {
    let list = mongodb::bson::serialize_to_bson(&list).map_err(DriverError::from)?;
    let next = doc! { "_id": ID, "rev": fastrand::i64(..), "list": list };
    let seen = doc! { "_id": ID, "rev": Bson::Int64(revision) };
    Ok(collections.of(PROCESSES).replace_one(seen, next).await?.matched_count == 1)
}
