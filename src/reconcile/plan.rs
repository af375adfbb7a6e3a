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

/// Plans a page of listed pipelines against what is stored of them: sorted by `updated_at`, then id, each once. What lacks nothing but
/// its own document is asked for that only.
pub fn plan(listed: &[Pipeline], stored: &HashMap<PipelineId, PipelineState>, policy: &Policy) -> Vec<Work> {
    let listed: BTreeMap<_, _> = listed.iter().map(|pipeline| (pipeline.key, pipeline)).collect();
    let mut listed: Vec<&Pipeline> = listed.into_values().collect();
    listed.sort_by_key(|pipeline| (pipeline.updated_at, pipeline.key));
    listed
        .into_iter()
        .filter_map(|pipeline| {
            let state = stored.get(&pipeline.key.pipeline);
            let target = match state {
                state if needs_listed(pipeline, state, policy) => Target::Pipeline(pipeline.key),
                Some(state) if needs_detail(state, policy) => Target::Detail(pipeline.key),
                _ => return None,
            };
            Some(Work {
                target,
                lane: Lane::Backfill,
                cause: policy.cause(),
                due: policy.now.min(Timestamp::now()),
                listed: Some(Box::new(pipeline.clone())),
                path: None,
            })
        })
        .collect()
}

/// Plans stored pipelines that no listing showed, whatever the watermark says: those that are not final or lack something.
pub fn plan_stored(project: ProjectId, states: &[PipelineState], policy: &Policy) -> Vec<Work> {
    states
        .iter()
        .filter_map(|state| {
            let key = PipelineKey { project, pipeline: state.id };
            let target = match () {
                () if needs_stored(state, policy) => Target::Pipeline(key),
                () if needs_detail(state, policy) => Target::Detail(key),
                () => return None,
            };
            Some(Work::now(target, Lane::Backfill, policy.cause()))
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

/// Full passes only, so that what an earlier version cached without it is caught up with at their pace.
fn needs_detail(state: &PipelineState, policy: &Policy) -> bool {
    policy.full && state.undetailed && !state.gone
}

fn needs_stored(state: &PipelineState, policy: &Policy) -> bool {
    if state.gone || (state.failed && !policy.full) {
        return false;
    }
    let unfinished = state.status.pipeline_phase() != PipelinePhase::Ended;
    unfinished || state.jobs_listed_at.is_none() || state.missing || (policy.full && state.live)
}
