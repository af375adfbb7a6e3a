//! Any bytes of a stored log.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::Error;
use super::blob::Chunks;
use crate::domain::LogRecord;
use crate::store::{FRAME_BYTES, Store};

/// Reads a log by its frames; holds the frame that was read last.
#[derive(Debug, Clone)]
pub(super) struct Frames {
    /// `None` for an empty log.
    chunks: Option<Chunks>,
    /// Where each frame begins among the stored bytes, and where the last one ends.
    begins: Arc<[u64]>,
    size: u64,
    held: Option<(usize, Bytes)>,
}

impl Frames {
    pub(super) fn new(store: &Store, log: &LogRecord) -> Self {
        let ends = log.frames.iter().scan(0, |end, length| {
            *end += u64::from(*length);
            Some(*end)
        });
        let size = if log.blob.is_some() { log.size } else { 0 };
        Self {
            chunks: log.blob.map(|blob| Chunks::new(store, blob)),
            begins: [0].into_iter().chain(ends).collect(),
            size,
            held: None,
        }
    }

    /// Returns how long the log is.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Returns how many frames it has.
    pub(super) fn count(&self) -> usize {
        usize::try_from(self.size.div_ceil(FRAME_BYTES as u64)).unwrap_or(usize::MAX)
    }

    /// Returns where a frame begins in the log.
    pub(super) fn offset(frame: usize) -> u64 {
        frame as u64 * FRAME_BYTES as u64
    }

    /// Returns the frame that a byte is in.
    pub(super) fn at(offset: u64) -> usize {
        usize::try_from(offset / FRAME_BYTES as u64).unwrap_or(usize::MAX)
    }

    /// Returns a frame, decompressed.
    pub(super) async fn frame(&mut self, number: usize) -> Result<Bytes, Error> {
        if let Some((held, frame)) = &self.held
            && *held == number
        {
            return Ok(frame.clone());
        }
        let (Some(chunks), [begin, end, ..]) = (&mut self.chunks, self.begins.get(number..).unwrap_or_default()) else {
            return Err(Error::Damaged("it has fewer frames than its size needs"));
        };
        let stored = chunks.read(*begin..*end).await?;
        let frame = zstd::bulk::decompress(&stored, FRAME_BYTES)
            .map_err(|_| Error::Damaged("a frame cannot be decompressed"))?;
        let expected = (self.size - Self::offset(number).min(self.size)).min(FRAME_BYTES as u64);
        if frame.len() as u64 != expected {
            return Err(Error::Damaged("a frame has another length than its place"));
        }
        let frame = Bytes::from(frame);
        self.held = Some((number, frame.clone()));
        Ok(frame)
    }

    /// Returns the beginning of a range that is not empty: as much of it as one frame has.
    pub(super) async fn piece(&mut self, range: Range<u64>) -> Result<Bytes, Error> {
        let number = Self::at(range.start);
        let frame = self.frame(number).await?;
        let begin = range.start - Self::offset(number);
        let end = (begin + (range.end - range.start)).min(frame.len() as u64);
        // Both are within a frame.
        if begin < end {
            Ok(frame.slice(begin as usize..end as usize))
        } else {
            Err(Error::Damaged("it ends too early"))
        }
    }
}
