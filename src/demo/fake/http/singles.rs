//! Single documents: one project, pipeline, job, report.

use bytes::Bytes;

use super::answer::Answer;
use super::asked::Asked;

impl Asked<'_> {
    pub(super) fn project(&self) -> Result<Answer, Answer> {
        let id = self.project_id()?;
        let project = self.world.projects.get(&id).ok_or_else(Answer::project_not_found)?;
        let document = match self.query.flag("statistics")? {
            Some(true) => self.world.with_statistics(project, self.caller),
            _ => self.world.single_project(project, self.caller),
        };
        Ok(Answer::json(document.to_string()))
    }

    pub(super) fn pipeline(&self) -> Result<Answer, Answer> {
        let id = self.pipeline_id()?;
        let pipeline = self.world.pipelines.get(&id).ok_or_else(Answer::not_found)?;
        Ok(Answer::json(self.world.pipeline_detail(pipeline).to_string()))
    }

    /// The newest pipeline of a ref; the default branch is always `main`.
    pub(super) fn latest_pipeline(&mut self) -> Result<Answer, Answer> {
        let project = self.ci_project_id()?;
        let name = self.query.text("ref").unwrap_or("main");
        let pipelines = self.world.pipelines.values().rev().filter(|pipeline| pipeline.project == project);
        let latest = pipelines
            .filter(|pipeline| pipeline.source != "parent_pipeline" && pipeline.ref_name == name)
            .max_by_key(|pipeline| pipeline.id);
        let latest = latest.ok_or_else(Answer::not_found)?;
        Ok(Answer::json(self.world.pipeline_detail(latest).to_string()))
    }

    pub(super) fn job(&mut self) -> Result<Answer, Answer> {
        let id = self.job_of_project()?.id;
        self.world.job_text(id).map(Answer::json).ok_or_else(Answer::not_found)
    }

    /// The report as it was when it was last parsed, up to the cache's age ago: an early call makes it stale.
    pub(super) fn test_report(&mut self) -> Result<Answer, Answer> {
        let id = self.pipeline_id()?;
        let now = self.world.now();
        let cached = self.world.report_cache.get(&id);
        let fresh = cached.filter(|(parsed_at, _)| now.since(*parsed_at) < self.options.report_cache);
        let report: Bytes = match fresh {
            Some((_, report)) => report.clone(),
            None => {
                let report = self.world.test_report(id);
                self.world.report_cache.insert(id, (now, report.clone()));
                report
            }
        };
        Ok(Answer::json(report))
    }

    pub(super) fn test_report_summary(&self) -> Result<Answer, Answer> {
        let id = self.pipeline_id()?;
        Ok(Answer::json(self.world.test_report_summary(id).to_string()))
    }
}
