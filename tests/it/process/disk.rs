//! A full disk: nothing that was promised is lost, what is cached stays readable, and space alone brings it back.

use std::time::Duration;

use cistern::demo::fake::{Endpoint, Fault, FaultKind, JobSpec, PipelineSpec, World};
use cistern::domain::JobKey;

use super::{Process, eventually, outcome};
use crate::rig::{Engine, Rig, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_defers_events_keeps_reads_and_heals_by_itself() {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let finished = |world: &mut World, name: &str| {
        let job = world.add_job(pipeline, JobSpec::new(name));
        world.finish_job(job, "success");
        world.archive_trace(job);
        job
    };
    let before = finished(&mut world, "before");
    let rig = Rig::new(world).on(Engine::Sqlite);
    let server = Process::start_limitable(&rig, "cistern.db", &["serve"]).serving().await;
    let key = |job| JobKey { project, job };
    server.until_cached(&rig, key(before)).await;
    server.until_swept().await;

    server.process.limit_files("1");
    let during = rig.fake.with(|world| finished(world, "during"));
    let event = rig.fake.job_event(during).expect("an event");
    for _ in 0..3 {
        let answer = server.deliver(&event).await;
        assert_eq!((answer.status, outcome(&answer).as_str()), (202, "deferred"));
    }
    assert_eq!(server.get("/readyz").await.status, 200);
    server.until_cached(&rig, key(before)).await;
    eventually(async || server.metrics().await.contains("cistern_store_up 0")).await;
    // A read that works does not end it: up means that the store can be written.
    for _ in 0..20 {
        server.until_cached(&rig, key(before)).await;
        assert!(server.metrics().await.contains("cistern_store_up 0"));
    }
    // The answer of the probe is up to a second old.
    eventually(async || server.ready().await["store"] == "away").await;
    let outage = server.ready().await["store_outage"].clone();
    let store = server.status().await["store"].clone();
    assert!(outage["why"].is_string() && store["problem"].is_string(), "{outage} {store}");
    assert_eq!((&store["up"], &store["since"]), (&false.into(), &outage["since"]));
    assert!(server.process.log().contains("the store cannot be written"));

    server.process.limit_files("unlimited");
    server.until_cached(&rig, key(during)).await;
    let after = rig.fake.with(|world| finished(world, "after"));
    let answer = server.deliver(&rig.fake.job_event(after).expect("an event")).await;
    assert_eq!(outcome(&answer), "accepted");
    server.until_cached(&rig, key(after)).await;
    server.process.signal("TERM");
    assert_eq!(server.process.ended().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_during_the_fetch_loses_nothing() {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let rig = Rig::new(world).on(Engine::Sqlite);
    let server = Process::start_limitable(&rig, "cistern.db", &["serve"]).serving().await;
    server.until_swept().await;
    let job = rig.fake.with(|world| {
        let pipeline = world.add_pipeline(project, PipelineSpec::default());
        let job = world.add_job(pipeline, JobSpec::new("unit"));
        world.finish_job(job, "success");
        world.archive_trace(job);
        job
    });
    let slow = FaultKind::Drip { piece_bytes: 500, pause: Duration::from_millis(20) };
    rig.fake.inject(Fault::new(slow).on(Endpoint::Trace));
    assert_eq!(outcome(&server.deliver(&rig.fake.job_event(job).expect("an event")).await), "accepted");
    until(|| rig.fake.requests().of(Endpoint::Trace) == 1).await;
    server.process.limit_files("1");
    // The fetch ends, cannot be recorded, and is made again.
    until(|| rig.fake.requests().of(Endpoint::Trace) > 1 || server.process.log().contains("could not record")).await;
    rig.fake.clear_faults();
    server.process.limit_files("unlimited");
    server.until_cached(&rig, JobKey { project, job }).await;
    eventually(async || server.status().await["queue"]["journal"] == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_finds_no_room_names_the_file_and_leaves_nothing_that_passes_for_a_store() {
    let rig = Rig::new(World::new()).on(Engine::Sqlite);
    let path = rig.directory.path().join("cistern.db");
    // Room for one page: the database's first, and not for the log of what is written to it.
    let little = r#"trap "" XFSZ; ulimit -f 8"#;
    for verb in ["serve", "backfill"] {
        let ended = Process::start_after(&rig, "cistern.db", little, &[verb]).ended().await;
        assert_eq!(ended.code, Some(3), "{ended:?}");
        let named = format!("cistern: open the store: the store is away ({}: ", path.display());
        assert!(ended.stderr.contains(&named), "{}", ended.stderr);
    }
    let checked = Process::start(&rig, "cistern.db", &["check"]).ended().await;
    let warned = format!("! store: {} is empty: the start that made it could not go on", path.display());
    assert!(checked.stdout.contains(&warned), "{checked:?}");
    assert_eq!(Process::start(&rig, "cistern.db", &["backfill"]).ended().await.code, Some(0), "the next one fills it");
}
