//! The documents of each collection, and how values of the domain are written into them and read back.
//!
//! Names are those of the domain, times are BSON dates, ids are 64-bit integers. GitLab's own JSON is kept as text, because
//! BSON would not give it back byte for byte.

use mongodb::bson::DateTime;
use serde::{Deserialize, Serialize};

use super::pieces::{ArchivePart, DetailPart, LogPart, ReportPart};
use super::values::{date, integer, natural, time};
use crate::domain::{
    ArchiveRecord, DetailRecord, Document, Job, JobId, JobKey, Junit, LogRecord, Piece, Pipeline, PipelineId,
    PipelineKey, PipelinePhase, ProjectId, ReportRecord, Status,
};
use crate::store::slots::{Expected, Known, Learned, judge_detail};
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
    /// It delivered JUnit, or may have.
    pub(super) junit: bool,
    /// It may have: nobody saw what it delivered before its artifacts expired or were erased.
    #[serde(default)]
    junit_hidden: bool,
    /// 2 a piece of an ended job is missing, 1 its log is live or a piece failed, 0 nothing to do.
    pub(super) open: i64,
    pub(super) as_of: DateTime,
    pub(super) log: LogPart,
    pub(super) archive: ArchivePart,
    /// When GitLab last refused a piece of it to the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) refused_at: Option<DateTime>,
    pub(super) doc: Box<str>,
    #[serde(rename = "rev")]
    pub(super) revision: i64,
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
    #[serde(default)]
    name: Option<Box<str>>,
    /// Whether it ran for a tag; `None` when nothing told.
    #[serde(default)]
    tag: Option<bool>,
    created_at: DateTime,
    pub(super) updated_at: DateTime,
    pub(super) as_of: DateTime,
    pub(super) jobs_listed_at: Option<DateTime>,
    /// A job of it was stored that delivered JUnit; never taken back.
    pub(super) junit: bool,
    /// GitLab deleted it: nothing is missed.
    #[serde(default)]
    pub(super) gone: bool,
    /// Its own document; `None` where an earlier version wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detail: Option<DetailPart>,
    /// When GitLab last refused that to the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) detail_refused_at: Option<DateTime>,
    pub(super) report: ReportPart,
    /// When GitLab last refused its report to the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) refused_at: Option<DateTime>,
    doc: Box<str>,
    #[serde(rename = "rev")]
    revision: i64,
}

/// The report or its list of jobs is held but not settled, or failed.
pub(super) const LIVE: i64 = 1;
/// The list of jobs is missing.
pub(super) const UNLISTED: i64 = 2;
/// The pipeline has not ended.
pub(super) const NOT_ENDED: i64 = 4;
/// Its own document lacks, is of an older state, or failed.
pub(super) const NO_DETAIL: i64 = 16;
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
            junit: false,
            junit_hidden: false,
            open: 0,
            as_of: date(job.document.as_of),
            log: LogPart::new(&LogRecord::missing()),
            archive: ArchivePart::new(&ArchiveRecord::missing()),
            refused_at: None,
            doc: job.document.text.clone(),
            revision: 0,
        }
    }

    /// Takes over what a newer document of GitLab says, but for the pieces.
    pub(super) fn describe(&mut self, job: &Job) {
        *self = Self {
            log: self.log.clone(),
            archive: self.archive.clone(),
            refused_at: self.refused_at,
            started: self.started,
            archived: self.archived,
            junit: self.junit,
            junit_hidden: self.junit_hidden,
            open: self.open,
            revision: self.revision,
            ..Self::new(job)
        };
    }

    pub(super) fn expected(&self) -> Expected {
        Expected { ended: self.ended, log: self.started, archive: self.archived }
    }

    fn junit(&self) -> Junit {
        match (self.junit, self.junit_hidden) {
            (false, _) => Junit::None,
            (true, false) => Junit::Delivered,
            (true, true) => Junit::Hidden,
        }
    }

    /// Takes over what is known of its JUnit.
    pub(super) fn deliver(&mut self, junit: Junit) {
        (self.junit, self.junit_hidden) = (junit != Junit::None, junit == Junit::Hidden);
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
            junit: self.junit(),
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

    /// Returns the row; `gone` says whether its pipeline is.
    pub(super) fn into_row(self, gone: bool) -> JobRow {
        JobRow {
            key: self.key(),
            junit: self.junit(),
            pipeline: PipelineId(natural(self.pipeline)),
            log: self.log.record(),
            archive: self.archive.record(),
            name: self.name,
            status: Status(self.status),
            document: Document { text: self.doc, as_of: time(self.as_of) },
            gone,
            refused_at: self.refused_at.map(time),
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
            name: pipeline.name.clone(),
            tag: pipeline.tag,
            created_at: date(pipeline.created_at),
            updated_at: date(pipeline.updated_at),
            as_of: date(pipeline.document.as_of),
            jobs_listed_at: None,
            junit: false,
            gone: false,
            detail: None,
            detail_refused_at: None,
            report: ReportPart::new(&ReportRecord::missing()),
            refused_at: None,
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
            tag: new.tag.or(self.tag),
            jobs_listed_at: self.jobs_listed_at,
            junit: self.junit,
            detail: self.detail.take(),
            detail_refused_at: self.detail_refused_at,
            report: self.report.clone(),
            refused_at: self.refused_at,
            revision: self.revision,
            ..new
        };
        true
    }

    /// Judges its own document; returns whether that changed.
    pub(super) fn learn(&mut self, learned: Learned<'_>) -> bool {
        let held = self.detail();
        let now = judge_detail((time(self.updated_at), &Status(self.status.clone())), &held, learned);
        let changed = now != held;
        if changed || self.detail.is_none() {
            self.detail = Some(DetailPart::new(&now));
        }
        changed
    }

    fn detail(&self) -> DetailRecord {
        self.detail.as_ref().map_or_else(DetailRecord::missing, DetailPart::record)
    }

    pub(super) fn phase(&self) -> PipelinePhase {
        Status(self.status.clone()).pipeline_phase()
    }

    /// Computes `open` again. What its jobs lack is read from the jobs, so that two writers of two jobs cannot hide each
    /// other's gap.
    pub(super) fn reckon(&mut self) {
        use crate::domain::Reason::{Failed, NotFinished};
        let report = Piece::from_word(&self.report.piece);
        let summary = self.report.summary_piece();
        let missing = matches!(report, Piece::Missing | Piece::Absent(NotFinished)) || summary == Piece::Missing;
        let unsettled = |piece| matches!(piece, Piece::Live | Piece::Absent(Failed));
        let bit = |holds: bool, bit: i64| if holds { bit } else { 0 };
        if self.gone {
            self.open = 0;
            return;
        }
        self.open = bit(unsettled(report) || unsettled(summary), LIVE)
            + bit(self.detail().piece.is_gap(), NO_DETAIL)
            + bit(self.jobs_listed_at.is_none(), UNLISTED)
            + bit(self.phase() != PipelinePhase::Ended, NOT_ENDED)
            + bit(missing && self.junit && self.phase() != PipelinePhase::Active, NO_REPORT);
    }

    pub(super) fn into_row(self) -> PipelineRow {
        let key = PipelineKey { project: ProjectId(natural(self.project)), pipeline: PipelineId(natural(self.id)) };
        PipelineRow {
            key,
            detail: self.detail(),
            report: self.report.record(),
            status: Status(self.status),
            updated_at: time(self.updated_at),
            document: Document { text: self.doc, as_of: time(self.as_of) },
            jobs_listed_at: self.jobs_listed_at.map(time),
            gone: self.gone,
        }
    }
}
