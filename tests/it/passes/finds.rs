//! What passes find without any event.

use std::time::Duration;

use cistern::demo::fake::{Archive, Endpoint, Fault, FaultKind, JobSpec, Junit, PipelineSpec};
use cistern::domain::{JobKey, Piece, PipelineId, PipelineKey, ProjectId};
use cistern::reconcile::{Extent, Only};
use cistern::store::Change;

use super::{FULL, done, run, world};
use crate::rig::{PATIENCE, Rig};

#[tokio::test(flavor = "multi_thread")]
async fn children_retried_jobs_and_pipelines_without_jobs_are_found() {
    let mut world = world();
    let project = world.add_project("group/app");
    let (parent, first) = done(&mut world, project);
    let again = world.retry_job(first);
    run(&mut world, again);
    let child = world.add_child_pipeline(parent, "child", PipelineSpec::default());
    let in_child = world.add_job(child, JobSpec::new("inner"));
    run(&mut world, in_child);
    let broken = PipelineSpec { yaml_errors: Some("no jobs".to_owned()), ..PipelineSpec::default() };
    let empty = world.add_pipeline(project, broken);
    let rig = Rig::new(world);
    assert!(rig.pass("cistern.db", Extent::Due).await.is_clean());
    let cache = rig.cache("cistern.db").await;
    for job in [first, again, in_child] {
        let held = &cache.jobs[&JobKey { project, job }];
        assert_eq!(Some(&held.log), rig.fake.with(|world| world.trace(job).map(Vec::from)).as_ref());
    }
    assert_eq!(cache.jobs[&JobKey { project, job: in_child }].pipeline, child);
    assert_eq!(cache.pipelines[&PipelineKey { project, pipeline: empty }].document["status"], "failed");
    rig.fake.reset_counters();
    rig.backfill("cistern.db").await;
    assert_eq!(rig.fake.requests().total, 3, "an empty pipeline is complete too");
}

