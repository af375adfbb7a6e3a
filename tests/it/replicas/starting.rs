//! Started while the database is away: a service serves and waits for it, a command says so and ends.

use std::sync::Arc;
use std::time::Duration;

use cistern::demo::fake::World;
use mongodb::bson::{Document, doc};
use tokio::time::Instant;

use super::{BURST, STORE, alone, ended_jobs, new_pipeline, place, until_all_cached};
use crate::process::{Process, Server, outcome};
use crate::rig::mongod::{Mongod, PASSWORD, USER};
use crate::rig::{Behind, Engine, Rig, eventually};

/// "Within a few seconds", the driver's own patience would be half a minute.
const GIVES_UP_WITHIN: Duration = Duration::from_secs(8);

/// As in an outage.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_starts_before_the_database_defers_events_and_catches_up() {
    let _machine = alone().await;
    let mongod = Arc::new(Mongod::start());
    let mut world = World::new();
    let project = world.add_project("group/app");
    let rig = Rig::new(world).on(Engine::Mongo).set("schedule.scale", "0.001");
    rig.name_store(STORE, mongod.fresh_uri());
    mongod.kill();
    let server = Server::start(&rig, STORE).await;
    let pipeline = new_pipeline(&rig, project);
    let mut jobs = ended_jobs(&rig, pipeline, 20);
    for job in &jobs {
        let event = rig.fake.job_event(job.job).expect("an event");
        let begin = Instant::now();
        let answer = server.deliver(&event).await;
        assert!(begin.elapsed() < ANSWERED_WITHIN, "{:?}", begin.elapsed());
        assert_eq!((answer.status, outcome(&answer).as_str()), (202, "deferred"));
    }
    assert_eq!(server.get("/readyz").await.status, 200);
    server.until_answers("/api/v4/projects", 503).await;
    let store = server.status().await["store"].take();
    assert!(store["up"] == false && store["problem"].as_str().is_some_and(|text| text.contains("database")), "{store}");
    assert_eq!(rig.fake.requests().total, 0, "GitLab was asked while nothing could be kept");

    let there = Arc::clone(&mongod);
    tokio::task::spawn_blocking(move || there.restart()).await.expect("done");
    let late = ended_jobs(&rig, pipeline, 1)[0];
    let event = rig.fake.job_event(late.job).expect("an event");
    eventually(async || outcome(&server.deliver(&event).await) != "deferred").await;
    jobs.push(late);
    until_all_cached(&rig, &server, &jobs, Instant::now() + BURST).await;
    eventually(async || server.status().await["store"]["up"] == true).await;
    server.process.signal("TERM");
    assert_eq!(server.process.ended().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_finds_no_database_says_so_soon_and_keeps_the_password_to_itself() {
    let _machine = alone().await;
    let mongod = Mongod::start();
    let rig = Rig::new(World::new()).on(Engine::Mongo);
    rig.name_store(STORE, mongod.uri_as(USER, PASSWORD));
    mongod.kill();
    for arguments in [&["backfill"][..], &["backfill", "--dry-run"], &["verify"]] {
        let begin = Instant::now();
        let ended = Process::start(&rig, STORE, arguments).ended().await;
        assert!(begin.elapsed() < GIVES_UP_WITHIN, "{:?}", begin.elapsed());
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(3), ""), "{ended:?}");
        assert!(
            ended.stderr.contains("open the store: the store is away (no primary of the database answers: check"),
            "{ended:?}"
        );
        assert!(!ended.stderr.contains(PASSWORD) && !ended.stderr.contains("panicked"), "{ended:?}");
    }
    assert_eq!(rig.fake.requests().total, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_the_database_refuses_is_told_without_it() {
    let _machine = place().await;
    let mongod = Mongod::start_with_auth();
    let rig = Rig::new(World::new()).on(Engine::Mongo);
    rig.name_store(STORE, mongod.uri_as(USER, "wr0ng-s3cret"));
    let ended = Process::start(&rig, STORE, &["backfill"]).ended().await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stderr.contains("refuses the user name or password of store.url"), "{ended:?}");
    assert!(!ended.stderr.contains("s3cret"), "{ended:?}");

    rig.name_store(STORE, mongod.uri_as(USER, PASSWORD));
    let ended = Process::start(&rig, STORE, &["backfill"]).ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.stderr.contains(PASSWORD), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_with_a_wrong_password_says_so_in_its_status_and_works_once_the_database_takes_it() {
    let _machine = alone().await;
    let mongod = Mongod::start_with_auth();
    let (user, password) = ("late", "n0t-yet-s3cret");
    let mut world = World::new();
    let project = world.add_project("group/app");
    let rig = Rig::new(world).on(Engine::Mongo).set("schedule.scale", "0.001");
    rig.name_store(STORE, mongod.uri_as(user, password));
    let server = Server::start(&rig, STORE).await;
    let job = ended_jobs(&rig, new_pipeline(&rig, project), 1)[0];
    let event = rig.fake.job_event(job.job).expect("an event");
    assert_eq!(outcome(&server.deliver(&event).await), "deferred");
    assert_eq!(server.get("/readyz").await.status, 200);
    let store = server.status().await["store"].take();
    let problem = store["problem"].as_str().expect("a problem").to_owned();
    assert!(store["up"] == false && problem.contains("refuses the user name or password of store.url"), "{store}");

    let admin =
        mongodb::Client::with_uri_str(mongod.uri_as(USER, PASSWORD)).await.expect("a good URI").database("admin");
    let create = doc! { "createUser": user, "pwd": password, "roles": ["readWriteAnyDatabase"] };
    admin.run_command(create).await.expect("a user");
    eventually(async || server.status().await["store"]["up"] == true).await;
    until_all_cached(&rig, &server, &[job], Instant::now() + BURST).await;
    assert!(!server.process.log().contains(password) && !problem.contains(password));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_on_a_database_of_a_newer_version_ends_with_3_because_waiting_would_not_help() {
    let _machine = place().await;
    let rig = Rig::new(World::new()).on(Engine::Mongo);
    let ended = Process::start(&rig, STORE, &["backfill"]).ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let behind = rig.behind(STORE).await;
    let Behind::Database(database) = &behind else { panic!("no database") };
    let newer = doc! { "$set": { "schema": 99_i64 } };
    database.collection::<Document>("meta").update_one(doc! {}, newer).await.expect("changed");
    let ended = Process::start(&rig, STORE, &["serve"]).ended().await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stderr.contains("was written by a newer Cistern (schema version 99;"), "{ended:?}");
}
