//! The pieces of jobs and pipelines as MongoDB keeps them, each a part of its document.

use mongodb::bson::{Binary, DateTime, spec::BinarySubtype};
use serde::{Deserialize, Serialize};

use super::values::{bytes, date, integer, natural, small, some_bytes, time};
use crate::domain::{
    ArchiveRecord, BlobId, DetailRecord, Document, JobId, LogNote, LogRecord, Piece, Reason, ReportRecord,
};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ReportPart {
    pub(super) piece: Box<str>,
    pub(super) blob: Option<i64>,
    size: i64,
    /// Missing in what was stored when the two were one piece.
    #[serde(default)]
    summary_piece: Option<Box<str>>,
    summary: Option<Box<str>>,
    /// Where the summary is when it is too large for a document.
    pub(super) summary_blob: Option<i64>,
    total: i64,
    builds: Vec<i64>,
    looks: i64,
    last_look: Option<DateTime>,
}

impl ReportPart {
    pub(super) fn new(record: &ReportRecord) -> Self {
        Self {
            piece: record.piece.as_str().into(),
            blob: record.blob.map(|blob| blob.0),
            size: integer(record.size),
            summary_piece: Some(record.summary_piece.as_str().into()),
            summary: record.summary.clone(),
            summary_blob: None,
            total: integer(record.total_count),
            builds: record.build_ids.iter().map(|id| integer(id.0)).collect(),
            looks: i64::from(record.looks),
            last_look: record.last_look.map(date),
        }
    }

    /// Returns the piece of the summary. While the two were one, a report that was too large was kept without one.
    pub(super) fn summary_piece(&self) -> Piece {
        match (&self.summary_piece, Piece::from_word(&self.piece)) {
            (Some(word), _) => Piece::from_word(word),
            (None, Piece::Absent(Reason::TooLarge)) => Piece::Missing,
            (None, piece) => piece,
        }
    }

    /// Returns the record; a summary that is a blob is left out.
    pub(super) fn record(&self) -> ReportRecord {
        ReportRecord {
            piece: Piece::from_word(&self.piece),
            blob: self.blob.map(BlobId),
            size: natural(self.size),
            summary_piece: self.summary_piece(),
            summary: self.summary.clone(),
            total_count: natural(self.total),
            build_ids: self.builds.iter().map(|id| JobId(natural(*id))).collect(),
            looks: small(self.looks),
            last_look: self.last_look.map(time),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct LogPart {
    pub(super) piece: Box<str>,
    pub(super) blob: Option<i64>,
    pub(super) size: i64,
    /// The compressed length of each frame, u32 little-endian.
    frames: Binary,
    /// How many bytes GitLab delivered, where that is not `size`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fetched: Option<i64>,
    /// Missing in what was stored before there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    index: Option<Binary>,
    looks: i64,
    first_look: Option<DateTime>,
    last_look: Option<DateTime>,
    mismatch_since: Option<DateTime>,
    note: Option<Box<str>>,
}

impl LogPart {
    pub(super) fn new(record: &LogRecord) -> Self {
        let bytes = record.frames.iter().flat_map(|length| length.to_le_bytes()).collect();
        Self {
            piece: record.piece.as_str().into(),
            blob: record.blob.map(|blob| blob.0),
            size: integer(record.size),
            frames: Binary { subtype: BinarySubtype::Generic, bytes },
            fetched: record.fetched.map(integer),
            index: some_bytes(&record.index),
            looks: i64::from(record.looks),
            first_look: record.first_look.map(date),
            last_look: record.last_look.map(date),
            mismatch_since: record.mismatch_since.map(date),
            note: record.note.map(|note| note.as_str().into()),
        }
    }

    pub(super) fn record(&self) -> LogRecord {
        let (frames, _) = self.frames.bytes.as_chunks::<4>();
        LogRecord {
            piece: Piece::from_word(&self.piece),
            blob: self.blob.map(BlobId),
            size: natural(self.size),
            frames: frames.iter().copied().map(u32::from_le_bytes).collect(),
            fetched: self.fetched.map(natural),
            index: bytes(self.index.as_ref()),
            looks: small(self.looks),
            first_look: self.first_look.map(time),
            last_look: self.last_look.map(time),
            mismatch_since: self.mismatch_since.map(time),
            note: self.note.as_deref().and_then(LogNote::from_word),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ArchivePart {
    pub(super) piece: Box<str>,
    pub(super) blob: Option<i64>,
    pub(super) size: i64,
    sha256: Option<Binary>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    index: Option<Binary>,
}

impl ArchivePart {
    pub(super) fn new(record: &ArchiveRecord) -> Self {
        let binary = |sha256: [u8; 32]| Binary { subtype: BinarySubtype::Generic, bytes: sha256.into() };
        Self {
            piece: record.piece.as_str().into(),
            blob: record.blob.map(|blob| blob.0),
            size: integer(record.size),
            sha256: record.sha256.map(binary),
            index: some_bytes(&record.index),
        }
    }

    pub(super) fn record(&self) -> ArchiveRecord {
        ArchiveRecord {
            piece: Piece::from_word(&self.piece),
            blob: self.blob.map(BlobId),
            size: natural(self.size),
            sha256: self.sha256.as_ref().and_then(|binary| binary.bytes.as_slice().try_into().ok()),
            index: bytes(self.index.as_ref()),
        }
    }
}

/// A pipeline's own document.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct DetailPart {
    piece: Box<str>,
    as_of: Option<DateTime>,
    doc: Option<Box<str>>,
}

impl DetailPart {
    pub(super) fn new(record: &DetailRecord) -> Self {
        Self {
            piece: record.piece.as_str().into(),
            as_of: record.document.as_ref().map(|document| date(document.as_of)),
            doc: record.document.as_ref().map(|document| document.text.clone()),
        }
    }

    pub(super) fn record(&self) -> DetailRecord {
        let document = self.doc.clone().zip(self.as_of);
        let document = document.map(|(text, as_of)| Document { text, as_of: time(as_of) });
        DetailRecord { piece: Piece::from_word(&self.piece), document }
    }
}
