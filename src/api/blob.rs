//! Streams stored blobs to readers.
//!
//! It guarantees that a stream holds one stored chunk and one decompressed piece at most, whatever the blob's size,
//! and that a body which cannot be completed is cut off before its `Content-Length`, so that no client takes a part
//! for the whole. A blob that is replaced while it is read stays readable for 10 min (design, section 4.5); a reader
//! slower than that is cut off.

use std::io;

use actix_web::body::{BoxBody, MessageBody, SizedStream};
use actix_web::http::Method;
use bytes::{Buf, Bytes};
use futures_util::stream::{self, Stream};
use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};

use super::answer::Problem;
use crate::domain::BlobId;
use crate::store::{self, Store};

/// Decompressed bytes handed on at once: some 50 µs of work between two looks of the runtime at other readers.
const PIECE_BYTES: usize = 64 * 1024;

/// A blob as readers see it.
#[derive(Debug, Clone, Copy)]
pub(super) struct File {
    /// The stored bytes.
    pub(super) blob: BlobId,
    /// How many bytes readers get.
    pub(super) size: u64,
    /// How the stored bytes become those of readers.
    pub(super) coding: Coding,
}

/// How a blob is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// As it is.
    Plain,
    /// As concatenated zstd frames.
    Zstd,
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
    /// Returns the body, or `None` when the blob is gone. For HEAD there is a length and no stream.
    pub(super) async fn open(self, store: &Store, method: &Method) -> Result<Option<BoxBody>, Problem> {
        if method == Method::HEAD {
            return Ok(Some(SizedStream::new(self.size, stream::empty::<Result<Bytes, Broken>>()).boxed()));
        }
        let Some(first) = store.chunk(self.blob, 0).await? else { return Ok(None) };
        let chunks = Chunks { store: store.clone(), blob: self.blob, first: Some(first), next: 1 };
        let body = match self.coding {
            Coding::Plain => SizedStream::new(self.size, Box::pin(plain(chunks))).boxed(),
            Coding::Zstd => {
                let frames = Frames::new().map_err(|_| Problem::Away)?;
                SizedStream::new(self.size, Box::pin(decompressed(chunks, frames))).boxed()
            }
        };
        Ok(Some(body))
    }
}

/// The chunks of one blob, in order.
struct Chunks {
    store: Store,
    blob: BlobId,
    first: Option<Bytes>,
    next: u32,
}

impl Chunks {
    async fn next(&mut self) -> Result<Option<Bytes>, store::Error> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let chunk = self.store.chunk(self.blob, self.next).await?;
        self.next += 1;
        Ok(chunk)
    }
}

fn plain(chunks: Chunks) -> impl Stream<Item = Result<Bytes, Broken>> {
    stream::try_unfold(chunks, |mut chunks| async move { Ok(chunks.next().await?.map(|chunk| (chunk, chunks))) })
}

fn decompressed(chunks: Chunks, frames: Frames) -> impl Stream<Item = Result<Bytes, Broken>> {
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

/// Decompresses concatenated frames piece by piece; chunks end anywhere within a frame.
struct Frames {
    decoder: Decoder<'static>,
    input: Bytes,
    /// Whether the decoder is between two frames.
    between: bool,
}

impl Frames {
    fn new() -> io::Result<Self> {
        Ok(Self { decoder: Decoder::new()?, input: Bytes::new(), between: true })
    }

    /// Takes the next chunk; the one before must be used up.
    fn feed(&mut self, chunk: Bytes) {
        self.input = chunk;
    }

    /// Returns the next piece, or `None` when it takes another chunk to make one.
    fn piece(&mut self) -> io::Result<Option<Bytes>> {
        let mut piece = vec![0; PIECE_BYTES];
        let mut filled = 0;
        while filled < piece.len() {
            let mut input = InBuffer::around(&self.input);
            let mut output = OutBuffer::around(&mut piece[filled..]);
            let hint = self.decoder.run(&mut input, &mut output)?;
            let (consumed, written) = (input.pos(), output.pos());
            if consumed > 0 || written > 0 {
                self.between = hint == 0;
            }
            filled += written;
            self.input.advance(consumed);
            if consumed == 0 && written == 0 {
                break;
            }
        }
        piece.truncate(filled);
        Ok((filled > 0).then(|| Bytes::from(piece)))
    }

    /// Checks that the blob did not end within a frame.
    fn end(&self) -> io::Result<()> {
        if self.between { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decompresses a blob that is stored in chunks of `chunk` bytes.
    fn read(blob: &[u8], chunk: usize) -> io::Result<Vec<u8>> {
        let mut frames = Frames::new()?;
        let mut whole = Vec::new();
        for chunk in blob.chunks(chunk) {
            frames.feed(Bytes::copy_from_slice(chunk));
            while let Some(piece) = frames.piece()? {
                assert!(piece.len() <= PIECE_BYTES);
                whole.extend_from_slice(&piece);
            }
            assert!(frames.input.is_empty(), "a chunk is used up before the next one");
        }
        frames.end().map(|()| whole)
    }

    fn frames(raw: &[u8], frame: usize) -> Vec<u8> {
        raw.chunks(frame).flat_map(|part| zstd::bulk::compress(part, 3).expect("compresses")).collect()
    }

    #[test]
    fn frames_are_joined_wherever_the_chunks_end() {
        let noise: Vec<u8> = (0..700_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let zeros = vec![0; 5_000_000];
        for raw in [&noise[..], &zeros[..], b"one line\n", b""] {
            let blob = frames(raw, crate::store::FRAME_BYTES);
            for chunk in [1021, crate::store::CHUNK_BYTES] {
                assert_eq!(read(&blob, chunk).expect("whole frames"), raw, "{} bytes by {chunk}", raw.len());
            }
        }
        assert_eq!(read(&frames(b"byte by byte", 5), 1).expect("whole frames"), b"byte by byte");
    }

    #[test]
    fn a_blob_that_ends_within_a_frame_or_is_no_frame_is_an_error() {
        let blob = frames(&[7; 1000], 600);
        for length in [1, 5, blob.len() - 1] {
            assert!(read(&blob[..length], 100).is_err(), "{length} bytes");
        }
        assert!(read(b"no zstd at all, but plain text", 100).is_err());
    }
}
