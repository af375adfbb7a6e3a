//! A commit's CI: its statuses and its newest pipeline, from the cache, as GitLab tells them.

use cistern::demo::fake::{Endpoint, Fault, FaultKind, JobSpec, Options, PipelineSpec, World};
use cistern::domain::{PipelineId, ProjectId};
use serde_json::Value;

use crate::rig::{Rig, ask};

const STORE: &str = "cistern.db";
const SHA: &str = "4f6a0c9be1d27735a88c1e0f92b3d4c5e6f70812";
const TOKEN: &str = "glpat-developer-2b3c4d5e";

fn add(world: &mut World, project: ProjectId, source: &str, names: &[&str]) -> PipelineId {
    let (sha, source, ref_name) = (Some(SHA.to_owned()), source.to_owned(), "feature/x".to_owned());
    let pipeline = world.add_pipeline(project, PipelineSpec { sha, source, ref_name, ..PipelineSpec::default() });
    for name in names {
        let job = world.add_job(pipeline, JobSpec::new(name));
        world.start_job(job);
        world.finish_job(job, "success");
    }
    pipeline
}

/// A project with three pipelines of one commit: an older one with a retried job and a child, a newer one, one of the web IDE.
async fn place() -> (Rig, ProjectId, PipelineId) {
    let mut world = World::new();
    world.add_user(TOKEN);
    let project = world.add_project("group/app");
    world.set_role(project, TOKEN, 30);
    let older = add(&mut world, project, "push", &["build", "unit", "unit"]);
    let child = world.add_child_pipeline(older, "child", PipelineSpec::default());
    let job = world.add_job(child, JobSpec::new("of the child"));
    world.start_job(job);
    world.finish_job(job, "success");
    add(&mut world, project, "schedule", &["build"]);
    add(&mut world, project, "webide", &["terminal"]);
    let rig = Rig::with(world, Options::default());
    assert!(rig.backfill(STORE).await.is_clean());
    // Trigger jobs are asked for when somebody wants to know of them.
    let rig = rig.set("api.read_through", "true");
    let serving = rig.serve(STORE).await;
    let path = format!("/api/v4/projects/{project}/repository/commits/{SHA}/statuses");
    let first = ask(serving.address(), "GET", &path, &[]).await;
    assert_eq!(first.json(), rig.ask_gitlab(&path).await, "also the first time");
    serving.stop().await;
    (rig.set("api.read_through", "false"), project, older)
}

fn without_stats(mut commit: Value) -> Value {
    commit.as_object_mut().expect("an object").remove("stats");
    commit
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_and_its_statuses_are_gitlab_s_own_without_a_call() {
    let (rig, project, older) = place().await;
    let view = rig.view(STORE).await;
    let base = format!("/api/v4/projects/{project}/repository/commits");
    rig.fake.reset_counters();
    let mut calls = 0;
    for (query, rows) in [
        (String::new(), 4),
        ("?all=true".to_owned(), 5),
        ("?name=build&sort=desc&order_by=pipeline_id".to_owned(), 2),
        ("?stage=child".to_owned(), 1),
        ("?ref=main".to_owned(), 0),
        (format!("?pipeline_id={older}&per_page=2&page=2"), 1),
        ("?pipeline_id=1".to_owned(), 0),
    ] {
        let path = format!("{base}/{SHA}/statuses{query}");
        let (theirs, ours) = (rig.ask_gitlab(&path).await, view.ask(&path).await);
        calls += 1;
        assert_eq!(ours.json(), theirs, "{path}");
        assert_eq!(ours.json().as_array().map(Vec::len), Some(rows), "{path}");
        assert_eq!((ours.source(), ours.header("x-cistern-complete")), ("hit", "false"), "{path}");
    }
    for name in [SHA, "feature%2Fx"] {
        let theirs = rig.ask_gitlab(&format!("{base}/{name}")).await;
        calls += 1;
        let ours = view.ask(&format!("{base}/{name}")).await;
        assert_eq!((ours.source(), ours.json()), ("hit", without_stats(theirs)), "{name}");
    }
    for path in ["none", "none/statuses", "4f6a0c9b"] {
        let unknown = view.ask(&format!("{base}/{path}")).await;
        assert_eq!((unknown.status, &unknown.json()["message"]), (404, &"404 Commit Not Found".into()), "{path}");
    }
    for query in ["?order_by=name", "?sort=up", "?all=maybe", "?pipeline_id=x"] {
        assert_eq!(view.ask(&format!("{base}/{SHA}/statuses{query}")).await.status, 400, "{query}");
    }
    assert_eq!(rig.fake.requests().total, calls, "only the test asked GitLab");
    view.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_in_part_is_gitlab_s_to_answer_where_it_may_be_asked_and_can() {
    let (rig, project, _) = place().await;
    let rig = rig.set("access.mode", "gitlab");
    let base = format!("/api/v4/projects/{project}/repository/commits");
    let serving = rig.serve(STORE).await;
    let get = async |path: &str| ask(serving.address(), "GET", path, &[("PRIVATE-TOKEN", TOKEN)]).await;
    let (whole, part) = (format!("{base}/{SHA}"), format!("{base}/{SHA}?stats=false"));
    let theirs = rig.ask_gitlab(&whole).await;
    let passed = get(&whole).await;
    assert_eq!((passed.source(), passed.json()), ("passed", theirs.clone()));
    assert_eq!((get(&part).await.source(), get(&part).await.json()), ("hit", without_stats(theirs.clone())));
    assert_eq!(get(&format!("{base}/{SHA}/statuses")).await.source(), "hit");
    for unknown in [format!("{base}/none"), format!("{base}/none/statuses")] {
        assert_eq!((get(&unknown).await.status, get(&unknown).await.source()), (404, "passed"), "{unknown}");
    }
    rig.fake.inject(Fault::new(FaultKind::ServerError).on(Endpoint::Beside).times(9));
    let held = get(&whole).await;
    assert_eq!((held.status, held.source(), held.json()), (200, "hit", without_stats(theirs)));
    // Whoever sees nothing of the project learns nothing of its commits.
    let stranger = ask(serving.address(), "GET", &part, &[]).await;
    assert_eq!(stranger.status, 404);
    serving.stop().await;
}
