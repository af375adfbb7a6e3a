//! What changed lately in a project's pipelines: one page, asked for by readers only.

use std::time::Duration;

use super::{Found, Ingest, Task, Trouble};
use crate::domain::{Pipeline, PipelineSource, ProjectId, Timestamp};
use crate::gitlab::{self, Kind};
use crate::store::{Change, ListOf, Listing, PipelineState};
use crate::work::{Target, Work};

/// How long before the watermark it begins: what GitLab's replicas showed late, a pass has missed as well.
const OVERLAP: Duration = Duration::from_secs(600);

impl Ingest {
    /// Stores the pipelines that changed since the passes' watermark, or the last ones of a project that no pass has covered,
    /// and offers the work that a pass would plan for them.
    pub(super) async fn listing(
        &self,
        task: &Task<'_>,
        project: ProjectId,
        source: PipelineSource,
        found: &mut Found,
    ) -> Result<(), Trouble> {
        let progress = self.store.progress(project).await?;
        let after = progress.map(|progress| progress.watermark.minus(OVERLAP));
        let asked = self.gitlab.latest_pipelines(task.class(), project, source, after).await;
        let page = asked.map_err(|error: gitlab::Error| match error.kind {
            Kind::NotFound => Trouble::Gone,
            _ => error.into(),
        })?;
        let ids = page.rows.iter().map(|row| row.key.pipeline).collect();
        let states = self.store.pipeline_states(project, ids).await?;
        let oldest = page.rows.iter().map(|row| row.updated_at).min();
        for mut row in page.rows {
            if states.get(&row.key.pipeline).is_some_and(|state| shows(state, &row)) {
                continue;
            }
            self.mask_pipeline(&mut row);
            let work = Work::now(Target::Pipeline(row.key), task.follow_lane(), task.follow_cause());
            found.follow.push(Work { listed: Some(Box::new(row.clone())), ..work });
            found.facts.push(Change::Pipeline(row));
        }
        if page.malformed > 0 {
            found.trouble = Some(Trouble::Unreadable(page.malformed));
            return Ok(());
        }
        // Of a page that was full the last row's equals may be on the next one.
        let cut = oldest.filter(|_| page.next.is_some()).map(|oldest| oldest.plus(Duration::from_millis(1)));
        let since = cut.or(after).unwrap_or(Timestamp::from_millis(0));
        found.facts.push(Change::Listed(ListOf::Pipelines(project, source), Listing { as_of: page.as_of, since }));
        Ok(())
    }
}

/// Returns whether a stored pipeline is what GitLab shows. What it lacks then is somebody's work already.
fn shows(state: &PipelineState, row: &Pipeline) -> bool {
    !state.gone && state.updated_at == row.updated_at && state.status == row.status
}
