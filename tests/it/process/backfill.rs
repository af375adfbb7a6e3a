//! `backfill` as scripts see it: one answer on stdout, lines on stderr, exit codes, and company on one file.

use std::time::Duration;

use cistern::demo::fake::{Endpoint, Fault, FaultKind, JobSpec, Options, PipelineSpec, World};
use cistern::domain::JobKey;
use cistern::store::Place;
use serde_json::Value;

use super::{Process, Server};
use crate::rig::{Engine, Rig, on_both, until};

/// Projects with pipelines of finished jobs.
fn world(projects: usize, pipelines: usize, jobs: usize) -> World {
    let mut world = World::new();
    for project in 0..projects {
        let project = world.add_project(&format!("group/app-{project}"));
        for _ in 0..pipelines {
            let pipeline = world.add_pipeline(project, PipelineSpec::default());
            for job in 0..jobs {
                let job = world.add_job(pipeline, JobSpec::new(&format!("unit {job}")));
                world.finish_job(job, "success");
                world.archive_trace(job);
            }
        }
    }
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn its_json_is_all_that_is_on_stdout_and_its_lines_are_on_stderr() {
    let rig = Rig::new(world(2, 2, 3));
    let ended = Process::start(&rig, "cistern.db", &["backfill", "--output", "json"]).ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let summary: Value = serde_json::from_str(&ended.stdout).expect("one JSON document");
    assert_eq!((&summary["pipelines"], &summary["jobs"], &summary["failures"]), (&4.into(), &12.into(), &0.into()));
    assert_eq!(summary["gitlab_calls"], rig.fake.requests().total);
    let cached: Vec<&str> = ended.stderr.lines().filter(|line| line.starts_with("✓ cached log of job ")).collect();
    assert_eq!(cached.len(), 12, "{}", ended.stderr);
    assert!(cached.iter().all(|line| line.contains(" (unit ") && line.ends_with('B')), "{cached:?}");

    let again = Process::start(&rig, "cistern.db", &["backfill"]).ended().await;
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(again.stdout.starts_with("0 pipelines, 0 jobs") && again.stdout.lines().count() == 1, "{}", again.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_is_listed_with_the_reason_and_exit_code_1() {
    let rig = Rig::new(world(1, 1, 3)).set("schedule.scale", "0.001");
    let job = rig.fake.with(|world| {
        let pipeline = world.pipelines_of(world.projects()[0])[0];
        world.jobs_of(pipeline)[1]
    });
    rig.fake.inject(Fault::new(FaultKind::ServerError).on(Endpoint::Trace).subject(job.0));
    let ended = Process::start(&rig, "cistern.db", &["backfill"]).ended().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stdout.contains(&format!("✗ job {job}")) && ended.stdout.contains("500"), "{}", ended.stdout);
    assert!(ended.stderr.contains(&format!("✗ log of job {job} (unit 1): ")), "{}", ended.stderr);
    assert!(rig.fake.requests().of(Endpoint::Trace) >= 2 + 5, "an item gets five tries");

    rig.fake.clear_faults();
    let again = Process::start(&rig, "cistern.db", &["backfill"]).ended().await;
    assert_eq!(again.code, Some(0), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_writes_nothing_and_predicts_the_calls_of_the_real_run() {
    let rig = Rig::new(world(2, 3, 4));
    let dry = Process::start(&rig, "cistern.db", &["backfill", "--dry-run", "--output", "json"]).ended().await;
    assert_eq!(dry.code, Some(0), "{dry:?}");
    let forecast: Value = serde_json::from_str(&dry.stdout).expect("one JSON document");
    assert_eq!((&forecast["logs"], &forecast["pipelines"]), (&24.into(), &6.into()));
    assert_eq!(rig.fake.requests().of(Endpoint::Trace), 0);
    if matches!(rig.config("cistern.db").store.place, Place::Sqlite(_)) {
        let verify = Process::start(&rig, "cistern.db", &["verify"]).ended().await;
        assert_eq!(verify.code, Some(1), "{verify:?}");
        let made = std::fs::read_dir(rig.directory.path()).expect("read").count();
        assert_eq!(made, 0, "neither the file nor its companions are made");
    } else {
        assert_eq!(rig.behind("cistern.db").await.facts().await, 0);
    }

    rig.fake.reset_counters();
    let real = Process::start(&rig, "cistern.db", &["backfill"]).ended().await;
    assert_eq!(real.code, Some(0), "{real:?}");
    assert_eq!(forecast["gitlab_calls"], rig.fake.requests().total);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_named_projects_are_cached() {
    let rig = Rig::new(world(3, 1, 2));
    let id = rig.fake.with(|world| world.projects()[2]).to_string();
    let arguments = ["backfill", "--project", "group/app-0", "--project", &id, "--output", "json"];
    let ended = Process::start(&rig, "cistern.db", &arguments).ended().await;
    let summary: Value = serde_json::from_str(&ended.stdout).expect("one JSON document");
    assert_eq!((ended.code, &summary["jobs"]), (Some(0), &4.into()), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sequential_means_one_call_at_a_time() {
    let options = Options { latency: Duration::from_millis(1), ..Options::default() };
    let rig = Rig::with(world(2, 2, 2), options);
    let ended = Process::start(&rig, "cistern.db", &["backfill", "--sequential"]).ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(rig.fake.max_in_flight(), 1);
}

async fn sequential_beside_a_serve_that_has_nothing_to_do_ends(engine: Engine) {
    let rig = Rig::new(world(2, 2, 2)).on(engine);
    let server = Server::start(&rig, "cistern.db").await;
    server.until_swept().await;
    let (project, job) = rig.fake.with(|world| {
        let project = world.projects()[0];
        let pipeline = world.add_pipeline(project, PipelineSpec::default());
        let job = world.add_job(pipeline, JobSpec::new("unit"));
        world.finish_job(job, "success");
        world.archive_trace(job);
        (project, job)
    });
    let ended = Process::start(&rig, "cistern.db", &["backfill", "--sequential"]).ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    server.until_cached(&rig, JobKey { project, job }).await;
}

on_both! {
    sequential_beside_a_serve_that_has_nothing_to_do_ends;
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_serve_on_one_file_the_two_share_the_permits() {
    let options = Options { latency: Duration::from_millis(10), ..Options::default() };
    let rig = Rig::with(world(3, 6, 6), options).set("limits.api_calls", "4");
    rig.fake.inject(Fault::new(FaultKind::HtmlStatus(503)).on(Endpoint::Projects).times(1));
    let server = Server::start(&rig, "cistern.db").await;
    // The serve's pass at start failed, so that the backfill finds work, while events keep the serve busy.
    let backfill = Process::start(&rig, "cistern.db", &["backfill", "--wait", "30s"]);
    let jobs: Vec<_> = rig.fake.with(|world| {
        let pipelines: Vec<_> = world.projects().into_iter().flat_map(|project| world.pipelines_of(project)).collect();
        pipelines.into_iter().flat_map(|pipeline| world.jobs_of(pipeline)).collect()
    });
    for job in &jobs {
        assert_eq!(server.deliver(&rig.fake.job_event(*job).expect("an event")).await.status, 202);
    }
    let ended = backfill.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for job in jobs {
        let project = rig.fake.with(|world| world.project_of_job(job)).expect("its project");
        server.until_cached(&rig, JobKey { project, job }).await;
    }
    let seen = rig.fake.max_in_flight();
    assert!((2..=4).contains(&seen), "{seen} calls were in flight at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_for_another_pass_as_long_as_told_and_says_so() {
    let rig = Rig::new(world(1, 1, 1));
    rig.fake.inject(Fault::new(FaultKind::Stall).on(Endpoint::Projects).times(1));
    let server = Server::start(&rig, "cistern.db").await;
    until(|| rig.fake.requests().of(Endpoint::Projects) == 1).await;
    let impatient = Process::start(&rig, "cistern.db", &["backfill", "--wait", "100ms"]).ended().await;
    assert_eq!((impatient.code, impatient.stdout.as_str()), (Some(3), ""), "{impatient:?}");
    assert!(impatient.stderr.contains("waiting for another process"), "{}", impatient.stderr);
    assert!(impatient.stderr.contains("another process is sweeping and did not end"), "{}", impatient.stderr);

    let patient = Process::start(&rig, "cistern.db", &["backfill"]);
    until(|| patient.log().contains("waiting for another process")).await;
    server.process.signal("TERM");
    assert_eq!(server.process.ended().await.code, Some(0));
    assert_eq!(patient.ended().await.code, Some(0), "the lease of a service that stopped is free");
}
