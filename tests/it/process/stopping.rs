//! Signals: the order in which a service stops (design, section 4.8), and the exit codes that tell who asked.

use cistern::demo::fake::{Endpoint, Fault, FaultKind, JobSpec, PipelineSpec, World};
use cistern::domain::{JobId, JobKey, ProjectId};
use serde_json::Value;

use super::{Process, Server};
use crate::rig::{Engine, Rig, until};

/// A world with one finished job, and a service that has swept before the job was there.
async fn rig_with_job(settings: &[(&str, &str)]) -> (Rig, Server, ProjectId, JobId) {
    let mut world = World::new();
    let project = world.add_project("group/app");
    // A restart is only immediate where the file's lock proves that the process before it is gone.
    let rig = settings.iter().fold(Rig::new(world).on(Engine::Sqlite), |rig, (key, value)| rig.set(key, value));
    let server = Server::start(&rig, "cistern.db").await;
    server.until_swept().await;
    let job = rig.fake.with(|world| {
        let pipeline = world.add_pipeline(project, PipelineSpec::default());
        let job = world.add_job(pipeline, JobSpec::new("unit"));
        world.finish_job(job, "success");
        world.archive_trace(job);
        job
    });
    (rig, server, project, job)
}

fn slow_log() -> Fault {
    let pause = std::time::Duration::from_millis(20);
    Fault::new(FaultKind::Drip { piece_bytes: 200, pause }).on(Endpoint::Trace)
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_lets_running_work_end_and_exits_with_0() {
    let (rig, server, project, job) = rig_with_job(&[("server.drain_delay", "100ms")]).await;
    rig.fake.inject(slow_log());
    server.deliver(&rig.fake.job_event(job).expect("an event")).await;
    until(|| rig.fake.requests().of(Endpoint::Trace) == 1).await;
    server.process.signal("TERM");
    let ended = server.process.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.stdout, "");
    assert!(ended.stderr.contains(r#""message":"stopped","in_time":true,"targets.cut_off":0"#), "{}", ended.stderr);

    rig.fake.inject(Fault::new(FaultKind::HtmlStatus(503)));
    let server = Server::start(&rig, "cistern.db").await;
    let log = server.log_of(JobKey { project, job }).await;
    assert_eq!(log, rig.fake.with(|world| world.trace(job)).expect("a log"), "the log under way was not finished");
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_to_stop_with_nothing_under_way_it_exits_with_0_whoever_asks() {
    for signal in ["TERM", "INT"] {
        let (_rig, server, ..) = rig_with_job(&[]).await;
        server.process.signal(signal);
        let ended = server.process.ended().await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""), "{signal}: {}", ended.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_to_stop_while_it_starts_it_exits_with_0() {
    let rig = Rig::new(World::new());
    let process = Process::start(&rig, "cistern.db", &["serve"]);
    until(|| process.log().contains("found its limits")).await;
    process.signal("TERM");
    let ended = process.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_end_within_the_drain_timeout_stays_in_the_journal_and_it_exits_with_1() {
    let (rig, server, project, job) = rig_with_job(&[("server.drain_timeout", "200ms")]).await;
    rig.fake.inject(Fault::new(FaultKind::Stall).on(Endpoint::Trace).times(1));
    server.deliver(&rig.fake.job_event(job).expect("an event")).await;
    until(|| rig.fake.requests().of(Endpoint::Trace) == 1).await;
    server.process.signal("TERM");
    let ended = server.process.ended().await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains(r#""targets.cut_off":1"#), "{}", ended.stderr);

    rig.fake.inject(Fault::new(FaultKind::HtmlStatus(503)).on(Endpoint::Projects));
    let server = Server::start(&rig, "cistern.db").await;
    server.until_cached(&rig, JobKey { project, job }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn during_the_drain_delay_it_is_not_ready_and_still_serves_everything() {
    let (rig, server, project, job) = rig_with_job(&[("server.drain_delay", "1h")]).await;
    assert_eq!(server.get("/readyz").await.status, 200);
    server.process.signal("TERM");
    server.until_answers("/readyz", 503).await;
    let ready: Value = serde_json::from_slice(&server.get("/readyz").await.body).expect("JSON");
    assert_eq!(ready["status"], "stopping");
    assert_eq!(server.get("/livez").await.status, 200);
    assert_eq!(server.deliver(&rig.fake.job_event(job).expect("an event")).await.status, 202);
    server.until_cached(&rig, JobKey { project, job }).await;
    assert!(server.metrics().await.contains("cistern_webhook_requests_total"));
    server.process.signal("TERM");
    assert_eq!(server.process.ended().await.code, Some(143), "whoever asks twice is not told that it drained");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_at_once_and_the_journal_keeps_what_was_accepted() {
    let (rig, server, project, job) = rig_with_job(&[("server.drain_timeout", "1h")]).await;
    rig.fake.inject(Fault::new(FaultKind::Stall).on(Endpoint::Trace).times(1));
    server.deliver(&rig.fake.job_event(job).expect("an event")).await;
    until(|| rig.fake.requests().of(Endpoint::Trace) == 1).await;
    server.process.signal("INT");
    until(|| server.process.log().contains("shutting down")).await;
    server.process.signal("INT");
    let ended = server.process.ended().await;
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    assert!(!ended.stderr.contains(r#""message":"stopped""#), "{}", ended.stderr);

    rig.fake.inject(Fault::new(FaultKind::HtmlStatus(503)).on(Endpoint::Projects));
    let server = Server::start(&rig, "cistern.db").await;
    server.until_cached(&rig, JobKey { project, job }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_on_a_backfill_exits_with_130_and_the_next_run_completes_it() {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let jobs: Vec<JobId> = (0..10)
        .map(|number| {
            let job = world.add_job(pipeline, JobSpec::new(&format!("unit {number}")));
            world.finish_job(job, "success");
            world.archive_trace(job);
            job
        })
        .collect();
    let rig = Rig::new(world);
    rig.fake.inject(Fault::new(FaultKind::Stall).on(Endpoint::Trace).skip(5));
    let process = Process::start(&rig, "cistern.db", &["backfill"]);
    until(|| rig.fake.requests().of(Endpoint::Trace) == 10).await;
    process.signal("INT");
    let ended = process.ended().await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(130), ""), "{}", ended.stderr);
    assert!(ended.stderr.contains("interrupted"), "{}", ended.stderr);

    let before = rig.fake.requests().of(Endpoint::Projects);
    rig.fake.inject(Fault::new(FaultKind::Stall).on(Endpoint::Projects));
    let process = Process::start(&rig, "cistern.db", &["verify"]);
    until(|| rig.fake.requests().of(Endpoint::Projects) > before).await;
    process.signal("INT");
    let ended = process.ended().await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(130), ""), "{}", ended.stderr);
    assert!(ended.stderr.contains("interrupted before everything was compared"), "{}", ended.stderr);

    rig.fake.clear_faults();
    rig.fake.reset_counters();
    let again = Process::start(&rig, "cistern.db", &["backfill"]).ended().await;
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(rig.fake.requests().of(Endpoint::Trace) < 10, "what was cached was fetched again");
    let server = Server::start(&rig, "cistern.db").await;
    for job in jobs {
        server.until_cached(&rig, JobKey { project, job }).await;
    }
}
