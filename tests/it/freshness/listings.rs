//! Lists of pipelines: what nobody announced is seen all the same, for one call however many ask.

use cistern::demo::fake::{Endpoint, Fault, FaultKind, Options, PipelineSpec, Visibility, World};
use cistern::domain::{PipelineId, ProjectId};
use cistern::loopback;
use serde_json::Value;
use std::net::SocketAddr;

use super::{Answer, add_job, ask, get, get_at_once, job_with_log, reading_through, slow};
use crate::rig::Rig;

fn list(project: ProjectId) -> String {
    format!("/api/v4/projects/{project}/pipelines?per_page=100")
}

fn ids(answer: &Answer) -> Vec<u64> {
    let rows: Vec<Value> = serde_json::from_slice(&answer.body).expect("a list");
    rows.iter().map(|row| row["id"].as_u64().expect("an id")).collect()
}

fn complete(answer: &Answer) -> &str {
    answer.header("x-cistern-complete")
}

fn add_pipelines(rig: &Rig, project: ProjectId, count: usize) -> Vec<PipelineId> {
    rig.fake.with(|world| (0..count).map(|_| world.add_pipeline(project, PipelineSpec::default())).collect())
}

async fn get_with(address: SocketAddr, path: &str, token: &str) -> u16 {
    let token = ("PRIVATE-TOKEN".to_owned(), token.to_owned());
    loopback::send(address, "GET", path, &[token], b"").await.expect("an answer").status
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_readers_of_a_list_see_a_pipeline_that_nobody_announced_for_one_call() {
    let (rig, project) = reading_through(slow());
    add_job(&rig, project, job_with_log("old\n"), "success");
    let serving = rig.serve(super::STORE).await;
    let (pipeline, job) = add_job(&rig, project, job_with_log("new\n"), "success");
    rig.fake.reset_counters();
    for answer in get_at_once(serving.address(), &list(project), 50).await {
        assert_eq!((answer.status, answer.source(), complete(&answer)), (200, "refreshed", "true"));
        assert_eq!((ids(&answer).len(), ids(&answer)[0]), (2, pipeline.0));
        assert!(answer.age() < 30, "{}", answer.head);
    }
    assert_eq!(rig.fake.requests().of(Endpoint::Pipelines), 1);
    // Young enough by now.
    assert_eq!(get(serving.address(), &list(project)).await.source(), "hit");
    // What it needs, its own document too, is fetched although no reader asked for it.
    serving.idle().await;
    let latest = format!("/api/v4/projects/{project}/pipelines/latest");
    assert_eq!(get(serving.address(), &latest).await.source(), "hit");
    assert_eq!(rig.fake.requests().of(Endpoint::Pipelines), 1);
    rig.fake.reset_counters();
    let trace = get(serving.address(), &format!("{}/trace", super::job_path(project, job))).await;
    assert_eq!((trace.body.as_slice(), trace.source(), rig.fake.requests().total), (&b"new\n"[..], "hit", 0));
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_latest_pipeline_and_child_pipelines_are_looked_for_too() {
    let (rig, project) = reading_through(Options::default());
    let rig = rig.set("api.max_age", "0s");
    let serving = rig.serve(super::STORE).await;
    let parent = add_pipelines(&rig, project, 1)[0];
    let latest = get(serving.address(), &format!("/api/v4/projects/{project}/pipelines/latest?ref=main")).await;
    let latest: Value = serde_json::from_slice(&latest.body).expect("JSON");
    assert_eq!(latest["id"], parent.0);
    let child = rig.fake.with(|world| world.add_child_pipeline(parent, "child", PipelineSpec::default()));
    let children = get(serving.address(), &format!("{}&source=parent_pipeline", list(project))).await;
    assert_eq!((ids(&children), complete(&children)), (vec![child.0], "true"));
    assert_eq!(ids(&get(serving.address(), &list(project)).await), [parent.0]);
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_a_page_of_news_is_not_complete_until_a_pass() {
    let (rig, project) = reading_through(Options::default());
    let rig = rig.set("api.max_age", "0s");
    add_pipelines(&rig, project, 1);
    let serving = rig.serve(super::STORE).await;
    let added = add_pipelines(&rig, project, 150);
    let answer = get(serving.address(), &list(project)).await;
    assert_eq!((ids(&answer)[0], complete(&answer)), (added[149].0, "false"));
    // Of a project that no pass has covered a few are looked at.
    let new = rig.fake.with(|world| world.add_project("group/new"));
    add_pipelines(&rig, new, 25);
    let answer = get(serving.address(), &list(new)).await;
    assert_eq!((ids(&answer).len(), complete(&answer)), (20, "false"));
    serving.stop().await;
    assert!(rig.backfill(super::STORE).await.failures.is_empty());
    let serving = rig.serve(super::STORE).await;
    for (project, count) in [(project, 100), (new, 25)] {
        let answer = get(serving.address(), &list(project)).await;
        assert_eq!((ids(&answer).len(), complete(&answer)), (count, "true"));
    }
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_gitlab_a_list_is_stale_and_says_how_old_it_is() {
    let (rig, project) = reading_through(Options::default());
    let rig = rig.set("api.max_age", "0s");
    let (pipeline, _) = add_job(&rig, project, job_with_log("log\n"), "success");
    let serving = rig.serve(super::STORE).await;
    assert_eq!(complete(&get(serving.address(), &list(project)).await), "true");
    rig.fake.inject(Fault::new(FaultKind::HtmlStatus(502)));
    for path in [list(project), format!("/api/v4/projects/{project}/pipelines/latest")] {
        let answer = get(serving.address(), &path).await;
        assert_eq!((answer.status, answer.source()), (200, "stale"), "{path}");
        assert!(answer.age() < 60 && String::from_utf8_lossy(&answer.body).contains(&pipeline.to_string()));
        assert_ne!(complete(&answer), "true");
    }
    rig.fake.reset_counters();
    assert_eq!(get(serving.address(), &list(project)).await.source(), "stale");
    assert_eq!(rig.fake.requests().total, 0, "nobody waits for it again at once");
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_our_token_may_not_list_is_not_asked_for_again_at_once() {
    let (rig, project) = reading_through(Options::default());
    add_job(&rig, project, job_with_log("log\n"), "success");
    let serving = rig.serve(super::STORE).await;
    rig.fake.inject(Fault::new(FaultKind::Forbidden).on(Endpoint::Pipelines));
    rig.fake.reset_counters();
    for _ in 0..3 {
        let answer = get(serving.address(), &list(project)).await;
        assert_eq!((ids(&answer).len(), answer.source(), complete(&answer)), (1, "stale", "false"));
    }
    assert_eq!(rig.fake.requests().of(Endpoint::Pipelines), 1);
    assert_eq!(serving.store.failures(None).await.expect("the failures").len(), 0);
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_see_a_project_has_nothing_asked_for() {
    const MEMBER: &str = "glpat-member-1b2c3d4e";
    const OUTSIDER: &str = "glpat-outsider-0f9e8d7c";
    let mut world = World::new();
    let project = world.add_project("group/app");
    world.set_visibility(project, Visibility::Private);
    for (token, level) in [(MEMBER, 20), (OUTSIDER, 0)] {
        world.add_user(token);
        world.set_role(project, token, level);
    }
    let rig = Rig::with(world, Options::default())
        .set("api.read_through", "true")
        .set("api.max_age", "0s")
        .set("access.mode", "gitlab");
    let serving = rig.serve(super::STORE).await;
    rig.fake.reset_counters();
    for path in [list(project), format!("/api/v4/projects/{project}/pipelines/latest")] {
        assert_eq!(get_with(serving.address(), &path, OUTSIDER).await, 404);
        assert_eq!(ask(serving.address(), "GET", &path, &[]).await.status, 404, "nobody in particular");
    }
    assert_eq!(rig.fake.requests().of(Endpoint::Pipelines), 0);
    assert_eq!(get_with(serving.address(), &list(project), MEMBER).await, 200);
    assert_eq!(rig.fake.requests().of(Endpoint::Pipelines), 1);
    serving.stop().await;
}
