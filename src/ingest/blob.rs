//! A blob on its way to the store: small ones travel with the transaction that publishes them, large ones are streamed
//! under a fresh id first (law 11). Memory stays bounded whatever the size.

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;

use crate::domain::BlobId;
use crate::store::{CHUNK_BYTES, CHUNKS_AT_ONCE, Error, Store};

/// Up to this size a blob is kept in memory and published in one transaction.
const INLINE_BYTES: usize = 512 * 1024;

/// Takes bytes until the blob is complete.
pub(super) struct BlobWriter<'a> {
    store: &'a Store,
    buffer: BytesMut,
    streamed: Option<(BlobId, u32)>,
    /// Chunks on their way to the store, at most [`CHUNKS_AT_ONCE`].
    under_way: FuturesUnordered<BoxFuture<'a, Result<(), Error>>>,
}

/// A complete blob that nothing points to yet.
#[derive(Debug)]
pub(super) enum Complete {
    /// To be written by the transaction that publishes it.
    Inline(Bytes),
    /// Written already.
    Streamed(BlobId),
}

impl Complete {
    /// Returns the two halves of a publication: the id in the record and the bytes beside it.
    pub(super) fn split(self) -> (Option<BlobId>, Option<Bytes>) {
        match self {
            Self::Inline(bytes) if bytes.is_empty() => (None, None),
            Self::Inline(bytes) => (None, Some(bytes)),
            Self::Streamed(blob) => (Some(blob), None),
        }
    }
}

impl<'a> BlobWriter<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        Self { store, buffer: BytesMut::new(), streamed: None, under_way: FuturesUnordered::new() }
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() > INLINE_BYTES {
            self.stream(CHUNK_BYTES).await?;
        }
        Ok(())
    }

    pub(super) async fn finish(mut self) -> Result<Complete, Error> {
        if self.streamed.is_none() {
            return Ok(Complete::Inline(std::mem::take(&mut self.buffer).freeze()));
        }
        self.stream(1).await?;
        while let Some(stored) = self.under_way.next().await {
            stored?;
        }
        match self.streamed {
            Some((blob, _)) => Ok(Complete::Streamed(blob)),
            None => Ok(Complete::Inline(Bytes::new())),
        }
    }

    /// Gives up: what was streamed is removed now, or by the sweep if the store does not answer.
    pub(super) async fn abandon(mut self) {
        self.under_way.clear();
        if let Some((blob, _)) = self.streamed
            && let Err(error) = self.store.drop_blob(blob).await
        {
            tracing::debug!(%error, "left an unfinished blob to the sweep");
        }
    }

    /// Stores chunks as long as at least `least` bytes wait.
    async fn stream(&mut self, least: usize) -> Result<(), Error> {
        let (blob, mut number) = match self.streamed {
            Some(state) => state,
            None => (self.store.new_blob().await?, 0),
        };
        self.streamed = Some((blob, number));
        while self.buffer.len() >= least {
            let chunk = self.buffer.split_to(self.buffer.len().min(CHUNK_BYTES)).freeze();
            if self.under_way.len() >= CHUNKS_AT_ONCE
                && let Some(stored) = self.under_way.next().await
            {
                stored?;
            }
            self.under_way.push(Box::pin(self.store.put_chunk(blob, number, chunk)));
            number += 1;
            self.streamed = Some((blob, number));
        }
        Ok(())
    }
}
