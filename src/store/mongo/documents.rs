//! The documents of each collection, and how values of the domain are written into them and read back.
//!
//! Names are those of the domain, times are BSON dates, ids are 64-bit integers. GitLab's own JSON is kept as text, because
//! BSON would not give it back byte for byte.

use mongodb::bson::{Binary, DateTime, spec::BinarySubtype};
use serde::{Deserialize, Serialize};

use super::values::{date, integer, natural, small, time};
use crate::domain::{
    ArchiveRecord, BlobId, Document, Job, JobId, JobKey, LogNote, LogRecord, Piece, Pipeline, PipelineId, PipelineKey,
    PipelinePhase, ProjectId, ReportRecord, Status,
};
use crate::store::slots::{Expected, Known};
use crate::store::{JobRow, PipelineRow};

/// A document that is replaced only by those who have seen its latest revision.
pub(super) trait Revised: Serialize + for<'a> Deserialize<'a> + Clone + Send + Sync {
    /// Returns its `_id`.
    fn id(&self) -> i64;
    /// Returns which revision it is: a number that no two writers share.
    fn revision(&self) -> i64;
    /// Makes it another revision.
    fn revise(&mut self, revision: i64);
}

/// A document of `jobs`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct JobDocument {
    #[serde(rename = "_id")]
    pub(super) id: i64,
    pub(super) project: i64,
    pub(super) pipeline: i64,
    pub(super) name: Box<str>,
    pub(super) status: Box<str>,
    pub(super) ended: bool,
    /// It ran, so a log is expected.
    pub(super) started: bool,
    /// GitLab lists an archive, so one is expected.
    pub(super) archived: bool,
    pub(super) junit: bool,
    /// 2 a piece of an ended job is missing, 1 its log is live or a piece failed, 0 nothing to do.
    pub(super) open: i64,
    pub(super) as_of: DateTime,
    pub(super) log: LogPart,
    pub(super) archive: ArchivePart,
    pub(super) doc: Box<str>,
    #[serde(rename = "rev")]
    pub(super) revision: i64,
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
    looks: i64,
    first_look: Option<DateTime>,
    last_look: Option<DateTime>,
    mismatch_since: Option<DateTime>,
    note: Option<Box<str>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ArchivePart {
    pub(super) piece: Box<str>,
    pub(super) blob: Option<i64>,
    pub(super) size: i64,
    sha256: Option<Binary>,
}

/// A document of `pipelines`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct PipelineDocument {
    #[serde(rename = "_id")]
    pub(super) id: i64,
    pub(super) project: i64,
    pub(super) status: Box<str>,
    /// What is left to do, as far as this document alone tells: see [`PipelineDocument::reckon`].
    pub(super) open: i64,
    pub(super) source: Option<Box<str>>,
    #[serde(rename = "ref")]
    ref_: Option<Box<str>>,
    sha: Option<Box<str>>,
    created_at: DateTime,
    pub(super) updated_at: DateTime,
    pub(super) as_of: DateTime,
    pub(super) jobs_listed_at: Option<DateTime>,
    /// A job of it was stored that delivered JUnit; never taken back.
    pub(super) junit: bool,
    pub(super) report: ReportPart,
    doc: Box<str>,
    #[serde(rename = "rev")]
    revision: i64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ReportPart {
    pub(super) piece: Box<str>,
    pub(super) blob: Option<i64>,
    size: i64,
    summary: Option<Box<str>>,
    /// Where the summary is when it is too large for a document.
    pub(super) summary_blob: Option<i64>,
    total: i64,
    builds: Vec<i64>,
    looks: i64,
    last_look: Option<DateTime>,
}

/// The report or its list of jobs is held but not settled, or failed.
pub(super) const LIVE: i64 = 1;
/// The list of jobs is missing.
pub(super) const UNLISTED: i64 = 2;
/// The pipeline has not ended.
pub(super) const NOT_ENDED: i64 = 4;
/// The report is missing, if one of the latest attempts delivered JUnit.
pub(super) const NO_REPORT: i64 = 8;

