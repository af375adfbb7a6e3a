//! The connections that read beside the writer.

use std::path::Path;

use deadpool::managed::{self, Metrics, Pool, RecycleError, RecycleResult};
use deadpool_sqlite::Runtime;
use deadpool_sqlite::rusqlite;

use super::schema;
use crate::store::Config;

/// Reading connections at most: more would only wait for the same disk and cores.
const READERS: usize = 8;

/// Opens connections that only read.
///
/// It does not try a connection before each use, as the library's own does by a query on another thread: a connection to a
/// file does not end by itself, and the query costs more than most reads.
#[derive(Debug)]
pub(super) struct Manager {
    inner: deadpool_sqlite::Manager,
    cache: Option<u64>,
}

impl managed::Manager for Manager {
    type Type = <deadpool_sqlite::Manager as managed::Manager>::Type;
    type Error = rusqlite::Error;

    async fn create(&self) -> Result<Self::Type, Self::Error> {
        let connection = managed::Manager::create(&self.inner).await?;
        // Settings only, no IO: no need for a blocking thread. A new connection's lock is free and whole.
        if let Ok(inside) = connection.lock() {
            schema::prepare_reader(&inside, self.cache)?;
        }
        Ok(connection)
    }

    async fn recycle(&self, connection: &mut Self::Type, _: &Metrics) -> RecycleResult<Self::Error> {
        if connection.is_mutex_poisoned() {
            return Err(RecycleError::message("a read panicked on it"));
        }
        Ok(())
    }
}

/// Makes the pool; connections are opened when they are needed.
pub(super) fn pool(path: &Path, config: &Config) -> Result<Pool<Manager>, deadpool_sqlite::BuildError> {
    let address = schema::read_only_address(path);
    let inner = deadpool_sqlite::Manager::from_config(&deadpool_sqlite::Config::new(address), Runtime::Tokio1);
    let manager = Manager { inner, cache: cache(config) };
    Pool::builder(manager).max_size(config.operations.clamp(1, READERS)).build()
}

/// Returns one connection's part of the page caches.
pub(super) fn cache(config: &Config) -> Option<u64> {
    let connections = 1 + config.operations.clamp(1, READERS);
    config.cache.map(|bytes| bytes / connections as u64)
}
