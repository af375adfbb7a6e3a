//! A project that has moved is found by its former paths, as GitLab finds it, with no question where it is known.

use cistern::demo::fake::{Endpoint, Fault, FaultKind, Options};
use cistern::domain::{JobId, ProjectId};
use cistern::loopback;

use super::{STORE, add_job, get, job_with_log, reading_through};
use crate::process::Process;
use crate::rig::{Engine, Rig, Serving, on_both};

/// A project that is called `group/app` no longer, and a job of it that has ended.
fn moved(engine: Engine, path: &str) -> (Rig, ProjectId, JobId) {
    let (rig, project) = reading_through(Options::default());
    let rig = rig.on(engine);
    let (_, job) = add_job(&rig, project, job_with_log("log\n"), "success");
    rig.fake.with(|world| world.move_project(project, path));
    (rig, project, job)
}

async fn log_at(serving: &Serving, path: &str, job: JobId) -> (u16, String) {
    let answer = get(serving.address(), &format!("/api/v4/projects/{path}/jobs/{job}/trace")).await;
    (answer.status, answer.text())
}

async fn a_former_path_that_was_seen_costs_no_question_until_another_project_takes_it(engine: Engine) {
    let (rig, project, job) = moved(engine, "group/app");
    assert!(rig.backfill(STORE).await.is_clean());
    rig.fake.with(|world| world.move_project(project, "group/new"));
    assert!(rig.backfill(STORE).await.is_clean());
    let serving = rig.serve(STORE).await;
    serving.idle().await;
    rig.fake.reset_counters();
    let log = (200, "log\n".to_owned());
    for path in ["group%2Fapp", "Group%2FAPP", "group%2Fnew"] {
        assert_eq!(log_at(&serving, path, job).await, log, "{path}");
    }
    assert_eq!(rig.fake.requests().total, 0);
    rig.fake.inject(Fault::new(FaultKind::HtmlStatus(502)));
    assert_eq!(log_at(&serving, "group%2Fapp", job).await, log, "while GitLab is away");
    rig.fake.clear_faults();

    let taker = rig.fake.with(|world| world.add_project("group/app"));
    assert!(rig.backfill(STORE).await.is_clean());
    let at = async |path: &str| {
        let document = get(serving.address(), &format!("/api/v4/projects/{path}")).await.json();
        (document["id"].as_u64(), document["path_with_namespace"].as_str().map(str::to_owned))
    };
    assert_eq!(at("group%2Fapp").await, (Some(taker.0), Some("group/app".to_owned())));
    assert_eq!(at("group%2Fnew").await, (Some(project.0), Some("group/new".to_owned())));
    assert_eq!(log_at(&serving, "group%2Fapp", job).await.0, 404, "no job of the other project");
    serving.stop().await;
}

async fn a_former_path_that_was_never_seen_costs_one_question(engine: Engine) {
    let (rig, project, job) = moved(engine, "group/new");
    let serving = rig.serve(STORE).await;
    serving.idle().await;
    rig.fake.reset_counters();
    let found = get(serving.address(), "/api/v4/projects/group%2Fapp").await;
    assert_eq!((found.status, found.json()["id"].as_u64()), (200, Some(project.0)), "{}", found.text());
    assert_eq!(rig.fake.requests().of(Endpoint::Project), 2, "by the path, and where that leads");
    rig.fake.reset_counters();
    assert_eq!(log_at(&serving, "Group%2FApp", job).await, (200, "log\n".to_owned()));
    assert_eq!(rig.fake.requests().total, 0);
    assert!(rig.fake.leaked_credentials().is_empty());
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_former_path_shows_nobody_what_its_project_is_hidden_from_them_at() {
    let (rig, project, _) = moved(Engine::Sqlite, "group/app");
    assert!(rig.backfill(STORE).await.is_clean());
    rig.fake.with(|world| world.move_project(project, "secret/app"));
    assert!(rig.backfill(STORE).await.is_clean());
    let (before, after) = ("a-token-for-where-it-was-before", "a-token-for-where-it-is-hereafter");
    let tokens = format!("{before}=group/**,{after}=secret/**");
    let rig = rig.set("access.mode", "token").set("access.tokens", &tokens);
    let serving = rig.serve(STORE).await;
    for (token, status) in [(before, 404), (after, 200)] {
        let headers = [("PRIVATE-TOKEN".to_owned(), token.to_owned())];
        let path = "/api/v4/projects/group%2Fapp";
        let answer = loopback::send(serving.address(), "GET", path, &headers, b"").await.expect("an answer");
        assert_eq!(answer.status, status, "{token}");
    }
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_verbs_take_a_former_path() {
    let (rig, _, job) = moved(Engine::Sqlite, "group/new");
    let job = job.to_string();
    let named = |arguments: &[&'static str]| [arguments, &["--project", "group/app"]].concat();
    // First GitLab tells where it leads, then the store.
    for _ in 0..2 {
        let ended = Process::start(&rig, STORE, &named(&["backfill", "--since", "3650d"])).ended().await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
    let serving = rig.serve(STORE).await;
    let found = get(serving.address(), "/api/v4/projects/group%2Fapp").await;
    assert_eq!(found.status, 200, "{}", found.text());
    serving.stop().await;
    let ended = Process::start(&rig, STORE, &["log", &job, "--project", "group/app"]).ended().await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "log\n"), "{}", ended.stderr);
    let ended = Process::start(&rig, STORE, &named(&["verify"])).ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

on_both! {
    a_former_path_that_was_seen_costs_no_question_until_another_project_takes_it;
    a_former_path_that_was_never_seen_costs_one_question;
}
