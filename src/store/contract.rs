//! The contract of every store: one enum over the two, known at compile time, so that neither can drift from the other's
//! signatures; `tests/it/store` holds both to the same behaviour.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use prometheus_client::registry::Registry;
use tracing::{Span, debug_span};

use super::sound::Damages;
use super::{
    About, Change, Entry, Error, Failure, Gap, Health, JobFilter, JobRow, JobTally, Lease, ListOf, Listing, Mongo,
    Page, PipelineFilter, PipelineRow, PipelineState, PipelineTally, Progress, ProjectJobFilter, Slice, Space, Sqlite,
    TokenHash, Verdict,
};
use super::{Config, Place, mongo, sqlite};
use crate::domain::{
    BlobId, Document, Finding, JobKey, Outage, PipelineId, PipelineKey, ProjectFacts, ProjectId, Timestamp,
};
use crate::work::Target;

/// An open store. Clones share it.
///
/// Without [`close`](Self::close) its work is left to others as after a crash.
#[derive(Debug, Clone)]
pub enum Store {
    /// One file of this machine.
    Sqlite(Sqlite),
    /// A database that several processes share.
    Mongo(Mongo),
}

/// Calls a method of whichever store it is.
macro_rules! each {
    ($store:expr, $inner:ident => $call:expr) => {
        match $store {
            Store::Sqlite($inner) => $call,
            Store::Mongo($inner) => $call,
        }
    };
}

impl Store {
    /// Opens the store, making or migrating what it needs, and registers this process.
    ///
    /// Fails with [`Kind::Unusable`](super::Kind::Unusable) and a sentence that says what to do when it is damaged, another
    /// program's, of a newer version, or already used by another `serve` where only one may. A `serve` opens a MongoDB that
    /// does not answer all the same: everything is `Away` until it does.
    pub async fn open(config: Config) -> Result<Self, Error> {
        match config.place.clone() {
            Place::Sqlite(path) => Sqlite::open(path, &config).await.map(Self::Sqlite),
            Place::Mongo(url) => Mongo::open(&url, &config).await.map(Self::Mongo),
        }
    }

    /// Finishes what waits, gives this process's leases and entries back and closes. Later calls fail with `Closed`; closing
    /// twice is no error.
    pub async fn close(&self) -> Result<(), Error> {
        each!(self, store => store.close().await)
    }

    /// Looks at a place without changing anything: whether a process could open it, and what has to be done if not.
    pub async fn inspect(place: &Place) -> Vec<Finding> {
        match place {
            Place::Sqlite(path) => sqlite::inspect(path),
            Place::Mongo(url) => mongo::inspect(url).await,
        }
    }

    /// Returns whether there is a store at a place, without making one.
    pub async fn exists(place: &Place) -> Result<bool, Error> {
        match place {
            Place::Sqlite(path) => Ok(path.exists()),
            Place::Mongo(url) => mongo::is_store(url).await,
        }
    }

    /// Leaves a blob of this process to the sweep, unless something points to it by then: whoever streamed it works on it no
    /// longer. Whether it was published need not be known.
    pub fn let_go(&self, blob: BlobId) {
        each!(self, store => store.let_go(&[blob.0]));
    }

    /// Registers `store_up`, `store_in_flight`, `store_seconds` and what tells of room, errors and damage.
    pub fn register(&self, registry: &mut Registry) {
        each!(self, store => store.metrics().register(registry));
    }

    /// Returns what was found damaged.
    pub(super) fn damages(&self) -> &Damages {
        each!(self, store => &store.metrics().damages)
    }

    /// Returns whether it can be written.
    pub fn is_up(&self) -> bool {
        each!(self, store => store.metrics().standing.up.get() == 1)
    }

    /// Returns which store it is and what is wrong with it, for people and programs.
    pub fn health(&self) -> Health {
        let problem = match self {
            Self::Sqlite(_) => None,
            Self::Mongo(store) => store.problem(),
        };
        let outage = self.outage();
        let problem = problem.or_else(|| outage.as_ref().map(|outage| outage.why.clone()));
        let engine = match self {
            Self::Sqlite(_) => "sqlite",
            Self::Mongo(_) => "mongodb",
        };
        Health { engine, up: outage.is_none(), since: outage.map(|outage| outage.since), problem }
    }

    /// Returns since when it cannot be written, and why.
    pub fn outage(&self) -> Option<Outage> {
        each!(self, store => store.metrics().standing.outage())
    }
}

