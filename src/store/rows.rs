//! What can be read.

use serde::Serialize;

use crate::domain::{
    ArchiveRecord, DetailRecord, Document, JobId, JobKey, Junit, LogRecord, Piece, PipelineId, PipelineKey,
    PipelineSource, ProjectId, ReportRecord, Status, Timestamp,
};
use crate::work::Target;

/// A stored job.
#[derive(Debug, Clone)]
pub struct JobRow {
    /// Which job.
    pub key: JobKey,
    /// Its pipeline.
    pub pipeline: PipelineId,
    /// Its name.
    pub name: Box<str>,
    /// Its status.
    pub status: Status,
    /// GitLab's document of it.
    pub document: Document,
    /// Whether it delivered JUnit.
    pub junit: Junit,
    /// Its log.
    pub log: LogRecord,
    /// Its archive.
    pub archive: ArchiveRecord,
    /// GitLab deleted its pipeline: what is not held will never be.
    pub gone: bool,
    /// When GitLab last refused a piece of it to the token, if it ever did.
    pub refused_at: Option<Timestamp>,
}

/// A stored pipeline.
#[derive(Debug, Clone)]
pub struct PipelineRow {
    /// Which pipeline.
    pub key: PipelineKey,
    /// Its status.
    pub status: Status,
    /// GitLab's `updated_at` of it.
    pub updated_at: Timestamp,
    /// GitLab's listed document of it.
    pub document: Document,
    /// When its jobs were last listed to the end (GitLab's clock); `None` before the first time.
    pub jobs_listed_at: Option<Timestamp>,
    /// Its own document.
    pub detail: DetailRecord,
    /// Its test report.
    pub report: ReportRecord,
    /// GitLab deleted it: what is not held will never be.
    pub gone: bool,
}

/// What a pass must know of a stored pipeline to decide whether it needs work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineState {
    /// Which pipeline.
    pub id: PipelineId,
    /// Its status.
    pub status: Status,
    /// GitLab's `updated_at` of the stored document.
    pub updated_at: Timestamp,
    /// When its jobs were last listed to the end.
    pub jobs_listed_at: Option<Timestamp>,
    /// Whether a piece of an ended job, or its report, is missing or failed.
    pub missing: bool,
    /// Whether a log or report of it is live: held, but not settled.
    pub live: bool,
    /// Whether its own document lacks, or is of an older state than the stored row: left to full passes.
    pub undetailed: bool,
    /// Whether it was set aside as failed itself: left to full passes, until GitLab shows a change.
    pub failed: bool,
    /// Whether GitLab deleted it, as far as we know: it needs nothing, unless GitLab lists it all the same.
    pub gone: bool,
}

/// Which rows of a list, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// How many to pass over.
    pub offset: u64,
    /// How many to return at most.
    pub limit: u64,
}

/// Up to this length lists are counted to their end, as GitLab's are (contract, section 5.2).
pub const COUNTED: u64 = 10_000;

/// Some rows of a list and how many there are in all.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The rows asked for.
    pub rows: Vec<T>,
    /// How many rows the whole list has. Above [`COUNTED`] at least so many: more than the rows up to here only if there are
    /// more.
    pub total: u64,
}

impl<T> Page<T> {
    /// Makes a page of the rows asked for and one more, if there is one, and of a count that ended above [`COUNTED`].
    pub(super) fn bounded(rows: Vec<T>, slice: Slice, counted: u64) -> Self {
        let page = Self::uncounted(rows, slice);
        Self { total: if counted > COUNTED { counted.max(page.total) } else { counted }, ..page }
    }

    /// Makes a page of the rows asked for and one more, if there is one, of a list that nobody counted.
    pub(super) fn uncounted(mut rows: Vec<T>, slice: Slice) -> Self {
        let total = slice.offset + rows.len() as u64;
        rows.truncate(usize::try_from(slice.limit).unwrap_or(usize::MAX));
        Self { rows, total }
    }
}

/// Which pipelines of a project, newest first unless `ascending`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PipelineFilter {
    /// Only with this status.
    pub status: Option<String>,
    /// Only for this ref.
    pub ref_: Option<String>,
    /// Only for this commit.
    pub sha: Option<String>,
    /// Only from this source; without it child pipelines are left out, as GitLab does.
    pub source: Option<String>,
    /// Only with this name (`workflow:name`).
    pub name: Option<String>,
    /// Only of this scope.
    pub scope: Option<PipelineScope>,
    /// Only those that GitLab changed last within this span.
    pub updated: Span,
    /// Only those that were made within this span.
    pub created: Span,
    /// By what they are sorted; of equal ones the id decides.
    pub order: PipelineOrder,
    /// The smallest first.
    pub ascending: bool,
}

