//! Takes a delivery in: headers first, then the body, within limits of size, memory and time.
//!
//! It guarantees that a body occupies memory only under a share of the byte budget that is as large as it may become; that a body
//! that is too large, too slow or not ours is refused as early as it can be known; that small bodies, which nearly all are, have an
//! eighth of the budget for themselves; and that [`Received`] is the only way to a [`Verified`] body of a request.

mod pool;
mod shares;

use std::net::IpAddr;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use actix_web::error::PayloadError;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use tokio::time::{Instant, timeout_at};

use self::pool::{Pool, Share};
use self::shares::{Claim, Pace};
use super::answer::Refused;
use super::verify::{Pending, Verified, Verifier};
use crate::domain::{Timestamp, network};

/// The largest body that GitLab sends: it drops larger ones itself (contract, section 1.4).
pub const MAX_BODY_BYTES: usize = 25 * 1024 * 1024;

/// The largest body that counts as small: a pipeline of some dozens of jobs.
const SMALL_BODY_BYTES: usize = 64 * 1024;

/// The part of the budget that is for small bodies.
const SMALL_PART: usize = 8;

const KIB: f64 = 1024.0;

/// How many small bodies have room in their part at least.
const SMALL_BODIES: usize = 8;

/// How long a delivery may take; GitLab gives up after 10 s (contract, section 1.4).
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// From arrival until the body is whole.
    pub(super) body: Duration,
    /// For a share of the byte budget.
    pub(super) budget: Duration,
    /// What small and large bodies that nothing proves keep to while others wait.
    pub(super) pace: [Pace; 2],
}

impl Default for Patience {
    fn default() -> Self {
        let small =
            Pace { grace: Duration::from_millis(300), whole: Duration::from_millis(600), size_is_time: 64.0 * KIB };
        // Of the large ones those that would not be whole in time anyway.
        let large = Pace { grace: Duration::from_secs(2), whole: Duration::from_secs(8), size_is_time: 4096.0 * KIB };
        Self { body: large.whole, budget: Duration::from_secs(7), pace: [small, large] }
    }
}

/// Lets deliveries in, one verifier and one byte budget for all of them.
#[derive(Debug)]
pub(super) struct Gate {
    verifier: RwLock<Verifier>,
    small: Pool,
    large: Pool,
    small_body_bytes: usize,
    max_body_bytes: usize,
    patience: Patience,
}

/// A whole body and what is left to check about it. Its share of the budget is held until it is dropped.
pub(super) struct Received {
    body: Bytes,
    pending: Pending,
    _share: Share,
}

impl Received {
    /// Returns the body once its sender proved a secret.
    pub(super) fn verify(&self) -> Result<Verified<'_>, Refused> {
        self.pending.body(&self.body).map_err(Refused::Unverified)
    }
}

impl Gate {
    pub(super) fn new(verifier: Verifier, bytes_in_flight: usize, patience: Patience) -> Self {
        let small = bytes_in_flight / SMALL_PART;
        let large = bytes_in_flight - small;
        let small_body_bytes = SMALL_BODY_BYTES.min(small / SMALL_BODIES);
        // A body larger than all there is could only wait for ever.
        let max_body_bytes = MAX_BODY_BYTES.min(large);
        let [of_small, of_large] = patience.pace;
        Self {
            verifier: RwLock::new(verifier),
            small: Pool::new(small as u64, small_body_bytes as u64, of_small),
            large: Pool::new(large as u64, max_body_bytes as u64, of_large),
            small_body_bytes,
            max_body_bytes,
            patience,
        }
    }

    /// Has deliveries that arrive from now on verified by this one.
    pub(super) fn renew(&self, verifier: Verifier) {
        *self.verifier.write().unwrap_or_else(PoisonError::into_inner) = verifier;
    }

    /// Reads one delivery from an address. Dropping the future gives its share of the budget back and loses nothing else.
    pub(super) async fn receive<S>(
        &self,
        headers: &HeaderMap,
        stream: S,
        from: Option<IpAddr>,
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
        let most = match content_length(headers) {
            Some(length) => usize::try_from(length).ok().filter(|length| *length <= self.max_body_bytes),
            None => Some(self.max_body_bytes),
        };
        let most = most.ok_or_else(|| self.too_large())?;
        let pool = if most <= self.small_body_bytes { &self.small } else { &self.large };
        let claim = Claim { bytes: most as u64, stranger: (!pending.is_proved()).then(|| network(from)) };
        let share = pool.share(claim, self.patience.budget).await.ok_or(Refused::Busy)?;
        let body = timeout_at(arrival + self.patience.body, self.read(stream, most, &share));
        let body = body.await.map_err(|_| Refused::TooSlow)??;
        Ok(Received { body, pending, _share: share })
    }

    /// Collects the pieces, `most` bytes at most.
    async fn read<S>(&self, mut stream: S, most: usize, share: &Share) -> Result<Bytes, Refused>
    where
        S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
    {
        let mut body = BytesMut::new();
        loop {
            let piece = tokio::select! {
                biased;
                () = share.is_cut() => return Err(Refused::TooSlow),
                piece = stream.next() => piece,
            };
            let Some(piece) = piece else { return Ok(body.freeze()) };
            let piece = piece.map_err(|error| match error {
                PayloadError::Overflow => self.too_large(),
                _ => Refused::Broken,
            })?;
            if piece.len() > most - body.len() {
                return Err(self.too_large());
            }
            share.arrived(piece.len());
            if body.is_empty() {
                // Growing bit by bit, it would be there twice for moments.
                body.reserve(most);
            }
            body.extend_from_slice(&piece);
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
