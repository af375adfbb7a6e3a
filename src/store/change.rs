//! Everything that can be written, so that facts and the end of their work can be one transaction.

use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;

use super::{ListOf, Listing};
use crate::domain::{
    ArchiveRecord, BlobId, Document, Job, JobKey, LogRecord, Pipeline, PipelineKey, Project, ProjectId, Reason,
    ReportRecord, Timestamp,
};
use crate::work::{Cause, Lane, Target};

/// An entry whose process died this often while working on it alone is set aside.
pub(crate) const DEATHS: u32 = 3;

/// Why such an entry failed.
pub(super) const POISON: &str = "its process died three times while working on it alone";

/// What may have killed a process, and how it is worked on from then on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Suspicion {
    /// Nothing speaks against it.
    #[default]
    None,
    /// It was under way with others when its process died: no other suspect is worked on beside it.
    Company,
    /// It was the only suspect, or alone: nothing at all is worked on beside it.
    Alone,
}

impl Suspicion {
    /// Returns the number that it is stored as.
    pub(super) fn number(self) -> i64 {
        self as i64
    }

    /// Reads a stored number; of a later version's the strictest.
    pub(super) fn of(number: i64) -> Self {
        match number {
            0 => Self::None,
            1 => Self::Company,
            _ => Self::Alone,
        }
    }
}

/// What the death of a process says about what it was working on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Blame {
    /// How many deaths are counted for each entry.
    pub(crate) deaths: u32,
    /// What those are from now on that were suspects before.
    pub(crate) suspects: Suspicion,
    /// And what the others are.
    pub(crate) others: Suspicion,
}

impl Blame {
    /// Judges by how many targets were under way, and how many of them were suspects: at most one of them killed it, so that only one
    /// that was alone is to blame.
    pub(crate) fn of(targets: u64, suspects: u64) -> Self {
        let (deaths, suspects, others) = match (targets, suspects) {
            (1, _) => (1, Suspicion::Alone, Suspicion::Alone),
            (_, 1) => (0, Suspicion::Alone, Suspicion::Company),
            _ => (0, Suspicion::Company, Suspicion::Company),
        };
        Self { deaths, suspects, others }
    }
}

/// A journal entry's id: fresh for each hint, growing with time within a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(pub i64);

impl EntryId {
    /// Returns an id that no entry had before. Should two processes ever collide, the second append fails and its hint is
    /// answered `deferred`.
    pub fn fresh() -> Self {
        Self(fresh_id())
    }
}

/// Returns a number that this process did not return before: milliseconds since 2020, then 22 bits that start at random each
/// millisecond and count up within it. Two processes hardly ever return the same one.
pub(super) fn fresh_id() -> i64 {
    static LAST: AtomicI64 = AtomicI64::new(0);
    const EPOCH_2020_MILLIS: i64 = 1_577_836_800_000;
    let millis = Timestamp::now().as_millis() - EPOCH_2020_MILLIS;
    let candidate = (millis << 22) | fastrand::i64(0..1 << 21);
    let mut last = LAST.load(Ordering::Relaxed);
    loop {
        let next = if candidate >> 22 > last >> 22 { candidate } else { last + 1 };
        match LAST.compare_exchange_weak(last, next, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return next,
            Err(seen) => last = seen,
        }
    }
}

/// One journal entry: an identity and when and why to work on it. No event body is ever part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub id: EntryId,
    /// What is to be cached.
    pub target: Target,
    /// With what claim.
    pub lane: Lane,
    /// Why.
    pub cause: Cause,
    /// Not before.
    pub due: Timestamp,
    /// How many times a worker started it.
    pub attempts: u32,
    /// Whether it may have killed its process.
    pub suspicion: Suspicion,
}

impl Entry {
    /// Returns a new entry that nobody tried yet.
    pub fn new(target: Target, lane: Lane, cause: Cause, due: Timestamp) -> Self {
        Self { id: EntryId::fresh(), target, lane, cause, due, attempts: 0, suspicion: Suspicion::None }
    }
}

