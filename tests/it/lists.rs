//! Lists and what GitLab has no shape for: the same rows in the same order as GitLab's own, and what completeness tells.

use cistern::app;
use cistern::demo::fake::{Endpoint, Fault, FaultKind, JobSpec, Junit, Options, PipelineSpec, World};
use cistern::domain::{PipelineKey, Timestamp};
use cistern::progress::Progress;
use cistern::work::{Cause, Lane, Target, Work};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::rig::{PATIENCE, Rig, eventually};
use crate::view::View;

const STORE: &str = "cistern.db";

/// Asks both, and makes sure that the rows are the same bytes.
async fn same(rig: &Rig, view: &View, path: &str) -> usize {
    let (theirs, ours) = (rig.get_gitlab(path).await, view.get(path).await);
    let text = |body: &[u8]| String::from_utf8_lossy(body).into_owned();
    assert_eq!((theirs.status, text(&theirs.body)), (ours.status, text(&ours.body)), "{path}");
    match serde_json::from_slice(&ours.body).expect("JSON") {
        Value::Array(rows) => rows.len(),
        _ => 0,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pipelines_of_a_merge_request_are_told_by_their_refs_without_a_call() {
    let mut world = World::demo(2, 3, 2, 5);
    let (project, other) = (world.projects()[0], world.projects()[1]);
    for (project, kind) in
        [(project, "1/head"), (project, "1/merge"), (other, "1/head"), (project, "11/head"), (project, "1/train")]
    {
        let (ref_name, source) = (format!("refs/merge-requests/{kind}"), "merge_request_event".to_owned());
        world.add_pipeline(project, PipelineSpec { ref_name, source, ..PipelineSpec::default() });
    }
    let rig = Rig::with(world, Options::default());
    assert!(rig.backfill(STORE).await.is_clean());
    let view = rig.view(STORE).await;
    let base = format!("/api/v4/projects/{project}/merge_requests");
    rig.fake.reset_counters();
    let mut calls = 0;
    for (path, rows) in [
        ("1/pipelines", 3),
        ("1/pipelines?per_page=2", 2),
        ("1/pipelines?per_page=2&page=2", 1),
        ("11/pipelines", 1),
        ("2/pipelines", 0),
    ] {
        assert_eq!(same(&rig, &view, &format!("{base}/{path}")).await, rows, "{path}");
        calls += 1;
    }
    assert_eq!(rig.fake.requests().total, calls, "only the test asked GitLab");
    let first = view.ask(&format!("{base}/1/pipelines?per_page=2")).await;
    assert_eq!((first.header("x-total"), first.header("x-next-page")), ("3", "2"));
    assert_eq!(view.get(&format!("{base}/one/pipelines")).await.status, 400);
    view.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_and_orders_are_gitlab_s_own() {
    let mut world = World::demo(3, 12, 6, 5);
    let project = world.projects()[0];
    for (name, tag) in [("v1", true), ("topic", false), ("v1", true), ("refs/merge-requests/1/head", false)] {
        let spec = PipelineSpec { ref_name: name.to_owned(), tag, ..PipelineSpec::default() };
        let pipeline = world.add_pipeline(project, spec);
        let job = world.add_job(pipeline, JobSpec::new("only"));
        world.start_job(job);
        world.finish_job(job, "success");
    }
    world.add_pipeline(project, PipelineSpec { yaml_errors: Some("no jobs".to_owned()), ..PipelineSpec::default() });
    let rig = Rig::with(world, Options::default());
    assert!(rig.backfill(STORE).await.is_clean());
    let view = rig.view(STORE).await;
    let base = format!("/api/v4/projects/{project}/pipelines");
    let all = rig.ask_gitlab(&format!("{base}?per_page=100")).await;
    let middle = &all[all.as_array().map_or(0, Vec::len) / 2];
    let (updated, created) = (&middle["updated_at"], &middle["created_at"]);
    let (updated, created) = (updated.as_str().expect("a date"), created.as_str().expect("a date"));
    let mut rows = 0;
    for query in [
        "scope=running".to_owned(),
        "scope=pending".to_owned(),
        "scope=finished&per_page=5".to_owned(),
        "scope=branches".to_owned(),
        "scope=tags".to_owned(),
        "scope=finished&status=failed".to_owned(),
        "ref=v1".to_owned(),
        "name=Nightly%203".to_owned(),
        format!("updated_after={updated}&order_by=updated_at&sort=asc"),
        format!("updated_after={updated}"),
        format!("updated_before={updated}&order_by=updated_at"),
        format!("created_after={created}&created_before={created}"),
        "order_by=status&sort=asc".to_owned(),
        "order_by=ref&per_page=3&page=2".to_owned(),
        "username=IHALVORSEN&per_page=3&page=2".to_owned(),
        "username=nobody".to_owned(),
        "yaml_errors=true".to_owned(),
        "yaml_errors=false&ref=v1&username=ihalvorsen".to_owned(),
        "order_by=user_id&sort=asc&per_page=4".to_owned(),
        "yaml_errors=maybe".to_owned(),
        "status=nothing".to_owned(),
        "scope=nothing".to_owned(),
        "order_by=nothing".to_owned(),
        "updated_after=yesterday".to_owned(),
        "created_before=2026-13-01".to_owned(),
        "sort=up".to_owned(),
    ] {
        rows += same(&rig, &view, &format!("{base}?{query}")).await;
    }
    assert!(rows > 40, "{rows} rows are worth comparing");
    let jobs = format!("/api/v4/projects/{project}/jobs");
    for query in ["", "?per_page=3&page=4", "?scope[]=failed&scope[]=skipped", "?scope=success&per_page=2&page=3"] {
        same(&rig, &view, &format!("{jobs}{query}")).await;
    }
    let latest = view.get(&format!("{base}/latest?ref=topic")).await;
    let theirs = rig.ask_gitlab(&format!("{base}/latest?ref=topic")).await;
    let ours: Value = serde_json::from_slice(&latest.body).expect("JSON");
    assert_eq!((latest.status, &ours["id"]), (200, &theirs["id"]));
    let default: Value = serde_json::from_slice(&view.get(&format!("{base}/latest")).await.body).expect("JSON");
    assert_eq!(default["id"], rig.ask_gitlab(&format!("{base}/latest")).await["id"]);
    assert_eq!(view.get(&format!("{base}/latest?ref=none")).await.status, 404);
    view.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn projects_are_chosen_as_gitlab_chooses_them() {
    let mut world = World::demo(5, 1, 1, 3);
    let archived = world.add_project("harbour/core/old-ledger");
    world.set_archived(archived, true);
    let rig = Rig::with(world, Options::default());
    assert!(rig.backfill(STORE).await.is_clean());
    let view = rig.view(STORE).await;
    for query in [
        "simple=true&order_by=id&sort=asc",
        "simple=true",
        "simple=true&archived=true",
        "simple=true&active=true&order_by=id",
        "simple=true&order_by=path&sort=asc&per_page=2&page=2",
        "simple=true&id_after=2718&order_by=id&sort=asc",
        "simple=true&search=ledger",
        "simple=true&pagination=keyset&order_by=id&sort=desc&per_page=2",
        "order_by=nothing",
        "pagination=keyset&order_by=name&archived=perhaps",
    ] {
        same(&rig, &view, &format!("/api/v4/projects?{query}")).await;
    }
    for path in [
        "/api/v4/groups/harbour%2Fcore/projects?simple=true",
        "/api/v4/groups/harbour/projects?simple=true&include_subgroups=true&order_by=id&sort=asc",
        "/api/v4/groups/harbour/projects?simple=true",
        "/api/v4/groups/nowhere/projects",
    ] {
        same(&rig, &view, path).await;
    }
    let keyset = view.get("/api/v4/projects?pagination=keyset&order_by=name").await;
    assert_eq!(keyset.status, 405);
    view.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trigger_jobs_are_fetched_when_somebody_asks_and_never_by_a_pass() {
    let rig = Rig::with(World::demo(1, 3, 3, 7), Options::default());
    assert!(rig.backfill(STORE).await.is_clean());
    assert_eq!(rig.fake.requests().of(Endpoint::Bridges), 0);
    let project = rig.fake.with(|world| world.projects()[0]);
    let pipelines = rig.fake.with(|world| world.pipelines_of(project));
    let key = PipelineKey { project, pipeline: pipelines[0] };
    let path = format!("/api/v4/projects/{project}/pipelines/{}/bridges", key.pipeline);
    let view = rig.view(STORE).await;
    assert_eq!(view.get(&path).await.body, b"[]");

    let engine =
        app::Engine::open(&rig.config(STORE), "backfill", Progress::silent().observer()).await.expect("an engine");
    let (queue, store) = (engine.queue.clone(), engine.store.clone());
    let running = engine.start().await;
    queue.offer(Work::now(Target::Bridges(key), Lane::Live, Cause::Planned)).await;
    eventually(async || store.bridges(key).await.expect("read").is_some()).await;
    assert!(same(&rig, &view, &path).await > 0);
    for query in ["?scope[]=success", "?scope[]=running", "?per_page=1&page=2", "?scope=nothing"] {
        same(&rig, &view, &format!("{path}{query}")).await;
    }
    // What GitLab does not have is no failure, and what it refuses is no gap.
    let gone = PipelineKey { pipeline: cistern::domain::PipelineId(1), ..key };
    let other = PipelineKey { project, pipeline: pipelines[2] };
    rig.fake.inject(Fault::new(FaultKind::Forbidden).on(Endpoint::Bridges).times(1));
    queue.offer(Work::now(Target::Bridges(other), Lane::Live, Cause::Planned)).await;
    eventually(async || !store.failures(None).await.expect("read").is_empty()).await;
    queue.offer(Work::now(Target::Bridges(gone), Lane::Live, Cause::Planned)).await;
    eventually(async || queue.is_empty()).await;
    assert_eq!(store.failures(None).await.expect("read").len(), 1);
    assert!(store.gaps(None, 10).await.expect("read").is_empty());
    running.stop(PATIENCE).await;
    view.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_s_tests_are_cut_out_of_its_pipeline_s_report() {
    let mut world = World::at(Timestamp::from_millis(Timestamp::now().as_millis() / 1000 * 1000));
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let junit = |cases| Junit::generated(cases, 1, cases as u64);
    let jobs =
        [("rspec 1/2", Some(3)), ("rspec 2/2", Some(4)), ("unit", Some(2000)), ("lint", None)].map(|(name, cases)| {
            let spec = JobSpec::new(name);
            let job = world.add_job(pipeline, cases.map_or(spec.clone(), |cases| spec.junit(junit(cases))));
            world.start_job(job);
            world.finish_job(job, "success");
            job
        });
    let again = world.retry_job(jobs[2]);
    world.start_job(again);
    world.finish_job(again, "success");
    let rig = Rig::with(world, Options::default());
    assert!(rig.backfill(STORE).await.is_clean());
    let view = rig.view(STORE).await;
    let whole = view.report(project, pipeline).await.expect("a report");
    let suite = |name: &str| {
        let suites = whole["test_suites"].as_array().expect("suites");
        suites.iter().find(|suite| suite["name"] == name).expect("a suite").clone()
    };
    let ask = async |job| {
        let answer = view.get(&format!("/api/cistern/v1/projects/{project}/jobs/{job}/test_report")).await;
        (answer.status, serde_json::from_slice::<Value>(&answer.body).expect("JSON"))
    };
    let (status, rspec) = ask(jobs[0]).await;
    assert_eq!((status, &rspec["test_suites"]), (200, &json!([suite("rspec")])));
    assert_eq!((&rspec["shared_with"], &rspec["total_count"]), (&json!([jobs[1]]), &json!(7)));
    assert_eq!(rspec["suites"][0]["shared_with"], json!([jobs[1]]));
    let (_, unit) = ask(again).await;
    assert_eq!((&unit["test_suites"], &unit["shared_with"]), (&json!([suite("unit")]), &json!([])));
    assert_eq!((&unit["failed_count"], &unit["job_id"]), (&suite("unit")["failed_count"], &json!(again)));
    let (status, earlier) = ask(jobs[2]).await;
    assert_eq!(status, 404);
    assert!(earlier["message"].as_str().is_some_and(|message| message.contains("retried")), "{earlier}");
    let (status, lint) = ask(jobs[3]).await;
    assert_eq!((status, &lint["test_suites"], &lint["total_count"]), (200, &json!([]), &json!(0)));
    view.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn completeness_tells_what_is_missing_and_why() {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let jobs = ["build", "test"].map(|name| world.add_job(pipeline, JobSpec::new(name)));
    for job in jobs {
        world.start_job(job);
        world.finish_job(job, "success");
    }
    let later = world.add_pipeline(project, PipelineSpec::default());
    let running = world.add_job(later, JobSpec::new("running"));
    world.start_job(running);
    let rig = Rig::with(world, Options::default()).set("schedule.scale", "0.001");
    rig.fake.inject(Fault::new(FaultKind::HtmlStatus(418)).on(Endpoint::Trace).subject(jobs[1].0));
    assert!(!rig.backfill(STORE).await.is_clean());
    let view = rig.view(STORE).await;
    let ask = async |path: &str| {
        let answer = view.get(&format!("/api/cistern/v1/projects/{project}{path}/completeness")).await;
        assert_eq!(answer.status, 200, "{path}");
        serde_json::from_slice::<Value>(&answer.body).expect("JSON")
    };
    let whole = ask("").await;
    assert_eq!((&whole["complete"], &whole["jobs"]["total"]), (&json!(false), &json!(3)), "{whole:#}");
    assert_eq!(
        whole["logs"]["live"].as_u64().zip(whole["logs"]["held"].as_u64()).map(|(live, held)| live + held),
        Some(1)
    );
    assert_eq!(whole["logs"]["absent"], json!({ "failed": 1, "not_finished": 1 }));
    assert_eq!(whole["gaps"][0]["job"], json!(jobs[1]));
    let failed = &whole["failures"][0];
    assert_eq!((&failed["kind"], &failed["id"]), (&json!("job"), &json!(jobs[1])));
    assert!(failed["problem"].is_string() && failed["attempts"].as_u64() >= Some(1), "{failed}");
    let one = ask(&format!("/pipelines/{pipeline}")).await;
    assert_eq!(
        (&one["complete"], &one["jobs"][1]["log"], &one["report"]),
        (&json!(false), &json!("failed"), &json!("whole"))
    );
    assert_eq!((&one["bridges"], &one["failures"][0]["id"]), (&json!("not_asked"), &json!(jobs[1])));
    let other = ask(&format!("/pipelines/{later}")).await;
    assert_eq!(
        (&other["jobs"][0]["log"], &other["jobs"][0]["archive"]),
        (&json!("not_finished"), &json!("not_finished"))
    );
    assert_eq!(other["failures"], json!([]));
    view.close().await;

    rig.fake.clear_faults();
    rig.fake.with(|world| world.finish_job(running, "success"));
    assert!(rig.backfill(STORE).await.is_clean());
    let view = rig.view(STORE).await;
    let answer = view.get(&format!("/api/cistern/v1/projects/{project}/completeness")).await;
    let whole: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!((&whole["complete"], &whole["gaps"]), (&json!(true), &json!([])), "{whole:#}");
    assert!(whole["watermark"].is_string() && whole["last_full_pass"].is_string());
    assert_eq!(view.get("/api/cistern/v1/projects/999/completeness").await.status, 404);
    view.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn links_begin_with_the_public_address() {
    let rig =
        Rig::with(World::demo(3, 1, 1, 3), Options::default()).set("server.public_url", "https://ci.example/cache/");
    let serving = rig.serve(STORE).await;
    let mut socket = TcpStream::connect(serving.address()).await.expect("a connection");
    let request =
        "GET /api/v4/projects?pagination=keyset&order_by=id&sort=asc&per_page=1 HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n";
    socket.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.expect("received");
    let link = "link: <https://ci.example/cache/api/v4/projects?id_after=2718&order_by=id&pagination=keyset&per_page=1&sort=asc>; \
                rel=\"next\"\r\n";
    assert!(answer.contains(link), "{answer}");
    assert!(!answer.contains("x-page") && !answer.contains("x-total"), "{answer}");
    serving.stop().await;
}
