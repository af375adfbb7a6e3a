//! The content of a blob as its readers get it, chunk by chunk.

use std::io;

use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};

use super::PassError;

/// Decompressed bytes at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// How stored bytes become those of readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decoding {
    /// As they are.
    Plain,
    /// As concatenated zstd frames, whose checksums are held against them.
    Zstd,
}

/// Turns chunks into content.
pub(super) struct Content {
    decoder: Option<Decoder<'static>>,
    piece: Vec<u8>,
    size: u64,
    between_frames: bool,
}

impl Content {
    pub(super) fn new(decoding: Decoding) -> Result<Self, PassError> {
        let decoder = match decoding {
            Decoding::Plain => None,
            Decoding::Zstd => Some(Decoder::new().map_err(|_| PassError::Interrupted)?),
        };
        Ok(Self { decoder, piece: vec![0; PIECE_BYTES], size: 0, between_frames: true })
    }

    /// Takes the next chunk and hands on what becomes of it.
    pub(super) fn take(&mut self, chunk: &[u8], mut hand_on: impl FnMut(&[u8])) -> io::Result<()> {
        let Some(decoder) = &mut self.decoder else {
            self.size += chunk.len() as u64;
            hand_on(chunk);
            return Ok(());
        };
        let mut input = InBuffer::around(chunk);
        loop {
            let before = input.pos();
            let mut output = OutBuffer::around(&mut self.piece[..]);
            let hint = decoder.run(&mut input, &mut output)?;
            let written = output.pos();
            if input.pos() == before && written == 0 {
                return Ok(());
            }
            self.between_frames = hint == 0;
            self.size += written as u64;
            hand_on(self.piece.get(..written).unwrap_or_default());
        }
    }

    /// Returns how many bytes it had in all, unless it ends within a frame.
    pub(super) fn end(&self) -> Option<u64> {
        self.between_frames.then_some(self.size)
    }
}
