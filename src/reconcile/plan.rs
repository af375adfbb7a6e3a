//! What a pass has to do, as a pure function: what GitLab lists, what is stored, and the policy make sorted work.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::domain::{Pipeline, PipelineId, PipelineKey, PipelinePhase, ProjectId, Timestamp};
use crate::store::PipelineState;
use crate::work::{Cause, Lane, Target, Work};

/// How thorough a pass is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// A full pass takes unsettled and failed things too.
    pub full: bool,
    /// Full passes list the jobs of pipelines updated within this time again, to learn of erasures.
    pub audit_window: Duration,
    /// But not when they were listed within this time.
    pub audit_every: Duration,
    /// GitLab's clock.
    pub now: Timestamp,
}

impl Policy {
    fn cause(&self) -> Cause {
        if self.full { Cause::Full } else { Cause::Planned }
    }
}

/// Plans a page of listed pipelines against what is stored of them: sorted by `updated_at`, then id, each once.
pub fn plan(listed: &[Pipeline], stored: &HashMap<PipelineId, PipelineState>, policy: &Policy) -> Vec<Work> {
    let needed: BTreeMap<_, _> = listed
        .iter()
        .filter(|pipeline| needs_listed(pipeline, stored.get(&pipeline.key.pipeline), policy))
        .map(|pipeline| (pipeline.key, pipeline))
        .collect();
    let mut needed: Vec<&Pipeline> = needed.into_values().collect();
    needed.sort_by_key(|pipeline| (pipeline.updated_at, pipeline.key));
    needed
        .into_iter()
        .map(|pipeline| Work {
            target: Target::Pipeline(pipeline.key),
            lane: Lane::Backfill,
            cause: policy.cause(),
            due: policy.now.min(Timestamp::now()),
            listed: Some(Box::new(pipeline.clone())),
            path: None,
        })
        .collect()
}

/// Plans stored pipelines that no listing showed, whatever the watermark says: those that are not final or lack something.
pub fn plan_stored(project: ProjectId, states: &[PipelineState], policy: &Policy) -> Vec<Work> {
    states
        .iter()
        .filter(|state| needs_stored(state, policy))
        .map(|state| {
            let key = PipelineKey { project, pipeline: state.id };
            Work::now(Target::Pipeline(key), Lane::Backfill, policy.cause())
        })
        .collect()
}

fn needs_listed(pipeline: &Pipeline, stored: Option<&PipelineState>, policy: &Policy) -> bool {
    let Some(state) = stored else { return true };
    let changed = state.updated_at != pipeline.updated_at || state.status != pipeline.status;
    let audited = policy.full
        && policy.now.since(pipeline.updated_at) <= policy.audit_window
        && state.jobs_listed_at.is_some_and(|at| policy.now.since(at) >= policy.audit_every);
    // It was not deleted after all.
    state.gone || changed || audited || needs_stored(state, policy)
}

fn needs_stored(state: &PipelineState, policy: &Policy) -> bool {
    if state.gone || (state.failed && !policy.full) {
        return false;
    }
    let unfinished = state.status.pipeline_phase() != PipelinePhase::Ended;
    unfinished || state.jobs_listed_at.is_none() || state.missing || (policy.full && state.live)
}
