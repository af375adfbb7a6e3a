//! Every pod keeps to the profile `restricted` of Kubernetes' Pod Security Standards, and secrets are only referred to.

use cistern::config::keys;
use serde_json::json;

use super::{OVERLAYS, items, overlay, pod};

#[test]
fn every_pod_is_restricted() {
    for name in OVERLAYS {
        let objects = overlay(name);
        let pods: Vec<_> = objects.iter().filter_map(pod).collect();
        assert!(!pods.is_empty());
        for pod in pods {
            let security = &pod["securityContext"];
            assert_eq!(security["runAsNonRoot"], true, "{name}");
            assert_ne!(security["runAsUser"], 0, "{name}");
            assert_eq!(security["seccompProfile"], json!({ "type": "RuntimeDefault" }), "{name}");
            assert_eq!(pod["automountServiceAccountToken"], false, "{name}: nobody here asks Kubernetes anything");
            for field in ["hostNetwork", "hostPID", "hostIPC", "initContainers", "ephemeralContainers"] {
                assert!(pod[field].is_null(), "{name}: {field}");
            }
            for container in items(&pod["containers"]) {
                let rights = json!({
                    "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true,
                    "capabilities": { "drop": ["ALL"] },
                });
                assert_eq!(container["securityContext"], rights, "{name}");
                let resources = &container["resources"];
                assert!(resources["requests"]["cpu"].is_string(), "{name}");
                assert!(resources["requests"]["memory"].is_string() && resources["limits"]["memory"].is_string());
            }
            for volume in items(&pod["volumes"]) {
                let kinds = ["secret", "emptyDir", "persistentVolumeClaim"];
                assert!(kinds.iter().any(|kind| volume[kind].is_object()), "{name}: {volume}");
            }
        }
        let namespace = super::of_kind(&objects, "Namespace").next().expect("a namespace");
        assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
    }
}

#[test]
fn secrets_are_referred_to_and_mounted_as_files() {
    let secrets: Vec<_> = keys::KEYS.iter().filter(|key| key.is_secret()).map(|key| keys::variable(key.name)).collect();
    for name in OVERLAYS {
        for object in overlay(name) {
            assert_ne!(object["kind"], "Secret", "{name}");
            let text = object.to_string();
            assert!(!text.contains("secretKeyRef") && !text.contains("secretRef"), "{name}: {text}");
            for secret in &secrets {
                assert!(!text.contains(&format!("\"{secret}\"")), "{name}: {secret}");
            }
            // A file mounted by `subPath` never changes.
            assert!(!text.contains("subPath"), "{name}: {text}");
        }
    }
}