/// GitLab's scopes of pipelines (contract, section 5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PipelineScope {
    /// With the status `running`.
    Running,
    /// With the status `pending`.
    Pending,
    /// `success`, `failed` or `canceled`: GitLab leaves `skipped` out.
    Finished,
    /// The latest of each branch. Which branches GitLab still has is not known here.
    Branches,
    /// The latest of each tag.
    Tags,
}

impl PipelineScope {
    /// Returns the statuses that it means; `None` when it is not about statuses.
    pub(super) fn statuses(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Running => Some(&["running"]),
            Self::Pending => Some(&["pending"]),
            Self::Finished => Some(&["success", "failed", "canceled"]),
            Self::Branches | Self::Tags => None,
        }
    }
}

/// What pipelines are sorted by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PipelineOrder {
    /// Their id.
    #[default]
    Id,
    /// The word of their status.
    Status,
    /// Their ref.
    Ref,
    /// When GitLab changed them last.
    UpdatedAt,
}

/// A span of time; both ends are part of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// Not before.
    pub after: Option<Timestamp>,
    /// Not after.
    pub before: Option<Timestamp>,
}

/// Which jobs of a project, newest id first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProjectJobFilter {
    /// Only with one of these statuses; empty means any.
    pub scope: Vec<String>,
    /// Only with an id below this one.
    pub below: Option<JobId>,
}

/// How many jobs of a project are in one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobTally {
    /// Their status.
    pub status: Status,
    /// Whether they ran, so that a log is expected.
    pub log_expected: bool,
    /// The state of their logs.
    pub log: Piece,
    /// Whether GitLab lists an archive, so that one is expected.
    pub archive_expected: bool,
    /// The state of their archives.
    pub archive: Piece,
    /// How many they are.
    pub count: u64,
}

/// How many pipelines of a project are in one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineTally {
    /// Their status.
    pub status: Status,
    /// The state of their own documents.
    pub detail: Piece,
    /// The state of their test reports.
    pub report: Piece,
    /// How many they are.
    pub count: u64,
}

/// Which jobs of a pipeline, newest id first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Only with one of these statuses; empty means any.
    pub scope: Vec<String>,
    /// Earlier attempts of retried jobs too.
    pub include_retried: bool,
}

/// A target that failed for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// What failed.
    pub target: Target,
    /// Why.
    pub problem: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was set aside.
    pub at: Timestamp,
}

/// Something that should be cached and is not (law 12).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// The project.
    pub project: ProjectId,
    /// The pipeline; 0 for a failed job that is not stored, because its pipeline was never learned.
    pub pipeline: PipelineId,
    /// The job; `None` for a pipeline's own document, its report or its list of jobs.
    pub job: Option<JobId>,
    /// `log`, `archive`, `detail`, `report`, `summary` or `jobs`; `job` or `pipeline` for what failed as a whole.
    pub kind: &'static str,
    /// `missing` or `failed`.
    #[serde(serialize_with = "piece_word")]
    pub state: Piece,
    /// Why, when it failed.
    pub problem: Option<String>,
}

impl std::fmt::Display for Gap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "project {}, pipeline {}", self.project, self.pipeline)?;
        if let Some(job) = self.job {
            write!(f, ", job {job}")?;
        }
        write!(f, ": {} {}", self.kind, self.state.as_str())?;
        match &self.problem {
            Some(problem) => write!(f, " ({problem})"),
            None => Ok(()),
        }
    }
}

fn piece_word<S: serde::Serializer>(piece: &Piece, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(piece.as_str())
}

/// How far a project's passes have come (design, section 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The greatest `updated_at` of GitLab that a complete pass has covered.
    pub watermark: Timestamp,
    /// The oldest `updated_at` from which everything up to the watermark was covered.
    pub covered_since: Timestamp,
    /// When the last complete full pass began; `None` before the first.
    pub full_pass_at: Option<Timestamp>,
}

/// What GitLab lists and readers have looked at; a project's own document stands for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListOf {
    /// The projects that the token is a member of.
    Projects,
    /// One of a project's two listings of pipelines.
    Pipelines(ProjectId, PipelineSource),
    /// A project's own document, which tells more than the list's row of it.
    Project(ProjectId),
}

/// What one look at a list showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listing {
    /// GitLab's clock at the look.
    pub as_of: Timestamp,
    /// Every pipeline that was updated, every project that was created since then was in it.
    pub since: Timestamp,
}

impl Listing {
    /// Makes what a look at the whole list showed.
    pub fn whole(as_of: Timestamp) -> Self {
        Self { as_of, since: Timestamp::from_millis(0) }
    }

    /// Returns whether the whole list was looked at.
    pub fn is_whole(&self) -> bool {
        *self == Self::whole(self.as_of)
    }
}
