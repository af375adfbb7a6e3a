//! Streams stored blobs to readers.
//!
//! It guarantees that a stream holds one stored chunk and one decompressed piece at most, whatever the blob's size,
//! and that a body which cannot be completed is cut off before its `Content-Length`, so that no client takes a part
//! for the whole. A blob that is replaced while it is read stays readable for 10 min (design, section 4.5); a reader
//! slower than that is cut off.

mod frames;

use std::cell::RefCell;
use std::io;
use std::ops::Range;

use actix_web::body::{BodyStream, BoxBody, MessageBody, SizedStream};
use actix_web::http::Method;
use bytes::{self as body, Buf};
use futures_util::stream::{self, BoxStream, Stream};
use futures_util::{StreamExt, TryStreamExt};
use tracing::error;
use zstd::bulk::Decompressor;

use self::frames::Frames;
use super::answer::Problem;
use super::bodies::{Bodies, SMALL_BYTES};
use super::coding::Coding;
use super::compress::compressed;
use crate::domain::BlobId;
use crate::store::{self, CHUNK_BYTES, FRAME_BYTES, Store};

/// A blob as readers see it. What it hashes to tells it from every other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum File {
    /// Stored as it is.
    Plain {
        /// The stored bytes.
        blob: BlobId,
        /// How many they are.
        size: u64,
        /// Their SHA-256, if it is known.
        sha256: Option<[u8; 32]>,
    },
    /// Stored as concatenated zstd frames of [`FRAME_BYTES`] each.
    Zstd {
        /// The stored bytes.
        blob: BlobId,
        /// How many bytes readers get.
        size: u64,
        /// The stored length of each frame; empty when it is not known, and then it is one.
        frames: Vec<u32>,
    },
}

/// Which bytes of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Bytes {
    /// These of those that readers see.
    Part(Range<u64>),
    /// All, as they are stored.
    AsStored,
}

