//! The body of a passed answer on its way to its reader, who may be slow, stall, or be gone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use super::NotPassed;
use crate::gitlab::Timeouts;
use crate::gitlab::body::Body;

/// A body that is passed on. Gives its permit back when it ends or is dropped, and when its time is over or its reader takes
/// nothing for as long as GitLab may be silent.
#[derive(Debug)]
pub(super) struct Flow {
    resting: Arc<Resting>,
    /// Bytes that may still come.
    left: u64,
    until: Instant,
    idle: Duration,
}

/// What is there while nobody reads from it, with the moment by which somebody has to.
type Resting = Mutex<Option<(Instant, Body, OwnedSemaphorePermit)>>;

/// The bodies on their way.
#[derive(Debug, Default)]
pub(in crate::gitlab) struct Flows(Mutex<Vec<Weak<Resting>>>);

impl Flows {
    /// Lets a body of up to `most` bytes flow; `place` is held as long.
    pub(super) fn begin(&self, body: Body, most: u64, times: Timeouts, place: OwnedSemaphorePermit) -> Flow {
        let now = Instant::now();
        let resting = Arc::new(Mutex::new(Some((now + times.idle, body, place))));
        lock(&self.0).push(Arc::downgrade(&resting));
        Flow { resting, left: most, until: now + times.passed, idle: times.idle }
    }

    /// Drops the bodies whose readers are overdue; whoever reads sees the time by themselves.
    pub(super) fn end_overdue(&self, now: Instant) {
        lock(&self.0).retain(|flow| {
            let flow = flow.upgrade();
            drop(flow.as_ref().and_then(|flow| lock(flow).take_if(|(back_by, ..)| *back_by <= now)));
            flow.is_some()
        });
    }
}

impl Flow {
    /// Returns the next piece, never empty; `None` at the proven end, behind which there is nothing to ask for.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, NotPassed> {
        let Some((_, mut body, place)) = lock(&self.resting).take() else { return Err(NotPassed::Away) };
        let piece = timeout_at(self.until, body.chunk()).await.map_err(|_| NotPassed::Away)?;
        let piece = piece.map_err(|error| error.kind)?;
        if let Some(piece) = &piece {
            self.left = self.left.checked_sub(piece.len() as u64).ok_or(NotPassed::TooLarge)?;
            *lock(&self.resting) = Some(((Instant::now() + self.idle).min(self.until), body, place));
        }
        Ok(piece)
    }
}

/// What a panicking holder left behind is a body that can be dropped like any other.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
