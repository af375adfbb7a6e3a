//! A part of the byte budget, to wait at for a share of it.
//!
//! Guarantees what [`super::shares`] decides, under cancellation too: a share, or the place in the queue for one, is given back when it
//! is dropped. The lock is held for one decision and never over an await.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::shares::{Claim, Pace, Shares, Ticket};

/// How often it is looked at whether somebody is too slow for those who wait.
const LOOK: Duration = Duration::from_millis(50);

/// Bytes that bodies share.
#[derive(Debug, Clone)]
pub(super) struct Pool(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    shares: Shares<Arc<Signal>>,
    looked: Instant,
}

/// What whoever asked is told.
#[derive(Debug, Default)]
struct Signal {
    granted: Notify,
    cut: Notify,
}

/// The right to keep so many bytes of one body in memory, or a place in the queue for it, until it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    pool: Pool,
    ticket: Ticket,
    signal: Arc<Signal>,
}

impl Pool {
    /// Makes one of `most` bytes; no claim is larger than `largest`.
    pub(super) fn new(most: u64, largest: u64, pace: Pace) -> Self {
        Self(Arc::new(Mutex::new(State { shares: Shares::new(most, largest, pace), looked: Instant::now() })))
    }

    /// Waits for a whole share; `None` when there was none in time.
    pub(super) async fn share(&self, claim: Claim, patience: Duration) -> Option<Share> {
        let now = Instant::now();
        let signal = Arc::new(Signal::default());
        let ticket = self.lock().shares.enter(claim, Arc::clone(&signal), now);
        let share = Share { pool: self.clone(), ticket, signal };
        self.grant();
        loop {
            let look = Instant::now() + LOOK;
            match timeout_at(look.min(now + patience), share.signal.granted.notified()).await {
                Ok(()) => return Some(share),
                Err(_) if look >= now + patience => return None,
                Err(_) => self.cut(),
            }
        }
    }

    fn grant(&self) {
        let granted = self.lock().shares.grant(Instant::now());
        granted.iter().for_each(|signal| signal.granted.notify_one());
    }

    /// One look is enough for all who wait.
    fn cut(&self) {
        let now = Instant::now();
        let mut state = self.lock();
        if now.duration_since(state.looked) < LOOK {
            return;
        }
        state.looked = now;
        state.shares.cut(now).iter().for_each(|signal| signal.cut.notify_one());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Notes that so many bytes of the body came.
    pub(super) fn arrived(&self, bytes: usize) {
        self.pool.lock().shares.arrived(self.ticket, bytes as u64);
    }

    /// Waits until the body is too slow for those who wait.
    pub(super) async fn is_cut(&self) {
        self.signal.cut.notified().await;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.pool.lock().shares.leave(self.ticket);
        self.pool.grant();
    }
}
