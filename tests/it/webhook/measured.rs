//! `/metrics` and `/status` after traffic of every kind: names that others rely on, and labels from closed sets.

use std::collections::{BTreeMap, BTreeSet};

use cistern::demo::fake::{Delivery, World};
use serde_json::Value;

use super::{finish, running, with_body};
use crate::rig::{Rig, SIGNING_TOKEN, Serving};

/// The samples of an OpenMetrics text by name; each with its labels.
type Samples = BTreeMap<String, Vec<Vec<(String, String)>>>;

/// Reads the text, and fails on everything that a scraper would refuse.
fn parse(text: &str) -> Samples {
    let mut samples = Samples::new();
    let mut described = BTreeSet::new();
    assert!(text.ends_with("# EOF\n"), "no end");
    for line in text.lines().filter(|line| *line != "# EOF") {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.split(' ');
            let (kind, name) = (words.next().expect("a word"), words.next().expect("a name"));
            assert!(matches!(kind, "HELP" | "TYPE" | "UNIT"), "{line}");
            if kind == "TYPE" {
                assert!(described.insert(name.to_owned()), "{name} is described twice");
            }
            continue;
        }
        let (left, value) = line.rsplit_once(' ').expect("a value");
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let (name, labels) = match left.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}').expect("an end of labels")),
            None => (left, ""),
        };
        assert!(name.starts_with("cistern_"), "{line}");
        assert!(described.iter().any(|family| name.starts_with(family.as_str())), "{name} has no type");
        let labels = labels.split(',').filter(|label| !label.is_empty()).map(|label| {
            let (key, value) = label.split_once('=').expect("a label");
            (key.to_owned(), value.trim_matches('"').to_owned())
        });
        samples.entry(name.to_owned()).or_default().push(labels.collect());
    }
    samples
}

async fn measured(serving: &Serving) -> Samples {
    parse(&serving.admin("/metrics").await)
}

fn values<'a>(samples: &'a Samples, name: &str, label: &str) -> BTreeSet<&'a str> {
    let rows = samples.get(name).unwrap_or_else(|| panic!("{name} is missing"));
    rows.iter().flatten().filter(|(key, _)| key == label).map(|(_, value)| value.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_promised_metric_exists_and_no_label_is_open() {
    let (world, project, pipeline, job) = running();
    let rig = Rig::new(world);
    let serving = rig.serve("cistern.db").await;
    serving.deliver(&rig.fake.pipeline_event(pipeline).expect("an event")).await;
    finish(&rig, job);
    serving.deliver(&rig.fake.job_event(job).expect("an event")).await;
    // What strangers send must not become a label.
    for event in ["Push Hook", "Made Up Hook 4711", "x\",evil=\"1"] {
        serving.deliver(&Delivery::new(event, r#"{"object_kind":"made_up_4711"}"#).signed_with(SIGNING_TOKEN)).await;
    }
    serving.deliver(&with_body("[]")).await;
    serving.deliver(&with_body(r#"{"object_kind":"build"}"#)).await;
    serving.deliver(&with_body("{}").unsigned()).await;
    serving.idle().await;
    serving.get(&format!("/api/v4/projects/{project}/jobs/{job}/trace")).await;

    let samples = measured(&serving).await;
    for name in [
        "webhook_requests_total",
        "webhook_seconds_count",
        "queue_targets",
        "queue_oldest_seconds",
        "gitlab_requests_total",
        "gitlab_in_flight",
        "gitlab_limit_remaining",
        "ingest_total",
        "ingest_bytes_total",
        "event_to_cached_seconds_count",
        "store_up",
        "store_in_flight",
        "store_seconds_count",
        "reconcile_seconds_count",
        "reconcile_gaps",
    ] {
        assert!(samples.contains_key(&format!("cistern_{name}")), "{name} is missing");
    }
    let events = values(&samples, "cistern_webhook_requests_total", "event");
    assert_eq!(events, BTreeSet::from(["job", "other", "pipeline", "unknown", "unreadable"]));
    let outcomes = values(&samples, "cistern_webhook_requests_total", "outcome");
    assert_eq!(outcomes, BTreeSet::from(["accepted", "ignored", "not_an_object", "refused"]));
    assert_eq!(values(&samples, "cistern_queue_targets", "lane"), BTreeSet::from(["backfill", "live", "reader"]));
    assert!(values(&samples, "cistern_ingest_total", "kind").contains("log"));
    assert!(values(&samples, "cistern_ingest_total", "outcome").contains("cached"));
    for (name, label, value) in samples
        .iter()
        .flat_map(|(name, rows)| rows.iter().flatten().map(move |(label, value)| (name, label, value)))
        .filter(|(_, label, _)| !matches!(label.as_str(), "le" | "status" | "version"))
    {
        let is_word = value.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        assert!(is_word && !value.is_empty(), "{name} has the open label {label}={value}");
    }
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn status_tells_the_same_after_the_work_as_readers_see() {
    let rig = Rig::new(World::new());
    let serving = rig.serve("cistern.db").await;
    let status: Value = serde_json::from_str(&serving.admin("/status").await).expect("JSON");
    assert_eq!((&status["store"]["up"], &status["queue"]["journal"]), (&true.into(), &0.into()));
    assert!(status["reconcile"]["last_success"].is_string(), "{status}");
    assert_eq!(status["reconcile"]["last_report"]["failed"], 0);
    let ready: Value = serde_json::from_slice(&serving.get("/readyz").await.body).expect("JSON");
    assert_eq!(ready["status"], "ready");
    serving.stop().await;
}
