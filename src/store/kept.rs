//! What is told of stored bytes and of work as a whole: for the verbs that look after a store.

use serde::Serialize;

use crate::domain::{JobId, JobKey, PipelineId, PipelineKey, ProjectId, Subject, Timestamp};
use crate::store::{Entry, EntryId};
use crate::work::{Cause, Target};

/// What a stored blob is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BlobKind {
    /// A job's log.
    Log,
    /// A job's archive of artifacts.
    Archive,
    /// A pipeline's test report, its summary included.
    Report,
}

impl BlobKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Log, Self::Archive, Self::Report];

    /// Returns what is worked on to fetch a blob again, by the job or pipeline that it is of.
    pub(super) fn target(self, project: ProjectId, id: u64) -> Target {
        match self {
            Self::Log | Self::Archive => Target::Job(JobKey { project, job: JobId(id) }),
            Self::Report => Target::Report(PipelineKey { project, pipeline: PipelineId(id) }),
        }
    }

    /// Returns the word that JSON and metrics use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Archive => "archive",
            Self::Report => "report",
        }
    }
}

/// A published blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptBlob {
    /// The job, or of a report the pipeline.
    pub target: u64,
    /// Whose it is.
    pub project: ProjectId,
    /// How many bytes are stored.
    pub stored: u64,
}

/// Published blobs of one project and kind that were stored on one day, or before the days that were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Usage {
    /// Whose they are.
    pub project: ProjectId,
    /// What they are.
    pub kind: BlobKind,
    /// Midnight UTC of the day they were stored on; `None` for earlier days than asked for.
    pub day: Option<Timestamp>,
    /// How many there are.
    pub count: u64,
    /// How many bytes they are for readers.
    pub raw: u64,
    /// How many bytes are stored.
    pub stored: u64,
}

/// How many documents a project has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Documents {
    /// Pipelines.
    pub pipelines: u64,
    /// Jobs, retried ones included.
    pub jobs: u64,
}

/// How much room a store takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Room {
    /// Bytes on the disk: the file with what waits beside it, or the database's data and indexes as they are compressed.
    pub bytes: u64,
    /// Bytes of these that nothing uses.
    pub free_bytes: u64,
}

/// When a stored pipeline was created and last changed in GitLab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PipelineAge {
    /// Which one.
    pub id: PipelineId,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// What was removed with a subject.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// Pipelines.
    pub pipelines: u64,
    /// Jobs.
    pub jobs: u64,
    /// Logs, archives and reports, replaced ones included.
    pub blobs: u64,
    /// How many bytes these took.
    pub bytes: u64,
}

impl std::ops::AddAssign for Removed {
    fn add_assign(&mut self, other: Self) {
        self.pipelines += other.pipelines;
        self.jobs += other.jobs;
        self.blobs += other.blobs;
        self.bytes += other.bytes;
    }
}

/// Who does a journal entry's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// A process that lives: only it may change the entry.
    Process,
    /// Nobody yet: the next process that works on this store takes it.
    Nobody,
}

/// An entry of the journal, whoever works on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The entry.
    pub entry: Entry,
    /// Whether its owner has begun with it.
    pub running: bool,
    /// Who does it.
    pub owner: Owner,
}

/// Which entries of the journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkFilter {
    /// Only of one of these projects; empty means any.
    pub projects: Vec<ProjectId>,
    /// Only `pipeline`, `job` or `report`.
    pub kind: Option<&'static str>,
    /// Only with this cause.
    pub cause: Option<Cause>,
    /// Only after this entry, in the order of their ids.
    pub after: Option<EntryId>,
}

/// A tombstone: what was forgotten, and when.
pub type Forgotten = (Subject, Timestamp);
