//! Whether the store can be written, and if not, since when and why.
//!
//! A read that works says nothing about writing, so only a write ends an outage: the heartbeat's, at the latest.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::metrics::gauge::Gauge;

use crate::domain::{Outage, Timestamp};

/// Whether the store is up. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    /// 1 while it can be written.
    pub(super) up: Gauge,
    outage: Arc<Mutex<Option<Outage>>>,
}

/// What an operation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Did {
    /// It changed something.
    Write,
    /// It changed nothing.
    Read,
}

impl Standing {
    /// Returns one that is up.
    pub(super) fn new() -> Self {
        let up = Gauge::default();
        up.set(1);
        Self { up, outage: Arc::default() }
    }

    /// Notes that an operation worked.
    pub(super) fn worked(&self, did: Did) {
        if did == Did::Read || self.up.get() == 1 {
            return;
        }
        let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        self.up.set(1);
        if let Some(Outage { since, .. }) = outage.take() {
            tracing::info!(%since, "the store can be written again");
        }
    }

    /// Notes that the store is away.
    pub(super) fn failed(&self, why: String) {
        let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        self.up.set(0);
        match outage.as_mut() {
            Some(outage) => outage.why = why,
            None => {
                tracing::warn!(error = why, "the store cannot be written: webhooks are deferred until it can");
                *outage = Some(Outage { since: Timestamp::now(), why });
            }
        }
    }

    /// Returns what is wrong.
    pub(super) fn outage(&self) -> Option<Outage> {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
