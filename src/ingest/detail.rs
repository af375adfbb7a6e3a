//! A pipeline's own document and nothing else, where nothing else of it lacks.

use super::{Found, Ingest, Task, Trouble, UnitOutcome};
use crate::domain::{Piece, PipelineKey, Reason, Timestamp};
use crate::gitlab::Kind;
use crate::store::Change;
use crate::work::{Cause, Target, Work};

impl Ingest {
    /// Stores the document of a pipeline that is stored as GitLab shows it. One that has changed since is worked on as a whole: jobs
    /// that were listed before it changed would be taken for those after.
    pub(super) async fn detail(&self, task: &Task<'_>, key: PipelineKey, found: &mut Found) -> Result<(), Trouble> {
        let Some(row) = self.store.pipeline(key).await? else { return Err(Trouble::Gone) };
        let refused = row.detail.piece.is_refused() && task.cause != Cause::Recheck;
        if row.gone || refused || row.detail.piece == Piece::Whole {
            return Ok(());
        }
        let whole = Work::now(Target::Pipeline(key), task.follow_lane(), task.follow_cause());
        match self.gitlab.pipeline(task.class(), key).await {
            Ok(pipeline) if (pipeline.updated_at, &pipeline.status) != (row.updated_at, &row.status) => {
                found.follow.push(whole);
            }
            Ok(mut pipeline) => {
                self.mask_pipeline(&mut pipeline);
                let bytes = pipeline.detail.as_ref().map_or(0, |detail| detail.text.len() as u64);
                found.units.push(self.pipeline_unit(key, "detail", UnitOutcome::Cached { bytes, count: 0 }));
                found.facts.push(Change::Pipeline(pipeline));
            }
            Err(error) if matches!(error.kind, Kind::Forbidden) => {
                found.units.push(self.pipeline_unit(key, "detail", UnitOutcome::Absent(Reason::Forbidden)));
                found.facts.push(Change::NoDetail(key, Reason::Forbidden));
                found.facts.push(Change::Refused(task.target, Timestamp::now()));
            }
            Err(error) if matches!(error.kind, Kind::NotFound) => {
                // It may have been deleted, which the work on all of it finds out.
                found.follow.push(whole);
                found.trouble = Some(Trouble::Gone);
            }
            Err(error) => {
                found.units.push(self.pipeline_unit(key, "detail", UnitOutcome::Failed(error.to_string())));
                found.trouble = Some(error.into());
            }
        }
        Ok(())
    }
}
