//! The shared store: one MongoDB database, a replica set, for as many processes as there are.
//!
//! Guarantees: `Ok` means that a majority of the replica set has it in its journal; of two writers of one job one whole result
//! stays, because every document is replaced only by who has seen its latest revision; what a crash leaves half done is either
//! true by itself or swept; leases and silence are judged by the database's clock. While the database is away everything fails
//! at once but the heartbeat, which finds out when it is back.
//!
//! What it does not do: it keeps no transaction over several documents but one (a watermark and the lease it is written
//! under), and it does not cluster by itself: MongoDB does.

mod adopt;
mod apply;
mod blobs;
mod calls;
mod counts;
mod deriving;
mod diagnose;
mod documents;
mod facts;
mod forgotten;
mod gaps;
mod group;
mod inspect;
mod jobs;
mod journal;
mod kept;
mod leases;
mod listings;
mod lists;
mod mend;
mod paths;
mod pieces;
mod pipelines;
mod processes;
mod projects;
mod query;
mod reach;
mod refused;
mod removal;
mod round;
mod schema;
mod space;
mod states;
mod sweep;
mod tallies;
mod trouble;
mod values;
mod verdicts;
mod work;

pub(in crate::store) use inspect::{inspect, is_store};
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mongodb::options::ConnectionString;
use secrecy::SecretString;
use tokio::sync::Semaphore;

use self::apply::Order;
use self::blobs::Chunk;
use self::group::Group;
use self::reach::Reach;
use super::metrics::Metrics;
use super::{Config, Error, Kind, Owner};

/// Journal entries, heartbeats and leases that may be under way or wait at once, so that a flood of them is bounded, too.
const URGENT: usize = 1024;

/// How many batches of each kind are written at once: while one waits for the replica set the next is put together.
const JOURNAL_LANES: usize = 2;
const FACT_LANES: usize = 4;
const CHUNK_LANES: usize = 4;

/// How much one batch holds.
const JOURNAL_BATCH: usize = 1 << 19;
const FACT_BATCH: usize = 4 << 20;
const CHUNK_BATCH: usize = 4 << 20;

/// How long closing may take; what it does not get done is taken over by others when the lease ends.
const CLOSE: Duration = Duration::from_secs(5);

/// An open database. Clones share it.
#[derive(Debug, Clone)]
pub struct Mongo {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    owner: Owner,
    reach: Reach,
    /// `limits.store_ops`.
    permits: Semaphore,
    /// Heartbeats and leases.
    urgent: Semaphore,
    /// Journal entries.
    entries: Semaphore,
    journal: Arc<Group<Order>>,
    facts: Arc<Group<Order>>,
    chunks: Arc<Group<Chunk>>,
    /// Blobs that this process is working on, so that its own sweep leaves them alone.
    in_hand: Mutex<HashSet<i64>>,
    metrics: Metrics,
}

impl Mongo {
    /// Reaches the database, makes what is missing and registers this process. A `serve` is open also when the database cannot
    /// be reached: everything is `Away` until a heartbeat reaches it.
    pub(super) async fn open(url: &SecretString, config: &Config) -> Result<Self, Error> {
        let inner = Inner {
            owner: Owner::new(config),
            reach: Reach::new(url.clone(), config.operations),
            permits: Semaphore::new(config.operations.clamp(1, Semaphore::MAX_PERMITS)),
            urgent: Semaphore::new(URGENT),
            entries: Semaphore::new(URGENT),
            journal: Group::new(JOURNAL_LANES, JOURNAL_BATCH),
            facts: Group::new(FACT_LANES, FACT_BATCH),
            chunks: Group::new(CHUNK_LANES, CHUNK_BATCH),
            in_hand: Mutex::default(),
            metrics: Metrics::new(config.operations),
        };
        let store = Self { inner: Arc::new(inner) };
        match store.heartbeat(0, 0, 0).await {
            Ok(_) => Ok(store),
            // A webhook's receiver that ends when its database is away would be disabled by GitLab.
            Err(Error { kind: Kind::Away(_), .. }) if config.kind == "serve" => Ok(store),
            Err(error) => Err(Error::new("open the store", error.kind)),
        }
    }

    /// Finishes what waits, gives back what this process holds, and closes.
    pub(super) async fn close(&self) -> Result<(), Error> {
        let inner = &self.inner;
        for permits in [&inner.permits, &inner.urgent, &inner.entries] {
            permits.close();
        }
        let ended = async {
            tokio::join!(inner.journal.close(), inner.facts.close(), inner.chunks.close());
            let collections = inner.reach.collections()?;
            journal::give_back(&collections, inner.owner.id).await?;
            collections.client.shutdown().await;
            Ok(())
        };
        let closed = calls::timed(CLOSE, ended).await;
        if let Err(trouble) = closed {
            let error = trouble.reason();
            tracing::warn!(error, "could not give work back; others take it over when the lease ends");
        }
        Ok(())
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// Returns why the database is away, if it is.
    pub(super) fn problem(&self) -> Option<String> {
        self.inner.reach.problem()
    }
}

/// Returns what is wrong with a connection string, which has to name a database; nothing of it is quoted.
pub(super) fn problem_of(url: &str) -> Option<&'static str> {
    let hosts_and_name =
        url.split_once("://").map_or(url, |(_, rest)| rest).split(['?', '#']).next().unwrap_or_default();
    match hosts_and_name.rsplit_once('/') {
        Some((_, "admin" | "local" | "config")) => return Some("names a database that is MongoDB's own"),
        Some((_, name)) if !name.is_empty() => {}
        _ => return Some("names no database"),
    }
    match ConnectionString::parse(url) {
        Ok(_) => None,
        // What the driver says may quote it.
        Err(_) => Some("is not understood by the driver"),
    }
}
