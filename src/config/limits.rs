//! `limits.*`: how much at once, and how large.

use super::keys::{
    LIMITS_API_CALLS, LIMITS_ARCHIVE_ENTRIES, LIMITS_ARTIFACT_SIZE, LIMITS_JOBS, LIMITS_JOURNAL, LIMITS_LOG_SIZE,
    LIMITS_PIPELINES, LIMITS_PROJECTS, LIMITS_QUEUE, LIMITS_REPORT_SIZE, LIMITS_REQUESTS_PER_MINUTE, LIMITS_STORE_OPS,
    LIMITS_WEBHOOK_BYTES,
};
use super::reader::{Reader, parse_count};

/// Every bound of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How much happens at once.
    pub parallel: Parallel,
    /// `limits.api_calls` as it was set: what the processes of the deployment share, however few of them this one uses.
    pub deployment_calls: usize,
    /// `limits.requests_per_minute`: `None` follows GitLab's own headers only.
    pub requests_per_minute: Option<u32>,
    /// `limits.queue`: targets in memory.
    pub queue: usize,
    /// `limits.journal`: entries in the journal.
    pub journal: usize,
    /// `limits.webhook_bytes`: webhook bodies in flight, together.
    pub webhook_bytes: u64,
    /// `limits.archive_entries`: entries of an archive whose files are read.
    pub archive_entries: u64,
    /// How large a thing may be to be fetched.
    pub sizes: Sizes,
}

/// How much happens at once; each is at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parallel {
    /// `limits.projects`: projects of a pass.
    pub projects: usize,
    /// `limits.pipelines`: pipelines of one project.
    pub pipelines: usize,
    /// `limits.jobs`: jobs of one pipeline.
    pub jobs: usize,
    /// `limits.api_calls`: GitLab calls in flight of this process, if the others leave it so many.
    pub api_calls: usize,
    /// `limits.store_ops`: store operations in flight.
    pub store_ops: usize,
}

/// The largest things that are fetched, in bytes. Larger ones are recorded as `too_large`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// `limits.log_size`.
    pub log: u64,
    /// `limits.artifact_size`.
    pub artifact: u64,
    /// `limits.report_size`.
    pub report: u64,
}

impl Parallel {
    /// The sequential rollback: one of everything.
    pub const SEQUENTIAL: Self = Self { projects: 1, pipelines: 1, jobs: 1, api_calls: 1, store_ops: 1 };

    fn read(reader: &mut Reader) -> Option<Self> {
        let projects = reader.count(&LIMITS_PROJECTS);
        let pipelines = reader.count(&LIMITS_PIPELINES);
        let jobs = reader.count(&LIMITS_JOBS);
        let api_calls = reader.count(&LIMITS_API_CALLS);
        let store_ops = reader.count(&LIMITS_STORE_OPS);
        Some(Self {
            projects: projects?,
            pipelines: pipelines?,
            jobs: jobs?,
            api_calls: api_calls?,
            store_ops: store_ops?,
        })
    }
}

impl Sizes {
    fn read(reader: &mut Reader) -> Option<Self> {
        let log = reader.size(&LIMITS_LOG_SIZE);
        let artifact = reader.size(&LIMITS_ARTIFACT_SIZE);
        let report = reader.size(&LIMITS_REPORT_SIZE);
        Some(Self { log: log?, artifact: artifact?, report: report? })
    }
}

impl Limits {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let parallel = Parallel::read(reader);
        let queue = reader.count(&LIMITS_QUEUE);
        let journal = reader.count(&LIMITS_JOURNAL);
        let requests_per_minute = reader.optional(&LIMITS_REQUESTS_PER_MINUTE, parse_count);
        let sizes = Sizes::read(reader);
        let webhook_bytes = reader.size(&LIMITS_WEBHOOK_BYTES);
        let archive_entries = reader.count(&LIMITS_ARCHIVE_ENTRIES);
        Some(Self {
            parallel: parallel?,
            deployment_calls: parallel?.api_calls,
            requests_per_minute: requests_per_minute?,
            queue: queue?,
            journal: journal?,
            webhook_bytes: webhook_bytes?,
            archive_entries: archive_entries? as u64,
            sizes: sizes?,
        })
    }
}
