//! Every metric and label that a rule or a panel names is on the metrics page of a program under load.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use cistern::demo::fake::{Delivery, Endpoint, Fault, FaultKind, JobSpec, Options, PipelineSpec, World};
use serde_json::Value;

use crate::process::{Process, Server};
use crate::rig::{Rig, eventually};

const MANAGER: &str = "glpat-manager-0123456789";

/// The metrics of a page and their labels.
type Page = BTreeMap<String, BTreeSet<String>>;

fn file(path: &str) -> String {
    fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).expect("a file of the project")
}

fn expressions_of_rules() -> Vec<String> {
    let rules = file("k8s/components/prometheus/prometheusrule.yaml");
    rules.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).map(str::to_owned).collect()
}

fn expressions_of_dashboard() -> Vec<String> {
    fn collect(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(keys) => {
                found.extend(keys.get("expr").and_then(Value::as_str).map(str::to_owned));
                keys.values().for_each(|value| collect(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
            _ => {}
        }
    }
    let dashboard: Value = serde_json::from_str(&file("k8s/components/grafana/cistern.json")).expect("JSON");
    let mut found = Vec::new();
    collect(&dashboard, &mut found);
    found
}

fn is_of_a_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

/// Returns what an expression names: each metric, with the labels that it is asked for in braces.
fn named(expression: &str) -> Vec<(String, Vec<String>)> {
    let starts = expression.match_indices("cistern_").map(|(at, _)| &expression[at..]);
    starts
        .map(|rest| {
            let end = rest.find(|letter| !is_of_a_name(letter)).unwrap_or(rest.len());
            let labels =
                rest[end..].strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(inside, _)| inside);
            let label = |matcher: &str| matcher.split(['=', '!']).next().unwrap_or_default().trim().to_owned();
            let labels = labels.split(',').filter(|matcher| !matcher.is_empty()).map(label).collect();
            (rest[..end].to_owned(), labels)
        })
        .collect()
}

/// Returns the labels that an expression groups by.
fn grouped(expression: &str) -> Vec<String> {
    let groups = expression.split("by (").skip(1).filter_map(|rest| rest.split(')').next());
    groups.flat_map(|labels| labels.split(',')).map(|label| label.trim().to_owned()).collect()
}

fn parse(page: &str) -> Page {
    let mut metrics = Page::new();
    for sample in page.lines().filter(|line| !line.starts_with('#')) {
        let end = sample.find(|letter| !is_of_a_name(letter)).unwrap_or(sample.len());
        let labels = metrics.entry(sample[..end].to_owned()).or_default();
        if let Some((inside, _)) = sample[end..].strip_prefix('{').and_then(|rest| rest.rsplit_once('}')) {
            labels.extend(inside.split("\",").filter_map(|label| label.split('=').next()).map(str::to_owned));
        }
    }
    metrics
}

/// Makes everything happen once that is counted under a label.
async fn load(rig: &Rig, server: &Server) {
    let project = rig.fake.with(|world| world.projects()[0]);
    rig.fake.inject(Fault::new(FaultKind::Throttled { retry_after_secs: 0 }).on(Endpoint::Trace).times(1));
    for _ in 0..3 {
        let job = rig.fake.with(|world| {
            let pipeline = world.add_pipeline(project, PipelineSpec::default());
            let job = world.add_job(pipeline, JobSpec::new("unit"));
            world.start_job(job);
            world.finish_job(job, "success");
            job
        });
        let event = rig.fake.job_event(job).expect("an event");
        assert_eq!(server.deliver(&event).await.status, 202);
        assert_eq!(server.deliver(&Delivery::with_bad_signature(event)).await.status, 401);
    }
    eventually(async || server.metrics().await.contains("cistern_event_to_cached_seconds_count 3")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_expression_is_about_metrics_that_exist() {
    let mut world = World::new();
    world.add_project("group/app");
    let options = Options {
        hooks_token: Some(MANAGER.to_owned()),
        expires_at: Some("2099-12-31".to_owned()),
        ..Options::default()
    };
    let rig = Rig::with(world, options)
        .set("gitlab.hooks_token", MANAGER)
        .set("server.public_url", "http://127.0.0.1:9")
        .set("schedule.scale", "0.001");
    let server = Server::start(&rig, "cistern.db").await;
    server.until_swept().await;
    load(&rig, &server).await;
    eventually(async || server.metrics().await.contains("cistern_webhook_hooks{state=\"missing\"} 1")).await;
    let text = server.metrics().await;
    assert!(text.contains("cistern_gitlab_token_expiry_timestamp_seconds{token=\"hooks\"} 4102358400"), "{text}");
    let page = parse(&text);
    let (rules, panels) = (expressions_of_rules(), expressions_of_dashboard());
    assert!(rules.len() >= 15 && panels.len() >= 25, "{} rules, {} panels", rules.len(), panels.len());
    for expression in rules.iter().chain(&panels) {
        let named = named(expression);
        assert!(!named.is_empty() || expression.contains("ALERTS"), "{expression} is about nothing of ours");
        let mut known: BTreeSet<&String> = BTreeSet::new();
        for (metric, labels) in &named {
            let held = page.get(metric).unwrap_or_else(|| panic!("{expression}: no metric {metric} in\n{text}"));
            known.extend(held);
            for label in labels {
                assert!(held.contains(label), "{expression}: {metric} has no label {label}, but {held:?}");
            }
        }
        for label in grouped(expression) {
            assert!(known.contains(&label), "{expression}: no label {label}");
        }
    }
    for metric in page.keys() {
        let family = metric
            .trim_end_matches("_total")
            .trim_end_matches("_bucket")
            .trim_end_matches("_count")
            .trim_end_matches("_sum");
        let help = [
            format!("# HELP {metric} "),
            format!("# HELP {family} "),
            format!("# HELP {} ", family.trim_end_matches("_info")),
        ];
        assert!(help.iter().any(|help| text.contains(help)), "{metric} has no help text");
    }
    drop(server);
}

#[test]
fn every_alert_says_what_it_means_and_what_to_do() {
    let rules = file("k8s/components/prometheus/prometheusrule.yaml");
    let alerts: Vec<&str> = rules.split("- alert: ").skip(1).collect();
    for alert in &alerts {
        for key in ["expr: ", "severity: ", "summary: ", "runbook: "] {
            assert_eq!(
                alert.matches(&format!("\n{}{key}", " ".repeat(if key.starts_with('e') { 10 } else { 12 }))).count(),
                1,
                "{key} of {alert}"
            );
        }
    }
    let cases = file("k8s/components/prometheus/rules-test.yaml");
    for name in alerts.iter().filter_map(|alert| alert.lines().next()) {
        assert!(cases.contains(name), "{name} is never seen to fire");
    }
    // What a runbook tells somebody to type is understood.
    for command in rules.split('`').filter(|text| text.starts_with("cistern ")) {
        let words = command.split_whitespace();
        assert!(cistern::cli::Cli::try_parse_from(words).is_ok(), "{command}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_webhook_is_seen_and_told() {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let hook = world.add_hook(project, "http://127.0.0.1:9/webhooks/gitlab");
    world.set_hook_failures(hook, 40);
    let options = Options { hooks_token: Some(MANAGER.to_owned()), ..Options::default() };
    let rig =
        Rig::with(world, options).set("gitlab.hooks_token", MANAGER).set("server.public_url", "http://127.0.0.1:9");
    let server = Process::start(&rig, "cistern.db", &["serve"]).serving().await;
    eventually(async || server.metrics().await.contains("cistern_webhook_hooks{state=\"disabled\"} 1")).await;
    eventually(async || server.process.log().contains("run cistern hooks test")).await;
    drop(server);
}
