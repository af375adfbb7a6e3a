//! The embedded store: one SQLite file that a person can open with `sqlite3`.
//!
//! Guarantees: one writer thread groups commits (`writer.rs`), a small pool reads beside it, `limits.store_ops` bounds both;
//! what `Ok` was answered for is on the disk (`synchronous=FULL`). Of the processes on one file only one may be `serve`.
//!
//! It does not spread over machines: SQLite's WAL needs all its processes on one.

mod apply;
mod blobs;
mod calls;
mod columns;
mod deriving;
mod details;
mod facts;
mod forgotten;
mod gaps;
mod inspect;
mod jobs;
mod journal;
mod kept;
mod leases;
mod listings;
mod lists;
mod pipelines;
mod processes;
mod progress;
mod projects;
mod publish;
mod readers;
mod refused;
mod removal;
mod reports;
mod schema;
mod seat;
mod space;
mod states;
mod trouble;
mod verdicts;
mod work;
mod writer;

pub(in crate::store) use inspect::inspect;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use deadpool::managed::Pool;
use tokio::sync::{Semaphore, oneshot};

use self::seat::Seat;
use self::writer::{Lanes, Order, Urgency};
use super::metrics::Metrics;
use super::{Config, Error, Kind, Owner};

/// An open SQLite file. Clones share it.
#[derive(Debug, Clone)]
pub struct Sqlite {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    owner: Owner,
    lanes: Lanes,
    writer: Mutex<Option<JoinHandle<()>>>,
    readers: Pool<readers::Manager>,
    permits: Semaphore,
    /// Blobs that this process is working on, so that its own sweep leaves them alone.
    in_hand: blobs::InHand,
    metrics: Metrics,
    runtime: tokio::runtime::Handle,
    seat: Arc<Seat>,
    serve_lock: Mutex<Option<[File; 2]>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Idle readers are closed on a blocking thread, which needs a runtime even where the last clone is dropped
        // outside of one.
        let _runtime = self.runtime.enter();
        self.readers.close();
    }
}

impl Sqlite {
    pub(super) async fn open(path: PathBuf, config: &Config) -> Result<Self, Error> {
        const OPERATION: &str = "open the store";
        let readers = readers::pool(&path, config);
        let shown = path.display().to_string();
        let cache = readers::cache(config);
        let serves = config.kind == "serve";
        let opened = tokio::task::spawn_blocking(move || {
            schema::check_place(&path)?;
            // Locked first, so that a second `serve` does not migrate the file under the first.
            let lock = if serves { Some(seat::lock(&path)?) } else { None };
            let connection = schema::open(&path, cache)?;
            if let Some(text) = seat::shared(&path) {
                tracing::warn!("{text}");
            }
            if serves {
                processes::forget_former_serves(&connection).map_err(|error| Kind::Away(error.to_string()))?;
            }
            Ok((connection, lock, Seat::of(&path)))
        });
        let (connection, serve_lock, seat) = opened
            .await
            .map_err(|error| Error::new(OPERATION, Kind::Away(error.to_string())))?
            .map_err(|kind| Error::new(OPERATION, kind))?;
        let (owner, seat) = (Owner::new(config), Arc::new(seat));
        let (lanes, writer) = writer::start(connection, owner.id, Arc::clone(&seat))
            .map_err(|error| Error::new(OPERATION, Kind::Away(format!("the writer did not start: {error}"))))?;
        let inner = Inner {
            owner,
            lanes,
            writer: Mutex::new(Some(writer)),
            readers: readers.map_err(|error| Error::new(OPERATION, Kind::Away(error.to_string())))?,
            permits: Semaphore::new(config.operations.clamp(1, Semaphore::MAX_PERMITS)),
            in_hand: blobs::InHand::default(),
            metrics: Metrics::new(config.operations),
            runtime: tokio::runtime::Handle::current(),
            seat,
            serve_lock: Mutex::new(serve_lock),
        };
        let store = Self { inner: Arc::new(inner) };
        store.heartbeat(0, 0, 0).await.map_err(|error| Error::new(OPERATION, error.kind.at(&shown)))?;
        Ok(store)
    }

    /// Finishes what waits, gives back what this process holds, checkpoints, and closes.
    pub(super) async fn close(&self) -> Result<(), Error> {
        self.inner.permits.close();
        self.inner.readers.close();
        let (closed, done) = oneshot::channel();
        if self.inner.lanes.send(Urgency::Bulk, Order::Close(closed)).await {
            // An error means that the thread is gone, which is what is waited for.
            let _ = done.await;
        }
        let writer = self.inner.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            let ended = tokio::task::spawn_blocking(move || writer.join().is_ok()).await;
            if !ended.unwrap_or(false) {
                tracing::error!("the store's writer thread ended by a panic");
            }
        }
        // Only now may the next `serve` begin.
        self.inner.serve_lock.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(())
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }
}