impl Revised for JobDocument {
    fn id(&self) -> i64 {
        self.id
    }

    fn revision(&self) -> i64 {
        self.revision
    }

    fn revise(&mut self, revision: i64) {
        self.revision = revision;
    }
}

impl Revised for PipelineDocument {
    fn id(&self) -> i64 {
        self.id
    }

    fn revision(&self) -> i64 {
        self.revision
    }

    fn revise(&mut self, revision: i64) {
        self.revision = revision;
    }
}

impl JobDocument {
    /// Returns a job of which nothing but its document is known.
    pub(super) fn new(job: &Job) -> Self {
        Self {
            id: integer(job.key.job.0),
            project: integer(job.key.project.0),
            pipeline: integer(job.pipeline_key().pipeline.0),
            name: job.name.clone(),
            status: job.status.as_str().into(),
            ended: job.ended(),
            started: false,
            archived: false,
            junit: job.junit,
            open: 0,
            as_of: date(job.document.as_of),
            log: LogPart::new(&LogRecord::missing()),
            archive: ArchivePart::new(&ArchiveRecord::missing()),
            doc: job.document.text.clone(),
            revision: 0,
        }
    }

    /// Takes over what a newer document of GitLab says, but for the pieces.
    pub(super) fn describe(&mut self, job: &Job) {
        *self = Self {
            log: self.log.clone(),
            archive: self.archive.clone(),
            started: self.started,
            archived: self.archived,
            open: self.open,
            revision: self.revision,
            ..Self::new(job)
        };
    }

    pub(super) fn expected(&self) -> Expected {
        Expected { ended: self.ended, log: self.started, archive: self.archived }
    }

    pub(super) fn expect(&mut self, expected: Expected) {
        (self.ended, self.started, self.archived) = (expected.ended, expected.log, expected.archive);
    }

    pub(super) fn known(&self) -> Known {
        Known {
            expected: self.expected(),
            as_of: time(self.as_of),
            log: Piece::from_word(&self.log.piece),
            archive: Piece::from_word(&self.archive.piece),
        }
    }

    /// Computes `open` again.
    pub(super) fn reckon(&mut self) {
        let Known { expected, log, archive, .. } = self.known();
        self.open = crate::store::slots::open(expected, log, archive);
    }

    pub(super) fn key(&self) -> JobKey {
        JobKey { project: ProjectId(natural(self.project)), job: JobId(natural(self.id)) }
    }

    pub(super) fn into_row(self) -> JobRow {
        JobRow {
            key: self.key(),
            pipeline: PipelineId(natural(self.pipeline)),
            log: self.log.record(),
            archive: self.archive.record(),
            name: self.name,
            status: Status(self.status),
            document: Document { text: self.doc, as_of: time(self.as_of) },
            junit: self.junit,
        }
    }
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
            looks: small(self.looks),
            first_look: self.first_look.map(time),
            last_look: self.last_look.map(time),
            mismatch_since: self.mismatch_since.map(time),
            note: self.note.as_deref().and_then(LogNote::from_word),
        }
    }
}

impl ArchivePart {
    pub(super) fn new(record: &ArchiveRecord) -> Self {
        let binary = |sha256: [u8; 32]| Binary { subtype: BinarySubtype::Generic, bytes: sha256.into() };
        Self {
            piece: record.piece.as_str().into(),
            blob: record.blob.map(|blob| blob.0),
            size: integer(record.size),
            sha256: record.sha256.map(binary),
        }
    }

    pub(super) fn record(&self) -> ArchiveRecord {
        ArchiveRecord {
            piece: Piece::from_word(&self.piece),
            blob: self.blob.map(BlobId),
            size: natural(self.size),
            sha256: self.sha256.as_ref().and_then(|binary| binary.bytes.as_slice().try_into().ok()),
        }
    }
}

