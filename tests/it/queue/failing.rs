//! Verdicts fail for good, everything else is postponed (design, section 4.2).

use cistern::demo::fake::{Archive, Endpoint, Fault, FaultKind, JobSpec, PipelineSpec};
use cistern::domain::{JobId, JobKey, Piece, ProjectId, Reason};
use cistern::work::Lane;

use super::{cached, deliver, empty, job_event, log_of, settled_jobs};
use crate::rig::{Rig, Serving, eventually, until};

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_the_server_postpone_until_it_recovers() {
    let faults = [
        FaultKind::HtmlStatus(502),
        FaultKind::ServerError,
        FaultKind::CloseBeforeHead,
        FaultKind::Truncated { percent: 50 },
    ];
    let (world, project) = empty();
    let rig = Rig::new(world).set("schedule.scale", "0.01");
    let serving = rig.serve("cistern.db").await;
    for fault in faults {
        let (_, jobs) = settled_jobs(&rig, project, 1);
        for endpoint in [Endpoint::Job, Endpoint::Trace] {
            rig.fake.inject(Fault::new(fault.clone()).on(endpoint).subject(jobs[0].0).times(2));
        }
        deliver(&serving, &job_event(&rig, jobs[0])).await;
        cached(&rig, &serving, project, jobs[0]).await;
    }
    assert_eq!(serving.store.failures(None).await.expect("the failures").len(), 0);
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_sets_a_job_aside_until_a_new_hint_starts_it_anew() {
    let (world, project) = empty();
    let rig = Rig::new(world).set("schedule.scale", "0.001");
    let serving = rig.serve("cistern.db").await;
    let (_, jobs) = settled_jobs(&rig, project, 1);
    rig.fake.inject(Fault::new(FaultKind::Forbidden).on(Endpoint::Job).times(1));
    let event = job_event(&rig, jobs[0]);
    deliver(&serving, &event).await;
    until(|| serving.queue.is_empty()).await;
    let failures = serving.store.failures(Some(project)).await.expect("the failures");
    assert_eq!((failures.len(), failures[0].target.id(), failures[0].attempts), (1, jobs[0].0, 1));
    assert!(failures[0].problem.contains("403"), "{}", failures[0].problem);
    assert_eq!(serving.store.journal_len().await.expect("a count"), 0);
    assert_eq!(rig.fake.requests().of(Endpoint::Job), 1, "a verdict is not asked for twice");

    assert_eq!(deliver(&serving, &event).await, "accepted");
    cached(&rig, &serving, project, jobs[0]).await;
    // MongoDB has the facts first and the end of the work a moment later.
    until(|| serving.queue.is_empty()).await;
    assert_eq!(serving.store.failures(None).await.expect("the failures").len(), 0);
    serving.stop().await;
}

/// Lets a job end whose archive GitLab lists and cannot find, and tells of it.
async fn job_whose_archive_is_lost(rig: &Rig, serving: &Serving, project: ProjectId) -> JobId {
    let job = rig.fake.with(|world| {
        let pipeline = world.add_pipeline(project, PipelineSpec::default());
        let archive = Archive::zip([("out.txt", &b"small"[..])]).expect("a zip");
        let job = world.add_job(pipeline, JobSpec::new("unit").archive(archive));
        world.finish_job(job, "success");
        world.archive_trace(job);
        job
    });
    rig.fake.inject(Fault::new(FaultKind::NotFound).on(Endpoint::Artifacts));
    deliver(serving, &job_event(rig, job)).await;
    job
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_gitlab_lists_and_never_has_fails_for_good_until_a_full_pass() {
    let (world, project) = empty();
    let rig = Rig::new(world).set("schedule.scale", "0.001");
    let serving = rig.serve("cistern.db").await;
    let job = job_whose_archive_is_lost(&rig, &serving, project).await;
    cached(&rig, &serving, project, job).await;
    until(|| serving.queue.is_empty()).await;
    let failures = serving.store.failures(Some(project)).await.expect("the failures");
    assert_eq!((failures.len(), failures[0].attempts), (1, 5), "{failures:?}");
    assert!(failures[0].problem.contains("404"), "{}", failures[0].problem);
    assert_eq!(rig.fake.requests().of(Endpoint::Artifacts), 5);
    let archive = async |store: &cistern::store::Store| {
        store.job(JobKey { project, job }).await.expect("read").expect("its row").archive.piece
    };
    assert_eq!(archive(&serving.store).await, Piece::Absent(Reason::Failed));
    assert_eq!(serving.store.journal_len().await.expect("a count"), 0);
    serving.stop().await;

    rig.fake.clear_faults();
    assert!(rig.backfill("cistern.db").await.is_clean());
    let view = rig.view("cistern.db").await;
    assert_eq!(archive(&view.store).await, Piece::Whole);
    view.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_contradicts_gitlab_s_listing_leaves_the_live_lane_after_its_first_try() {
    let (world, project) = empty();
    let rig = Rig::new(world);
    let serving = rig.serve("cistern.db").await;
    let job = job_whose_archive_is_lost(&rig, &serving, project).await;
    let lanes = async || {
        let entries = serving.store.entries(10).await.expect("the journal");
        entries.into_iter().filter(|entry| entry.target.id() == job.0).map(|entry| (entry.lane, entry.attempts))
    };
    eventually(async || lanes().await.eq([(Lane::Backfill, 1)])).await;
    eventually(async || rig.fake.requests().of(Endpoint::Artifacts) >= 2).await;
    eventually(async || lanes().await.eq([(Lane::Backfill, 2)])).await;
    let waits = |lane| serving.queue.depths().0.iter().any(|depth| depth.lane == lane && depth.targets == 1);
    until(|| waits(Lane::Backfill)).await;
    assert!(!waits(Lane::Live));
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_failed_for_good_is_fetched_again_for_a_new_hint() {
    let (world, project) = empty();
    let rig = Rig::new(world);
    let serving = rig.serve("cistern.db").await;
    let (_, jobs) = settled_jobs(&rig, project, 1);
    rig.fake.inject(Fault::new(FaultKind::HtmlStatus(422)).on(Endpoint::Trace).times(1));
    let event = job_event(&rig, jobs[0]);
    deliver(&serving, &event).await;
    until(|| serving.queue.is_empty()).await;
    assert_eq!(serving.store.failures(Some(project)).await.expect("the failures").len(), 1);
    deliver(&serving, &event).await;
    cached(&rig, &serving, project, jobs[0]).await;
    until(|| serving.queue.is_empty()).await;
    assert_eq!(serving.store.failures(None).await.expect("the failures").len(), 0);
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_the_token_may_not_read_is_forbidden_and_not_asked_for_again() {
    let (world, project) = empty();
    let rig = Rig::new(world);
    let serving = rig.serve("cistern.db").await;
    let (_, jobs) = settled_jobs(&rig, project, 1);
    rig.fake.with(|world| world.forbid_log(jobs[0]));
    let event = job_event(&rig, jobs[0]);
    for _ in 0..3 {
        deliver(&serving, &event).await;
        until(|| serving.queue.is_empty()).await;
    }
    assert_eq!(rig.fake.requests().of(Endpoint::Trace), 1);
    let told: serde_json::Value = serde_json::from_slice(&log_of(&serving, project, jobs[0]).await).expect("JSON");
    assert_eq!(told["message"], "404 Not found: Cistern does not hold it (forbidden)");
    let held = serving.store.job(cistern::domain::JobKey { project, job: jobs[0] }).await.expect("a read");
    let piece = held.expect("its row").log.piece;
    assert_eq!(piece, cistern::domain::Piece::Absent(cistern::domain::Reason::Forbidden));
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_job_in_trouble_does_not_hold_the_others_up() {
    let (world, project) = empty();
    let rig = Rig::new(world);
    let serving = rig.serve("cistern.db").await;
    let (_, jobs) = settled_jobs(&rig, project, 6);
    rig.fake.inject(Fault::new(FaultKind::Stall).on(Endpoint::Trace).subject(jobs[0].0));
    rig.fake.inject(Fault::new(FaultKind::HtmlStatus(503)).on(Endpoint::Job).subject(jobs[1].0));
    for job in &jobs {
        deliver(&serving, &job_event(&rig, *job)).await;
    }
    for job in &jobs[2..] {
        cached(&rig, &serving, project, *job).await;
    }
    assert_ne!(log_of(&serving, project, jobs[0]).await, rig.fake.with(|world| world.trace(jobs[0])).expect("a log"));
}
