//! Reading every stored blob again and holding it against its checksums.
//!
//! A chunk has a checksum of its place and its bytes; beside that a log's frames carry zstd's own, and an archive has its
//! SHA-256. Chunks that are older than the first kind are counted as unchecked, but the other two still find what is wrong
//! with them. The index by which parts of a log are found is held against its text. Nothing is changed: what is damaged can be fetched again by forgetting it and undoing that.

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::blob::{Content, Decoding};
use super::{Only, PassError, Reconciler};
use crate::domain::{BlobId, JobId, PipelineId, PipelineKey, Project, ProjectId};
use crate::log::{Index, Indexer};
use crate::store::{FRAME_BYTES, JobRow, Slice};

/// Projects or pipelines read at a time.
const PAGE: u64 = 100;

/// Blobs read at once.
const AT_ONCE: usize = 4;

/// What `verify --deep` found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Deep {
    /// Blobs whose every chunk was held against its checksum.
    pub checked: u64,
    /// Blobs with chunks that are older than checksums.
    pub unchecked: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// What is not what was stored.
    pub damaged: Vec<Damage>,
}

/// A stored piece that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// The project.
    pub project: ProjectId,
    /// The pipeline.
    pub pipeline: PipelineId,
    /// The job; `None` for a report.
    pub job: Option<JobId>,
    /// `log`, `archive` or `report`.
    pub kind: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "project {}, pipeline {}", self.project, self.pipeline)?;
        if let Some(job) = self.job {
            write!(f, ", job {job}")?;
        }
        write!(f, ": {}: {}", self.kind, self.problem)
    }
}

/// A blob as its row describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Described {
    pub(super) job: Option<JobId>,
    pub(super) kind: &'static str,
    pub(super) blob: BlobId,
    /// How many bytes readers get.
    pub(super) size: u64,
    pub(super) decoding: Decoding,
    /// How many bytes are stored, where the row tells.
    stored: Option<u64>,
    sha256: Option<[u8; 32]>,
    /// A log's index as its row has it; one that readers would not use is left out.
    index: Option<Box<[u8]>>,
}

/// Makes a log's index again.
#[derive(Default)]
struct Again {
    frame: Vec<u8>,
    indexer: Indexer,
}

impl Again {
    fn push(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            let (now, later) = piece.split_at(piece.len().min(FRAME_BYTES - self.frame.len()));
            self.frame.extend_from_slice(now);
            piece = later;
            if self.frame.len() == FRAME_BYTES {
                self.indexer.push(&self.frame);
                self.frame.clear();
            }
        }
    }

    fn finish(mut self) -> Box<[u8]> {
        if !self.frame.is_empty() {
            self.indexer.push(&self.frame);
        }
        self.indexer.finish().encode()
    }
}

impl Reconciler {
    /// Reads every blob of stored projects again.
    pub async fn verify_deep(&self, only: &Only) -> Result<Deep, PassError> {
        let mut deep = Deep::default();
        let mut offset = 0;
        loop {
            let page = self.store.projects(Slice { offset, limit: PAGE }).await?;
            if page.rows.is_empty() {
                return Ok(deep);
            }
            offset += page.rows.len() as u64;
            for (id, document) in page.rows {
                let path = Project::path_of(&document).unwrap_or_default();
                if only.takes_path(id, &path) {
                    self.verify_blobs(id, &mut deep).await?;
                }
            }
        }
    }

    async fn verify_blobs(&self, project: ProjectId, deep: &mut Deep) -> Result<(), PassError> {
        let mut after = None;
        loop {
            let page = self.store.pipeline_ages(project, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.id);
            for pipeline in page {
                let key = PipelineKey { project, pipeline: pipeline.id };
                let described = self.describe_all(key).await?;
                let mut checks = Vec::new();
                for blob in &described {
                    checks.push(self.check(key, blob));
                }
                let checks: Vec<Deep> = stream::iter(checks).buffer_unordered(AT_ONCE).try_collect().await?;
                for check in checks {
                    deep.checked += check.checked;
                    deep.unchecked += check.unchecked;
                    deep.bytes += check.bytes;
                    deep.damaged.extend(check.damaged);
                }
            }
        }
    }

