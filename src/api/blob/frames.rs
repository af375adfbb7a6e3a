//! Decompresses what is stored as zstd frames.

use std::io;

use bytes::{Buf, Bytes};
use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};

/// Decompressed bytes handed on at once: some 50 µs of work between two looks of the runtime at other readers.
const PIECE_BYTES: usize = 64 * 1024;

/// Decompresses concatenated frames piece by piece; chunks end anywhere within a frame.
pub(super) struct Frames {
    decoder: Decoder<'static>,
    input: Bytes,
    /// Whether the decoder is between two frames.
    between: bool,
}

impl Frames {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { decoder: Decoder::new()?, input: Bytes::new(), between: true })
    }

    /// Takes the next chunk; the one before must be used up.
    pub(super) fn feed(&mut self, chunk: Bytes) {
        self.input = chunk;
    }

    /// Returns the next piece, or `None` when it takes another chunk to make one.
    pub(super) fn piece(&mut self) -> io::Result<Option<Bytes>> {
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
    pub(super) fn end(&self) -> io::Result<()> {
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
