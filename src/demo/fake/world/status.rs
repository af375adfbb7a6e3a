//! How a pipeline's status and dates follow from its jobs: GitLab's composite status, as far as the fake needs it.

use super::World;
use crate::domain::PipelineId;

/// What the status rule looks at in one job or trigger job.
struct Part<'a> {
    status: &'a str,
    allow_failure: bool,
}

impl World {
    /// Recomputes a pipeline after one of its jobs changed, raises its `updated_at`, and goes on with its parent.
    pub(crate) fn status_changed(&mut self, changed: PipelineId) {
        let mut next = Some(changed);
        while let Some(id) = next {
            let status = self.composite_status(id);
            self.set_status(id, &status);
            next = self.pipelines.get(&id).and_then(|pipeline| pipeline.parent).map(|parent| parent.pipeline);
        }
    }

    /// Writes a pipeline's status with the dates that follow from it.
    pub(crate) fn set_status(&mut self, id: PipelineId, status: &str) {
        let now = self.clock.tick();
        if let Some(pipeline) = self.pipelines.get_mut(&id) {
            status.clone_into(&mut pipeline.status);
            pipeline.updated_at = now;
            if status == "running" {
                pipeline.started_at.get_or_insert(now);
            }
            let ended = matches!(status, "success" | "failed" | "canceled" | "skipped");
            pipeline.finished_at = ended.then_some(now);
        }
        self.forget_rendered(id);
    }

    /// Drops the texts of a pipeline and of everything that shows it.
    pub(crate) fn forget_rendered(&mut self, id: PipelineId) {
        self.rendered.pipelines.remove(&id);
        if let Some(pipeline) = self.pipelines.get(&id) {
            for job in &pipeline.jobs {
                self.rendered.jobs.remove(job);
            }
        }
    }

    fn composite_status(&self, id: PipelineId) -> String {
        let Some(pipeline) = self.pipelines.get(&id) else { return String::new() };
        let jobs = pipeline.jobs.iter().filter_map(|id| self.jobs.get(id)).filter(|job| !job.retried);
        let jobs = jobs.map(|job| Part { status: &job.status, allow_failure: job.allow_failure });
        let children = pipeline.bridges.iter().filter_map(|id| self.bridges.get(id));
        let children = children.filter_map(|bridge| self.pipelines.get(&bridge.downstream));
        let children = children.map(|child| Part { status: &child.status, allow_failure: false });
        let parts: Vec<Part<'_>> = jobs.chain(children).collect();
        compose(&parts).map_or_else(|| pipeline.status.clone(), str::to_owned)
    }
}

/// Returns `None` for a pipeline without jobs: it keeps its status.
fn compose(parts: &[Part<'_>]) -> Option<&'static str> {
    let all = |statuses: &[&str]| parts.iter().all(|part| statuses.contains(&part.status));
    let any = |statuses: &[&str]| parts.iter().any(|part| statuses.contains(&part.status));
    let counts = |status: &str| parts.iter().any(|part| part.status == status && !part.allow_failure);
    let status = match () {
        () if parts.is_empty() => return None,
        () if all(&["skipped"]) => "skipped",
        () if all(&["created", "skipped"]) => "created",
        () if any(&["running", "canceling"]) => "running",
        () if all(&["created", "pending", "skipped", "manual"]) && any(&["pending"]) => "pending",
        () if any(&["created", "pending", "waiting_for_resource", "preparing"]) => "running",
        () if counts("manual") => "manual",
        () if any(&["scheduled"]) => "scheduled",
        () if counts("failed") => "failed",
        () if counts("canceled") => "canceled",
        () if all(&["manual", "skipped"]) => "skipped",
        () => "success",
    };
    Some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipeline_is_what_its_jobs_make_of_it() {
        let status = |jobs: &[(&str, bool)]| {
            let parts: Vec<_> = jobs.iter().map(|&(status, allow_failure)| Part { status, allow_failure }).collect();
            compose(&parts)
        };
        assert_eq!(status(&[]), None);
        assert_eq!(status(&[("created", false)]), Some("created"));
        assert_eq!(status(&[("pending", false), ("created", false)]), Some("pending"));
        assert_eq!(status(&[("success", false), ("created", false)]), Some("running"));
        assert_eq!(status(&[("success", false), ("running", false)]), Some("running"));
        assert_eq!(status(&[("success", false), ("failed", true)]), Some("success"));
        assert_eq!(status(&[("success", false), ("failed", false), ("skipped", false)]), Some("failed"));
        assert_eq!(status(&[("success", false), ("manual", true)]), Some("success"));
        assert_eq!(status(&[("success", false), ("manual", false)]), Some("manual"));
        assert_eq!(status(&[("success", false), ("canceled", false)]), Some("canceled"));
    }
}
