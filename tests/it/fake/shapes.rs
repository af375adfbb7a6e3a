//! Documents, events and refusals, key by key against the fixtures.

use std::collections::{BTreeMap, BTreeSet};

use cistern::demo::fake::{CANARY_SECRET, Census, DateStyle, Delivery, Options, World};
use cistern::domain::Timestamp;
use serde_json::Value;

use super::edge::{Small, get, send, small};

fn fixture(name: &str) -> Value {
    let path = format!("{}/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("a fixture");
    serde_json::from_str(&text).expect("a JSON fixture")
}

/// Every key path of a document, `[]` for rows; of all rows together.
fn keys(document: &Value, at: &str, found: &mut BTreeSet<String>) {
    match document {
        Value::Object(fields) => {
            for (key, value) in fields {
                let path = format!("{at}.{key}");
                keys(value, &path, found);
                found.insert(path);
            }
        }
        Value::Array(rows) => rows.iter().for_each(|row| keys(row, &format!("{at}[]"), found)),
        _ => {}
    }
}

#[track_caller]
fn assert_has_keys_of(sample: &Value, ours: &Value, may_miss: &[&str]) {
    let (mut wanted, mut found) = (BTreeSet::new(), BTreeSet::new());
    keys(sample, "", &mut wanted);
    keys(ours, "", &mut found);
    let missing: Vec<_> = wanted.difference(&found).filter(|key| !may_miss.contains(&key.as_str())).collect();
    assert!(missing.is_empty(), "missing {missing:?} in {ours:#}");
}

#[tokio::test]
async fn documents_have_every_key_of_the_samples() {
    let Small { fake, project, pipeline, job, .. } = small(Options::default());
    let projects = get(&fake, "/projects?simple=true&pagination=keyset&order_by=id&sort=asc").await.json();
    assert_has_keys_of(&fixture("rest/20-api-projects-simple-keyset-page.json")["_body"], &projects, &[]);
    let pipelines = get(&fake, &format!("/projects/{project}/pipelines")).await.json();
    assert_has_keys_of(&fixture("rest/21-api-pipelines-page.json")["_body"], &pipelines, &[]);
    let detail = get(&fake, &format!("/projects/{project}/pipelines/{pipeline}")).await.json();
    assert_has_keys_of(&fixture("rest/22-api-pipeline-detail.json"), &detail, &[]);
    let jobs = get(&fake, &format!("/projects/{project}/pipelines/{pipeline}/jobs")).await.json();
    assert_has_keys_of(&fixture("rest/23-api-pipeline-jobs-page.json")["_body"], &jobs, &[]);
    let one = get(&fake, &format!("/projects/{project}/jobs/{job}")).await.json();
    assert_eq!(jobs.as_array().expect("rows").iter().find(|row| row["id"] == job.0), Some(&one));
    let bridges = get(&fake, &format!("/projects/{project}/pipelines/{pipeline}/bridges")).await.json();
    assert_has_keys_of(&fixture("rest/24-api-pipeline-bridges.json"), &bridges, &[]);
    let report = get(&fake, &format!("/projects/{project}/pipelines/{pipeline}/test_report")).await.json();
    let optional = [
        ".test_suites[].test_cases[].attachment_url",
        ".test_suites[].test_cases[].recent_failures.count",
        ".test_suites[].test_cases[].recent_failures.base_branch",
    ];
    assert_has_keys_of(&fixture("rest/25-api-test-report-3-suites.json"), &report, &optional);
    assert_eq!(report["test_suites"][0]["name"], "rspec");
    let summary = get(&fake, &format!("/projects/{project}/pipelines/{pipeline}/test_report_summary")).await.json();
    assert_has_keys_of(&fixture("rest/26-api-test-report-summary.json"), &summary, &[]);
    assert_eq!(summary["test_suites"][0]["build_ids"], serde_json::json!([job]));
    fake.stop().await.expect("a clean stop");
}

#[tokio::test]
async fn events_have_every_key_of_the_samples_and_the_canary() {
    let Small { fake, pipeline, child, job, .. } = small(Options::default());
    let body = |delivery: Delivery| serde_json::from_slice::<Value>(&delivery.body()).expect("a JSON body");
    let runner = [".environment.name", ".environment.action", ".environment.deployment_tier"];
    let environment = runner.map(|key| format!(".builds[]{key}"));
    let mut optional: Vec<&str> = environment.iter().map(String::as_str).collect();
    let event = body(fake.pipeline_event(pipeline).expect("a known pipeline"));
    assert_has_keys_of(&fixture("webhooks/02-webhook-pipeline-failed-12-builds.json"), &event, &optional);
    assert_eq!(event["object_attributes"]["variables"][0]["value"], CANARY_SECRET);
    optional.clear();
    let event = body(fake.pipeline_event(child).expect("a known pipeline"));
    assert_has_keys_of(&fixture("webhooks/04-webhook-pipeline-child-success.json"), &event, &optional);
    let event = body(fake.job_event(job).expect("a known job"));
    assert_has_keys_of(&fixture("webhooks/08-webhook-job-failed.json"), &event, &optional);
    assert_eq!(event["build_failure_reason"], "script_failure");
    let event = body(fake.with(|world| Delivery::job(world, job, DateStyle::Legacy)).expect("a known job"));
    let started = event["build_started_at"].as_str().expect("a date");
    assert!(started.ends_with(" UTC") && Timestamp::parse(started).is_some(), "{started}");
    fake.stop().await.expect("a clean stop");
}

#[test]
fn deliveries_carry_the_signature_of_sample_12_and_every_header() {
    let headers = fixture("webhooks/12-signed-delivery.headers.json");
    let path = format!("{}/fixtures/webhooks/12-signed-delivery.body", env!("CARGO_MANIFEST_DIR"));
    let delivery = Delivery::new("Job Hook", std::fs::read(path).expect("a body"))
        .signed_with(headers["_signing_token"].as_str().expect("a token"))
        .with_token("legacy-plain-secret")
        .with_id(headers["webhook-id"].as_str().expect("an id"))
        .at(1_795_392_000);
    let ours: BTreeMap<_, _> = delivery.headers().into_iter().collect();
    let sample = headers.as_object().expect("an object");
    for (name, value) in sample.iter().filter(|(name, _)| !name.starts_with('_')) {
        let mine = ours.get(name.as_str()).unwrap_or_else(|| panic!("{name} is missing"));
        if !name.ends_with("UUID") && name != "X-Gitlab-Instance" {
            assert_eq!(Some(mine.as_str()), value.as_str(), "{name}");
        }
    }
    let signature = |delivery: &Delivery| {
        delivery.headers().into_iter().find(|(name, _)| *name == "webhook-signature").map(|(_, value)| value)
    };
    assert_eq!(signature(&delivery.clone().unsigned()), None);
    let bad = signature(&delivery.clone().with_bad_signature());
    assert!(bad.is_some_and(|bad| Some(&bad) != ours.get("webhook-signature")));
}

#[tokio::test]
async fn refusals_have_the_bodies_of_sample_28() {
    let Small { fake, project, job, .. } = small(Options::default());
    let cases = fixture("rest/28-api-error-cases.json");
    let body = |status: u64, case: &str| {
        let rows = cases.as_array().expect("rows").iter();
        let found = rows.clone().find(|row| row["case"] == case && row["status"] == status);
        found.unwrap_or_else(|| panic!("no case {case}"))["body"].clone()
    };
    let target = format!("/api/v4/projects/{project}");
    // Nobody in particular sees what is public, and is refused only where GitLab has to know who asks.
    let anonymous = send(fake.url(), "/api/v4/user", "").await;
    assert_eq!((anonymous.status, anonymous.json()), (401, body(401, "missing/invalid token")));
    let anonymous = send(fake.url(), &target, "").await;
    assert_eq!((anonymous.status, anonymous.json()), (404, body(404, "project unknown or not visible")));
    for credential in ["PRIVATE-TOKEN: wrong\r\n", "Authorization: Bearer wrong\r\n"] {
        let refused = send(fake.url(), &target, credential).await;
        assert_eq!((refused.status, refused.json()), (401, body(401, "missing/invalid token")));
        assert_eq!(refused.header("content-type"), "application/json");
    }
    let bearer = send(fake.url(), &target, &format!("Authorization: Bearer {}\r\n", fake.token())).await;
    assert_eq!(bearer.status, 200);
    let unknown = get(&fake, "/projects/1").await;
    assert_eq!((unknown.status, unknown.json()), (404, body(404, "project unknown or not visible")));
    let unknown = get(&fake, &format!("/projects/{project}/jobs/1")).await;
    assert_eq!((unknown.status, unknown.json()), (404, body(404, "job unknown / bridge id / no artifacts")));
    fake.with(|world| world.forbid_log(job));
    let forbidden = get(&fake, &format!("/projects/{project}/jobs/{job}/trace")).await;
    assert_eq!((forbidden.status, forbidden.json()), (403, body(403, "role too small")));
    let invalid = get(&fake, &format!("/projects/{project}/pipelines/1/jobs?scope[]=x")).await;
    assert_eq!(invalid.status, 404);

    assert_eq!(get(&fake, "/projects/harbour%2Fcore%2Ftide-ledger").await.status, 200);
    fake.with(|world| world.move_project(project, "harbour/new/ledger"));
    let moved = get(&fake, "/projects/harbour%2Fcore%2Ftide-ledger/pipelines?per_page=5").await;
    let location = format!("{}/api/v4/projects/{project}/pipelines?per_page=5", fake.url());
    assert_eq!((moved.status, moved.header("location")), (301, location.as_str()));
    let text = format!("This resource has been moved permanently to {location}");
    assert_eq!(
        (String::from_utf8_lossy(&moved.body).as_ref(), moved.header("content-type")),
        (text.as_str(), "text/plain")
    );
    fake.with(|world| world.set_ci_disabled(project, true));
    assert_eq!(get(&fake, &format!("/projects/{project}/pipelines")).await.status, 403);
    fake.stop().await.expect("a clean stop");
}

#[test]
fn the_standard_data_set_has_exactly_the_numbers_asked_for_and_repeats() {
    let world = World::demo(5, 10, 20, 1);
    let census = world.census();
    assert_eq!((census.projects, census.pipelines, census.jobs), (5, 50, 1_000));
    assert!((700..1_000).contains(&census.logs), "{census:?}");
    assert!((250..=400).contains(&census.archives), "{census:?}");
    assert_eq!(census.reports, 50);
    assert_eq!(census, World::demo(5, 10, 20, 1).census());
    assert_ne!(census, World::demo(5, 10, 20, 2).census());
    assert_eq!(World::demo(1, 1, 1, 1).census(), Census { projects: 1, ..World::demo(1, 1, 1, 1).census() });
    let statuses: BTreeSet<_> = world
        .projects()
        .into_iter()
        .flat_map(|project| world.pipelines_of(project))
        .flat_map(|pipeline| world.jobs_of(pipeline))
        .filter_map(|job| world.job_status(job))
        .collect();
    assert_eq!(statuses, BTreeSet::from(["canceled", "failed", "manual", "skipped", "success"]));
}