#[tokio::test(flavor = "multi_thread")]
async fn projects_without_ci_are_left_alone_until_it_is_switched_on() {
    let mut world = world();
    let project = world.add_project("group/app");
    done(&mut world, project);
    world.set_ci_disabled(project, true);
    let rig = Rig::new(world);
    assert!(rig.backfill("cistern.db").await.is_clean());
    assert_eq!(rig.fake.requests().total, 1);
    rig.fake.with(|world| world.set_ci_disabled(project, false));
    rig.pass("cistern.db", Extent::Due).await;
    assert_eq!(rig.cache("cistern.db").await.jobs.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_projects_than_a_page_and_archived_ones_are_found_and_deleted_ones_kept() {
    let mut world = world();
    let projects: Vec<_> = (0..105).map(|number| world.add_project(&format!("group/app-{number}"))).collect();
    let [archived, deleted] = [projects[1], projects[104]];
    let jobs = [archived, deleted].map(|project| JobKey { project, job: done(&mut world, project).1 });
    world.set_archived(archived, true);
    let rig = Rig::new(world);
    assert!(rig.backfill("cistern.db").await.is_clean());
    assert_eq!(rig.fake.requests().of(Endpoint::Projects), 2, "by keyset, 100 at a time");
    let before = rig.cache("cistern.db").await;
    assert_eq!(before.projects.len(), 105);
    assert!(jobs.iter().all(|job| before.jobs[job].log_piece == Piece::Whole));
    rig.fake.with(|world| world.delete_project(deleted));
    assert!(rig.backfill("cistern.db").await.is_clean());
    assert_eq!(rig.cache("cistern.db").await.jobs[&jobs[1]], before.jobs[&jobs[1]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moved_project_is_read_by_its_new_path_and_its_former_one_and_stays_one_project() {
    let mut world = world();
    let project = world.add_project("group/app");
    done(&mut world, project);
    let rig = Rig::new(world);
    rig.backfill("cistern.db").await;
    rig.fake.with(|world| world.move_project(project, "elsewhere/app"));
    rig.fake.with(|world| done(world, project));
    rig.pass("cistern.db", Extent::Due).await;
    let view = rig.view("cistern.db").await;
    let found = view.get("/api/v4/projects/elsewhere%2Fapp/pipelines").await;
    assert_eq!(found.status, 200);
    let former = view.get("/api/v4/projects/group%2Fapp/pipelines").await;
    assert_eq!((former.status, former.body), (200, found.body), "by its former path, too");
    assert_eq!(view.cache().await.pipelines.len(), 2);
    view.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gitlab_deletes_is_kept() {
    let mut world = world();
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let archive = Archive::zip([("out.txt", &b"kept"[..])]).expect("a zip");
    let job = world.add_job(pipeline, JobSpec::new("unit").archive(archive).junit(Junit::generated(3, 1, 5)));
    run(&mut world, job);
    let rig = Rig::new(world);
    rig.backfill("cistern.db").await;
    let before = rig.cache("cistern.db").await;
    rig.fake.with(|world| world.delete_pipeline(pipeline));
    assert!(rig.backfill("cistern.db").await.is_clean());
    assert_eq!(rig.cache("cistern.db").await, before);
    assert!(before.jobs[&JobKey { project, job }].archive.is_some());
    let whole = &before.pipelines[&PipelineKey { project, pipeline }];
    assert_eq!(whole.report.as_ref().expect("a report")["total_count"], 3);
}

/// Two pipelines that were deleted early: one before its log, archive and report could be fetched, one while its job ran.
async fn half_fetched(rig: &Rig, project: ProjectId) -> [PipelineId; 2] {
    let archive = Archive::zip([("out.txt", &b"lost"[..])]).expect("a zip");
    let made = rig.fake.with(|world| {
        let ended = world.add_pipeline(project, PipelineSpec::default());
        let job = world.add_job(ended, JobSpec::new("unit").archive(archive).junit(Junit::generated(3, 1, 5)));
        run(world, job);
        let running = world.add_pipeline(project, PipelineSpec::default());
        let job = world.add_job(running, JobSpec::new("endless"));
        world.start_job(job);
        [ended, running]
    });
    for endpoint in [Endpoint::Trace, Endpoint::Artifacts, Endpoint::TestReport] {
        rig.fake.inject(Fault::new(FaultKind::HtmlStatus(400)).on(endpoint));
    }
    rig.pass("cistern.db", FULL).await;
    rig.fake.clear_faults();
    made
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gitlab_deletes_before_it_was_fetched_is_no_gap_and_asked_for_once() {
    let mut world = world();
    let project = world.add_project("group/app");
    let rig = Rig::new(world);
    let made = half_fetched(&rig, project).await;
    let kinds: Vec<_> = rig.gaps("cistern.db").await.iter().map(|gap| gap.kind).collect();
    assert_eq!(kinds, ["report", "archive", "log"], "they failed for good");
    rig.fake.with(|world| made.map(|pipeline| world.delete_pipeline(pipeline)));
    let report = rig.pass("cistern.db", FULL).await;
    assert!(report.is_clean(), "{:?}", report.failures);
    assert_eq!(rig.gaps("cistern.db").await, []);
    for extent in [Extent::Due, FULL] {
        rig.fake.reset_counters();
        rig.pass("cistern.db", extent).await;
        assert_eq!(rig.fake.requests().total, 3, "{extent:?} lists and asks nothing more");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_that_was_only_hidden_is_fetched_once_gitlab_shows_it_again() {
    let mut world = world();
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let job = world.add_job(pipeline, JobSpec::new("unit"));
    world.start_job(job);
    let rig = Rig::new(world);
    rig.backfill("cistern.db").await;
    rig.fake.with(|world| {
        world.finish_job(job, "success");
        world.archive_trace(job);
        let ended = world.now();
        // The incremental listing starts after it.
        world.advance(Duration::from_secs(24 * 3600));
        done(world, project);
        world.set_updated_at(pipeline, ended.minus(Duration::from_secs(7200)));
    });
    let hide = || rig.fake.inject(Fault::new(FaultKind::NotFound).on(Endpoint::Pipeline).subject(pipeline.0));
    hide();
    let gone = async || {
        let view = rig.view("cistern.db").await;
        let row = view.pipeline(project, pipeline).await;
        view.close().await;
        row.gone
    };
    // Nothing follows from a project that is not shown either.
    rig.fake.inject(Fault::new(FaultKind::NotFound).on(Endpoint::Project));
    rig.pass("cistern.db", Extent::Due).await;
    assert!(!gone().await);
    rig.fake.clear_faults();
    hide();
    rig.pass("cistern.db", Extent::Due).await;
    assert!(gone().await);
    rig.fake.clear_faults();
    rig.backfill("cistern.db").await;
    assert!(!gone().await);
    assert_eq!(rig.cache("cistern.db").await.jobs[&JobKey { project, job }].log_piece, Piece::Whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_unfinished_is_asked_for_although_the_listing_starts_after_it() {
    let mut world = world();
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let job = world.add_job(pipeline, JobSpec::new("unit"));
    world.start_job(job);
    let rig = Rig::new(world);
    rig.backfill("cistern.db").await;
    rig.fake.with(|world| {
        world.finish_job(job, "success");
        world.archive_trace(job);
        let ended = world.now();
        // The watermark moves far beyond it.
        world.advance(Duration::from_secs(24 * 3600));
        done(world, project);
        world.set_updated_at(pipeline, ended.minus(Duration::from_secs(7200)));
    });
    rig.pass("cistern.db", Extent::Due).await;
    let cache = rig.cache("cistern.db").await;
    assert_eq!(cache.jobs[&JobKey { project, job }].log_piece, Piece::Whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_pass_that_meets_a_waiting_event_is_thorough_all_the_same() {
    let mut world = world();
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let (job, other) = (world.add_job(pipeline, JobSpec::new("unit")), world.add_job(pipeline, JobSpec::new("later")));
    world.start_job(job);
    world.finish_job(job, "success");
    world.start_job(other);
    let rig = Rig::new(world).set("webhook.refresh", "10m");
    let serving = rig.serve("cistern.db").await;
    let key = JobKey { project, job };
    let piece = async || serving.store.job(key).await.expect("read").expect("stored").log.piece;
    assert_eq!(piece().await, Piece::Live);
    rig.fake.with(|world| {
        world.advance(Duration::from_secs(60));
        world.archive_trace(job);
    });
    let event = serving.deliver(&rig.fake.pipeline_event(pipeline).expect("an event")).await;
    assert_eq!(event.status, 202);
    serving.reconciler.pass(FULL, &Only::All, PATIENCE).await.expect("a pass");
    assert_eq!(piece().await, Piece::Whole);
    assert_eq!(serving.queue.depths().1, 0, "the event was worked on too");
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marked_project_is_swept_early_and_unmarked() {
    let mut world = world();
    let (marked, other) = (world.add_project("group/app"), world.add_project("group/lib"));
    let rig = Rig::new(world);
    let serving = rig.serve("cistern.db").await;
    rig.fake.with(|world| {
        done(world, marked);
        done(world, other);
    });
    rig.fake.reset_counters();
    serving.queue.mark(marked);
    let swept = || rig.fake.requests().of(Endpoint::Trace) == 1;
    serving.until(swept).await;
    serving.until(|| serving.reconciler.status().running_since.is_none()).await;
    assert_eq!(rig.fake.requests().of(Endpoint::Pipelines), 2, "only the marked project");
    assert_eq!(serving.store.marks().await.expect("read"), Vec::new());

    serving.store.apply(vec![Change::Mark(other)]).await.expect("stored");
    serving.reconciler.pass(Extent::Due, &Only::All, PATIENCE).await.expect("a pass");
    assert_eq!(serving.store.marks().await.expect("read"), Vec::new(), "any complete sweep unmarks");
    serving.stop().await;
}
