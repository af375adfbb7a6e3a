//! Any bytes of a stored blob.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::Error;
use crate::domain::BlobId;
use crate::store::{CHUNK_BYTES, Kind, Store};

/// Reads a blob; holds the chunk that was read last.
#[derive(Debug, Clone)]
pub(super) struct Chunks {
    store: Store,
    blob: BlobId,
    held: Option<(u32, Bytes)>,
}

impl Chunks {
    pub(super) fn new(store: &Store, blob: BlobId) -> Self {
        Self { store: store.clone(), blob, held: None }
    }

    /// Returns the beginning of a range that is not empty: as much of it as one chunk has.
    pub(super) async fn piece(&mut self, range: Range<u64>) -> Result<Bytes, Error> {
        let chunk_bytes = CHUNK_BYTES as u64;
        let number = u32::try_from(range.start / chunk_bytes).map_err(|_| Error::Gone)?;
        let begin = range.start % chunk_bytes;
        let end = (begin + (range.end - range.start)).min(chunk_bytes);
        let chunk = match &self.held {
            Some((held, chunk)) if *held == number => chunk.clone(),
            _ => {
                let chunk = match self.store.chunk(self.blob, number).await {
                    Err(error) if matches!(error.kind, Kind::Damaged) => {
                        return Err(Error::Damaged("a chunk does not match its checksum"));
                    }
                    chunk => chunk?.ok_or(Error::Gone)?,
                };
                self.held = Some((number, chunk.clone()));
                chunk
            }
        };
        let end = end.min(chunk.len() as u64);
        // Both are within a chunk.
        if begin < end { Ok(chunk.slice(begin as usize..end as usize)) } else { Err(Error::Gone) }
    }

    /// Returns all of a range, whose length the caller bounds.
    pub(super) async fn read(&mut self, mut range: Range<u64>) -> Result<Bytes, Error> {
        let mut all = BytesMut::new();
        while !range.is_empty() {
            let piece = self.piece(range.clone()).await?;
            range.start += piece.len() as u64;
            if all.is_empty() && range.is_empty() {
                return Ok(piece);
            }
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }
}
