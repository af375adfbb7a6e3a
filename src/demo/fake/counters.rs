//! What the fake has seen: calls by endpoint, the most at one time, and credentials that reached the storage host.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::http::Endpoint;

/// How many heads are kept.
const MOST_HEADS: usize = 10_000;

/// Calls counted since the start or the last reset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requests {
    /// All calls to GitLab, without the hops to storage.
    pub total: u64,
    /// Hops to storage.
    pub storage: u64,
    /// Calls by endpoint; an endpoint that was not called is missing.
    pub by_endpoint: BTreeMap<Endpoint, u64>,
}

impl Requests {
    /// Returns the calls to one endpoint.
    pub fn of(&self, endpoint: Endpoint) -> u64 {
        self.by_endpoint.get(&endpoint).copied().unwrap_or(0)
    }

    /// Returns the calls to the listing endpoints: what a pass with nothing new may make.
    pub fn lists(&self) -> u64 {
        self.by_endpoint.iter().filter(|(endpoint, _)| endpoint.is_list()).map(|(_, count)| count).sum()
    }
}

#[derive(Debug, Default)]
struct Seen {
    requests: Requests,
    in_flight: u64,
    max_in_flight: u64,
    leaked: Vec<String>,
    refused: u64,
    heads: Vec<String>,
}

/// Shared by all worker threads.
#[derive(Debug, Default)]
pub(super) struct Counters(Mutex<Seen>);

impl Counters {
    /// Counts a request from now until the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>, endpoint: Endpoint) -> InFlight {
        let mut seen = self.seen();
        *seen.requests.by_endpoint.entry(endpoint).or_default() += 1;
        if endpoint == Endpoint::Storage {
            seen.requests.storage += 1;
        } else {
            seen.requests.total += 1;
        }
        seen.in_flight += 1;
        seen.max_in_flight = seen.max_in_flight.max(seen.in_flight);
        InFlight(Arc::clone(self))
    }

    /// Notes a header that must not have left GitLab's own host.
    pub(super) fn leaked(&self, header: &str) {
        self.seen().leaked.push(header.to_owned());
    }

    /// Keeps the head of a request for those who look at what was sent.
    pub(super) fn keep_head(&self, head: String) {
        let mut seen = self.seen();
        if seen.heads.len() < MOST_HEADS {
            seen.heads.push(head);
        }
    }

    pub(super) fn heads(&self) -> Vec<String> {
        self.seen().heads.clone()
    }

    /// Returns how many requests are under way now.
    pub(super) fn in_flight(&self) -> u64 {
        self.seen().in_flight
    }

    /// Counts a request above the rate limit.
    pub(super) fn refuse(&self) {
        self.seen().refused += 1;
    }

    pub(super) fn refused(&self) -> u64 {
        self.seen().refused
    }

    pub(super) fn requests(&self) -> Requests {
        self.seen().requests.clone()
    }

    pub(super) fn max_in_flight(&self) -> u64 {
        self.seen().max_in_flight
    }

    pub(super) fn leaked_headers(&self) -> Vec<String> {
        self.seen().leaked.clone()
    }

    /// Starts counting anew; requests under way stay in flight.
    pub(super) fn reset(&self) {
        let mut seen = self.seen();
        seen.requests = Requests::default();
        seen.max_in_flight = seen.in_flight;
        seen.leaked.clear();
        seen.heads.clear();
        seen.refused = 0;
    }

    /// A panic elsewhere leaves plain numbers behind, which are as good as before.
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Counters>);

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut seen = self.0.seen();
        seen.in_flight = seen.in_flight.saturating_sub(1);
    }
}
