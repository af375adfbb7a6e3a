//! GitLab is away, or slow: what is held is served with its age, and nobody waits for ever, or again and again.

use std::time::{Duration, Instant};

use cistern::demo::fake::{Endpoint, Fault, FaultKind, Options};

use super::{add_job, get, get_at_once, job_path, job_with_log, reading_through};

/// What a reader waits at most, and what this machine may add.
const WAIT: Duration = Duration::from_secs(10);
const SLACK: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn without_gitlab_what_is_held_is_served_with_its_age_and_what_is_not_is_503() {
    let (rig, project) = reading_through(Options::default());
    let rig = rig.set("api.max_age", "0s");
    let (pipeline, running) = add_job(&rig, project, job_with_log("begin\n"), "running");
    let (_, ended) = add_job(&rig, project, job_with_log("log\n"), "success");
    let serving = rig.serve(super::STORE).await;
    serving.idle().await;
    rig.fake.inject(Fault::new(FaultKind::HtmlStatus(502)));
    let pipeline = format!("/api/v4/projects/{project}/pipelines/{pipeline}");
    for path in [job_path(project, running), pipeline.clone(), format!("{pipeline}/jobs")] {
        let answer = get(serving.address(), &path).await;
        assert_eq!((answer.status, answer.source()), (200, "stale"), "{path}");
        assert!(answer.age() < 60 && answer.header("x-cistern-as-of").ends_with('Z'), "{}", answer.head);
    }
    let jobs = get(serving.address(), &format!("{pipeline}/jobs")).await;
    assert_eq!(jobs.header("x-cistern-complete"), "false");
    assert_eq!(get(serving.address(), &format!("{}/trace", job_path(project, ended))).await.source(), "hit");
    let missing = get(serving.address(), &format!("/api/v4/projects/{project}/jobs/4711")).await;
    assert_eq!((missing.status, missing.header("retry-after").is_empty()), (503, false));
    assert_eq!(serving.store.journal_len().await.expect("a count"), 0, "a reader's miss leaves nothing behind");
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gitlab_that_stalls_costs_readers_one_wait() {
    let (rig, project) = reading_through(Options::default());
    let rig = rig.set("api.max_age", "0s");
    let (_, job) = add_job(&rig, project, job_with_log("begin\n"), "running");
    let serving = rig.serve(super::STORE).await;
    rig.fake.inject(Fault::new(FaultKind::Stall).on(Endpoint::Job));
    rig.fake.reset_counters();
    let began = Instant::now();
    for answer in get_at_once(serving.address(), &job_path(project, job), 20).await {
        assert_eq!((answer.status, answer.source()), (200, "stale"));
    }
    assert!((WAIT..WAIT + SLACK).contains(&began.elapsed()), "{:?}", began.elapsed());
    let began = Instant::now();
    assert_eq!(get(serving.address(), &job_path(project, job)).await.source(), "stale");
    assert!(began.elapsed() < SLACK, "who comes next does not wait again");
    assert_eq!(rig.fake.requests().of(Endpoint::Job), 1);
}
