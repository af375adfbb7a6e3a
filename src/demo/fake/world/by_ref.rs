//! Which job is meant by a ref and a name (GitLab's documentation of job artifacts).

use std::collections::BTreeSet;

use super::World;
use super::model::{Job, Pipeline};
use crate::domain::{PipelineId, ProjectId};

impl World {
    /// Returns the job of this name that has artifacts, of the newest so many successful pipelines of a ref. Child pipelines are
    /// no pipelines of the ref, but their jobs count as those of their parents, which come first.
    pub(crate) fn job_by_ref(&self, project: ProjectId, ref_name: &str, name: &str, pipelines: usize) -> Option<&Job> {
        let of_ref = |pipeline: &&Pipeline| {
            let is_child = pipeline.source == "parent_pipeline";
            pipeline.project == project && pipeline.ref_name == ref_name && pipeline.status == "success" && !is_child
        };
        let newest = self.pipelines.values().rev().filter(of_ref).take(pipelines);
        newest.filter_map(|pipeline| self.job_in_family(pipeline.id, name)).next()
    }

    fn job_in_family(&self, root: PipelineId, name: &str) -> Option<&Job> {
        let mut family = BTreeSet::from([root]);
        // Children have greater numbers than their parents.
        for (id, pipeline) in &self.pipelines {
            if pipeline.parent.is_some_and(|parent| family.contains(&parent.pipeline)) {
                family.insert(*id);
            }
        }
        let pipelines = family.iter().filter_map(|id| self.pipelines.get(id));
        let mut jobs = pipelines.flat_map(|pipeline| &pipeline.jobs).filter_map(|id| self.jobs.get(id));
        jobs.find(|job| job.name == name && !job.retried && job.has_archive())
    }
}
