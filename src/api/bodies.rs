//! Small logs and reports that were read a moment ago, as they are sent.
//!
//! A blob's id never stands for other bytes, so nothing here can be out of date; whether a reader may have it was decided
//! when its row was read. It saves one look into the store and decompressing again. Bounded by [`MOST_BYTES`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::coding::Coding;
use crate::domain::BlobId;

/// A body up to this size is kept, and sent in one piece.
pub(super) const SMALL_BYTES: u64 = 64 * 1024;

/// All bodies together, in each process.
const MOST_BYTES: usize = 32 * 1024 * 1024;

/// What one entry costs beside its bytes, about.
const ENTRY_BYTES: usize = 128;

/// A blob, and how it is sent.
type Key = (BlobId, Coding);

/// The bodies. Cheap to clone; clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Bodies(Arc<Mutex<Generations>>);

/// Half of the room for those that were used since the last half was full, half for those before.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Key, Bytes>,
    old: HashMap<Key, Bytes>,
    young_bytes: usize,
}

impl Bodies {
    /// Returns the body of a blob, if it was kept.
    pub(super) fn get(&self, key: Key) -> Option<Bytes> {
        let mut generations = self.generations();
        if let Some(body) = generations.young.get(&key) {
            return Some(body.clone());
        }
        let body = generations.old.remove(&key)?;
        generations.keep(key, body.clone());
        Some(body)
    }

    /// Keeps the body of a blob.
    pub(super) fn keep(&self, key: Key, body: Bytes) {
        self.generations().keep(key, body);
    }

    fn generations(&self) -> MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn keep(&mut self, key: Key, body: Bytes) {
        self.young_bytes += body.len() + ENTRY_BYTES;
        self.young.insert(key, body);
        if self.young_bytes > MOST_BYTES / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_often_stays_and_the_room_is_bounded() {
        let bodies = Bodies::default();
        let body = Bytes::from(vec![7; SMALL_BYTES as usize]);
        bodies.keep((BlobId(0), Coding::Gzip), body.clone());
        for id in 1..2000 {
            bodies.keep((BlobId(id), Coding::Gzip), body.clone());
            assert_eq!(bodies.get((BlobId(0), Coding::Gzip)).as_ref(), Some(&body), "used all the time");
            let generations = bodies.generations();
            let held: usize = generations.young.values().chain(generations.old.values()).map(Bytes::len).sum();
            assert!(held <= MOST_BYTES + body.len(), "{held}");
        }
        assert_eq!(bodies.get((BlobId(1), Coding::Gzip)), None);
    }
}
