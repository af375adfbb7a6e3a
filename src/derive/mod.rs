//! What is computed from stored bytes, made again where an older Cistern made it (design, law 13).
//!
//! Such a fact carries the version of its algorithm, and readers take one of another version for none; so nothing here is ever
//! needed for a right answer, only for a fast one. Each fact has a module of its own that finds what is outdated by its
//! version, page by page, and makes it again; [`Derive::pass`] goes through them. A new one joins by another line there.
//!
//! Guarantees: it reads the store and never asks GitLab; a fact is written only if the bytes it was made of are still those of
//! its row; one process at a time works, under a store lease; memory is bounded by a page of keys and what reading one blob
//! takes. It works on one blob after the other, so that those who fetch and read hardly notice; what cannot be read is passed
//! over, since finding damage is `verify --deep`'s business.

mod indexes;

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::store::{Error, Store};

/// The store lease under which one process at a time works.
const LEASE: &str = "derive";

/// Between two passes of a `serve`: a replica of an older version may still write outdated facts.
const EVERY: Duration = Duration::from_secs(24 * 3600);

/// How soon a pass that failed, or that another process had begun, is tried again.
const AGAIN: Duration = Duration::from_secs(60);

/// Makes outdated facts again.
#[derive(Debug, Clone)]
pub struct Derive {
    store: Store,
}

/// Why a pass ended early.
#[derive(Debug, thiserror::Error)]
pub enum DeriveError {
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] Error),
    /// Another process works.
    #[error("another process is making outdated facts of this store again")]
    LeaseTaken,
}

/// What a pass did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Made {
    /// Logs whose index was made again.
    pub log_indexes: u64,
}

impl Derive {
    /// Makes it over a store.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Makes a pass at once and then every day until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        loop {
            let passed = tokio::select! {
                () = stop.cancelled() => return,
                passed = self.pass() => passed,
            };
            let wait = match passed {
                Ok(made) => {
                    if made != Made::default() {
                        tracing::info!(log_indexes = made.log_indexes, "made again what an older version had made");
                    }
                    EVERY
                }
                Err(DeriveError::LeaseTaken) => AGAIN,
                Err(DeriveError::Store(error)) => {
                    tracing::debug!(%error, "making outdated facts again ended early; it will be tried again");
                    AGAIN
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Makes everything again that is outdated.
    pub async fn pass(&self) -> Result<Made, DeriveError> {
        let Some(lease) = self.store.take_lease(LEASE).await? else { return Err(DeriveError::LeaseTaken) };
        let made = tokio::select! {
            made = self.make() => made.map_err(DeriveError::from),
            lost = self.store.keep_lease(&lease) => Err(lost.into()),
        };
        if let Err(error) = self.store.release_lease(&lease, made.is_ok()).await {
            tracing::debug!(%error, "could not give the lease of derived facts back; it will expire");
        }
        made
    }

    async fn make(&self) -> Result<Made, Error> {
        Ok(Made { log_indexes: indexes::make(&self.store).await? })
    }
}
