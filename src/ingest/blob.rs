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
    streamed: Option<Streamed>,
    /// How many chunks were handed to the store.
    chunks: u32,
    /// Chunks on their way to the store, at most [`CHUNKS_AT_ONCE`].
    under_way: FuturesUnordered<BoxFuture<'a, Result<(), Error>>>,
}

/// A streamed blob in this process's hands. Keep it until the commit that publishes the blob has ended, however it ended:
/// dropping it leaves the blob to the sweep, which removes it unless something points to it by then.
#[derive(Debug)]
pub struct Streamed {
    store: Store,
    blob: BlobId,
}

impl Streamed {
    /// Nothing will publish it: it is removed now, or by the sweep if the store does not answer.
    pub(super) async fn remove(self) {
        if let Err(error) = self.store.drop_blob(self.blob).await {
            tracing::debug!(%error, "left a blob that is not needed to the sweep");
        }
    }
}

impl Drop for Streamed {
    fn drop(&mut self) {
        self.store.let_go(self.blob);
    }
}

/// A complete blob that nothing points to yet.
#[derive(Debug)]
pub(super) enum Complete {
    /// To be written by the transaction that publishes it.
    Inline(Bytes),
    /// Written already.
    Streamed(Streamed),
}

/// The parts of a publication: the id in the record, the bytes beside it, and what is held until it ends.
pub(super) type Publication = (Option<BlobId>, Option<Bytes>, Option<Streamed>);

impl Complete {
    /// Returns the parts of a publication.
    pub(super) fn split(self) -> Publication {
        match self {
            Self::Inline(bytes) if bytes.is_empty() => (None, None, None),
            Self::Inline(bytes) => (None, Some(bytes), None),
            Self::Streamed(streamed) => (Some(streamed.blob), None, Some(streamed)),
        }
    }
}

impl<'a> BlobWriter<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        Self { store, buffer: BytesMut::new(), streamed: None, chunks: 0, under_way: FuturesUnordered::new() }
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
        Ok(self.streamed.map_or_else(|| Complete::Inline(Bytes::new()), Complete::Streamed))
    }

    /// Gives up: what was streamed is removed.
    pub(super) async fn abandon(mut self) {
        self.under_way.clear();
        if let Some(streamed) = self.streamed {
            streamed.remove().await;
        }
    }

    /// Stores chunks as long as at least `least` bytes wait.
    async fn stream(&mut self, least: usize) -> Result<(), Error> {
        let blob = match &self.streamed {
            Some(streamed) => streamed.blob,
            None => {
                let blob = self.store.new_blob().await?;
                self.streamed.insert(Streamed { store: self.store.clone(), blob }).blob
            }
        };
        while self.buffer.len() >= least {
            let chunk = self.buffer.split_to(self.buffer.len().min(CHUNK_BYTES)).freeze();
            if self.under_way.len() >= CHUNKS_AT_ONCE
                && let Some(stored) = self.under_way.next().await
            {
                stored?;
            }
            self.under_way.push(Box::pin(self.store.put_chunk(blob, self.chunks, chunk)));
            self.chunks += 1;
        }
        Ok(())
    }
}
