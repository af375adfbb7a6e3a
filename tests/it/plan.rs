//! `plan` and `plan_stored`: pure, so that everything they promise can be tried on random listings and stores.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use cistern::domain::{Pipeline, PipelineId, PipelinePhase, ProjectId, Status, Timestamp};
use cistern::reconcile::{Policy, plan, plan_stored};
use cistern::store::PipelineState;
use cistern::work::{Cause, Lane, Target, Work};
use proptest::prelude::*;
use serde_json::value::RawValue;

const PROJECT: ProjectId = ProjectId(7);
const NOW: i64 = 1_000_000_000_000;
const HOUR: i64 = 3_600_000;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn policy(full: bool) -> Policy {
    Policy {
        full,
        audit_window: Duration::from_secs(7 * 24 * 3600),
        audit_every: Duration::from_secs(24 * 3600),
        now: at(NOW),
    }
}

/// A pipeline as GitLab lists it: an id, a status, and how many hours ago it was updated.
#[derive(Debug, Clone)]
struct Row {
    id: u64,
    status: &'static str,
    hours_ago: i64,
}

impl Row {
    fn updated_at(&self) -> Timestamp {
        at(NOW - self.hours_ago * HOUR)
    }

    fn pipeline(&self) -> Pipeline {
        let date = self.updated_at().to_string();
        let document = serde_json::json!({
            "id": self.id, "project_id": PROJECT.0, "status": self.status, "created_at": date, "updated_at": date
        });
        let raw = RawValue::from_string(document.to_string()).expect("JSON");
        Pipeline::parse(PROJECT, &raw, at(NOW)).expect("a pipeline")
    }

    /// What is stored of it once everything is complete and nothing has changed since.
    fn complete(&self) -> PipelineState {
        PipelineState {
            id: PipelineId(self.id),
            status: self.status.into(),
            updated_at: self.updated_at(),
            jobs_listed_at: Some(at(NOW)),
            missing: false,
            live: false,
            undetailed: false,
            failed: false,
            gone: false,
        }
    }
}

fn status() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("success"),
        Just("failed"),
        Just("canceled"),
        Just("skipped"),
        Just("running"),
        Just("manual"),
        Just("a-status-of-next-year")
    ]
}

fn row() -> impl Strategy<Value = Row> {
    (1..30_u64, status(), 0..400_i64).prop_map(|(id, status, hours_ago)| Row { id, status, hours_ago })
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    proptest::collection::vec(row(), 0..40)
}

fn state() -> impl Strategy<Value = PipelineState> {
    let listed = proptest::option::weighted(0.8, 0..200_i64);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), proptest::bool::weighted(0.2));
    (row(), listed, flags).prop_map(|(row, listed, (missing, live, undetailed, failed))| PipelineState {
        jobs_listed_at: listed.map(|hours| at(NOW - hours * HOUR)),
        missing,
        live,
        undetailed,
        failed,
        ..row.complete()
    })
}

fn states() -> impl Strategy<Value = HashMap<PipelineId, PipelineState>> {
    let states = proptest::collection::vec(state(), 0..30);
    states.prop_map(|states| states.into_iter().map(|state| (state.id, state)).collect())
}

fn pipelines(rows: &[Row]) -> Vec<Pipeline> {
    rows.iter().map(Row::pipeline).collect()
}

fn targets(works: &[Work]) -> BTreeSet<Target> {
    works.iter().map(|work| work.target).collect()
}

fn ids(works: &[Work]) -> BTreeSet<u64> {
    works.iter().map(|work| work.target.id()).collect()
}

fn ended(status: &str) -> bool {
    Status::from(status).pipeline_phase() == PipelinePhase::Ended
}

/// Whether a stored pipeline lacks something; one that failed is left to full passes.
fn lacks(state: &PipelineState, full: bool) -> bool {
    let unfinished = !ended(state.status.as_str()) || state.jobs_listed_at.is_none() || state.missing;
    (full || !state.failed) && (unfinished || full && (state.live || state.undetailed))
}

