//! What is not there: a store that nobody made, and what a store does not hold. Whoever looks is told so, for the same reason
//! everywhere, and nothing is made by looking.

use std::fs;
use std::time::Duration;

use super::*;
use crate::process::Server;
use crate::rig::Engine;

/// Returns what there is at the place of the store.
async fn made(rig: &Rig, engine: Engine) -> Vec<String> {
    match engine {
        Engine::Sqlite => {
            let files = fs::read_dir(rig.directory.path()).expect("a directory");
            files.map(|file| file.expect("a file").file_name().to_string_lossy().into_owned()).collect()
        }
        Engine::Mongo => {
            let client = ::mongodb::Client::with_uri_str(rig.store_url(STORE)).await.expect("a client");
            client.default_database().expect("a database").list_collection_names().await.expect("read")
        }
    }
}

async fn verbs_about_what_is_stored_say_that_there_is_no_store_and_make_none(engine: Engine) {
    let rig = Rig::new(World::new()).on(engine);
    let sentence = match engine {
        Engine::Sqlite => "cistern.db does not exist: name the store with --store-url",
        Engine::Mongo => "the database of store.url holds no store: name the store with --store-url",
    };
    for arguments in [
        &["stats"][..],
        &["stats", "--output", "json"],
        &["work", "list"],
        &["work", "retry", "--all"],
        &["work", "drop", "--all"],
        &["prune"],
        &["prune", "--dry-run"],
        &["forget", "--project", "7"],
        &["forget", "--project", "7", "--job", "5", "--undo"],
        &["forget", "--list"],
        &["log", "5"],
        &["artifacts", "5"],
    ] {
        let ended = run(&rig, arguments).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(3), ""), "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains(sentence), "{arguments:?}: {}", ended.stderr);
        let made = made(&rig, engine).await;
        assert!(made.is_empty(), "{arguments:?}: {made:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_with_a_store_that_does_not_exist_says_so() {
    let mut world = World::new();
    finished(&mut world, "group/app", 1);
    let rig = Rig::new(world).on(Engine::Sqlite);
    let ended = run(&rig, &["verify"]).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let told = ended.stderr.contains("cistern.db does not exist: compared with an empty store");
    assert!(told && made(&rig, Engine::Sqlite).await.is_empty(), "{ended:?}");
    assert_eq!(run(&rig, &["backfill"]).await.code, Some(0));
    let ended = run(&rig, &["verify"]).await;
    assert!(ended.code == Some(0) && !ended.stderr.contains("does not exist"), "{ended:?}");
}

async fn what_is_not_held_has_the_same_reason_for_every_reader(engine: Engine) {
    let mut world = World::new();
    let (project, pipeline, jobs) = finished(&mut world, "group/app", 2);
    let (plain, forgotten) = (jobs[0], jobs[1]);
    let manual = world.add_job(pipeline, JobSpec::new("deploy").status("manual"));
    let canceled = world.add_job(pipeline, JobSpec::new("never"));
    world.finish_job(canceled, "canceled");
    let [erased, expired] = ["erased", "expired"].map(|name| {
        let job = world.add_job(pipeline, JobSpec::new(name).archive(archive([7; 100])));
        finish(&mut world, &vec![job]);
        job
    });
    world.erase_job(erased);
    world.expire_artifacts(expired);
    // GitLab's `Date` has whole seconds: within the same one they have not expired yet.
    world.advance(Duration::from_secs(2));
    let rig = Rig::new(world).on(engine);
    assert!(rig.backfill(STORE).await.is_clean());
    let (id, of) = (forgotten.to_string(), project.to_string());
    assert_eq!(run(&rig, &["forget", "--project", &of, "--job", &id]).await.code, Some(0));
    let server = Server::start(&rig, STORE).await;
    server.until_swept().await;
    let url = format!("http://{}", server.address());
    for (job, verb, why) in [
        (plain, "artifacts", "no_archive"),
        (manual, "log", "not_finished"),
        (manual, "artifacts", "not_finished"),
        (canceled, "log", "no_log"),
        (canceled, "artifacts", "no_archive"),
        (erased, "log", "erased"),
        (erased, "artifacts", "erased"),
        (expired, "artifacts", "expired"),
        (forgotten, "log", "forgotten"),
        (forgotten, "artifacts", "forgotten"),
    ] {
        let path = if verb == "log" { "trace" } else { verb };
        let told = reason(server.address(), &format!("/api/v4/projects/{project}/jobs/{job}/{path}")).1;
        assert_eq!(told.as_deref(), Some(why), "{verb} of {job}");
        let id = job.to_string();
        for place in [&[][..], &["--project", "group/app"], &["--project", "group/app", "--url", &url]] {
            let ended = run(&rig, &[&[verb, id.as_str()], place].concat()).await;
            assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{verb} of {job} {place:?}: {ended:?}");
            let what = if verb == "log" { "log" } else { "archive" };
            let sentence = format!("cistern: the {what} of job {job} is not held: {why}\n");
            assert!(ended.stderr.ends_with(&sentence), "{verb} {place:?}: {}", ended.stderr);
        }
    }
}

on_both! {
    verbs_about_what_is_stored_say_that_there_is_no_store_and_make_none;
    what_is_not_held_has_the_same_reason_for_every_reader;
}
