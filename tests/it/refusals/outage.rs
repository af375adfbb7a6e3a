//! 403 and JSON to everything: the token's user is blocked or has terms to accept, and nothing that was refused is a fact.

use std::time::Duration;

use cistern::demo::fake::{BLOCKED, Endpoint, Fault, FaultKind, Options, TERMS, World};
use cistern::domain::Piece;

use super::{FORBIDDEN, STORE, add_jobs, pieces};
use crate::process::{Process, Server};
use crate::rig::{Engine, Rig, eventually, on_both};

on_both! {
    while_everything_is_refused_a_backfill_ends_with_3_and_leaves_no_fact_behind;
    a_service_waits_until_everything_is_allowed_again_and_goes_on_by_itself;
    a_project_that_is_refused_as_a_whole_stops_only_itself;
}

async fn while_everything_is_refused_a_backfill_ends_with_3_and_leaves_no_fact_behind(engine: Engine) {
    let mut world = World::new();
    let project = world.add_project("group/app");
    add_jobs(&mut world, project, 40);
    let rig = Rig::with(world, Options::default()).on(engine);
    // Its lists are answered and some of what they show, then nothing any more.
    rig.fake.inject(Fault::new(FaultKind::UserRefused(TERMS)).skip(30));
    let ended = Process::start(&rig, STORE, &["backfill"]).ended().await;
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    let told = "GitLab refuses everything to this token for now (403): its user has to accept the terms of service";
    assert!(ended.stderr.contains(told), "{}", ended.stderr);
    assert_eq!(ended.stderr.matches("which is asked for by itself").count(), 1, "{}", ended.stderr);
    let refused = rig.fake.requests().total - 30;
    assert!(refused <= 2 * 20, "{refused} were sent to a GitLab that refuses everything");
    let held = pieces(&rig).await;
    assert!(!held.contains(&FORBIDDEN), "{held:?}");

    rig.fake.clear_faults();
    let ended = Process::start(&rig, STORE, &["backfill"]).ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(rig.backfill("fresh.db").await.is_clean());
    assert_eq!(rig.cache(STORE).await, rig.cache("fresh.db").await);
    assert_eq!(pieces(&rig).await, [Piece::Whole; 90]);
}

async fn a_service_waits_until_everything_is_allowed_again_and_goes_on_by_itself(engine: Engine) {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let rig = Rig::with(world, Options::default()).on(engine).set("schedule.scale", "0.01");
    let server = Server::start(&rig, STORE).await;
    server.until_swept().await;
    let (_, jobs) = rig.fake.with(|world| add_jobs(world, project, 8));
    rig.fake.inject(Fault::new(FaultKind::UserRefused(BLOCKED)));
    for job in &jobs {
        server.deliver(&rig.fake.job_event(*job).expect("an event")).await;
    }
    let paused = async || server.status().await["gitlab"]["paused"]["why"].clone();
    eventually(async || paused().await == "its user is blocked").await;
    assert!(server.metrics().await.contains("\ncistern_gitlab_token_refused 1\n"));
    let ready = async || server.get("/readyz").await;
    assert_eq!(ready().await.status, 200, "webhooks are still taken");
    eventually(async || String::from_utf8_lossy(&ready().await.body).contains("\"gitlab\":\"refused\"")).await;

    rig.fake.clear_faults();
    for job in &jobs {
        server.until_cached(&rig, cistern::domain::JobKey { project, job: *job }).await;
    }
    let metrics = server.metrics().await;
    assert!(metrics.contains("\ncistern_gitlab_token_refused 0\n"));
    assert_eq!(paused().await, serde_json::Value::Null);
    let log = server.process.log();
    assert_eq!(log.matches("GitLab refuses everything to the token (403)").count(), 1, "told once: {log}");
    assert_eq!(log.matches("GitLab allows to the token again what it must").count(), 1, "{log}");
    assert!(!pieces(&rig).await.contains(&FORBIDDEN));
}

async fn a_project_that_is_refused_as_a_whole_stops_only_itself(engine: Engine) {
    let mut world = World::new();
    let (refused, fine) = (world.add_project("group/refused"), world.add_project("group/fine"));
    add_jobs(&mut world, refused, 4);
    add_jobs(&mut world, fine, 4);
    let rig = Rig::with(world, Options::default()).on(engine);
    for endpoint in [Endpoint::Project, Endpoint::Trace, Endpoint::Artifacts, Endpoint::TestReport] {
        rig.fake.inject(Fault::new(FaultKind::Forbidden).on(endpoint).project(refused.0));
    }
    let ended = Process::start(&rig, STORE, &["backfill"]).ended().await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let told = "GitLab refuses all of the project to this token for now (403)";
    assert!(ended.stderr.contains(told) || ended.stdout.contains(told), "{} {}", ended.stderr, ended.stdout);
    let cache = rig.cache(STORE).await;
    for (key, job) in &cache.jobs {
        let expected = if key.project == fine { Piece::Whole } else { Piece::Missing };
        assert_eq!((job.log_piece, job.archive_piece), (expected, expected), "{key:?}");
    }
    rig.fake.clear_faults();
    assert_eq!(Process::start(&rig, STORE, &["backfill"]).ended().await.code, Some(0));
    assert_eq!(pieces(&rig).await, [Piece::Whole; 18]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_with_many_refused_logs_is_no_outage_and_costs_few_questions() {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let (_, jobs) = add_jobs(&mut world, project, 80);
    jobs.iter().for_each(|job| world.forbid_log(*job));
    let rig = Rig::with(world, Options { latency: Duration::from_millis(5), ..Options::default() });
    assert!(rig.backfill(STORE).await.is_clean());
    let asked = rig.fake.requests();
    assert_eq!((asked.of(Endpoint::Trace), asked.of(Endpoint::User)), (80, 0));
    assert!((1..=8).contains(&asked.of(Endpoint::Project)), "{asked:?}");
    let cache = rig.cache(STORE).await;
    assert!(cache.jobs.values().all(|job| (job.log_piece, job.archive_piece) == (FORBIDDEN, Piece::Whole)));
}
