//! One look at a job's log: read, framed, compressed, judged (design, section 4.4).

use std::cell::RefCell;

use bytes::Bytes;
use zstd::bulk::Compressor;

use super::blob::{BlobWriter, Complete, Streamed};
use super::{Ingest, Task, Trouble, Unit, UnitOutcome};
use crate::domain::{Job, LogRecord, Piece, Reason, Timestamp, after_look};
use crate::gitlab::{Body, Class, Kind};
use crate::log::Indexer;
use crate::masking::Masker;
use crate::store::{Change, FRAME_BYTES};
use crate::work::{Cause, Target};

/// zstd levels of frames up to [`SMALL_BYTES`] and of larger ones. Real build logs are stored at 8.4 times less than their size
/// with these, at level 1 alone at 7.8: a higher level saves next to nothing of small frames, and a twelfth of large ones for 2.4
/// times the processor time (340 MB/s).
const LEVEL_OF_SMALL: i32 = 1;
const LEVEL: i32 = 4;

/// Above this zstd's level 4 looks further for what repeats.
const SMALL_BYTES: usize = 128 * 1024;

/// What a look found, ready to be published.
pub(super) struct Look {
    pub(super) change: Change,
    pub(super) record: LogRecord,
    pub(super) unit: Unit,
    /// What was streamed and is not published yet; `None` where the bytes travel with the change.
    pub(super) streamed: Option<Streamed>,
}

/// A log as it was read.
enum Read {
    Whole(Stored, Timestamp),
    TooLarge,
    Forbidden,
}

/// A log that is complete in the store, but for the transaction that publishes it.
struct Stored {
    /// How many bytes GitLab delivered.
    delivered: u64,
    /// How many there are for readers: another number when secrets were masked.
    size: u64,
    frames: Vec<u32>,
    index: Box<[u8]>,
    blob: Complete,
}

impl Ingest {
    /// Looks at the log of an ended job that ran.
    pub(super) async fn log(&self, task: &Task<'_>, job: &Job, held: &LogRecord) -> Result<Look, Trouble> {
        let read = if self.config.sizes.exclude_log_of(job) {
            Read::TooLarge
        } else {
            self.read_log(task.class(), job).await?
        };
        let absent = |reason| LogRecord { piece: Piece::Absent(reason), ..LogRecord::missing() };
        let (mut record, bytes, streamed) = match read {
            Read::TooLarge => (absent(Reason::TooLarge), None, None),
            Read::Forbidden => (absent(Reason::Forbidden), None, None),
            Read::Whole(stored, at) => self.judge(job, held, stored, at).await,
        };
        if task.cause == Cause::Fetch {
            // However often readers look, the looks of the schedule come.
            record.looks = held.looks.max(1);
        }
        let outcome = match record.piece {
            Piece::Absent(reason) => UnitOutcome::Absent(reason),
            _ => UnitOutcome::Cached { bytes: record.size, count: 0 },
        };
        let unit = self.unit(Target::Job(job.key), "log", job, outcome);
        Ok(Look { change: Change::Log { key: job.key, record: record.clone(), bytes }, record, unit, streamed })
    }

    /// Reads the log of a running job as far as it goes; `None` when it is too large, or not for our token.
    pub(super) async fn partial_log(
        &self,
        class: Class,
        job: &Job,
        held: &LogRecord,
    ) -> Result<Option<(Change, Option<Streamed>)>, Trouble> {
        let Read::Whole(stored, at) = self.read_log(class, job).await? else { return Ok(None) };
        let mut record = LogRecord { piece: Piece::Partial, last_look: Some(at), ..LogRecord::missing() };
        let (_, bytes, streamed) = self.keep_longer(held, stored, &mut record).await;
        Ok(Some((Change::Log { key: job.key, record, bytes }, streamed)))
    }

    /// Decides what the look makes of the log, and keeps the held bytes when the look found fewer.
    async fn judge(
        &self,
        job: &Job,
        held: &LogRecord,
        stored: Stored,
        at: Timestamp,
    ) -> (LogRecord, Option<Bytes>, Option<Streamed>) {
        let mut record = after_look(job, held, stored.delivered, at, &self.config.schedule);
        let (newer, bytes, streamed) = self.keep_longer(held, stored, &mut record).await;
        if !newer {
            record.piece = if record.piece.is_final() { Piece::Whole } else { Piece::Live };
        }
        (record, bytes, streamed)
    }

    /// Lets a record have the bytes of the look, or the held ones when GitLab delivered more for those (law 6). Returns whether
    /// it has those of the look, the bytes that travel with the change, and what was streamed.
    async fn keep_longer(
        &self,
        held: &LogRecord,
        stored: Stored,
        record: &mut LogRecord,
    ) -> (bool, Option<Bytes>, Option<Streamed>) {
        let Stored { delivered, size, frames, index, blob } = stored;
        if delivered < held.delivered() {
            if let Complete::Streamed(unneeded) = blob {
                unneeded.remove().await;
            }
            (record.size, record.fetched, record.blob) = (held.size, held.fetched, held.blob);
            (record.frames, record.index) = (held.frames.clone(), held.index.clone());
            return (false, None, None);
        }
        let (blob, bytes, streamed) = blob.split();
        record.fetched = (delivered != size).then_some(delivered);
        (record.size, record.blob, record.frames, record.index) = (size, blob, frames, index);
        (true, bytes, streamed)
    }

