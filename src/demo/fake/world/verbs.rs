//! What happens to jobs, pipelines and projects, in GitLab's words.

use std::time::Duration;

use super::World;
use crate::demo::fake::content::{Log, Run};
use crate::domain::{JobId, PipelineId, ProjectId, Timestamp};

use super::model::{HiddenLog, Job, Project};

/// GitLab.com's default life of artifacts.
const ARTIFACTS_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);

impl World {
    /// Puts a job into a status that is neither a start nor an end: `pending`, `manual`, `skipped`, `scheduled`, ….
    pub fn set_job_status(&mut self, job: JobId, status: &str) {
        self.change(job, |job, _| status.clone_into(&mut job.status));
    }

    /// A runner takes the job.
    pub fn start_job(&mut self, job: JobId) {
        self.change(job, |job, now| {
            "running".clone_into(&mut job.status);
            job.started_at = Some(now);
            job.finished_at = None;
        });
    }

    /// The job ends as `success`, `failed` or `canceled`; one that was not running starts and ends at once, except
    /// that a cancelled one never ran. Its log is readable but not archived yet.
    pub fn finish_job(&mut self, job: JobId, status: &str) {
        self.change(job, |job, now| {
            if status != "canceled" {
                job.started_at.get_or_insert(now);
            }
            status.clone_into(&mut job.status);
            job.finished_at = Some(now);
            job.failure_reason = (status == "failed").then(|| "script_failure".to_owned());
            let keeps_artifacts = job.started_at.is_some() && (job.archive.is_some() || job.junit.is_some());
            job.artifacts_expire_at = keeps_artifacts.then(|| now.plus(ARTIFACTS_LIFE));
        });
    }

    /// Runs the same name again as a new job, `pending`; the old attempt stays readable as a retried one. The new
    /// attempt will produce what the old one did.
    pub fn retry_job(&mut self, job: JobId) -> JobId {
        let id = self.next_job_id();
        let now = self.clock.tick();
        let Some((pipeline, name)) = self.jobs.get(&job).map(|old| (old.pipeline, old.name.clone())) else { return id };
        self.supersede(pipeline, &name);
        let Some(old) = self.jobs.get(&job) else { return id };
        let retries_count = old.retries_count + 1;
        let again = Job {
            id,
            project: old.project,
            pipeline,
            name,
            stage: old.stage.clone(),
            status: "pending".to_owned(),
            tags: old.tags.clone(),
            failure_reason: None,
            created_at: now,
            started_at: None,
            finished_at: None,
            erased_at: None,
            artifacts_expire_at: None,
            retried: false,
            retries_count,
            log: old.log.clone(),
            late_log_bytes: 0,
            trace_archived: false,
            log_hidden: None,
            archive: old.archive.clone(),
            archive_expired: false,
            junit: old.junit.clone(),
            junit_expired: false,
            ..*old
        };
        self.jobs.insert(id, again);
        if let Some(pipeline) = self.pipelines.get_mut(&pipeline) {
            pipeline.jobs.push(id);
        }
        self.status_changed(pipeline);
        id
    }

    /// Someone presses play: the same job id becomes `pending`.
    pub fn play_manual(&mut self, job: JobId) {
        self.set_job_status(job, "pending");
    }

    /// Appends to a job's log; a generated log becomes the text it stood for.
    pub fn append_log(&mut self, job: JobId, text: &[u8]) {
        if let Some(job) = self.jobs.get_mut(&job) {
            let failed = job.status == "failed";
            let started_at = job.started_at.unwrap_or(job.created_at);
            let mut log = job.log.render(Run { job_id: job.id.0, name: &job.name, started_at, failed }).to_vec();
            log.extend_from_slice(text);
            job.log = Log::bytes(log);
        }
        self.rendered.jobs.remove(&job);
    }

    /// Replaces what the job has written or will have written.
    pub fn set_log(&mut self, job: JobId, log: Log) {
        self.change_quietly(job, |job| job.log = log);
    }

    /// Hides the last `bytes` of the log until it is archived: the job's end is announced before its log is whole.
    pub fn delay_log_tail(&mut self, job: JobId, bytes: usize) {
        self.change_quietly(job, |job| job.late_log_bytes = bytes);
    }

    /// The log is archived: whole, and `artifacts[]` lists `trace` with its size.
    pub fn archive_trace(&mut self, job: JobId) {
        self.change_quietly(job, |job| {
            job.late_log_bytes = 0;
            job.trace_archived = job.started_at.is_some() && job.erased_at.is_none();
        });
    }

    /// GitLab lists the log on, but does not find it from now on.
    pub fn hide_log(&mut self, job: JobId, how: HiddenLog) {
        self.change_quietly(job, |job| job.log_hidden = Some(how));
    }

    /// GitLab finds the log again.
    pub fn show_log(&mut self, job: JobId) {
        self.change_quietly(job, |job| job.log_hidden = None);
    }

    /// Someone erases the job: log empty, artifacts gone, `erased_at` set, and no expiry any more.
    pub fn erase_job(&mut self, job: JobId) {
        let now = self.clock.tick();
        self.change_quietly(job, |job| {
            job.erased_at = Some(now);
            job.artifacts_expire_at = None;
            job.trace_archived = false;
        });
    }

    /// The artifacts' time has passed, but GitLab keeps them, as it does by default for the latest successful jobs of a ref: they are
    /// listed among the `artifacts` and served.
    pub fn keep_artifacts_past_expiry(&mut self, job: JobId) {
        let now = self.clock.tick();
        self.change_quietly(job, |job| job.artifacts_expire_at = Some(now));
    }

