//! How far a project's passes have come.

use std::time::Duration;

use cistern::demo::fake::{Endpoint, Fault, FaultKind};
use cistern::domain::{PipelineId, ProjectId, Timestamp};
use cistern::reconcile::Extent;
use cistern::store::Progress;

use super::{done, world};
use crate::rig::{Engine, Rig, on_both};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

async fn progress(rig: &Rig, project: ProjectId) -> Option<Progress> {
    let view = rig.view("cistern.db").await;
    let progress = view.store.progress(project).await.expect("read");
    view.close().await;
    progress
}

fn mark(progress: Option<Progress>) -> Option<Timestamp> {
    progress.map(|progress| progress.watermark)
}

async fn cached(rig: &Rig) -> Vec<PipelineId> {
    rig.cache("cistern.db").await.pipelines.into_keys().map(|key| key.pipeline).collect()
}

/// GitLab's latest `updated_at` of a project.
fn latest(rig: &Rig) -> Timestamp {
    // The clock stands after the last change.
    rig.fake.with(|world| world.now())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_complete_pass_moves_it_to_the_greatest_time_that_gitlab_listed() {
    let mut world = world();
    let (project, empty) = (world.add_project("group/app"), world.add_project("group/empty"));
    let pipeline = done(&mut world, project).0;
    world.touch(pipeline);
    let rig = Rig::new(world);
    let touched = latest(&rig);
    rig.fake.with(|world| world.advance(HOUR));
    rig.backfill("cistern.db").await;
    let first = progress(&rig, project).await.expect("a watermark");
    assert_eq!(first.watermark, touched, "GitLab's time of the row, not a clock");
    assert!(progress(&rig, empty).await.is_some_and(|empty| empty.watermark < touched));

    rig.fake.with(|world| world.touch(pipeline));
    let touched = latest(&rig);
    rig.pass("cistern.db", Extent::Due).await;
    assert_eq!(progress(&rig, project).await.map(|progress| progress.watermark), Some(touched));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_fails_leaves_it_where_it_was() {
    let mut world = world();
    let project = world.add_project("group/app");
    done(&mut world, project);
    let rig = Rig::new(world).set("schedule.scale", "0.0001");
    rig.backfill("cistern.db").await;
    let before = progress(&rig, project).await;
    rig.fake.with(|world| done(world, project));
    // One of the two listings is not answered.
    for skip in [0, 1] {
        rig.fake.inject(Fault::new(FaultKind::ServerError).on(Endpoint::Pipelines).skip(skip));
        let report = rig.backfill("cistern.db").await;
        assert_eq!((report.projects_failed, report.is_clean()), (1, false));
        assert_eq!(report.failures.len(), 1, "{:?}", report.failures);
        assert_eq!(progress(&rig, project).await, before, "skip {skip}");
        rig.fake.clear_faults();
    }
    assert!(rig.backfill("cistern.db").await.is_clean());
    assert!(mark(progress(&rig, project).await) > mark(before));
}

async fn what_is_recorded_nowhere_leaves_it_where_it_was(engine: Engine) {
    let mut world = world();
    let project = world.add_project("group/app");
    done(&mut world, project);
    let rig = Rig::new(world).on(engine).set("schedule.scale", "0.0001");
    assert!(rig.backfill("cistern.db").await.is_clean());
    let before = progress(&rig, project).await;
    rig.fake.with(|world| done(world, project));
    // The work of the new pipeline ends, and its end cannot be written down.
    let behind = rig.behind("cistern.db").await;
    behind.refuse_pipelines().await;
    let report = rig.backfill("cistern.db").await;
    assert_eq!((report.projects_failed, report.failed), (1, 0), "{:?}", report.failures);
    assert!(report.postponed > 0, "{:?}", report.failures);
    assert_eq!(behind.entries().await, 0, "the test is about what the journal does not have");
    assert_eq!(progress(&rig, project).await, before);
    behind.accept_all().await;
    let report = rig.pass("cistern.db", Extent::Due).await;
    assert!(report.is_clean(), "{:?}", report.failures);
    assert!(mark(progress(&rig, project).await) > mark(before));
    assert_eq!(cached(&rig).await.len(), 2);
}

on_both! {
    what_is_recorded_nowhere_leaves_it_where_it_was;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_read_leaves_it_where_it_was_and_is_told() {
    let mut world = world();
    let project = world.add_project("group/app");
    let (pipeline, job) = done(&mut world, project);
    let rig = Rig::new(world);
    rig.fake.inject(Fault::new(FaultKind::MalformedRow).on(Endpoint::Pipelines).times(1));
    let report = rig.backfill("cistern.db").await;
    assert!(!report.is_clean(), "what was not readable is told");
    assert_eq!(report.failures.len(), 1, "{:?}", report.failures);
    assert_eq!(progress(&rig, project).await, None);
    let view = rig.view("cistern.db").await;
    assert_eq!(view.pipeline(project, pipeline).await.status.as_str(), "success", "the other rows are not lost");
    assert_eq!(Some(view.log(project, job).await), rig.fake.with(|world| world.trace(job)).map(Vec::from));
    view.close().await;
    assert!(rig.backfill("cistern.db").await.is_clean());
    assert!(progress(&rig, project).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_never_goes_back_and_a_narrower_pass_never_moves_it() {
    let mut world = world();
    let project = world.add_project("group/app");
    let old = done(&mut world, project).0;
    let rig = Rig::new(world);
    rig.backfill("cistern.db").await;
    let before = progress(&rig, project).await;

    // The pass looks back for an hour, the watermark is two days old.
    rig.fake.with(|world| world.advance(2 * DAY));
    rig.fake.with(|world| done(world, project));
    let report = rig.pass("cistern.db", Extent::Full(HOUR)).await;
    assert_eq!(report.pipelines, 1, "what it lists is cached");
    assert_eq!(progress(&rig, project).await, before);

    rig.pass("cistern.db", Extent::Due).await;
    let moved = progress(&rig, project).await;
    assert!(mark(moved) > mark(before));
    let newest = rig.fake.with(|world| world.pipelines_of(project)[1]);
    rig.fake.with(|world| world.delete_pipeline(newest));
    rig.backfill("cistern.db").await;
    let after = progress(&rig, project).await;
    assert_eq!(mark(after), mark(moved), "though the pass read nothing later than {old}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_longer_since_is_caught_up_once() {
    let mut world = world();
    let project = world.add_project("group/app");
    let old = done(&mut world, project);
    world.advance(10 * DAY);
    let young = done(&mut world, project);
    let rig = Rig::new(world).set("reconcile.since", "2d");
    rig.pass("cistern.db", Extent::Due).await;
    assert_eq!(cached(&rig).await, vec![young.0]);

    let rig = rig.set("reconcile.since", "30d");
    rig.pass("cistern.db", Extent::Due).await;
    assert_eq!(cached(&rig).await, vec![old.0, young.0]);
    rig.fake.reset_counters();
    let full_at = progress(&rig, project).await.and_then(|progress| progress.full_pass_at);
    rig.pass("cistern.db", Extent::Due).await;
    assert_eq!(rig.fake.requests().total, 3, "an incremental pass again");
    assert_eq!(progress(&rig, project).await.and_then(|progress| progress.full_pass_at), full_at);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_pass_is_due_when_the_last_one_is_too_old() {
    let mut world = world();
    let project = world.add_project("group/app");
    let (_, job) = done(&mut world, project);
    let rig = Rig::new(world).set("reconcile.audit_window", "7d");
    rig.pass("cistern.db", Extent::Due).await;
    rig.fake.with(|world| world.erase_job(job));
    rig.fake.with(|world| world.advance(23 * HOUR));
    assert_eq!(rig.pass("cistern.db", Extent::Due).await.pipelines, 0);
    rig.fake.with(|world| world.advance(2 * HOUR));
    assert_eq!(rig.pass("cistern.db", Extent::Due).await.pipelines, 1, "the daily audit");
    let view = rig.view("cistern.db").await;
    let row = view.job(project, job).await;
    assert_eq!(row.log.piece.as_str(), "erased");
    assert_eq!(row.log.blob, None, "our copy is gone too");
    view.close().await;
}
