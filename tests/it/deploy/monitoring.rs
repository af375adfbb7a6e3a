//! What the Prometheus component scrapes exists.

use super::kustomize::{build, path};
use super::{one, overlay, selects, text};

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
