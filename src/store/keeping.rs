//! The part of the contract by which people look after a store: work as a whole, what is stored, what is to be forgotten.

use std::collections::{HashMap, HashSet};

use super::{
    BlobKind, Documents, EntryId, Error, Forgotten, KeptBlob, PipelineAge, Removed, Room, Store, StoredChunk, Usage,
    Waiting, WorkFilter,
};
use crate::domain::{BlobId, JobKey, PipelineId, ProjectId, Subject, Timestamp};
use crate::work::Target;

contract! {
    /// Entries of the journal, whoever works on them, lowest id first, at most `limit`.
    fn work(filter: WorkFilter, limit: u64) -> Result<Vec<Waiting>, Error>;

    /// Deletes those of these entries that belong to no living process; returns how many. All others are their owners' alone.
    fn drop_entries(entries: Vec<EntryId>) -> Result<u64, Error>;

    /// Deletes failures; what they were about is offered again by the next full pass. Returns how many there were.
    fn drop_failures(targets: Vec<Target>) -> Result<u64, Error>;

    /// Returns what is published, by project, kind and, from `since` on, the day (UTC) it was stored on. Reads the list of all
    /// blobs, but none of their bytes.
    fn usage(since: Timestamp) -> Result<Vec<Usage>, Error>;

    /// Returns how many pipelines and jobs are stored of each project, from indexes alone.
    fn documents() -> Result<HashMap<ProjectId, Documents>, Error>;

    /// Returns how much room the store takes.
    fn room() -> Result<Room, Error>;

    /// Published blobs of a kind in the order of the jobs' or pipelines' ids, which is the order of their age; after this one.
    fn oldest_blobs(kind: BlobKind, after: Option<u64>, limit: u64) -> Result<Vec<KeptBlob>, Error>;

    /// Pipelines of a project, lowest id first, after this one.
    fn pipeline_ages(project: ProjectId, after: Option<PipelineId>, limit: u64) -> Result<Vec<PipelineAge>, Error>;

    /// Returns some jobs at random that hold a log or an archive, of a project or of all; fewer when there are fewer, or when
    /// chance picks one twice.
    fn random_jobs(project: Option<ProjectId>, count: u64) -> Result<Vec<JobKey>, Error>;

    /// Returns what a published blob is of, and whose: of a log or archive the job, of a report its target.
    fn blob_of(blob: BlobId) -> Result<Option<(BlobKind, Target)>, Error>;

    /// Reads one chunk and holds it against its checksum; `None` behind the last.
    fn stored_chunk(blob: BlobId, number: u32) -> Result<Option<StoredChunk>, Error>;

    /// Removes a subject at once with everything of it, blobs that were replaced moments ago included. Not in one transaction:
    /// after an error what is left is removed by calling it again.
    fn remove(subject: Subject) -> Result<Removed, Error>;

    /// Leaves a tombstone: from now on nothing of the subject is stored, whoever offers it. False when there was one.
    fn forget(subject: Subject) -> Result<bool, Error>;

    /// Takes a tombstone away; false when there was none.
    fn remember(subject: Subject) -> Result<bool, Error>;

    /// Returns those of these subjects that have a tombstone of their own.
    fn forgotten(subjects: Vec<Subject>) -> Result<HashSet<Subject>, Error>;

    /// Returns every tombstone, oldest first.
    fn all_forgotten() -> Result<Vec<Forgotten>, Error>;
}