/// Why a stream broke off.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("a chunk cannot be read")]
    Store(#[from] store::Error),
    #[error("the stored frames cannot be decompressed")]
    Frames(#[from] io::Error),
}

impl File {
    /// Returns how many bytes readers see.
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Plain { size, .. } | Self::Zstd { size, .. } => *size,
        }
    }

    /// Returns whether it is stored in a form that some readers take.
    pub(super) fn is_zstd(&self) -> bool {
        matches!(self, Self::Zstd { .. })
    }

    /// Returns the body, or `None` when the blob is gone. For HEAD there is a length and no stream.
    pub(super) async fn open(
        &self,
        store: &Store,
        bodies: &Bodies,
        bytes: Bytes,
        method: &Method,
    ) -> Result<Option<BoxBody>, Problem> {
        let Some(length) = self.length(store, &bytes).await? else { return Ok(None) };
        if method == Method::HEAD {
            return Ok(Some(without_bytes(length)));
        }
        if let (Self::Zstd { blob, size, .. }, Bytes::Part(part)) = (self, &bytes)
            && *size <= SMALL_BYTES
        {
            return Ok(small(store, bodies, *blob, *size).await?.map(|whole| slice(&whole, part).boxed()));
        }
        let (blob, from, skip) = self.place(&bytes);
        let Some(chunks) = Chunks::open(store, blob, from).await? else { return Ok(None) };
        let stream = if bytes == Bytes::AsStored { plain(chunks).boxed() } else { self.as_seen(chunks)? };
        Ok(Some(SizedStream::new(length, Box::pin(trimmed(stream, skip, length))).boxed()))
    }

    /// As [`Self::open`], all of it, compressed with gzip: how long that gets is known beforehand of what is small only.
    pub(super) async fn open_gzip(
        &self,
        store: &Store,
        bodies: &Bodies,
        method: &Method,
    ) -> Result<Option<BoxBody>, Problem> {
        let (Self::Plain { blob, size, .. } | Self::Zstd { blob, size, .. }) = self;
        let head = method == Method::HEAD;
        if *size <= SMALL_BYTES && self.is_zstd() {
            let whole = small_gzip(store, bodies, *blob, *size).await?;
            return Ok(whole.map(|whole| if head { without_bytes(whole.len() as u64) } else { whole.boxed() }));
        }
        if head {
            return Ok(Some(BodyStream::new(stream::empty::<Result<body::Bytes, Broken>>()).boxed()));
        }
        let Some(chunks) = Chunks::open(store, *blob, 0).await? else { return Ok(None) };
        Ok(Some(BodyStream::new(compressed(self.as_seen(chunks)?, Coding::Gzip, Some(*size))).boxed()))
    }

    /// Turns what is stored into what readers see.
    fn as_seen(&self, chunks: Chunks) -> Result<BoxStream<'static, Result<body::Bytes, Broken>>, Problem> {
        Ok(match self {
            Self::Plain { .. } => plain(chunks).boxed(),
            Self::Zstd { .. } => decompressed(chunks, Frames::new().map_err(|_| Problem::Away)?).boxed(),
        })
    }

    /// Returns how many bytes the body has, or `None` when the blob is gone.
    async fn length(&self, store: &Store, bytes: &Bytes) -> Result<Option<u64>, Problem> {
        let (blob, frames) = match (bytes, self) {
            (Bytes::Part(part), _) => return Ok(Some(part.end.saturating_sub(part.start))),
            (Bytes::AsStored, Self::Plain { size, .. }) => return Ok(Some(*size)),
            (Bytes::AsStored, Self::Zstd { blob, frames, .. }) => (*blob, frames),
        };
        if !frames.is_empty() {
            return Ok(Some(frames.iter().copied().map(u64::from).sum()));
        }
        // Nobody noted it: mostly it is one chunk, which the body reads again.
        let mut length = 0;
        for number in 0.. {
            match store.chunk(blob, number).await? {
                Some(chunk) => length += chunk.len() as u64,
                None => break,
            }
            if length % CHUNK_BYTES as u64 != 0 {
                break;
            }
        }
        Ok((length > 0).then_some(length))
    }

    /// Returns the blob, the stored byte to begin at, and how many bytes to pass over after it.
    fn place(&self, bytes: &Bytes) -> (BlobId, u64, u64) {
        match (self, bytes) {
            (Self::Plain { blob, .. }, Bytes::Part(part)) => (*blob, part.start, 0),
            (Self::Plain { blob, .. } | Self::Zstd { blob, .. }, Bytes::AsStored) => (*blob, 0, 0),
            (Self::Zstd { blob, frames, .. }, Bytes::Part(part)) => {
                let frame = usize::try_from(part.start / FRAME_BYTES as u64).unwrap_or(usize::MAX);
                match frames.get(..frame) {
                    Some(before) if !frames.is_empty() => {
                        let from = before.iter().copied().map(u64::from).sum();
                        (*blob, from, part.start % FRAME_BYTES as u64)
                    }
                    _ => (*blob, 0, part.start),
                }
            }
        }
    }
}

/// Says how long a body is without having it.
fn without_bytes(length: u64) -> BoxBody {
    SizedStream::new(length, stream::empty::<Result<body::Bytes, Broken>>()).boxed()
}

/// Returns a small log or report whole, or `None` when the blob is gone.
async fn small(store: &Store, bodies: &Bodies, blob: BlobId, size: u64) -> Result<Option<body::Bytes>, Problem> {
    if let Some(whole) = bodies.get((blob, Coding::Identity)) {
        return Ok(Some(whole));
    }
    // One frame of raw bytes that fill no chunk: compressed, they fit into one.
    let Some(chunk) = store.chunk(blob, 0).await? else { return Ok(None) };
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let whole = match decompress(&chunk, size) {
        Ok(whole) if whole.len() == size => body::Bytes::from(whole),
        Ok(_) | Err(_) => {
            error!(blob = blob.0, "a stored log or report cannot be decompressed");
            return Err(Problem::Unusable);
        }
    };
    bodies.keep((blob, Coding::Identity), whole.clone());
    Ok(Some(whole))
}

