//! What becomes of verified deliveries: accepted, coalesced, ignored, or not readable.

use cistern::demo::fake::{Delivery, Endpoint};

use super::{PATH, finish, headers, running, said, verdict, with_body};
use crate::rig::{Rig, SIGNING_TOKEN};

#[tokio::test(flavor = "multi_thread")]
async fn events_of_pipelines_and_jobs_are_accepted_and_repetitions_coalesced() {
    let (world, project, pipeline, job) = running();
    let rig = Rig::new(world).set("webhook.refresh", "1h");
    let serving = rig.serve("cistern.db").await;
    let (of_job, of_pipeline) = (rig.fake.job_event(job), rig.fake.pipeline_event(pipeline));
    let (of_job, of_pipeline) = (of_job.expect("an event"), of_pipeline.expect("an event"));
    serving.idle().await;
    // The pass at start offered the running pipeline nothing that waits.
    assert_eq!(verdict(&serving.deliver(&of_job).await), said(202, "accepted"));
    assert_eq!(verdict(&serving.deliver(&of_pipeline).await), said(202, "coalesced"));
    finish(&rig, job);
    assert_eq!(verdict(&serving.deliver(&rig.fake.job_event(job).expect("an event")).await), said(202, "accepted"));
    serving.until(|| rig.fake.requests().of(Endpoint::Trace) == 1).await;
    serving.idle().await;
    let log = serving.get(&format!("/api/v4/projects/{project}/jobs/{job}/trace")).await;
    assert_eq!(log.body, rig.fake.with(|world| world.trace(job)).expect("a log"));
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_events_and_other_projects_are_ignored() {
    let (mut world, _, _, job) = running();
    let left_out = world.add_project("secret/app");
    let elsewhere = world.add_pipeline(left_out, cistern::demo::fake::PipelineSpec::default());
    let rig = Rig::new(world).set("projects.exclude", "secret/**").set("webhook.refresh", "0s");
    let serving = rig.serve("cistern.db").await;
    rig.fake.reset_counters();
    for (event, body) in [
        ("Push Hook", r#"{"object_kind":"push","project_id":2718,"ref":"refs/heads/main"}"#),
        ("Note Hook", r#"{"object_kind":"note","project":{"id":2718},"object_attributes":{"id":1}}"#),
        ("Pipeline Hook", r#"{"object_kind":"something_new_in_gitlab_20"}"#),
        ("Something New Hook", "{}"),
    ] {
        let delivery = Delivery::new(event, body).signed_with(SIGNING_TOKEN);
        assert_eq!(verdict(&serving.deliver(&delivery).await), said(200, "ignored"), "{event}");
    }
    let event = rig.fake.pipeline_event(elsewhere).expect("an event");
    assert_eq!(verdict(&serving.deliver(&event).await), said(200, "ignored"), "a project that is left out");
    let event = rig.fake.job_event(job).expect("an event");
    assert_eq!(verdict(&serving.deliver(&event).await), said(200, "ignored"), "unfinished, and nothing is refreshed");
    assert!(serving.queue.is_empty());
    assert_eq!(rig.fake.requests().total, 0);
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_identity_is_ignored_counted_apart_and_its_project_swept_early() {
    let (world, project, _, job) = running();
    let rig = Rig::new(world);
    let serving = rig.serve("cistern.db").await;
    finish(&rig, job);
    let body = format!(r#"{{"object_kind":"build","project_id":{project},"build_id":"a template's mistake"}}"#);
    assert_eq!(verdict(&serving.deliver(&with_body(body)).await), said(200, "ignored"));
    let whole = rig.fake.with(|world| world.trace(job)).expect("a log");
    crate::rig::eventually(async || {
        serving.get(&format!("/api/v4/projects/{project}/jobs/{job}/trace")).await.body == whole
    })
    .await;
    let metrics = serving.admin("/metrics").await;
    assert!(metrics.contains(r#"cistern_webhook_requests_total{event="unreadable",outcome="ignored"} 1"#), "{metrics}");
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_json_object_is_400() {
    let (world, ..) = running();
    let rig = Rig::new(world);
    let serving = rig.serve("cistern.db").await;
    let bodies: [&[u8]; 8] =
        [b"", b"[]", b"null", b"\"text\"", b"{", b"{\"object_kind\":\"build\"} trailing", b"\xff\xfe{}", b"a=b"];
    for body in bodies {
        let answer = serving.deliver(&with_body(body)).await;
        assert_eq!(verdict(&answer), said(400, "not_an_object"), "{}", String::from_utf8_lossy(body));
    }
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_plain_json_by_its_headers_is_415() {
    let (world, _, pipeline, _) = running();
    let rig = Rig::new(world);
    let serving = rig.serve("cistern.db").await;
    let delivery = rig.fake.pipeline_event(pipeline).expect("an event");
    let with = |name: &str, value: &str| {
        let mut headers = headers(&delivery);
        headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        if !value.is_empty() {
            headers.push((name.to_owned(), value.to_owned()));
        }
        headers
    };
    for (name, value) in [
        ("Content-Type", "text/plain"),
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Content-Type", ""),
        ("Content-Encoding", "gzip"),
    ] {
        let answer = serving.post(PATH, &with(name, value), &delivery.body()).await;
        assert_eq!(verdict(&answer), said(415, "not_json"), "{name}: {value}");
    }
    for value in ["application/json; charset=utf-8", "application/cloudevents+json"] {
        let answer = serving.post(PATH, &with("Content-Type", value), &delivery.body()).await;
        assert_eq!(answer.status, 202, "{value}");
    }
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_post_is_taken() {
    let rig = Rig::new(cistern::demo::fake::World::new());
    let serving = rig.serve("cistern.db").await;
    assert_eq!(verdict(&serving.get(PATH).await), said(405, "refused"));
    serving.stop().await;
}