impl PipelineDocument {
    /// Returns a pipeline of which nothing but its document is known.
    pub(super) fn new(pipeline: &Pipeline) -> Self {
        Self {
            id: integer(pipeline.key.pipeline.0),
            project: integer(pipeline.key.project.0),
            status: pipeline.status.as_str().into(),
            open: 0,
            source: pipeline.source.clone(),
            ref_: pipeline.ref_.clone(),
            sha: pipeline.sha.clone(),
            created_at: date(pipeline.created_at),
            updated_at: date(pipeline.updated_at),
            as_of: date(pipeline.document.as_of),
            jobs_listed_at: None,
            junit: false,
            report: ReportPart::new(&ReportRecord::missing()),
            doc: pipeline.document.text.clone(),
            revision: 0,
        }
    }

    /// Takes over what a document of GitLab says if it is not older: the later `updated_at`, then ended over not ended, then
    /// the later `as_of`. Returns whether it did.
    pub(super) fn describe(&mut self, pipeline: &Pipeline) -> bool {
        let new = Self::new(pipeline);
        let rank = |document: &Self| {
            (document.updated_at, document.phase() == PipelinePhase::Ended, document.as_of.timestamp_millis())
        };
        if rank(&new) < rank(self) {
            return false;
        }
        *self = Self {
            source: new.source.or(self.source.take()),
            jobs_listed_at: self.jobs_listed_at,
            junit: self.junit,
            report: self.report.clone(),
            revision: self.revision,
            ..new
        };
        true
    }

    pub(super) fn phase(&self) -> PipelinePhase {
        Status(self.status.clone()).pipeline_phase()
    }

    /// Computes `open` again. What its jobs lack is read from the jobs, so that two writers of two jobs cannot hide each
    /// other's gap.
    pub(super) fn reckon(&mut self) {
        use crate::domain::Reason::{Failed, NotFinished};
        let report = Piece::from_word(&self.report.piece);
        let missing = matches!(report, Piece::Missing | Piece::Absent(NotFinished));
        let bit = |holds: bool, bit: i64| if holds { bit } else { 0 };
        self.open = bit(matches!(report, Piece::Live | Piece::Absent(Failed)), LIVE)
            + bit(self.jobs_listed_at.is_none(), UNLISTED)
            + bit(self.phase() != PipelinePhase::Ended, NOT_ENDED)
            + bit(missing && self.junit && self.phase() != PipelinePhase::Active, NO_REPORT);
    }

    pub(super) fn into_row(self) -> PipelineRow {
        let key = PipelineKey { project: ProjectId(natural(self.project)), pipeline: PipelineId(natural(self.id)) };
        PipelineRow {
            key,
            report: self.report.record(),
            status: Status(self.status),
            updated_at: time(self.updated_at),
            document: Document { text: self.doc, as_of: time(self.as_of) },
            jobs_listed_at: self.jobs_listed_at.map(time),
        }
    }
}

impl ReportPart {
    pub(super) fn new(record: &ReportRecord) -> Self {
        Self {
            piece: record.piece.as_str().into(),
            blob: record.blob.map(|blob| blob.0),
            size: integer(record.size),
            summary: record.summary.clone(),
            summary_blob: None,
            total: integer(record.total_count),
            builds: record.build_ids.iter().map(|id| integer(id.0)).collect(),
            looks: i64::from(record.looks),
            last_look: record.last_look.map(date),
        }
    }

    /// Returns the record; a summary that is a blob is left out.
    pub(super) fn record(&self) -> ReportRecord {
        ReportRecord {
            piece: Piece::from_word(&self.piece),
            blob: self.blob.map(BlobId),
            size: natural(self.size),
            summary: self.summary.clone(),
            total_count: natural(self.total),
            build_ids: self.builds.iter().map(|id| JobId(natural(*id))).collect(),
            looks: small(self.looks),
            last_look: self.last_look.map(time),
        }
    }
}
