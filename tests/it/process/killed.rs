//! `kill -9`: what was accepted survives it (law 4), and the restart waits for nothing.

use std::sync::atomic::{AtomicUsize, Ordering};

use cistern::demo::fake::{Endpoint, Fault, FaultKind, JobSpec, PipelineSpec, World};
use cistern::domain::{JobId, JobKey, ProjectId};
use futures_util::{StreamExt, stream};

use super::{Process, Server, deliver, eventually, outcome};
use crate::rig::{Engine, Rig, until};

fn finished_jobs(rig: &Rig, project: ProjectId, count: usize) -> Vec<JobId> {
    rig.fake.with(|world| {
        let pipeline = world.add_pipeline(project, PipelineSpec::default());
        let mut jobs = Vec::new();
        for number in 0..count {
            let job = world.add_job(pipeline, JobSpec::new(&format!("unit {number}")));
            world.finish_job(job, "success");
            world.archive_trace(job);
            jobs.push(job);
        }
        jobs
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_before_a_kill_is_cached_after_the_restart() {
    let mut world = World::new();
    let project = world.add_project("group/app");
    // With so long a lease nobody takes the work over by waiting for its end.
    let rig = Rig::new(world).on(Engine::Sqlite).set("store.lease", "10m");
    let server = Server::start(&rig, "cistern.db").await;
    server.until_swept().await;
    for endpoint in [Endpoint::Job, Endpoint::Trace, Endpoint::Projects, Endpoint::Pipelines] {
        rig.fake.inject(Fault::new(FaultKind::Stall).on(endpoint));
    }
    let jobs = finished_jobs(&rig, project, 60);
    for job in &jobs {
        let answer = server.deliver(&rig.fake.job_event(*job).expect("an event")).await;
        assert_eq!((answer.status, outcome(&answer).as_str()), (202, "accepted"));
    }
    until(|| rig.fake.requests().of(Endpoint::Job) > 0).await;
    server.process.kill();

    rig.fake.clear_faults();
    // Sweeping would find the jobs too: only the journal may bring them back here.
    rig.fake.inject(Fault::new(FaultKind::HtmlStatus(503)).on(Endpoint::Projects));
    let server = Server::start(&rig, "cistern.db").await;
    for job in &jobs {
        server.until_cached(&rig, JobKey { project, job: *job }).await;
    }
    assert_eq!(rig.fake.requests().of(Endpoint::PipelineJobs), 0, "the jobs were found by a pass");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_amid_a_storm_of_events_loses_none_that_was_accepted() {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let rig = Rig::new(world).on(Engine::Sqlite).set("store.lease", "10m");
    let server = Server::start(&rig, "cistern.db").await;
    server.until_swept().await;
    rig.fake.inject(Fault::new(FaultKind::HtmlStatus(503)).on(Endpoint::Projects));
    let jobs = finished_jobs(&rig, project, 400);
    let address = server.address();
    let answered = AtomicUsize::new(0);
    let storm = stream::iter(&jobs)
        .map(|job| {
            let event = rig.fake.job_event(*job).expect("an event");
            let answered = &answered;
            async move {
                let answer = deliver(address, &event).await.ok()?;
                assert_eq!(outcome(&answer), "accepted");
                answered.fetch_add(1, Ordering::Relaxed);
                Some(*job)
            }
        })
        .buffer_unordered(16)
        .collect::<Vec<_>>();
    let kill = async {
        until(|| answered.load(Ordering::Relaxed) >= 100).await;
        server.process.kill();
    };
    let (accepted, ()) = tokio::join!(storm, kill);
    let accepted: Vec<JobId> = accepted.into_iter().flatten().collect();
    assert!((100..jobs.len()).contains(&accepted.len()), "{} were accepted: no kill amid them", accepted.len());

    let server = Server::start(&rig, "cistern.db").await;
    for job in accepted {
        server.until_cached(&rig, JobKey { project, job }).await;
    }
    assert_eq!(rig.fake.requests().of(Endpoint::PipelineJobs), 0, "the jobs were found by a pass");
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_kills_its_process_three_times_is_set_aside_until_a_new_hint() {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let rig = Rig::new(world).on(Engine::Sqlite);
    let server = Server::start(&rig, "cistern.db").await;
    server.until_swept().await;
    rig.fake.inject(Fault::new(FaultKind::HtmlStatus(503)).on(Endpoint::Projects));
    rig.fake.inject(Fault::new(FaultKind::Stall).on(Endpoint::Job));
    let job = finished_jobs(&rig, project, 1)[0];
    let event = rig.fake.job_event(job).expect("an event");
    assert_eq!(server.deliver(&event).await.status, 202);

    let mut server = server;
    for death in 1..=3 {
        until(|| rig.fake.requests().of(Endpoint::Job) == death).await;
        server.process.kill();
        server = Server::start(&rig, "cistern.db").await;
    }
    eventually(async || server.status().await["queue"]["journal"] == 0).await;
    assert_eq!(rig.fake.requests().of(Endpoint::Job), 3, "it was worked on a fourth time");

    rig.fake.clear_faults();
    assert_eq!(outcome(&server.deliver(&event).await), "accepted");
    server.until_cached(&rig, JobKey { project, job }).await;
}

/// At most one of those that were under way together could be what kills.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_under_way_in_company_survives_three_kills() {
    let mut world = World::new();
    let project = world.add_project("group/app");
    // On MongoDB the permits of a killed process come back only a minute later.
    let rig = Rig::new(world).on(Engine::Sqlite);
    let mut server = Server::start(&rig, "cistern.db").await;
    server.until_swept().await;
    rig.fake.inject(Fault::new(FaultKind::HtmlStatus(503)).on(Endpoint::Projects));
    rig.fake.inject(Fault::new(FaultKind::Stall).on(Endpoint::Job));
    let jobs = finished_jobs(&rig, project, 20);
    for job in &jobs {
        let answer = server.deliver(&rig.fake.job_event(*job).expect("an event")).await;
        assert_eq!((answer.status, outcome(&answer).as_str()), (202, "accepted"));
    }
    let mut asked = jobs.len() as u64;
    for _ in 0..3 {
        until(|| rig.fake.requests().of(Endpoint::Job) >= asked).await;
        server.process.kill();
        asked = rig.fake.requests().of(Endpoint::Job) + 1;
        server = Server::start(&rig, "cistern.db").await;
    }
    // What may have killed it is worked on one at a time.
    until(|| rig.fake.requests().of(Endpoint::Job) >= asked).await;
    assert_eq!(rig.fake.requests().of(Endpoint::Job), asked);
    rig.fake.clear_faults();
    rig.fake.inject(Fault::new(FaultKind::HtmlStatus(503)).on(Endpoint::Projects));
    server.process.kill();
    let server = Server::start(&rig, "cistern.db").await;
    for job in jobs {
        server.until_cached(&rig, JobKey { project, job }).await;
    }
    assert_eq!(rig.fake.requests().of(Endpoint::PipelineJobs), 0, "the jobs were found by a pass");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_serve_on_one_file_is_refused_with_a_sentence() {
    let rig = Rig::new(World::new()).on(Engine::Sqlite);
    let server = Server::start(&rig, "cistern.db").await;
    let second = Process::start(&rig, "cistern.db", &["serve"]).ended().await;
    assert_eq!(second.code, Some(3), "{second:?}");
    assert!(second.stderr.contains("another `cistern serve` uses"), "{second:?}");
    assert_eq!(server.get("/readyz").await.status, 200);
}
