//! The state of the fake GitLab: projects, pipelines, jobs and what they left behind, changed by verbs that speak
//! GitLab's language ([`World::finish_job`], [`World::retry_job`], …).
//!
//! Every status change raises the pipeline's `updated_at` by the world's own clock, which never shows one millisecond
//! twice. Erasing, expiring and archiving do not raise it, as in GitLab. Verbs on unknown ids do nothing.

mod by_ref;
mod clock;
mod hook;
mod model;
mod odd;
mod people;
mod spec;
mod status;
mod verbs;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;

pub use people::{TokenState, Visibility};
pub use spec::{JobSpec, PipelineSpec};

pub(crate) use hook::{Hook, HookOwner, Logged};
pub use model::HiddenLog;
pub(crate) use model::{Bridge, Job, Parent, Pipeline, Project};
pub(crate) use people::{BadToken, Caller};

use super::content::Run;
use crate::domain::{JobId, PipelineId, ProjectId, Timestamp};
use clock::Clock;
use people::People;

/// The plain value of the pipeline variable that every pipeline has by default: it must never be stored or logged.
pub const CANARY_SECRET: &str = "canary-3b1f0d5c-never-store-me";

/// A whole GitLab instance in memory.
#[derive(Debug)]
pub struct World {
    pub(crate) clock: Clock,
    /// Where the instance says that it is, without a slash at the end.
    pub(crate) base_url: String,
    pub(crate) projects: BTreeMap<ProjectId, Project>,
    pub(crate) pipelines: BTreeMap<PipelineId, Pipeline>,
    pub(crate) jobs: BTreeMap<JobId, Job>,
    pub(crate) bridges: BTreeMap<JobId, Bridge>,
    /// Former paths of moved projects.
    pub(crate) moved: HashMap<String, ProjectId>,
    /// The version it claims to have, when that is not the one it behaves like.
    pub(crate) claimed_version: Option<String>,
    pub(crate) hooks: BTreeMap<u64, Hook>,
    /// What was delivered, the oldest first.
    pub(crate) logged: Vec<Logged>,
    pub(crate) report_cache: HashMap<PipelineId, (Timestamp, Bytes)>,
    pub(crate) rendered: Rendered,
    /// Members of jobs' documents that are not what GitLab describes.
    odd: HashMap<JobId, Vec<(String, serde_json::Value)>>,
    people: People,
    next_project: u64,
    next_pipeline: u64,
    next_job: u64,
}

/// Documents as text, made when first asked for and dropped when what they show changes.
#[derive(Debug, Default)]
pub(crate) struct Rendered {
    pub(crate) pipelines: HashMap<PipelineId, Bytes>,
    pub(crate) jobs: HashMap<JobId, Bytes>,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// An empty instance whose clock follows the machine's.
    pub fn new() -> Self {
        Self::with_clock(Clock::machine())
    }

    /// An empty instance whose clock stands at `now` until [`World::advance`] moves it.
    pub fn at(now: Timestamp) -> Self {
        Self::with_clock(Clock::fixed(now))
    }

    fn with_clock(clock: Clock) -> Self {
        Self {
            clock,
            base_url: "https://gitlab.ravenfield.example".to_owned(),
            projects: BTreeMap::new(),
            pipelines: BTreeMap::new(),
            jobs: BTreeMap::new(),
            bridges: BTreeMap::new(),
            moved: HashMap::new(),
            claimed_version: None,
            hooks: BTreeMap::new(),
            logged: Vec::new(),
            report_cache: HashMap::new(),
            rendered: Rendered::default(),
            odd: HashMap::new(),
            people: People::default(),
            next_project: 2_718,
            next_pipeline: 90_000,
            next_job: 810_000,
        }
    }

    /// Returns the world's time, which is also the `Date` of its answers.
    pub fn now(&self) -> Timestamp {
        self.clock.read()
    }

    /// Moves the world's clock forward.
    pub fn advance(&mut self, span: Duration) {
        self.clock.advance(span);
        // Artifacts may be past their expiry now.
        self.rendered.jobs.clear();
    }

    /// Lets the clock follow the machine's from now on.
    pub(crate) fn follow_machine(&mut self) {
        self.clock.follow_machine();
    }