/// Returns the span of an operation that is a part of something else; what is done without one, every second, has none.
pub(super) fn span(operation: &'static str) -> Span {
    match Span::current().is_none() {
        true => Span::none(),
        false => debug_span!("store", otel.name = operation),
    }
}

/// Writes each method of the contract as a call of the same method of whichever store it is.
macro_rules! contract {
    ($($(#[$doc:meta])* fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {
        impl Store {
            $(
                $(#[$doc])*
                pub async fn $name(&self, $($argument: $type),*) -> $result {
                    let span = $crate::store::contract::span(stringify!($name));
                    each!(self, store => tracing::Instrument::instrument(store.$name($($argument),*), span).await)
                }
            )*
        }
    };
}

contract! {
    /// Renews this process's lease and states how many of `total` permits it holds and could use; returns how many it may
    /// use from now on. What it holds above that stays written until a later call says that it is given up.
    fn heartbeat(held: u32, wanted: u32, total: u32) -> Result<u32, Error>;

    /// Applies all changes, in order: SQLite in one transaction, MongoDB facts first and the journal last, each document whole.
    /// Lists that begin with `Append`, or that are about the journal only, go before other writers and do not count towards
    /// `operations`. `Ok` means that all of it is durable; after an error it is safe to apply the same list again.
    fn apply(changes: Vec<Change>) -> Result<(), Error>;

    /// This process's journal entries in working order (lane, then due, then id).
    fn entries(limit: u64) -> Result<Vec<Entry>, Error>;

    /// Takes over entries whose process has closed or is silent for longer than its lease; those that died three
    /// times while running are set aside as failed. Returns how many were taken, at most 4000: call again until 0.
    fn adopt() -> Result<u64, Error>;

    /// How many entries the journal has, those of other processes included.
    fn journal_len() -> Result<u64, Error>;

    /// What failed for good, of a project or of all.
    fn failures(project: Option<ProjectId>) -> Result<Vec<Failure>, Error>;

    /// Projects marked for an early sweep, and when each was marked last; the one that waits longest first.
    fn marks() -> Result<Vec<(ProjectId, Timestamp)>, Error>;

    /// Takes a lease if it is free or expired (raising its fence); `None` while it is held, also when this process holds it.
    fn take_lease(name: &'static str) -> Result<Option<Lease>, Error>;

    /// Renews a lease; false when another process took it.
    fn renew_lease(lease: &Lease) -> Result<bool, Error>;

    /// Gives a lease back, with `completed` noting that the work under it was; nothing happens when another process took it.
    fn release_lease(lease: &Lease, completed: bool) -> Result<(), Error>;

    /// Returns how long ago the work under a lease was last completed, by whichever process.
    fn completed_ago(name: &'static str) -> Result<Option<Duration>, Error>;

    /// Returns a project's progress; `None` before its first complete pass.
    fn progress(project: ProjectId) -> Result<Option<Progress>, Error>;

    /// Returns what the last look at a list showed.
    fn listing(list: ListOf) -> Result<Option<Listing>, Error>;

    /// Returns of a project or of all those that have no CI, and since when, lowest id first.
    fn without_ci(project: Option<ProjectId>) -> Result<Vec<(ProjectId, Timestamp)>, Error>;

    /// Returns the progress of every project that has some.
    fn all_progress() -> Result<Vec<(ProjectId, Progress)>, Error>;

    /// Writes a project's progress; the watermark and the time of the full pass never go back. `FenceLost` when the lease was
    /// taken over.
    fn save_progress(project: ProjectId, progress: Progress, lease: &Lease) -> Result<(), Error>;

    /// Returns stored projects, lowest id first.
    fn projects(slice: Slice) -> Result<Page<(ProjectId, Document)>, Error>;

    /// Returns what lists of projects are chosen by, of every stored project, lowest id first.
    fn project_facts() -> Result<Vec<(ProjectId, ProjectFacts)>, Error>;

    /// Returns these projects' documents, in the order of the ids; those that are not stored are left out.
    fn project_documents(ids: Vec<ProjectId>) -> Result<Vec<Document>, Error>;

    /// Returns a project's document.
    fn project(id: ProjectId) -> Result<Option<Document>, Error>;

    /// Returns the project of a path, in any case of its letters, as GitLab does. When two were seen under it, the one seen last;
    /// when it is no project's any more, the one whose it was last.
    fn project_by_path(path: String) -> Result<Option<(ProjectId, Document)>, Error>;

    /// Returns a project's pipelines, newest id first unless the filter says otherwise. Counts no further than
    /// [`COUNTED`](super::COUNTED).
    fn pipelines(project: ProjectId, filter: PipelineFilter, slice: Slice) -> Result<Page<Document>, Error>;

    /// Returns a stored pipeline.
    fn pipeline(key: PipelineKey) -> Result<Option<PipelineRow>, Error>;

    /// Returns the own documents of these pipelines, in the order of the ids; those that are not held are left out.
    fn pipeline_details(project: ProjectId, ids: Vec<PipelineId>) -> Result<Vec<(PipelineId, Document)>, Error>;

    /// Returns what is known of these pipelines; those that are not stored are left out.
    fn pipeline_states(project: ProjectId, ids: Vec<PipelineId>) -> Result<HashMap<PipelineId, PipelineState>, Error>;

    /// Stored pipelines of a project that have not ended or miss something, lowest id first, after `after`; with `live` those
    /// with live pieces too.
    fn unfinished(project: ProjectId, live: bool, after: Option<PipelineId>, limit: u64) -> Result<Vec<PipelineState>, Error>;

    /// Returns a pipeline's jobs, newest id first.
    fn pipeline_jobs(key: PipelineKey, filter: JobFilter, slice: Slice) -> Result<Page<Document>, Error>;

    /// Every stored job of a pipeline, retried ones included, lowest id first.
    fn jobs_of(key: PipelineKey) -> Result<Vec<JobRow>, Error>;

    /// Returns a project's jobs, all attempts, newest id first. Nothing is counted: `total` is above the rows up to here only
    /// if there are more.
    fn project_jobs(project: ProjectId, filter: ProjectJobFilter, slice: Slice) -> Result<Page<Document>, Error>;

    /// Returns a pipeline's trigger jobs: a JSON array of GitLab's documents, newest id first; `None` when nobody asked for
    /// them yet.
    fn bridges(key: PipelineKey) -> Result<Option<Document>, Error>;

    /// Counts a project's jobs by their state, its pipelines by that of their reports.
    fn tallies(project: ProjectId) -> Result<(Vec<JobTally>, Vec<PipelineTally>), Error>;

    /// Returns the journal's entries of a project, whoever works on them, the first due first; at most `limit`.
    fn entries_of(project: ProjectId, limit: u64) -> Result<Vec<Entry>, Error>;

    /// Returns a stored job.
    fn job(key: JobKey) -> Result<Option<JobRow>, Error>;

    /// Jobs and reports of a project of which a piece is `forbidden` and was not asked for since `before`; the ones that wait
    /// longest first, at most `limit`.
    fn refused(project: ProjectId, before: Timestamp, limit: u64) -> Result<Vec<Target>, Error>;

    /// Every gap of a project or of all: missing pieces of ended jobs, missing reports and job lists, failed things. Sorted
    /// by project, pipeline and job; at most `limit`.
    fn gaps(project: Option<ProjectId>, limit: u64) -> Result<Vec<Gap>, Error>;

    /// Returns how much the store takes, and how much room it has left.
    fn space() -> Result<Space, Error>;

    /// Registers a new blob of this process before its first byte; [`Self::let_go`] ends its claim on it.
    fn new_blob() -> Result<BlobId, Error>;

    /// Stores chunk `number` (from 0) of a blob; all but the last have [`CHUNK_BYTES`](super::CHUNK_BYTES). `FenceLost` when the blob was swept
    /// meanwhile, because this process was silent for two leases.
    fn put_chunk(blob: BlobId, number: u32, bytes: Bytes) -> Result<(), Error>;

    /// Removes a blob that nothing points to; one that is published is left alone.
    fn drop_blob(blob: BlobId) -> Result<(), Error>;

    /// Removes blobs replaced 10 min ago and unpublished ones that this process let go of, or whose owner is gone for two
    /// leases; returns how many. SQLite then
    /// gives free pages back to the file system, keeping a sixteenth of the file for what comes next.
    fn sweep_blobs() -> Result<u64, Error>;

    /// Returns the key under which readers' tokens are hashed: this one, unless there is one already.
    fn access_key(fresh: [u8; 32]) -> Result<[u8; 32], Error>;

    /// Returns what GitLab last said about a reader, unless that is kept no longer.
    fn verdict(token: TokenHash, about: &About) -> Result<Option<Verdict>, Error>;

    /// Returns whether a verdict is kept that shows GitLab to know the token.
    fn knows_token(token: TokenHash) -> Result<bool, Error>;

    /// Keeps what GitLab said, for `keep` since it was asked; what was asked later stays. A token that is refused altogether
    /// loses all earlier verdicts.
    fn save_verdict(token: TokenHash, about: &About, verdict: Verdict, keep: Duration) -> Result<(), Error>;
}
