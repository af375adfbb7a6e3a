//! What is not cached is fetched, once however many ask; what is final costs nothing; a refusal is believed for a while.

use std::time::Duration;

use cistern::demo::fake::{Endpoint, Fault, FaultKind, JobSpec, Junit, Options};
use cistern::domain::{ProjectId, Timestamp};
use serde_json::Value;

use super::{add_job, get, get_at_once, job_path, job_with_log, reading_through, slow};
use crate::rig::eventually;

/// Readers at one time.
const READERS: usize = 50;

#[tokio::test(flavor = "multi_thread")]
async fn fifty_readers_of_a_missing_log_cost_gitlab_one_fetch_and_the_next_fifty_none() {
    let (rig, project) = reading_through(slow());
    let serving = rig.serve(super::STORE).await;
    let (_, job) = add_job(&rig, project, job_with_log("all of it\n"), "success");
    rig.fake.reset_counters();
    let path = format!("{}/trace", job_path(project, job));
    for answer in get_at_once(serving.address(), &path, READERS).await {
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"all of it\n"[..]));
        assert_eq!((answer.source(), answer.header("x-cistern-log")), ("miss", "settled"));
    }
    let cost = rig.fake.requests();
    assert_eq!((cost.of(Endpoint::Job), cost.of(Endpoint::Trace)), (1, 1));

    rig.fake.reset_counters();
    for path in [path, job_path(project, job)] {
        for answer in get_at_once(serving.address(), &path, READERS).await {
            assert_eq!((answer.status, answer.source()), (200, "hit"));
        }
    }
    assert_eq!(rig.fake.requests().total, 0, "what is final is for ever");
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_readers_of_something_too_old_cost_one_fetch() {
    let options = Options { latency: Duration::from_millis(40), ..Options::default() };
    let (rig, project) = reading_through(options);
    let (pipeline, job) = add_job(&rig, project, job_with_log("begin\n"), "running");
    let rig = rig.set("api.max_age", "1s");
    let serving = rig.serve(super::STORE).await;
    let path = format!("/api/v4/projects/{project}/pipelines/{pipeline}/jobs");
    // GitLab's date has whole seconds: after two the listing of the pass is older than one.
    eventually(async || get(serving.address(), &path).await.source() == "refreshed").await;
    rig.fake.with(|world| world.finish_job(job, "failed"));
    let old = async || get(serving.address(), &job_path(project, job)).await.source() == "refreshed";
    eventually(old).await;
    rig.fake.reset_counters();
    let answers = async || get_at_once(serving.address(), &path, READERS).await;
    eventually(async || answers().await.iter().any(|answer| answer.source() == "refreshed")).await;
    let jobs: Value = serde_json::from_slice(&get(serving.address(), &path).await.body).expect("JSON");
    assert_eq!(jobs[0]["status"], "failed");
    assert_eq!(rig.fake.requests().of(Endpoint::PipelineJobs), 1);
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gitlab_does_not_have_is_not_asked_for_again_at_once() {
    let (rig, project) = reading_through(Options::default());
    let serving = rig.serve(super::STORE).await;
    rig.fake.reset_counters();
    let (no_job, no_pipeline) = (format!("/api/v4/projects/{project}/jobs/999"), 998);
    for path in [no_job, format!("/api/v4/projects/{project}/pipelines/{no_pipeline}")] {
        for _ in 0..3 {
            assert_eq!(get(serving.address(), &path).await.status, 404, "{path}");
        }
    }
    let cost = rig.fake.requests();
    assert_eq!((cost.of(Endpoint::Job), cost.of(Endpoint::Pipeline), cost.total), (1, 1, 2));
    for _ in 0..3 {
        let answer = get(serving.address(), "/api/v4/projects/4711/jobs/1").await;
        assert_eq!(answer.status, 404);
        assert!(String::from_utf8_lossy(&answer.body).contains("404 Project Not Found"));
    }
    assert_eq!(rig.fake.requests().of(Endpoint::Project), 1);
    assert_eq!(serving.store.failures(None).await.expect("the failures").len(), 0, "no failure of ours");
    assert_eq!(serving.store.journal_len().await.expect("a count"), 0, "nothing is left behind");
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_our_token_may_not_read_is_not_asked_for_again_at_once() {
    let (rig, project) = reading_through(Options::default());
    let serving = rig.serve(super::STORE).await;
    let (_, job) = add_job(&rig, project, job_with_log("secret\n"), "success");
    rig.fake.inject(Fault::new(FaultKind::Forbidden).on(Endpoint::Job));
    rig.fake.reset_counters();
    for path in [job_path(project, job), job_path(project, job)] {
        assert_eq!(get(serving.address(), &path).await.status, 404);
    }
    assert_eq!(rig.fake.requests().of(Endpoint::Job), 1);
    assert_eq!(serving.store.failures(None).await.expect("the failures").len(), 0);
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_is_fetched_by_its_id_unless_it_is_left_out() {
    let (rig, _) = reading_through(Options::default());
    let rig = rig.set("projects.exclude", "secret/**");
    let serving = rig.serve(super::STORE).await;
    let (new, excluded) = rig.fake.with(|world| (world.add_project("group/new"), world.add_project("secret/app")));
    let project = async |id: ProjectId| get(serving.address(), &format!("/api/v4/projects/{id}")).await;
    let answer = project(new).await;
    assert_eq!((answer.status, answer.source()), (200, "miss"));
    rig.fake.reset_counters();
    for _ in 0..2 {
        assert_eq!(project(excluded).await.status, 404);
    }
    assert_eq!(rig.fake.requests().total, 1, "a project that is left out is not asked for again at once");
    let (_, job) = add_job(&rig, excluded, job_with_log("secret\n"), "success");
    assert_eq!(get(serving.address(), &job_path(excluded, job)).await.status, 404);
    assert!(serving.store.project(excluded).await.expect("read").is_none());
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_jobs_and_the_report_of_a_pipeline_that_nobody_announced_are_fetched() {
    let (rig, project) = reading_through(Options::default());
    let serving = rig.serve(super::STORE).await;
    let spec = JobSpec::new("unit").junit(Junit::generated(3, 1, 7));
    let (pipeline, _) = add_job(&rig, project, spec, "success");
    let base = format!("/api/v4/projects/{project}/pipelines/{pipeline}");
    let report = get(serving.address(), &format!("{base}/test_report")).await;
    assert_eq!((report.status, report.source()), (200, "miss"));
    let theirs = rig.ask_gitlab(&format!("{base}/test_report")).await;
    assert_eq!(serde_json::from_slice::<Value>(&report.body).expect("JSON"), theirs);
    let jobs = get(serving.address(), &format!("{base}/jobs")).await;
    assert_eq!((jobs.source(), jobs.header("x-cistern-complete")), ("hit", "true"));
    // What its jobs need is fetched although no reader asked for it.
    serving.idle().await;
    rig.fake.reset_counters();
    for path in ["", "/jobs", "/test_report", "/test_report_summary"] {
        assert_eq!(get(serving.address(), &format!("{base}{path}")).await.source(), "hit", "{path}");
    }
    assert_eq!(rig.fake.requests().total, 0);
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_say_whether_they_are_complete() {
    let (rig, project) = reading_through(Options::default());
    add_job(&rig, project, job_with_log("log\n"), "success");
    let serving = rig.serve(super::STORE).await;
    let complete = async |path: String| get(serving.address(), &path).await.header("x-cistern-complete").to_owned();
    let pipelines = format!("/api/v4/projects/{project}/pipelines");
    assert_eq!(complete(pipelines.clone()).await, "true");
    assert_eq!(complete("/api/v4/projects".to_owned()).await, "true");
    let jobs = format!("/api/v4/projects/{project}/jobs");
    assert_eq!(complete(jobs.clone()).await, "true", "a pass has seen all of them");
    // No pass has seen this one, but the reader's own look shows all of it.
    let new = rig.fake.with(|world| world.add_project("group/new"));
    assert_eq!(complete(format!("/api/v4/projects/{new}/pipelines")).await, "true");
    serving.stop().await;

    let narrow = rig.set("reconcile.since", "1h");
    narrow.fake.with(|world| world.advance(Duration::from_secs(2 * 3600)));
    let serving = narrow.serve("narrow.db").await;
    // Older ones are not covered, and that is what they say.
    let now = narrow.fake.with(|world| world.now());
    for path in [&pipelines, &jobs] {
        let answer = get(serving.address(), path).await;
        let since = answer.header("x-cistern-complete").strip_prefix("since=").expect("from a time on").to_owned();
        let since = Timestamp::parse(&since).expect("a time");
        assert!(
            now.since(since) > Duration::from_secs(3500) && now.since(since) < Duration::from_secs(3700),
            "{since}"
        );
    }
    serving.stop().await;

    let lacking = narrow.set("reconcile.since", "3650d");
    lacking.fake.inject(Fault::new(FaultKind::HtmlStatus(418)).on(Endpoint::PipelineJobs));
    let serving = lacking.serve("lacking.db").await;
    let answer = get(serving.address(), &jobs).await;
    assert_eq!(answer.header("x-cistern-complete"), "false", "a list of jobs was refused");
    serving.stop().await;
}
