//! Takes a delivery in: headers first, then the body, within limits of size, memory and time.
//!
//! It guarantees that a body occupies memory only under a permit of the byte budget, that a body that is too large,
//! too slow or not ours is refused as early as it can be known, and that [`Received`] is the only way to a
//! [`Verified`] body of a request.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use actix_web::error::PayloadError;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use super::answer::Refused;
use super::verify::{Pending, Verified, Verifier};
use crate::domain::Timestamp;

/// The largest body that GitLab sends: it drops larger ones itself (contract, section 1.4).
pub const MAX_BODY_BYTES: usize = 25 * 1024 * 1024;

/// How long a delivery may take; GitLab gives up after 10 s (contract, section 1.4).
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// From arrival until the body is whole.
    pub(super) body: Duration,
    /// For a share of the byte budget.
    pub(super) budget: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { body: Duration::from_secs(8), budget: Duration::from_secs(5) }
    }
}

/// Lets deliveries in, one verifier and one byte budget for all of them.
#[derive(Debug)]
pub(super) struct Gate {
    verifier: RwLock<Verifier>,
    budget: Arc<Semaphore>,
    max_body_bytes: usize,
    patience: Patience,
}

/// A whole body and what is left to check about it. Its share of the budget is held until it is dropped.
pub(super) struct Received {
    body: Bytes,
    pending: Pending,
    _share: Option<OwnedSemaphorePermit>,
}

impl Received {
    /// Returns the body once its sender proved a secret.
    pub(super) fn verify(&self) -> Result<Verified<'_>, Refused> {
        self.pending.body(&self.body).map_err(Refused::Unverified)
    }
}

impl Gate {
    pub(super) fn new(verifier: Verifier, bytes_in_flight: usize, patience: Patience) -> Self {
        let bytes_in_flight = bytes_in_flight.min(Semaphore::MAX_PERMITS);
        Self {
            verifier: RwLock::new(verifier),
            budget: Arc::new(Semaphore::new(bytes_in_flight)),
            // A body larger than the whole budget could only wait for ever.
            max_body_bytes: MAX_BODY_BYTES.min(bytes_in_flight),
            patience,
        }
    }

    /// Has deliveries that arrive from now on verified by this one.
    pub(super) fn renew(&self, verifier: Verifier) {
        *self.verifier.write().unwrap_or_else(PoisonError::into_inner) = verifier;
    }

    /// Reads one delivery. Dropping the future gives its share of the budget back and loses nothing else.
    pub(super) async fn receive<S>(
        &self,
        headers: &HeaderMap,
        stream: S,
        arrival: Instant,
        now: Timestamp,
    ) -> Result<Received, Refused>
    where
        S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
    {
        let pending = {
            let verifier = self.verifier.read().unwrap_or_else(PoisonError::into_inner);
            verifier.headers(headers, now).map_err(Refused::Unverified)?
        };
        if !is_json(headers) {
            return Err(Refused::NotJson);
        }
        let announced = content_length(headers);
        if announced.is_some_and(|length| length > self.max_body_bytes as u64) {
            return Err(self.too_large());
        }
        // Whoever has proved nothing yet gets room for what they have sent, not for what they say that they will send.
        let announced = announced.filter(|_| pending.is_proved());
        let share = match announced.and_then(|length| u32::try_from(length).ok()) {
            Some(length) => Some(self.share(length).await?),
            None => None,
        };
        let deadline = arrival + self.patience.body;
        let (body, share) = timeout_at(deadline, self.read(stream, share)).await.map_err(|_| Refused::TooSlow)??;
        Ok(Received { body, pending, _share: share })
    }

    /// Collects the pieces. With a share for the announced length none is asked for later; without one each piece asks.
    async fn read<S>(
        &self,
        mut stream: S,
        announced: Option<OwnedSemaphorePermit>,
    ) -> Result<(Bytes, Option<OwnedSemaphorePermit>), Refused>
    where
        S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
    {
        let per_piece = announced.is_none();
        let mut share = announced;
        let mut body = BytesMut::new();
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(|error| match error {
                PayloadError::Overflow => self.too_large(),
                _ => Refused::Broken,
            })?;
            if piece.len() > self.max_body_bytes - body.len() {
                return Err(self.too_large());
            }
            if per_piece {
                let length = u32::try_from(piece.len()).map_err(|_| self.too_large())?;
                let more = self.share(length).await?;
                match &mut share {
                    Some(held) => held.merge(more),
                    None => share = Some(more),
                }
            }
            body.extend_from_slice(&piece);
        }
        Ok((body.freeze(), share))
    }

    async fn share(&self, bytes: u32) -> Result<OwnedSemaphorePermit, Refused> {
        let permit = Arc::clone(&self.budget).acquire_many_owned(bytes);
        match timeout(self.patience.budget, permit).await {
            Ok(Ok(permit)) => Ok(permit),
            // The semaphore is never closed, so this is the timeout.
            Ok(Err(_)) | Err(_) => Err(Refused::Busy),
        }
    }

    fn too_large(&self) -> Refused {
        Refused::TooLarge(self.max_body_bytes as u64)
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// Returns whether the body is announced as plain JSON: `application/json` or `application/…+json`, not compressed.
fn is_json(headers: &HeaderMap) -> bool {
    let plain = headers.get(CONTENT_ENCODING).is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    let Some(kind) = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()) else { return false };
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    plain && (essence == "application/json" || essence.starts_with("application/") && essence.ends_with("+json"))
}

#[cfg(test)]
mod tests;
