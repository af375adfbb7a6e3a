//! How many logs are followed at once: each follower may hold one event, 256 KiB of text, while its reader takes it.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix_web::HttpRequest;
use actix_web::http::header::AUTHORIZATION;

use crate::api::answer::Problem;
use crate::api::query::Query;
use crate::api::view::View;
use crate::gitlab::CREDENTIALS;

/// Followers in all.
const MOST: usize = 256;

/// Followers of one reader: of one token, and without one of one address.
const MOST_OF_ONE: usize = 64;

/// The followers of a process. Cheap to clone; clones share them.
#[derive(Debug, Clone, Default)]
pub(in crate::api) struct Followers(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// Tokens are not kept.
    hasher: RandomState,
    by_reader: Mutex<HashMap<u64, usize>>,
}

/// The place of one follower, until it is dropped.
pub(super) struct Place {
    followers: Followers,
    reader: u64,
}

impl View {
    /// Takes a place for whoever asks.
    pub(super) fn follower(&self, request: &HttpRequest) -> Result<Place, Problem> {
        let query = Query::of(request);
        let token = query.pairs().iter().find(|(key, _)| CREDENTIALS.contains(&key.as_str()));
        let token = token.map(|(_, value)| value.as_bytes());
        let header = |name: &str| request.headers().get(name).map(|value| value.as_bytes());
        let token = token.or_else(|| header("private-token")).or_else(|| header(AUTHORIZATION.as_str()));
        let address: Option<IpAddr> = request.peer_addr().filter(|_| token.is_none()).map(|address| address.ip());
        self.followers().take((token, address)).ok_or(Problem::TooManyFollowers)
    }
}

impl Followers {
    fn take(&self, reader: impl std::hash::Hash) -> Option<Place> {
        let reader = self.0.hasher.hash_one(reader);
        let mut counts = self.counts();
        if counts.values().sum::<usize>() >= MOST || counts.get(&reader).is_some_and(|count| *count >= MOST_OF_ONE) {
            return None;
        }
        *counts.entry(reader).or_default() += 1;
        Some(Place { followers: self.clone(), reader })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<u64, usize>> {
        self.0.by_reader.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.followers.counts();
        match counts.get_mut(&self.reader) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(counts.remove(&self.reader)),
        }
    }
}