proptest! {
    #[test]
    fn a_plan_is_sorted_and_has_each_pipeline_once(rows in rows(), states in states(), full in any::<bool>()) {
        let works = plan(&pipelines(&rows), &states, &policy(full));
        let order: Vec<_> = works
            .iter()
            .map(|work| work.listed.as_ref().map(|listed| (listed.updated_at, listed.key)))
            .collect();
        prop_assert!(order.is_sorted());
        prop_assert_eq!(targets(&works).len(), works.len());
    }

    #[test]
    fn a_plan_carries_the_listed_row_in_the_backfill_lane_due_now(rows in rows(), full in any::<bool>()) {
        for work in plan(&pipelines(&rows), &HashMap::new(), &policy(full)) {
            let listed = work.listed.expect("its row");
            prop_assert_eq!(work.target, Target::Pipeline(listed.key));
            prop_assert_eq!((work.lane, work.due), (Lane::Backfill, at(NOW)));
            prop_assert_eq!(work.cause, if full { Cause::Full } else { Cause::Planned });
        }
    }

    #[test]
    fn what_is_complete_and_unchanged_needs_nothing(rows in rows(), full in any::<bool>()) {
        let rows: Vec<Row> = rows.into_iter().filter(|row| ended(row.status)).collect();
        let states = rows.iter().map(|row| (PipelineId(row.id), row.complete())).collect::<HashMap<_, _>>();
        // Of two rows of one pipeline the stored one is the last.
        let listed: Vec<Pipeline> = rows
            .iter()
            .map(Row::pipeline)
            .filter(|listed| states[&listed.key.pipeline].updated_at == listed.updated_at)
            .filter(|listed| states[&listed.key.pipeline].status == listed.status)
            .collect();
        prop_assert!(plan(&listed, &states, &policy(full)).is_empty());
        let states: Vec<PipelineState> = states.into_values().collect();
        prop_assert!(plan_stored(PROJECT, &states, &policy(full)).is_empty());
    }

    #[test]
    fn a_full_pass_plans_all_that_an_incremental_one_does(rows in rows(), states in states()) {
        let listed = pipelines(&rows);
        let of = |full| targets(&plan(&listed, &states, &policy(full)));
        prop_assert!(of(true).is_superset(&of(false)));
        let stored: Vec<PipelineState> = states.into_values().collect();
        let of = |full| targets(&plan_stored(PROJECT, &stored, &policy(full)));
        prop_assert!(of(true).is_superset(&of(false)));
    }

    #[test]
    fn what_is_new_changed_unfinished_or_missing_is_planned(
        rows in rows(), states in states(), full in any::<bool>()
    ) {
        let planned = ids(&plan(&pipelines(&rows), &states, &policy(full)));
        for row in &rows {
            let needed = match states.get(&PipelineId(row.id)) {
                None => true,
                Some(state) => {
                    state.updated_at != row.updated_at()
                        || state.status.as_str() != row.status
                        || lacks(state, full)
                }
            };
            prop_assert!(!needed || planned.contains(&row.id), "{:?}", row);
        }
    }

    #[test]
    fn stored_pipelines_are_planned_exactly_when_they_lack_something(states in states(), full in any::<bool>()) {
        let states: Vec<PipelineState> = states.into_values().collect();
        let works = plan_stored(PROJECT, &states, &policy(full));
        prop_assert!(works.iter().all(|work| work.listed.is_none()));
        let planned = ids(&works);
        for state in &states {
            prop_assert_eq!(planned.contains(&state.id.0), lacks(state, full), "{:?}", state);
        }
    }

    #[test]
    fn what_lacks_nothing_but_its_own_document_is_asked_for_that_only(row in row()) {
        let state = PipelineState { undetailed: true, ..row.complete() };
        let whole = !ended(row.status);
        for full in [true, false] {
            let stored = plan_stored(PROJECT, std::slice::from_ref(&state), &policy(full));
            let listed = plan(&[row.pipeline()], &HashMap::from([(state.id, state.clone())]), &policy(full));
            let key = row.pipeline().key;
            let target = if whole { Target::Pipeline(key) } else { Target::Detail(key) };
            let expected: BTreeSet<Target> = [target].into_iter().filter(|_| whole || full).collect();
            prop_assert_eq!((targets(&stored), targets(&listed)), (expected.clone(), expected));
        }
    }
}

#[test]
fn young_pipelines_are_audited_by_full_passes_once_a_day() {
    let row = Row { id: 1, status: "success", hours_ago: 100 };
    let planned = |row: &Row, listed_hours_ago: i64, full: bool| {
        let listed_at = Some(at(NOW - listed_hours_ago * HOUR));
        let state = PipelineState { jobs_listed_at: listed_at, ..row.complete() };
        !plan(&[row.pipeline()], &HashMap::from([(state.id, state)]), &policy(full)).is_empty()
    };
    assert!(planned(&row, 24, true));
    assert!(!planned(&row, 23, true), "its jobs were listed within the day");
    assert!(!planned(&row, 24, false), "an incremental pass audits nothing");
    assert!(planned(&Row { hours_ago: 168, ..row.clone() }, 24, true), "the window's edge");
    assert!(!planned(&Row { hours_ago: 169, ..row }, 200, true), "older than the window");
}

#[test]
fn a_plan_is_not_due_later_than_our_clock_says_though_gitlab_is_ahead() {
    let ahead = Policy { now: Timestamp::now().plus(Duration::from_secs(900)), ..policy(false) };
    let works = plan(&[Row { id: 1, status: "success", hours_ago: 1 }.pipeline()], &HashMap::new(), &ahead);
    assert!(works.iter().all(|work| work.due <= Timestamp::now()));
}
