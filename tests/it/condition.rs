//! GitLab's condition: it slows down, fails, goes away and comes back, and is asked accordingly.

use std::time::Duration;

use cistern::demo::fake::{Endpoint, Fault, FaultKind, JobSpec, Options, PipelineSpec, World};
use cistern::domain::{JobKey, ProjectId};

use crate::process::Server;
use crate::rig::{Rig, eventually, until};

const STORE: &str = "cistern.db";

/// A project with so many pipelines of 20 ended jobs.
fn world(pipelines: usize) -> World {
    let mut world = World::new();
    let project = world.add_project("group/app");
    for _ in 0..pipelines {
        ended_jobs(&mut world, project, 20);
    }
    world
}

fn ended_jobs(world: &mut World, project: ProjectId, count: usize) -> Vec<JobKey> {
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let ended = |number| {
        let job = world.add_job(pipeline, JobSpec::new(&format!("unit {number}")));
        world.finish_job(job, "success");
        world.archive_trace(job);
        JobKey { project, job }
    };
    (0..count).map(ended).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gitlab_that_slows_down_under_load_is_asked_less_at_once_and_more_again_when_it_recovers() {
    let options = Options { latency: Duration::from_millis(20), ..Options::default() };
    let rig = Rig::with(world(60), options);
    let server = Server::start(&rig, STORE).await;
    let window = async || server.status().await["gitlab"]["window"].as_u64().expect("a number");
    // It has learned how fast GitLab is.
    until(|| rig.fake.requests().of(Endpoint::Trace) > 100).await;
    eventually(async || window().await == 20).await;
    rig.fake.bear(5);
    eventually(async || window().await <= 14).await;
    assert!(server.metrics().await.contains("cistern_gitlab_window "));
    rig.fake.bear(0);
    eventually(async || window().await == 20).await;
    server.until_swept().await;
    assert!(rig.gaps(STORE).await.is_empty(), "slowness loses nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gitlab_that_is_down_is_asked_by_one_question_at_a_time_and_everything_is_made_up_for() {
    let rig = Rig::new(world(1)).set("schedule.scale", "0.001");
    let server = Server::start(&rig, STORE).await;
    server.until_swept().await;
    rig.fake.inject(Fault::new(FaultKind::HtmlStatus(502)));
    let project = rig.fake.with(|world| world.projects()[0]);
    let jobs = rig.fake.with(|world| ended_jobs(world, project, 200));
    for job in &jobs {
        let event = rig.fake.job_event(job.job).expect("an event");
        assert_eq!(server.deliver(&event).await.status, 202);
    }
    let circuit = async || server.status().await["gitlab"]["circuit"].as_str().expect("a word").to_owned();
    eventually(async || circuit().await != "closed").await;
    assert!(server.metrics().await.contains("cistern_gitlab_circuit_open 1"));
    let paused = server.status().await["gitlab"]["paused"]["why"].as_str().unwrap_or_default().to_owned();
    assert!(paused.is_empty() || paused == "GitLab does not answer", "{paused}");
    // Once what was in flight when it opened has come back there are tries only.
    until(|| rig.fake.in_flight() == 0).await;
    rig.fake.reset_counters();
    until(|| rig.fake.requests().total >= 2).await;
    assert!(rig.fake.max_in_flight() <= 1, "{} at once", rig.fake.max_in_flight());

    rig.fake.clear_faults();
    eventually(async || circuit().await == "closed").await;
    for job in jobs {
        server.until_cached(&rig, job).await;
    }
    assert!(server.metrics().await.contains("cistern_gitlab_circuit_open 0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_tells_of_each_project_how_far_it_is_and_what_it_lacks() {
    let mut world = world(1);
    let other = world.add_project("group/other");
    ended_jobs(&mut world, other, 2);
    let first = world.projects()[0];
    let rig = Rig::new(world);
    rig.fake.inject(Fault::new(FaultKind::Forbidden).on(Endpoint::PipelineJobs).project(other.0));
    let server = Server::start(&rig, STORE).await;
    server.until_swept().await;
    let standings = server.status().await["reconcile"]["standings"].clone();
    let of = |project: ProjectId| {
        let all = standings["projects"].as_array().expect("a list");
        all.iter().find(|standing| standing["project"] == project.0).expect("the project").clone()
    };
    assert_eq!((&of(other)["gaps"], &of(other)["failing"]), (&1.into(), &1.into()), "{standings}");
    assert_eq!(of(first)["gaps"], 0);
    for project in [first, other] {
        assert!(of(project)["watermark"].is_string() && of(project)["full_pass_at"].is_string(), "{standings}");
    }
    assert_eq!((&standings["gaps"], &standings["left_out"]), (&1.into(), &0.into()));
    assert!(server.metrics().await.contains("cistern_reconcile_gaps 1"));
}