    /// Says where the instance is; every address in its documents begins with it.
    pub fn set_base_url(&mut self, url: &str) {
        url.clone_into(&mut self.base_url);
        self.rendered = Rendered::default();
    }

    /// Adds a project at `path` (`group/name`, `group/sub/name`).
    pub fn add_project(&mut self, path: &str) -> ProjectId {
        let id = ProjectId(self.next_project);
        self.next_project += 7;
        let now = self.clock.tick();
        let project = Project {
            id,
            path: path.to_owned(),
            created_at: now,
            last_activity_at: now,
            archived: false,
            topics: Vec::new(),
            member: true,
            ci_enabled: true,
            repository_enabled: true,
            visibility: Visibility::default(),
            public_pipelines: false,
            pipelines: Vec::new(),
            role: 20,
            hooks_role: 40,
        };
        self.projects.insert(id, project);
        id
    }

    /// Adds a pipeline without jobs, `created` now; `failed` at once when the spec has a configuration error. In an
    /// unknown project it can be asked for by nobody.
    pub fn add_pipeline(&mut self, project: ProjectId, spec: PipelineSpec) -> PipelineId {
        let id = PipelineId(self.next_pipeline);
        self.next_pipeline += 1;
        let now = self.clock.tick();
        let mut iid = 1;
        if let Some(project) = self.projects.get_mut(&project) {
            project.pipelines.push(id);
            project.last_activity_at = now;
            iid = u64::try_from(project.pipelines.len()).unwrap_or(u64::MAX);
        }
        let broken = spec.yaml_errors.is_some();
        let pipeline = Pipeline {
            id,
            iid,
            project,
            name: spec.name,
            ref_name: spec.ref_name,
            sha: spec.sha.unwrap_or_else(|| format!("4f6a0c9be1d27735a88c1e0f92b3d4c5{:08x}", id.0)),
            tag: spec.tag,
            source: spec.source,
            status: if broken { "failed" } else { "created" }.to_owned(),
            yaml_errors: spec.yaml_errors,
            variables: spec.variables,
            created_at: now,
            updated_at: now,
            started_at: None,
            finished_at: broken.then_some(now),
            jobs: Vec::new(),
            bridges: Vec::new(),
            parent: None,
        };
        self.pipelines.insert(id, pipeline);
        id
    }

    /// Adds a pipeline that a trigger job called `bridge` of `parent` started, and that trigger job. The two
    /// share project, ref and commit, and the trigger job mirrors the child's status.
    pub fn add_child_pipeline(&mut self, parent: PipelineId, bridge: &str, spec: PipelineSpec) -> PipelineId {
        let inherited = self.pipelines.get(&parent).map(|p| (p.project, p.ref_name.clone(), p.sha.clone()));
        let (project, ref_name, sha) = inherited.unwrap_or((ProjectId(0), spec.ref_name.clone(), String::new()));
        let child = PipelineSpec { ref_name, sha: Some(sha), source: "parent_pipeline".to_owned(), ..spec };
        let id = self.add_pipeline(project, child);
        let bridge_id = self.next_job_id();
        let created_at = self.clock.tick();
        let bridge = Bridge { id: bridge_id, pipeline: parent, name: bridge.to_owned(), created_at, downstream: id };
        self.bridges.insert(bridge_id, bridge);
        if let Some(pipeline) = self.pipelines.get_mut(&id) {
            pipeline.parent = Some(Parent { pipeline: parent, bridge: bridge_id });
        }
        if let Some(pipeline) = self.pipelines.get_mut(&parent) {
            pipeline.bridges.push(bridge_id);
        }
        self.status_changed(parent);
        id
    }

