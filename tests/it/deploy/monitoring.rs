//! What the Prometheus and Grafana components name exists.

use std::collections::BTreeSet;

use cistern::demo::fake::{Delivery, JobSpec, PipelineSpec, World};

use super::kustomize::{build, documents, path};
use super::{items, one, overlay, selects, text};
use crate::rig::Rig;

/// Returns every metric that a text names.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let ends = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    let rest = text.match_indices("cistern_").map(|(at, _)| &text[at..]);
    rest.map(|rest| rest.split(ends).next().unwrap_or_default().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_of_alerts_and_dashboard_exists() {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let rig = Rig::new(world);
    let serving = rig.serve("cistern.db").await;
    let job = rig.fake.with(|world| {
        let pipeline = world.add_pipeline(project, PipelineSpec::default());
        let job = world.add_job(pipeline, JobSpec::new("unit"));
        world.finish_job(job, "success");
        job
    });
    // A metric with labels is there once something was counted.
    let event = rig.fake.job_event(job).expect("an event");
    assert_eq!(serving.deliver(&event).await.status, 202);
    assert_eq!(serving.deliver(&Delivery::with_bad_signature(event)).await.status, 401);
    serving.idle().await;
    let page = serving.admin("/metrics").await;
    serving.stop().await;

    let rules = documents(&path("k8s/components/prometheus/prometheusrule.yaml")).remove(0);
    let rules = items(&rules["spec"]["groups"][0]["rules"]).iter().map(|rule| text(&rule["expr"])).collect::<String>();
    let dashboard = std::fs::read_to_string(path("k8s/components/grafana/cistern.json")).expect("a dashboard");
    serde_json::from_str::<serde_json::Value>(&dashboard).expect("JSON");
    for (place, named) in [("alerts", metrics_in(&rules)), ("dashboard", metrics_in(&dashboard))] {
        assert!(named.len() >= 5, "{place}: {named:?}");
        for name in named {
            // Counters and the parts of histograms have names of their own.
            let known = |name: &str| page.contains(&format!("# TYPE {name} "));
            let of_family = ["_total", "_bucket"].iter().filter_map(|end| name.strip_suffix(end)).any(known);
            assert!(known(&name) || of_family, "{place}: no metric {name}");
        }
    }
}

#[test]
fn prometheus_finds_the_admin_listener_and_is_let_in() {
    let (objects, component) = (overlay("replicated"), build(&path("k8s/components/prometheus")));
    let monitor = one(&component, "ServiceMonitor", "cistern");
    let service = one(&objects, "Service", "cistern-admin");
    assert!(selects(&monitor["spec"]["selector"]["matchLabels"], &service["metadata"]["labels"]));
    let endpoint = &monitor["spec"]["endpoints"][0];
    assert_eq!((&endpoint["port"], text(&endpoint["path"])), (&service["spec"]["ports"][0]["name"], "/metrics"));
    let policy = one(&component, "NetworkPolicy", "cistern-monitoring");
    let deployment = one(&objects, "Deployment", "cistern");
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    assert!(selects(&policy["spec"]["podSelector"]["matchLabels"], labels));
    assert_eq!(policy["spec"]["ingress"][0]["ports"][0]["port"], "admin");
}