/// One thing to write. A list of them is one transaction, applied in order.
#[derive(Debug, Clone)]
pub enum Change {
    /// Inserts or replaces a project's document if this one is not older.
    Project(Project),
    /// Notes that GitLab leads from a path to a project that has another one, unless the path led elsewhere later. Nothing happens
    /// when the project is not stored. A project's own path is noted with its document.
    FoundAt {
        /// The path, in any case of its letters.
        path: Box<str>,
        /// The project.
        project: ProjectId,
        /// When GitLab said so, by its clock; the default gives way to whatever is known.
        as_of: Timestamp,
    },
    /// Inserts or replaces a pipeline's document: the later `updated_at`, then ended over not ended, then the later
    /// `as_of`; pipelines can reopen. Of two equal ones the newcomer stays. Whichever does, the pipeline is not gone. Its own
    /// document, if it has one, is judged for itself in the same order; one of another state than the row that stays is `partial`.
    Pipeline(Pipeline),
    /// Inserts a pipeline's document as one of its jobs tells it, which lacks keys, if none is stored.
    Sketch(Pipeline),
    /// Notes why a pipeline's own document is not to be had, unless one of its present state is held. Nothing happens when the
    /// pipeline is not stored.
    NoDetail(PipelineKey, Reason),
    /// Records that a pipeline's jobs were listed to the end, at this `Date` of GitLab. The pipeline must be stored.
    JobsListed(PipelineKey, Timestamp),
    /// Notes that GitLab deleted a pipeline: from now on it is neither unfinished nor missed, and nothing of it has failed, until GitLab
    /// shows it again. Nothing happens when it is not stored.
    Gone(PipelineKey),
    /// Inserts or replaces a job's document: ended over not ended, then the later `as_of`, then the newcomer. Moves the slots
    /// that the document alone decides: `erased` (releasing the blobs), `no_log` when an ended job never started, `expired`
    /// when an ended job's archive expired before anybody fetched it.
    Job(Box<Job>),
    /// Publishes a log, if it is better than what is held: erased over pruned over settled over longer over shorter; what is
    /// held is not given up for `no_log`, `expired` or `too_large`. With `bytes` they become a new blob in the same
    /// transaction; otherwise `record.blob` names one that was streamed before. The blob that is no longer pointed to (the old
    /// one, or the refused new one) is released. Naming the blob that is held, without `bytes`, notes another look; empty
    /// `frames` then mean the held ones, with their `index`. The job must be stored.
    Log {
        /// Whose log.
        key: JobKey,
        /// What to publish; its `blob` is ignored when there are `bytes`.
        record: LogRecord,
        /// The frames, when they are small enough to travel with the transaction.
        bytes: Option<Bytes>,
    },
    /// Publishes an archive (erased over pruned over whole over absent; of two whole ones the first stays), with `bytes` as for
    /// a log. The job must be stored.
    Archive {
        /// Whose archive.
        key: JobKey,
        /// What to publish.
        record: ArchiveRecord,
        /// The archive, when it is small.
        bytes: Option<Bytes>,
    },
    /// Publishes a test report: replaced when `build_ids` differ, or it is neither smaller (`total_count`) nor less final than
    /// what is held; one that holds nothing never replaces one that does. The pipeline must be stored.
    Report {
        /// Whose report.
        key: PipelineKey,
        /// What to publish.
        record: ReportRecord,
        /// The compressed report.
        bytes: Option<Bytes>,
    },
    /// Notes when GitLab refused a piece of a job, or a pipeline's report, to the token, or was last asked for it: the one that was
    /// asked for least recently is asked for first. Never goes back; nothing happens when it is not stored.
    Refused(Target, Timestamp),
    /// Notes that a job's log or archive, or a pipeline's report, is damaged where it is held in this blob: it is a gap from now on.
    Damaged(Target, BlobId),
    /// Inserts or replaces a pipeline's trigger jobs, a JSON array of GitLab's documents, if these are not older.
    Bridges(PipelineKey, Document),
    /// Notes what a look at a list showed, unless a later one is noted.
    Listed(ListOf, Listing),
    /// Notes since when a project's CI or repository is switched off, so that none of its pipelines are to be had; `None`: it is
    /// on. The earliest time stays until then.
    WithoutCi(ProjectId, Option<Timestamp>),
    /// Appends journal entries, leased to this process.
    Append(Vec<Entry>),
    /// Notes that a worker starts these entries: raises `attempts`, marks them as running.
    Start(Vec<EntryId>),
    /// Puts entries back, due at this time, of this lane and not running.
    Postpone(Vec<EntryId>, Timestamp, Lane),
    /// Deletes entries whose work is done, and a former failure of their target.
    Finish(Target, Vec<EntryId>),
    /// Sets a target aside as failed for good and deletes its entries. Pieces of a job, and a pipeline's own document, that are
    /// missing become `failed`.
    Fail {
        /// What failed.
        target: Target,
        /// Its entries.
        entries: Vec<EntryId>,
        /// Why, as a sentence without content or secrets.
        problem: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// Marks a project for an early sweep.
    Mark(ProjectId),
    /// Removes the mark after a complete sweep, unless it was set again after this time.
    Unmark(ProjectId, Timestamp),
}

impl Change {
    /// Returns whether it is about work and not about facts.
    pub(super) fn is_journal(&self) -> bool {
        match self {
            Self::Append(_) | Self::Start(_) | Self::Postpone(..) | Self::Finish(..) | Self::Fail { .. } => true,
            Self::Mark(_) | Self::Unmark(..) | Self::Listed(..) | Self::WithoutCi(..) => true,
            Self::Project(_)
            | Self::FoundAt { .. }
            | Self::Pipeline(_)
            | Self::Sketch(_)
            | Self::NoDetail(..)
            | Self::JobsListed(..)
            | Self::Gone(_)
            | Self::Refused(..)
            | Self::Damaged(..)
            | Self::Job(_) => false,
            Self::Log { .. } | Self::Archive { .. } | Self::Report { .. } | Self::Bridges(..) => false,
        }
    }
}