    async fn read_log(&self, class: Class, job: &Job) -> Result<Read, Trouble> {
        let body = match self.gitlab.trace(class, job.key).await {
            Ok(body) => body,
            // No log: documented as 404, in the code an empty 200 (contract, section 5.6). By GitLab's clock it is at least as late
            // as the job's document.
            Err(error) if matches!(error.kind, Kind::NotFound) => {
                let empty = FrameWriter::new(BlobWriter::new(&self.store)).finish(0).await?;
                return Ok(Read::Whole(empty, job.document.as_of));
            }
            Err(error) if matches!(error.kind, Kind::Forbidden) => return Ok(Read::Forbidden),
            Err(error) => return Err(error.into()),
        };
        let mut writer = FrameWriter::new(BlobWriter::new(&self.store));
        let at = body.as_of();
        let mut masker = self.treatment(job.key.project).masking.map(|rules| rules.begin());
        let copied = copy(body, &mut writer, masker.as_mut(), self.config.sizes.log).await;
        self.metrics.masked("log", masker.map_or(0, |masker| masker.count()));
        match copied {
            Ok(Some(delivered)) => Ok(Read::Whole(writer.finish(delivered).await?, at)),
            Ok(None) => {
                writer.blob.abandon().await;
                Ok(Read::TooLarge)
            }
            Err(trouble) => {
                writer.blob.abandon().await;
                Err(trouble)
            }
        }
    }
}

/// Copies a body, masked if it has to be; returns how many bytes GitLab delivered, and `None` when these are more than `limit`.
async fn copy(
    mut body: Body,
    writer: &mut FrameWriter<'_>,
    mut masker: Option<&mut Masker>,
    limit: u64,
) -> Result<Option<u64>, Trouble> {
    let mut delivered = 0;
    let mut masked = Vec::new();
    while let Some(piece) = body.chunk().await? {
        delivered += piece.len() as u64;
        if delivered > limit {
            return Ok(None);
        }
        match &mut masker {
            None => writer.write(&piece).await?,
            Some(masker) => {
                masker.push(&piece, &mut masked);
                writer.write(&masked).await?;
                masked.clear();
            }
        }
    }
    if let Some(masker) = masker {
        masker.finish(&mut masked);
        writer.write(&masked).await?;
    }
    Ok(Some(delivered))
}

/// Cuts a log into independent zstd frames, so that a part can be read without the rest, and notes where its parts are.
struct FrameWriter<'a> {
    blob: BlobWriter<'a>,
    raw: Vec<u8>,
    frames: Vec<u32>,
    indexer: Indexer,
    size: u64,
}

impl<'a> FrameWriter<'a> {
    fn new(blob: BlobWriter<'a>) -> Self {
        Self { blob, raw: Vec::new(), frames: Vec::new(), indexer: Indexer::default(), size: 0 }
    }

    async fn write(&mut self, mut piece: &[u8]) -> Result<(), Trouble> {
        self.size += piece.len() as u64;
        while !piece.is_empty() {
            let (now, later) = piece.split_at(piece.len().min(FRAME_BYTES - self.raw.len()));
            self.raw.extend_from_slice(now);
            piece = later;
            if self.raw.len() == FRAME_BYTES {
                self.end_frame().await?;
            }
        }
        Ok(())
    }

    async fn end_frame(&mut self) -> Result<(), Trouble> {
        let frame = compress(&self.raw)?;
        self.indexer.push(&self.raw);
        self.raw.clear();
        self.frames.push(u32::try_from(frame.len()).unwrap_or(u32::MAX));
        self.blob.write(&frame).await?;
        Ok(())
    }

    async fn finish(mut self, delivered: u64) -> Result<Stored, Trouble> {
        if !self.raw.is_empty() {
            self.end_frame().await?;
        }
        let index = if self.size == 0 { Box::default() } else { self.indexer.finish().encode() };
        let (size, frames) = (self.size, self.frames);
        Ok(Stored { delivered, size, frames, index, blob: self.blob.finish().await? })
    }
}

/// Compresses one frame, with a checksum that every reader verifies; each thread keeps what that takes.
pub(super) fn compress(raw: &[u8]) -> Result<Vec<u8>, Trouble> {
    thread_local! {
        static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    }
    let level = if raw.len() > SMALL_BYTES { LEVEL } else { LEVEL_OF_SMALL };
    let compressed = COMPRESSOR.with_borrow_mut(|kept| {
        let compressor = match kept {
            Some(compressor) => compressor,
            None => kept.insert(Compressor::new(level)?),
        };
        compressor.set_compression_level(level)?;
        compressor.include_checksum(true)?;
        compressor.compress(raw)
    });
    compressed.map_err(|error| Trouble::Incomplete(format!("compressing failed: {error}")))
}