    /// The artifacts' time has passed and they are deleted: the archive, and the JUnit file with it. The log stays.
    pub fn expire_artifacts(&mut self, job: JobId) {
        let now = self.clock.tick();
        self.change_quietly(job, |job| {
            job.artifacts_expire_at = Some(now);
            job.archive_expired = true;
            job.junit_expired = true;
        });
    }

    /// The log is refused with 403 from now on, as of a job that ran in debug mode.
    pub fn forbid_log(&mut self, job: JobId) {
        self.change_quietly(job, |job| job.log_forbidden = true);
    }

    /// The log may be read again.
    pub fn allow_log(&mut self, job: JobId) {
        self.change_quietly(job, |job| job.log_forbidden = false);
    }

    /// The artifacts may be read again.
    pub fn allow_artifacts(&mut self, job: JobId) {
        self.change_quietly(job, |job| job.artifacts_forbidden = false);
    }

    /// The artifacts are refused with 403 from now on.
    pub fn forbid_artifacts(&mut self, job: JobId) {
        self.change_quietly(job, |job| job.artifacts_forbidden = true);
    }

    /// Sets a pipeline's status whatever its jobs say, until one of them changes.
    pub fn set_pipeline_status(&mut self, pipeline: PipelineId, status: &str) {
        self.set_status(pipeline, status);
    }

    /// Raises a pipeline's `updated_at` and nothing else.
    pub fn touch(&mut self, pipeline: PipelineId) {
        let now = self.clock.tick();
        self.set_updated_at(pipeline, now);
    }

    /// Sets a pipeline's `updated_at`, for instance to give several pipelines one time stamp.
    pub fn set_updated_at(&mut self, pipeline: PipelineId, at: Timestamp) {
        if let Some(pipeline) = self.pipelines.get_mut(&pipeline) {
            pipeline.updated_at = at;
        }
        self.forget_rendered(pipeline);
    }

    /// Removes a pipeline with its jobs; its children lose their parent and stay.
    pub fn delete_pipeline(&mut self, pipeline: PipelineId) {
        let Some(gone) = self.pipelines.remove(&pipeline) else { return };
        self.rendered.pipelines.remove(&pipeline);
        self.report_cache.remove(&pipeline);
        for job in &gone.jobs {
            self.jobs.remove(job);
            self.rendered.jobs.remove(job);
        }
        for bridge in gone.bridges.iter().filter_map(|id| self.bridges.remove(id)) {
            if let Some(child) = self.pipelines.get_mut(&bridge.downstream) {
                child.parent = None;
            }
        }
        if let Some(project) = self.projects.get_mut(&gone.project) {
            project.pipelines.retain(|id| *id != pipeline);
        }
    }

    /// Moves a project; its former path answers 301 from now on.
    pub fn move_project(&mut self, project: ProjectId, path: &str) {
        self.change_project(project, |project| path.clone_into(&mut project.path));
    }

    /// Switches CI/CD of a project off or on: its CI endpoints answer 403 while it is off.
    pub fn set_ci_disabled(&mut self, project: ProjectId, disabled: bool) {
        self.change_project(project, |project| project.ci_enabled = !disabled);
    }

    /// Switches the repository of a project off or on: that takes CI with it, and only its own level shows it where the one of CI
    /// was stored by an older GitLab.
    pub fn set_repository_disabled(&mut self, project: ProjectId, disabled: bool) {
        self.change_project(project, |project| project.repository_enabled = !disabled);
    }

    /// Makes the token a member of a public project or no longer one.
    pub fn set_member(&mut self, project: ProjectId, member: bool) {
        self.change_project(project, |project| project.member = member);
    }

    /// Gives a project topics.
    pub fn set_topics(&mut self, project: ProjectId, topics: &[&str]) {
        let topics: Vec<String> = topics.iter().map(|topic| (*topic).to_owned()).collect();
        self.change_project(project, |project| project.topics = topics);
    }

    /// Archives a project or brings it back.
    pub fn set_archived(&mut self, project: ProjectId, archived: bool) {
        self.change_project(project, |project| project.archived = archived);
    }

    /// Removes a project with everything in it: 404 from now on.
    pub fn delete_project(&mut self, project: ProjectId) {
        for pipeline in self.pipelines_of(project) {
            self.delete_pipeline(pipeline);
        }
        self.projects.remove(&project);
        self.moved.retain(|_, target| *target != project);
    }

    fn change_project(&mut self, id: ProjectId, change: impl FnOnce(&mut Project)) {
        let Some(project) = self.projects.get_mut(&id) else { return };
        let former = project.path.clone();
        change(project);
        let path = project.path.clone();
        for pipeline in project.pipelines.clone() {
            self.forget_rendered(pipeline);
        }
        self.moved.remove(&path);
        if former != path {
            self.moved.insert(former, id);
        }
    }

    /// Changes a job in a way that its pipeline sees.
    fn change(&mut self, id: JobId, change: impl FnOnce(&mut Job, Timestamp)) {
        let now = self.clock.tick();
        let Some(job) = self.jobs.get_mut(&id) else { return };
        change(job, now);
        let pipeline = job.pipeline;
        self.status_changed(pipeline);
    }

    /// Changes a job without a status change.
    fn change_quietly(&mut self, id: JobId, change: impl FnOnce(&mut Job)) {
        if let Some(job) = self.jobs.get_mut(&id) {
            change(job);
        }
        self.rendered.jobs.remove(&id);
    }
}
