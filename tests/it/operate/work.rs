//! `work list|retry|drop`.

use cistern::demo::fake::{Endpoint, Fault, FaultKind};
use std::time::Duration;

use cistern::domain::Timestamp;
use cistern::store::{Change, Entry, Store};
use cistern::work::{Cause, Lane, Target};

use super::*;
use crate::process::Server;
use crate::rig::{Engine, eventually};

/// A rig with one job whose log GitLab refuses to serve sensibly, set aside by a backfill.
async fn with_a_failure(engine: Engine) -> (Rig, ProjectId, JobId) {
    let mut world = World::new();
    let (project, _, jobs) = finished(&mut world, "group/app", 2);
    let rig = Rig::new(world).on(engine).set("schedule.scale", "0.001");
    rig.fake.inject(Fault::new(FaultKind::HtmlStatus(418)).on(Endpoint::Trace).subject(jobs[0].0));
    assert_eq!(run(&rig, &["backfill"]).await.code, Some(1));
    rig.fake.clear_faults();
    (rig, project, jobs[0])
}

async fn what_failed_is_listed_and_retried_beside_a_running_serve(engine: Engine) {
    let (rig, project, job) = with_a_failure(engine).await;
    let listed = json(&rig, 0, &["work", "list"]).await;
    assert_eq!((&listed["waiting"], &listed["running"], &listed["failed"]), (&0.into(), &0.into(), &1.into()));
    let item = &listed["items"][0];
    assert_eq!((&item["kind"], &item["id"], &item["state"]), (&"job".into(), &job.0.into(), &"failed".into()));
    assert!(item["problem"].as_str().is_some_and(|problem| problem.contains("418")), "{item}");
    let text = run(&rig, &["work", "list", "--state", "failed"]).await.stdout;
    assert!(text.contains(&format!("✗ failed   job {job} of project {project}")), "{text}");
    for (filter, count) in [
        (["--kind", "report"], 0),
        (["--kind", "job"], 1),
        (["--project", "group/app"], 1),
        (["--project", "999"], 0),
        (["--state", "waiting"], 0),
        (["--cause", "ended"], 0),
    ] {
        let listed = json(&rig, 0, &[&["work", "list"], &filter[..]].concat()).await;
        assert_eq!(listed["failed"], count, "{filter:?}");
    }

    // Its first pass does not offer what failed: it is not a full one.
    let server = Server::start(&rig, STORE).await;
    server.until_swept().await;
    let retried = json(&rig, 0, &["work", "retry", "--state", "failed"]).await;
    assert_eq!((&retried["changed"], &retried["untouched"]), (&1.into(), &Value::Array(vec![])));
    server.until_cached(&rig, key(project, job)).await;
    eventually(async || json(&rig, 0, &["work", "list"]).await["failed"] == 0).await;
}

async fn what_failed_can_be_given_up(engine: Engine) {
    let (rig, _, job) = with_a_failure(engine).await;
    assert_eq!(run(&rig, &["work", "drop"]).await.code, Some(2), "all of it has to be meant");
    let dropped = json(&rig, 0, &["work", "drop", "--state", "failed"]).await;
    assert_eq!(dropped["changed"], 1);
    assert_eq!(json(&rig, 0, &["work", "list"]).await["failed"], 0);
    assert_eq!(run(&rig, &["backfill"]).await.code, Some(0));
    let view = rig.view(STORE).await;
    let project = rig.fake.with(|world| world.project_of_job(job)).expect("a project");
    assert!(!view.log(project, job).await.is_empty(), "a full pass asks for it again");
    view.close().await;
}

async fn an_entry_is_only_given_up_when_no_process_owns_it(engine: Engine) {
    let mut world = World::new();
    let (project, _, jobs) = finished(&mut world, "group/app", 1);
    let rig = Rig::new(world).on(engine);
    let store = Store::open(rig.config(STORE).store_for("test")).await.expect("a store");
    let later = Timestamp::now().plus(Duration::from_secs(3600));
    let entry = Entry::new(Target::Job(key(project, jobs[0])), Lane::Backfill, Cause::Look, later);
    store.apply(vec![Change::Append(vec![entry])]).await.expect("stored");

    let listed = json(&rig, 0, &["work", "list", "--cause", "look"]).await;
    assert_eq!((&listed["waiting"], &listed["items"][0]["owner"]), (&1.into(), &"process".into()));
    assert_eq!(listed["items"][0]["cause"], "look");
    let text = run(&rig, &["work", "list"]).await.stdout;
    assert!(text.contains("because it takes another look: it may not be final, due "), "{text}");
    let refused = json(&rig, 1, &["work", "drop", "--all"]).await;
    assert_eq!((&refused["changed"], refused["untouched"].as_array().map(Vec::len)), (&0.into(), Some(1)));
    let text = run(&rig, &["work", "drop", "--all"]).await;
    assert!(text.stdout.contains("left alone: they belong to a running process"), "{text:?}");
    assert_eq!(store.journal_len().await.expect("read"), 1);

    store.close().await.expect("closed");
    let listed = json(&rig, 0, &["work", "list"]).await;
    assert_eq!(listed["items"][0]["owner"], "nobody");
    assert_eq!(json(&rig, 0, &["work", "drop", "--kind", "job"]).await["changed"], 1);
    assert_eq!(json(&rig, 0, &["work", "list"]).await["waiting"], 0);
}

async fn what_waits_for_later_is_done_now_when_it_is_retried(engine: Engine) {
    let mut world = World::new();
    let (project, pipeline, _) = finished(&mut world, "group/app", 1);
    let rig = Rig::new(world).on(engine);
    let server = Server::start(&rig, STORE).await;
    server.until_swept().await;
    // A job whose log is not archived is looked at again in three minutes: that entry is the server's.
    let job = rig.fake.with(|world| {
        let job = world.add_job(pipeline, JobSpec::new("late"));
        world.start_job(job);
        world.finish_job(job, "success");
        job
    });
    server.deliver(&rig.fake.job_event(job).expect("an event")).await;
    server.until_cached(&rig, key(project, job)).await;
    eventually(async || json(&rig, 0, &["work", "list", "--cause", "look"]).await["waiting"] == 1).await;
    rig.fake.with(|world| world.append_log(job, b"one line more\n"));
    rig.fake.with(|world| world.archive_trace(job));
    assert_eq!(json(&rig, 0, &["work", "retry", "--cause", "look"]).await["changed"], 1);
    server.until_cached(&rig, key(project, job)).await;
    eventually(async || json(&rig, 0, &["work", "list"]).await["waiting"] == 0).await;
}

on_both! {
    what_failed_is_listed_and_retried_beside_a_running_serve;
    what_failed_can_be_given_up;
    an_entry_is_only_given_up_when_no_process_owns_it;
    what_waits_for_later_is_done_now_when_it_is_retried;
}
