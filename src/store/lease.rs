//! Leases as their holders see them.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use super::{Error, Kind, Store};

/// Proof of holding a lease: grows each time the lease is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fence(pub i64);

/// A lease that this process holds until it is released or not renewed in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Its name, for example `reconcile`.
    pub name: &'static str,
    /// Its fence.
    pub fence: Fence,
    /// When it was asked for.
    pub(super) asked: Instant,
    /// How long it lasts at least, from when it or its renewal was asked for.
    pub(super) length: Duration,
}

impl Store {
    /// Renews a lease for as long as it can, and returns once another process may have it: because one has, or because it ran
    /// out by this process's clock, even while the store still owes an answer. What the store said last is the error;
    /// `FenceLost` where it said nothing.
    pub async fn keep_lease(&self, lease: &Lease) -> Error {
        let mut until = lease.asked + lease.length;
        let mut trouble = None;
        loop {
            sleep_until(until.min(Instant::now() + lease.length / 3)).await;
            let asked = Instant::now();
            match timeout_at(until, self.renew_lease(lease)).await {
                Ok(Ok(true)) => (until, trouble) = (asked + lease.length, None),
                Ok(Ok(false)) => return Error::new("renew a lease", Kind::FenceLost),
                Ok(Err(error)) => trouble = Some(error),
                Err(_) => {}
            }
            if Instant::now() >= until {
                return trouble.unwrap_or_else(|| Error::new("renew a lease", Kind::FenceLost));
            }
        }
    }
}
