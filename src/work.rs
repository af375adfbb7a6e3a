//! A target and why it is worked on: what every hint, plan and reader's miss becomes (law 2).

use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};

use crate::domain::{JobId, JobKey, Pipeline, PipelineId, PipelineKey, PipelineSource, ProjectId, Subject, Timestamp};

/// What is to be cached. Two hints with one target are one piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// A project's document: only readers ask for it alone, passes list it.
    Project(ProjectId),
    /// Whatever project is at a path, by a hash of it: only readers ask so, and the path itself is with the work.
    Path(u64),
    /// The newest of our projects: only readers ask for them, passes list all.
    Projects,
    /// What changed lately in one of a project's two listings of pipelines: only readers ask for it, passes read them to the end.
    Pipelines(ProjectId, PipelineSource),
    /// A pipeline: its record and its jobs' documents; offers what they still need.
    Pipeline(PipelineKey),
    /// A pipeline's own document and nothing else: what is already known of it otherwise lacks it.
    Detail(PipelineKey),
    /// A pipeline's test report: apart from the pipeline, so that a slow report holds no log up.
    Report(PipelineKey),
    /// A job: its document, log and archive.
    Job(JobKey),
    /// A pipeline's trigger jobs, which only a reader's miss asks for (design, section 4.7).
    Bridges(PipelineKey),
}

impl Target {
    /// Returns what stands for a path, in any case of its letters. Of two paths that are taken for one, the second is not asked
    /// for while the first is.
    pub fn path(path: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        path.to_lowercase().hash(&mut hasher);
        Self::Path(hasher.finish())
    }

    /// Returns what is worked on of a pipeline beside its jobs.
    pub fn of_pipeline(key: PipelineKey) -> [Self; 4] {
        [Self::Pipeline(key), Self::Detail(key), Self::Report(key), Self::Bridges(key)]
    }

    /// Returns the project it belongs to; of a path nobody knows it yet, of a list of projects it is none, and 0 is no project.
    pub fn project(&self) -> ProjectId {
        match self {
            Self::Path(_) | Self::Projects => ProjectId(0),
            Self::Project(project) | Self::Pipelines(project, _) => *project,
            Self::Pipeline(key) | Self::Detail(key) | Self::Report(key) | Self::Bridges(key) => key.project,
            Self::Job(key) => key.project,
        }
    }

    /// Returns what a person would have to have it forgotten by, as far as the target tells: the pipeline of a job is not known.
    pub fn subjects(&self) -> Vec<Subject> {
        let itself = match self {
            Self::Path(_) | Self::Projects => return Vec::new(),
            Self::Project(_) | Self::Pipelines(..) => None,
            Self::Pipeline(key) | Self::Detail(key) | Self::Report(key) | Self::Bridges(key) => {
                Some(Subject::Pipeline(*key))
            }
            Self::Job(key) => Some(Subject::Job(*key)),
        };
        std::iter::once(Subject::Project { project: self.project() }).chain(itself).collect()
    }

    /// Returns `path`, `project`, `projects`, `pipelines`, `pipeline`, `detail`, `report`, `job` or `bridges`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Path(_) => "path",
            Self::Project(_) => "project",
            Self::Projects => "projects",
            Self::Pipelines(..) => "pipelines",
            Self::Pipeline(_) => "pipeline",
            Self::Detail(_) => "detail",
            Self::Report(_) => "report",
            Self::Job(_) => "job",
            Self::Bridges(_) => "bridges",
        }
    }

    /// Returns the target of a stored kind and ids, if there is such a kind; paths and lists of projects are not stored.
    pub fn from_parts(kind: &str, project: ProjectId, id: u64) -> Option<Self> {
        match kind {
            "project" => Some(Self::Project(project)),
            "pipelines" if id == 0 => Some(Self::Pipelines(project, PipelineSource::Plain)),
            "pipelines" => Some(Self::Pipelines(project, PipelineSource::Child)),
            "pipeline" => Some(Self::Pipeline(PipelineKey { project, pipeline: PipelineId(id) })),
            "detail" => Some(Self::Detail(PipelineKey { project, pipeline: PipelineId(id) })),
            "report" => Some(Self::Report(PipelineKey { project, pipeline: PipelineId(id) })),
            "bridges" => Some(Self::Bridges(PipelineKey { project, pipeline: PipelineId(id) })),
            "job" => Some(Self::Job(JobKey { project, job: JobId(id) })),
            _ => None,
        }
    }

    /// Returns the project's, pipeline's or job's id; of listings which of the two it is.
    pub fn id(&self) -> u64 {
        match self {
            Self::Path(hash) => *hash,
            Self::Projects => 0,
            Self::Project(project) => project.0,
            Self::Pipelines(_, source) => *source as u64,
            Self::Pipeline(key) | Self::Detail(key) | Self::Report(key) | Self::Bridges(key) => key.pipeline.0,
            Self::Job(key) => key.job.0,
        }
    }
}

/// Who goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// Somebody waits for it: events.
    Live,
    /// A reader waits for it, for some seconds: misses. Not journaled, because whoever still wants it asks again.
    Reader,
    /// Nobody waits: passes, later looks at logs.
    Backfill,
}

impl Lane {
    /// Every lane, the one that goes first first.
    pub const ALL: [Self; 3] = [Self::Live, Self::Reader, Self::Backfill];
}

/// Why a target is worked on; of two causes the first is the stronger one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// GitLab refused a piece of it to the token, and is asked again: by a full pass, or by a person. Of something that ended.
    Recheck,
    /// An event said that it ended: when GitLab does not say so yet, it is asked again soon.
    Ended,
    /// An event said that something unfinished changed.
    Changed,
    /// A full pass planned it: unsettled and failed things too.
    Full,
    /// An incremental pass, or a pipeline's work, found that something is missing.
    Planned,
    /// A reader asked for a log or archive: of a running job the log as far as it goes. Before `Look`, so that it does not use
    /// up a look that has its time.
    Fetch,
    /// A log or report that is not settled is looked at again.
    Look,
    /// A reader asked for a document, or a list, and for nothing that belongs to it.
    Read,
}

impl Cause {
    /// Returns whether it asks for what is held but unsettled, or failed, as well as for what is missing.
    pub fn is_thorough(self) -> bool {
        matches!(self, Self::Recheck | Self::Full | Self::Look)
    }

    /// Returns whether nobody but readers asks.
    pub fn is_a_reader_s(self) -> bool {
        matches!(self, Self::Fetch | Self::Read)
    }
}

/// One piece of work: a target, why, when and with what claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// What.
    pub target: Target,
    /// With what claim on workers and permits.
    pub lane: Lane,
    /// Why.
    pub cause: Cause,
    /// Not before.
    pub due: Timestamp,
    /// The row of the listing that made a pass plan it, so that it is not asked for again.
    pub listed: Option<Box<Pipeline>>,
    /// The path of [`Target::Path`].
    pub path: Option<Box<str>>,
}

impl Work {
    /// Returns work that is due now and nobody listed.
    pub fn now(target: Target, lane: Lane, cause: Cause) -> Self {
        Self { target, lane, cause, due: Timestamp::now(), listed: None, path: None }
    }
}
