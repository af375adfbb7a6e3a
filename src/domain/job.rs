//! A job as GitLab lists it.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Document, JobId, JobKey, JobPhase, Malformed, Pipeline, PipelineKey, ProjectId, Status, Timestamp};

/// The facts about one job that Cistern acts on, and GitLab's document of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Which job.
    pub key: JobKey,
    /// The pipeline it belongs to, as the job's document told it.
    pub pipeline: Pipeline,
    /// Its name: attempts of one job share it.
    pub name: Box<str>,
    /// Its status.
    pub status: Status,
    /// When it began to run; `None` when it never did, and then it has no log.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Whether somebody erased its log and artifacts.
    pub erased: bool,
    /// The archive GitLab still has; `None` when there never was one, or it expired or was erased. Past its expiry GitLab leaves
    /// out `artifacts_file`, and lists what it keeps all the same among the `artifacts` only.
    pub archive: Option<ArchiveFile>,
    /// When its artifacts expire or expired.
    pub artifacts_expire_at: Option<Timestamp>,
    /// The size of the archived log; `None` until GitLab archived it (contract, section 5.5).
    pub trace_size: Option<u64>,
    /// Whether it delivered a JUnit report, so that its pipeline has a test report.
    pub junit: bool,
    /// GitLab's document.
    pub document: Document,
}

/// The archive of a job's artifacts as GitLab lists it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ArchiveFile {
    /// Its name, normally `artifacts.zip`.
    pub filename: Box<str>,
    /// Its size in bytes.
    pub size: u64,
}

#[derive(Deserialize)]
struct Wire<'a> {
    id: JobId,
    #[serde(borrow)]
    name: Cow<'a, str>,
    status: Status,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    erased_at: Option<Timestamp>,
    tag: Option<bool>,
    #[serde(borrow)]
    pipeline: &'a RawValue,
    artifacts_file: Option<ArchiveFile>,
    #[serde(borrow, default)]
    artifacts: Vec<WireArtifact<'a>>,
    artifacts_expire_at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct WireArtifact<'a> {
    #[serde(borrow)]
    file_type: Cow<'a, str>,
    size: Option<u64>,
    filename: Option<Box<str>>,
}

/// What a job's document tells of its archive.
#[derive(Deserialize)]
struct WireArchive<'a> {
    artifacts_file: Option<ArchiveFile>,
    #[serde(borrow, default)]
    artifacts: Vec<WireArtifact<'a>>,
}

impl WireArchive<'_> {
    fn listed(self) -> Option<ArchiveFile> {
        self.artifacts_file.or_else(|| {
            let archive = self.artifacts.into_iter().find(|artifact| artifact.file_type == "archive")?;
            Some(ArchiveFile {
                filename: archive.filename.unwrap_or_else(|| "artifacts.zip".into()),
                size: archive.size?,
            })
        })
    }
}

impl ArchiveFile {
    /// Returns the archive that a job's document lists, if it lists one.
    pub fn listed_in(document: &str) -> Option<Self> {
        serde_json::from_str::<WireArchive<'_>>(document).ok()?.listed()
    }
}

impl Job {
    /// Reads one object of a job listing, or the answer of `GET /projects/:id/jobs/:job_id`.
    pub fn parse(project: ProjectId, raw: &RawValue, as_of: Timestamp) -> Result<Self, Malformed> {
        Self::of(project, raw.get(), Document::new(raw, as_of))
    }

    /// Reads a job from its stored document.
    pub fn from_document(project: ProjectId, document: Document) -> Result<Self, Malformed> {
        let text = document.text.clone();
        Self::of(project, &text, document)
    }

    fn of(project: ProjectId, text: &str, document: Document) -> Result<Self, Malformed> {
        let wire: Wire<'_> = serde_json::from_str(text).map_err(|error| Malformed::json("job", &error))?;
        let listed = |kind: &str| wire.artifacts.iter().find(|artifact| artifact.file_type == kind);
        Ok(Self {
            key: JobKey { project, job: wire.id },
            pipeline: Pipeline { tag: wire.tag, ..Pipeline::parse_detail(project, wire.pipeline, document.as_of)? },
            status: wire.status,
            started_at: wire.started_at,
            finished_at: wire.finished_at,
            erased: wire.erased_at.is_some(),
            artifacts_expire_at: wire.artifacts_expire_at,
            trace_size: listed("trace").and_then(|trace| trace.size),
            junit: listed("junit").is_some(),
            archive: WireArchive { artifacts_file: wire.artifacts_file, artifacts: wire.artifacts }.listed(),
            name: wire.name.into(),
            document,
        })
    }

    /// Returns the pipeline it belongs to.
    pub fn pipeline_key(&self) -> PipelineKey {
        self.pipeline.key
    }

    /// Returns what its status means for caching.
    pub fn phase(&self) -> JobPhase {
        self.status.job_phase()
    }

    /// Returns whether its artifacts' time was over when GitLab wrote the document, in whole seconds as GitLab's `Date` has them.
    /// It may keep them longer.
    pub fn is_past_expiry(&self) -> bool {
        let second = |at: Timestamp| at.as_millis().div_euclid(1000);
        self.artifacts_expire_at.is_some_and(|at| second(at) <= second(self.document.as_of))
    }

    /// Returns whether it ended, so that its log and artifacts can be final.
    pub fn ended(&self) -> bool {
        self.phase() == JobPhase::Ended
    }
}