/// As [`small`], compressed with gzip.
async fn small_gzip(store: &Store, bodies: &Bodies, blob: BlobId, size: u64) -> Result<Option<body::Bytes>, Problem> {
    if let Some(coded) = bodies.get((blob, Coding::Gzip)) {
        return Ok(Some(coded));
    }
    let Some(whole) = small(store, bodies, blob, size).await? else { return Ok(None) };
    let coded = body::Bytes::from(Coding::Gzip.encode(&whole).ok_or(Problem::Unusable)?);
    bodies.keep((blob, Coding::Gzip), coded.clone());
    Ok(Some(coded))
}

/// Decompresses one frame; each thread keeps what that takes.
fn decompress(frame: &[u8], size: usize) -> io::Result<Vec<u8>> {
    thread_local! {
        static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
    }
    DECOMPRESSOR.with_borrow_mut(|kept| match kept {
        Some(decompressor) => decompressor.decompress(frame, size),
        None => kept.insert(Decompressor::new()?).decompress(frame, size),
    })
}

fn slice(whole: &body::Bytes, part: &Range<u64>) -> body::Bytes {
    let at = |place: u64| usize::try_from(place).unwrap_or(usize::MAX).min(whole.len());
    whole.slice(at(part.start)..at(part.end))
}

/// The chunks of one blob, in order, from a byte of it on.
struct Chunks {
    store: Store,
    blob: BlobId,
    first: Option<body::Bytes>,
    next: u32,
}

impl Chunks {
    /// Returns `None` when the blob is gone.
    async fn open(store: &Store, blob: BlobId, from: u64) -> Result<Option<Self>, store::Error> {
        let number = u32::try_from(from / CHUNK_BYTES as u64).unwrap_or(u32::MAX);
        let Some(mut first) = store.chunk(blob, number).await? else { return Ok(None) };
        let skip = usize::try_from(from % CHUNK_BYTES as u64).unwrap_or(usize::MAX);
        first.advance(skip.min(first.len()));
        Ok(Some(Self { store: store.clone(), blob, first: Some(first), next: number.saturating_add(1) }))
    }

    async fn next(&mut self) -> Result<Option<body::Bytes>, store::Error> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let chunk = self.store.chunk(self.blob, self.next).await?;
        self.next += 1;
        Ok(chunk)
    }
}

/// Passes over the first `skip` bytes and ends after `length` more, without reading on.
fn trimmed(
    stream: impl Stream<Item = Result<body::Bytes, Broken>>,
    skip: u64,
    length: u64,
) -> impl Stream<Item = Result<body::Bytes, Broken>> {
    let state = (Box::pin(stream), skip, length);
    stream::try_unfold(state, |(mut stream, mut skip, mut left)| async move {
        while left > 0 {
            let Some(mut piece) = stream.try_next().await? else { break };
            let passed = usize::try_from(skip).unwrap_or(usize::MAX).min(piece.len());
            piece.advance(passed);
            skip -= passed as u64;
            piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            if !piece.is_empty() {
                left -= piece.len() as u64;
                return Ok(Some((piece, (stream, skip, left))));
            }
        }
        Ok(None)
    })
}

fn plain(chunks: Chunks) -> impl Stream<Item = Result<body::Bytes, Broken>> {
    stream::try_unfold(chunks, |mut chunks| async move { Ok(chunks.next().await?.map(|chunk| (chunk, chunks))) })
}

fn decompressed(chunks: Chunks, frames: Frames) -> impl Stream<Item = Result<body::Bytes, Broken>> {
    stream::try_unfold((chunks, frames), |(mut chunks, mut frames)| async move {
        loop {
            if let Some(piece) = frames.piece()? {
                return Ok(Some((piece, (chunks, frames))));
            }
            match chunks.next().await? {
                Some(chunk) => frames.feed(chunk),
                None => return frames.end().map(|()| None).map_err(Broken::from),
            }
        }
    })
}
