//! One look at a job's log: read, framed, compressed, judged (design, section 4.4).

use bytes::Bytes;

use super::blob::{BlobWriter, Complete};
use super::{Ingest, Trouble, Unit, UnitOutcome};
use crate::domain::{Job, LogRecord, Piece, Reason, Timestamp, after_look};
use crate::gitlab::{Body, Class, Kind};
use crate::masking::Masker;
use crate::store::{Change, FRAME_BYTES};
use crate::work::Target;

/// zstd level of stored logs: higher ones cost six times the time for a fifth of the space.
const LEVEL: i32 = 1;

/// What a look found, ready to be published.
pub(super) struct Look {
    pub(super) change: Change,
    pub(super) record: LogRecord,
    pub(super) unit: Unit,
    /// Whether the bytes travel with the change.
    pub(super) inline: bool,
}

/// A log as it was read.
enum Read {
    Whole { delivered: u64, size: u64, frames: Vec<u32>, blob: Complete, at: Timestamp },
    TooLarge,
    Forbidden,
}

impl Ingest {
    /// Looks at the log of an ended job that ran.
    pub(super) async fn log(&self, class: Class, job: &Job, held: &LogRecord) -> Result<Look, Trouble> {
        let too_large = job.trace_size.is_some_and(|size| size > self.config.log_size);
        let read = if too_large { Read::TooLarge } else { self.read_log(class, job).await? };
        let absent = |reason| LogRecord { piece: Piece::Absent(reason), ..LogRecord::missing() };
        let (record, bytes) = match read {
            Read::TooLarge => (absent(Reason::TooLarge), None),
            Read::Forbidden => (absent(Reason::Forbidden), None),
            Read::Whole { delivered, size, frames, blob, at } => {
                self.judge(job, held, (delivered, size, frames, blob, at)).await
            }
        };
        let outcome = match record.piece {
            Piece::Absent(reason) => UnitOutcome::Absent(reason),
            _ => UnitOutcome::Cached { bytes: record.size, count: 0 },
        };
        let unit = self.unit(Target::Job(job.key), "log", job, outcome);
        let inline = bytes.is_some() || record.blob.is_none();
        Ok(Look { change: Change::Log { key: job.key, record: record.clone(), bytes }, record, unit, inline })
    }

    /// Decides what the look makes of the log, and keeps the held bytes when the look found fewer.
    async fn judge(
        &self,
        job: &Job,
        held: &LogRecord,
        (delivered, size, frames, blob, at): (u64, u64, Vec<u32>, Complete, Timestamp),
    ) -> (LogRecord, Option<Bytes>) {
        let mut record = after_look(job, held, delivered, at, &self.config.schedule);
        if delivered < held.delivered() {
            if let Complete::Streamed(unneeded) = blob
                && let Err(error) = self.store.drop_blob(unneeded).await
            {
                tracing::debug!(%error, "left a shorter log to the sweep");
            }
            record.piece = if record.piece.is_final() { Piece::Whole } else { Piece::Live };
            let LogRecord { size, fetched, blob, .. } = *held;
            let kept = LogRecord { size, fetched, frames: held.frames.clone(), blob, ..record };
            return (kept, None);
        }
        let (blob, bytes) = blob.split();
        record.size = size;
        record.fetched = (delivered != size).then_some(delivered);
        record.frames = frames;
        record.blob = blob;
        (record, bytes)
    }

    async fn read_log(&self, class: Class, job: &Job) -> Result<Read, Trouble> {
        let body = match self.gitlab.trace(class, job.key).await {
            Ok(body) => body,
            // No log: documented as 404, in the code an empty 200 (contract, section 5.6).
            Err(error) if matches!(error.kind, Kind::NotFound) => {
                let blob = Complete::Inline(Bytes::new());
                let at = Timestamp::now();
                return Ok(Read::Whole { delivered: 0, size: 0, frames: Vec::new(), blob, at });
            }
            Err(error) if matches!(error.kind, Kind::Forbidden) => return Ok(Read::Forbidden),
            Err(error) => return Err(error.into()),
        };
        let mut writer = FrameWriter::new(BlobWriter::new(&self.store));
        let at = body.as_of();
        let mut masker = self.treatment(job.key.project).masking.map(|rules| rules.begin());
        let copied = copy(body, &mut writer, masker.as_mut(), self.config.log_size).await;
        self.metrics.masked("log", masker.map_or(0, |masker| masker.count()));
        match copied {
            Ok(Some(delivered)) => {
                let (size, frames, blob) = writer.finish().await?;
                Ok(Read::Whole { delivered, size, frames, blob, at })
            }
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

/// Cuts a log into independent zstd frames, so that a part can be read without the rest.
struct FrameWriter<'a> {
    blob: BlobWriter<'a>,
    raw: Vec<u8>,
    frames: Vec<u32>,
    size: u64,
}

impl<'a> FrameWriter<'a> {
    fn new(blob: BlobWriter<'a>) -> Self {
        Self { blob, raw: Vec::new(), frames: Vec::new(), size: 0 }
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
        self.raw.clear();
        self.frames.push(u32::try_from(frame.len()).unwrap_or(u32::MAX));
        self.blob.write(&frame).await?;
        Ok(())
    }

    async fn finish(mut self) -> Result<(u64, Vec<u32>, Complete), Trouble> {
        if !self.raw.is_empty() {
            self.end_frame().await?;
        }
        Ok((self.size, self.frames, self.blob.finish().await?))
    }
}

/// Compresses one frame, with a checksum that every reader verifies.
pub(super) fn compress(raw: &[u8]) -> Result<Vec<u8>, Trouble> {
    let compressed = zstd::bulk::Compressor::new(LEVEL).and_then(|mut compressor| {
        compressor.include_checksum(true)?;
        compressor.compress(raw)
    });
    compressed.map_err(|error| Trouble::Incomplete(format!("compressing failed: {error}")))
}
