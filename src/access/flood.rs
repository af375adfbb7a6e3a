//! Holds back who tries many unknown tokens: ten a second from one address.
//!
//! Addresses are those of connections, since what a proxy says about its clients can be forged: behind a proxy all readers
//! share ten *new* tokens a second. An IPv6 network of 64 bits counts as one address. Time is passed in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::network;

/// Unknown tokens per second from one address.
const PER_SECOND: u32 = 10;

/// Addresses that are counted at once; above it, a new one has to wait until others are forgotten.
const ADDRESSES: usize = 10_000;

const SECOND: Duration = Duration::from_secs(1);

/// Counts unknown tokens by where they come from.
#[derive(Debug, Default)]
pub(super) struct Flood(Mutex<HashMap<IpAddr, Count>>);

#[derive(Debug)]
struct Count {
    since: Instant,
    tokens: u32,
}

impl Flood {
    /// Counts one unknown token; false when it is one too many.
    pub(super) fn admits(&self, peer: Option<IpAddr>, now: Instant) -> bool {
        let peer = network(peer);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |count: &Count| now.duration_since(count.since) >= SECOND;
        if counts.len() >= ADDRESSES && !counts.contains_key(&peer) {
            counts.retain(|_, count| !is_over(count));
            if counts.len() >= ADDRESSES {
                return false;
            }
        }
        let count = counts.entry(peer).or_insert(Count { since: now, tokens: 0 });
        if is_over(count) {
            *count = Count { since: now, tokens: 0 };
        }
        count.tokens = count.tokens.saturating_add(1);
        count.tokens <= PER_SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_a_second_from_one_address_or_network() {
        let (flood, now) = (Flood::default(), Instant::now());
        let address = |text: &str| text.parse::<IpAddr>().ok();
        for (first, again, other) in [
            ("10.0.0.1", "::ffff:10.0.0.1", "10.0.0.2"),
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1"),
        ] {
            assert!((0..9).all(|_| flood.admits(address(first), now)));
            assert!(flood.admits(address(again), now) && !flood.admits(address(first), now));
            assert!(flood.admits(address(other), now), "another one is not held back");
            assert!(!flood.admits(address(first), now + SECOND / 2));
            assert!(flood.admits(address(first), now + SECOND));
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (flood, now) = (Flood::default(), Instant::now());
        let address = |number: u32| Some(IpAddr::from(number.to_be_bytes()));
        let most = u32::try_from(ADDRESSES).unwrap_or(u32::MAX);
        assert!((1..=most).all(|number| flood.admits(address(number), now)));
        assert!(!flood.admits(address(most + 1), now), "nobody is forgotten yet");
        assert!(flood.admits(address(most + 1), now + SECOND));
    }
}
