//! What a test or the demo says about a pipeline or job that it adds; everything has a plausible default.

use crate::demo::fake::content::{Archive, Junit, Log};

/// A pipeline to be added.
#[derive(Debug, Clone)]
pub struct PipelineSpec {
    /// Branch, tag or merge request ref; default `main`.
    pub ref_name: String,
    /// Commit; `None` derives one from the pipeline's id.
    pub sha: Option<String>,
    /// Default `push`; children get `parent_pipeline` whatever is said here.
    pub source: String,
    /// `workflow:name`.
    pub name: Option<String>,
    /// True for a tag pipeline.
    pub tag: bool,
    /// A configuration error: such a pipeline is `failed` and has no jobs.
    pub yaml_errors: Option<String>,
    /// Pipeline variables as key and plain value; the webhook shows them.
    pub variables: Vec<(String, String)>,
}

impl Default for PipelineSpec {
    fn default() -> Self {
        Self {
            ref_name: "main".to_owned(),
            sha: None,
            source: "push".to_owned(),
            name: None,
            tag: false,
            yaml_errors: None,
            variables: vec![("DEPLOY_TOKEN".to_owned(), super::CANARY_SECRET.to_owned())],
        }
    }
}

/// A job to be added. Log, archive and JUnit say what the job will have produced once it has run.
#[derive(Debug, Clone)]
pub struct JobSpec {
    /// The job's name, for instance `rspec 3/4`.
    pub name: String,
    /// The job's stage; default `test`.
    pub stage: String,
    /// The status it starts in; default `created`. Use the verbs of the world for everything after that.
    pub status: String,
    /// True when a failure of this job does not fail its pipeline.
    pub allow_failure: bool,
    /// Per cent of lines covered.
    pub coverage: Option<f64>,
    /// Runner tags; default `docker`, `linux`.
    pub tags: Vec<String>,
    /// What the runner writes; default a generated log of about 4 kB.
    pub log: Log,
    /// The zip archive of `artifacts:paths`.
    pub archive: Option<Archive>,
    /// The file of `artifacts:reports:junit`.
    pub junit: Option<Junit>,
}

impl JobSpec {
    /// Describes a job called `name` in the stage `test`.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            stage: "test".to_owned(),
            status: "created".to_owned(),
            allow_failure: false,
            coverage: None,
            tags: vec!["docker".to_owned(), "linux".to_owned()],
            log: Log::generated(4_096, seed_of(name), false),
            archive: None,
            junit: None,
        }
    }

    /// Puts the job into `stage`.
    #[must_use]
    pub fn stage(mut self, stage: &str) -> Self {
        stage.clone_into(&mut self.stage);
        self
    }

    /// Lets the job begin in `status`, for instance `manual`.
    #[must_use]
    pub fn status(mut self, status: &str) -> Self {
        status.clone_into(&mut self.status);
        self
    }

    /// Gives the job this log.
    #[must_use]
    pub fn log(mut self, log: Log) -> Self {
        self.log = log;
        self
    }

    /// Gives the job an archive.
    #[must_use]
    pub fn archive(mut self, archive: Archive) -> Self {
        self.archive = Some(archive);
        self
    }

    /// Gives the job a JUnit report.
    #[must_use]
    pub fn junit(mut self, junit: Junit) -> Self {
        self.junit = Some(junit);
        self
    }

    /// Lets the pipeline succeed although this job fails.
    #[must_use]
    pub const fn allow_failure(mut self) -> Self {
        self.allow_failure = true;
        self
    }
}

/// Returns the same number for the same name, so that generated content is repeatable.
fn seed_of(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