    async fn describe_all(&self, key: PipelineKey) -> Result<Vec<Described>, PassError> {
        let mut described: Vec<Described> = self.store.jobs_of(key).await?.iter().flat_map(describe).collect();
        if let Some(row) = self.store.pipeline(key).await?
            && let Some(blob) = row.report.blob
        {
            let (size, decoding) = (row.report.size, Decoding::Zstd);
            let (job, kind, stored, sha256, index) = (None, "report", None, None, None);
            described.push(Described { job, kind, blob, size, decoding, stored, sha256, index });
        }
        Ok(described)
    }

    async fn check(&self, key: PipelineKey, described: &Described) -> Result<Deep, PassError> {
        let (sums, problem) = self.read_again(described).await?;
        // What was replaced while it was read is not damaged.
        if let Some(problem) = problem
            && self.describe_all(key).await?.contains(described)
        {
            let Described { job, kind, .. } = *described;
            let damage = Damage { project: key.project, pipeline: key.pipeline, job, kind, problem };
            return Ok(Deep { damaged: vec![damage], ..sums });
        }
        Ok(sums)
    }

    async fn read_again(&self, described: &Described) -> Result<(Deep, Option<String>), PassError> {
        let mut sums = Deep::default();
        let mut content = Content::new(described.decoding)?;
        let mut hash = Sha256::new();
        let mut again = described.index.as_ref().map(|_| Again::default());
        let (mut number, mut stored, mut all_have_sums) = (0, 0, true);
        let mut problem = None;
        while let Some(chunk) = self.store.stored_chunk(described.blob, number).await? {
            stored += chunk.bytes.len() as u64;
            match chunk.sound {
                Some(true) => {}
                Some(false) => {
                    problem.get_or_insert_with(|| format!("chunk {number} does not match its checksum"));
                }
                None => all_have_sums = false,
            }
            if described.sha256.is_some() {
                hash.update(&chunk.bytes);
            }
            if problem.is_none()
                && let Err(error) =
                    content.take(&chunk.bytes, |piece| again.iter_mut().for_each(|again| again.push(piece)))
            {
                problem = Some(format!("its frames cannot be decompressed: {error}"));
            }
            number += 1;
        }
        sums.bytes = stored;
        let count = if all_have_sums { &mut sums.checked } else { &mut sums.unchecked };
        *count += 1;
        let whole = hash.finalize();
        let problem = problem.or_else(|| match (number, content.end()) {
            (0, _) => Some("nothing is stored of it".to_owned()),
            (_, None) => Some("it ends within a frame".to_owned()),
            (_, Some(size)) if size != described.size => {
                Some(format!("it has {size} bytes instead of {}", described.size))
            }
            _ if described.stored.is_some_and(|length| length != stored) => {
                Some("its frames are not as long as its row says".to_owned())
            }
            _ if described.sha256.is_some_and(|sha256| sha256[..] != whole[..]) => {
                Some("it does not match its SHA-256".to_owned())
            }
            _ if again.map(Again::finish) != described.index => Some("its index is of another log".to_owned()),
            _ => None,
        });
        Ok((sums, problem))
    }
}

/// Returns the blobs that a job's row points to.
pub(super) fn describe(row: &JobRow) -> impl Iterator<Item = Described> {
    let job = Some(row.key.job);
    let log = row.log.blob.map(|blob| Described {
        job,
        kind: "log",
        blob,
        size: row.log.size,
        decoding: Decoding::Zstd,
        stored: Some(row.log.frames.iter().copied().map(u64::from).sum()),
        sha256: None,
        index: Index::decode(&row.log.index).map(|_| row.log.index.clone()),
    });
    let archive = row.archive.blob.map(|blob| Described {
        job,
        kind: "archive",
        blob,
        size: row.archive.size,
        decoding: Decoding::Plain,
        stored: Some(row.archive.size),
        sha256: row.archive.sha256,
        index: None,
    });
    log.into_iter().chain(archive)
}