    /// Adds a job to a pipeline, created now. One of the same name becomes an older attempt, as whenever GitLab adds a job
    /// (`Ci::Pipelines::AddJobService` in its source).
    pub fn add_job(&mut self, pipeline: PipelineId, spec: JobSpec) -> JobId {
        self.supersede(pipeline, &spec.name);
        let id = self.next_job_id();
        let now = self.clock.tick();
        let project = self.pipelines.get(&pipeline).map_or(ProjectId(0), |pipeline| pipeline.project);
        let job = Job {
            id,
            project,
            pipeline,
            name: spec.name,
            stage: spec.stage,
            manual: spec.status == "manual",
            status: spec.status,
            allow_failure: spec.allow_failure,
            coverage: spec.coverage,
            tags: spec.tags,
            failure_reason: None,
            created_at: now,
            started_at: None,
            finished_at: None,
            erased_at: None,
            artifacts_expire_at: None,
            retried: false,
            retries_count: 0,
            log: spec.log,
            late_log_bytes: 0,
            trace_archived: false,
            log_hidden: None,
            archive: spec.archive,
            archive_expired: false,
            junit: spec.junit,
            junit_expired: false,
            log_forbidden: false,
            artifacts_forbidden: false,
            files_restricted: false,
        };
        self.jobs.insert(id, job);
        if let Some(pipeline) = self.pipelines.get_mut(&pipeline) {
            pipeline.jobs.push(id);
        }
        self.status_changed(pipeline);
        id
    }

    /// Makes older attempts of the jobs of a name.
    pub(super) fn supersede(&mut self, pipeline: PipelineId, name: &str) {
        let Some(pipeline) = self.pipelines.get(&pipeline) else { return };
        for id in &pipeline.jobs {
            if let Some(job) = self.jobs.get_mut(id).filter(|job| job.name == name) {
                job.retried = true;
            }
        }
    }

    pub(crate) fn next_job_id(&mut self) -> JobId {
        self.next_job += 1;
        JobId(self.next_job)
    }

    /// Returns all projects by number.
    pub fn projects(&self) -> Vec<ProjectId> {
        self.projects.keys().copied().collect()
    }

    /// Returns a project's path.
    pub fn project_path(&self, project: ProjectId) -> Option<&str> {
        self.projects.get(&project).map(|project| project.path.as_str())
    }

    /// Returns a project's pipelines in the order of creation, child pipelines included.
    pub fn pipelines_of(&self, project: ProjectId) -> Vec<PipelineId> {
        self.projects.get(&project).map(|project| project.pipelines.clone()).unwrap_or_default()
    }

    /// Returns a pipeline's jobs in the order of creation, retried attempts included.
    pub fn jobs_of(&self, pipeline: PipelineId) -> Vec<JobId> {
        self.pipelines.get(&pipeline).map(|pipeline| pipeline.jobs.clone()).unwrap_or_default()
    }

    /// Returns the project that a job belongs to.
    pub fn project_of_job(&self, job: JobId) -> Option<ProjectId> {
        self.jobs.get(&job).map(|job| job.project)
    }

    /// Returns the project that a pipeline belongs to.
    pub fn project_of_pipeline(&self, pipeline: PipelineId) -> Option<ProjectId> {
        self.pipelines.get(&pipeline).map(|pipeline| pipeline.project)
    }

    /// Returns a pipeline's status.
    pub fn pipeline_status(&self, pipeline: PipelineId) -> Option<&str> {
        self.pipelines.get(&pipeline).map(|pipeline| pipeline.status.as_str())
    }

    /// Returns a job's status.
    pub fn job_status(&self, job: JobId) -> Option<&str> {
        self.jobs.get(&job).map(|job| job.status.as_str())
    }

    /// Returns a job's name.
    pub fn job_name(&self, job: JobId) -> Option<&str> {
        self.jobs.get(&job).map(|job| job.name.as_str())
    }

    /// Returns what the log endpoint gives now: nothing before the start and after erasing, a part while running
    /// and while the tail is late.
    pub fn trace(&self, job: JobId) -> Option<Bytes> {
        let job = self.jobs.get(&job)?;
        let Some(started_at) = job.started_at else { return Some(Bytes::new()) };
        if job.erased_at.is_some() || job.log_hidden.is_some() {
            return Some(Bytes::new());
        }
        let failed = job.status != "success";
        let whole = job.log.render(Run { job_id: job.id.0, name: &job.name, started_at, failed });
        let readable = if !job.is_ended() && job.log.is_generated() {
            whole.len() / 3
        } else {
            whole.len().saturating_sub(job.late_log_bytes)
        };
        Some(whole.slice(..readable))
    }

    /// Returns the archive that the artifacts endpoint gives now, if any.
    pub fn archive(&self, job: JobId) -> Option<Bytes> {
        let job = self.jobs.get(&job).filter(|job| job.has_archive())?;
        job.archive.as_ref().map(|archive| archive.render(job.id.0))
    }
}
