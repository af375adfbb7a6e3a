//! Chunks of blobs and whether they are what was stored: no reader gets a byte that is not.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use sha2::{Digest, Sha256};

use super::{BlobKind, Change, Error, Kind, Store};
use crate::domain::BlobId;
use crate::work::Target;

/// Damaged chunks that are remembered, so that each is told once.
const REMEMBERED: usize = 10_000;

/// A chunk as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredChunk {
    /// Its bytes.
    pub bytes: Bytes,
    /// Whether it is what was stored under its number; `None` where it is older than checksums.
    pub sound: Option<bool>,
}

impl StoredChunk {
    /// Holds bytes against the checksum that is stored with them.
    pub(super) fn new(blob: BlobId, number: u32, bytes: Bytes, sum: Option<i64>) -> Self {
        Self { sound: sum.map(|sum| is_sum_of(sum, blob, number, &bytes)), bytes }
    }
}

/// Returns the checksum to store with a chunk: CRC-32 over its place and its bytes, so that a chunk in another one's place is found too,
/// and reading costs next to nothing more.
pub(super) fn chunk_sum(blob: BlobId, number: u32, bytes: &[u8]) -> i64 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&blob.0.to_le_bytes());
    sum.update(&number.to_le_bytes());
    sum.update(bytes);
    sum.finalize().into()
}

/// Earlier versions stored 64 bits of SHA-256, nearly all of which are beyond the values of a CRC-32.
fn is_sum_of(sum: i64, blob: BlobId, number: u32, bytes: &[u8]) -> bool {
    if u32::try_from(sum).is_ok() && sum == chunk_sum(blob, number, bytes) {
        return true;
    }
    let mut hash = Sha256::new();
    hash.update(blob.0.to_le_bytes());
    hash.update(number.to_le_bytes());
    hash.update(bytes);
    let hash: [u8; 32] = hash.finalize().into();
    hash.as_chunks::<8>().0.first().copied().map(i64::from_le_bytes) == Some(sum)
}

/// What was found damaged.
#[derive(Debug, Clone, Default)]
pub(super) struct Damages {
    chunks: Family<Labels, Counter>,
    known: Arc<Mutex<HashSet<(BlobId, u32)>>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    kind: &'static str,
}

impl Damages {
    pub(super) fn register(&self, registry: &mut Registry) {
        for kind in BlobKind::ALL {
            // There from the start, so that the first one is an increase.
            drop(self.chunks.get_or_create(&Labels { kind: kind.as_str() }));
        }
        let help = "Stored chunks that did not match their checksum when they were read; they are served to nobody";
        registry.register("store_damaged_chunks", help, self.chunks.clone());
    }

    /// Returns whether this process finds it for the first time.
    fn is_new(&self, blob: BlobId, number: u32) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.len() < REMEMBERED && known.insert((blob, number))
    }
}

impl Store {
    /// Reads one chunk; `None` behind the last. One that is not what was stored is [`Kind::Damaged`], and whatever it is part of is a
    /// gap from then on, so that it is fetched again.
    pub async fn chunk(&self, blob: BlobId, number: u32) -> Result<Option<Bytes>, Error> {
        match self.stored_chunk(blob, number).await? {
            Some(StoredChunk { sound: Some(false), .. }) => {
                self.tell_damage(blob, number).await;
                Err(Error::new("read a chunk", Kind::Damaged))
            }
            found => Ok(found.map(|chunk| chunk.bytes)),
        }
    }

    async fn tell_damage(&self, blob: BlobId, number: u32) {
        if !self.damages().is_new(blob, number) {
            return;
        }
        let what = match self.blob_of(blob).await {
            Ok(Some(what)) => what,
            // It was replaced meanwhile, or cannot be told now.
            Ok(None) => return,
            Err(error) => {
                tracing::error!(blob = blob.0, chunk = number, %error, "a stored chunk does not match its checksum");
                return;
            }
        };
        let (kind, target): (BlobKind, Target) = what;
        self.damages().chunks.get_or_create(&Labels { kind: kind.as_str() }).inc();
        let words = target.in_words();
        tracing::error!(
            blob = blob.0, chunk = number, kind = kind.as_str(), target = %words,
            "a stored chunk does not match its checksum: nobody gets it, and what it is of is fetched again if GitLab has it"
        );
        if let Err(error) = self.apply(vec![Change::Damaged(target, blob)]).await {
            tracing::warn!(target = %words, %error, "could not note that it is damaged");
        }
    }
}
