//! The manifests and the program agree: settings, ports, paths, volumes, times.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use cistern::cli::Cli;
use cistern::config::{Config, Flags, Mistakes, Needs, Surroundings, keys};
use cistern::store::Place;
use serde_json::{Value, json};

use super::kustomize::{documents, path};
use super::{OVERLAYS, items, of_kind, one, overlay, pod, selects, text};

/// What `Service::stop` may take after the drain: to close the store.
const CLOSING: Duration = Duration::from_secs(5);

/// Returns the environment that a container of Cistern's is given.
fn environment(objects: &[Value], container: &Value) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for source in items(&container["envFrom"]) {
        let map = one(objects, "ConfigMap", text(&source["configMapRef"]["name"]));
        let data = map["data"].as_object().expect("data").iter();
        variables.extend(data.map(|(name, value)| (name.clone(), text(value).to_owned())));
    }
    let own = items(&container["env"]).iter();
    variables.extend(own.map(|variable| (text(&variable["name"]).to_owned(), text(&variable["value"]).to_owned())));
    variables
}

/// Returns where the container finds a volume of this kind.
fn mounts(pod: &Value, container: &Value, kind: &str) -> Vec<PathBuf> {
    let named =
        |name: &Value| items(&pod["volumes"]).iter().find(|volume| &volume["name"] == name).expect("its volume");
    let mounts = items(&container["volumeMounts"]).iter().filter(|mount| named(&mount["name"])[kind].is_object());
    mounts.map(|mount| text(&mount["mountPath"]).into()).collect()
}

/// Loads the configuration as the program would in the container. Files are only where a Secret is mounted.
fn configuration(objects: &[Value], pod: &Value, container: &Value) -> Result<Config, Mistakes> {
    let secrets = mounts(pod, container, "secret");
    let read = move |path: &Path| match path.file_name().and_then(|name| name.to_str()) {
        _ if !secrets.iter().any(|mount| path.parent() == Some(mount)) => Err(std::io::ErrorKind::NotFound.into()),
        Some("gitlab-token") => Ok("glpat-x\n".to_owned()),
        Some("webhook-signing-tokens") => Ok(crate::rig::SIGNING_TOKEN.to_owned()),
        Some("mongodb-uri") => Ok("mongodb://u:p@db/cistern?replicaSet=rs0".to_owned()),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    };
    let variables = environment(objects, container);
    Config::load(&Flags::default(), &Surroundings::new(variables, read), Needs::Gitlab)
}

/// Returns each pod of Cistern's and its container.
fn ours(objects: &[Value]) -> Vec<(&Value, &Value, &Value)> {
    let ours = objects.iter().filter(|object| text(&object["metadata"]["name"]).starts_with("cistern"));
    ours.filter_map(|object| pod(object).map(|pod| (object, pod, &pod["containers"][0]))).collect()
}

#[test]
fn every_setting_exists_and_is_accepted() {
    let known: Vec<_> = keys::KEYS.iter().flat_map(|key| key.names()).map(|name| keys::variable(&name)).collect();
    for name in OVERLAYS {
        let objects = overlay(name);
        for (_, pod, container) in ours(&objects) {
            for variable in environment(&objects, container).keys() {
                assert!(known.contains(variable), "{name}: no setting {variable}");
            }
            let config = configuration(&objects, pod, container);
            let config = config.unwrap_or_else(|mistakes| panic!("{name}: {mistakes}"));
            assert!(matches!(config.store.place, Place::Sqlite(_)) == (name == "single"), "{name}");
            assert_eq!(environment(&objects, container)["CISTERN_ACCESS_MODE"], "gitlab", "{name}");
            // Kubernetes would make CISTERN_PORT and others of the Service's name, which are no settings.
            assert_eq!(pod["enableServiceLinks"], false, "{name}");
            assert_eq!(container["image"], format!("registry.example.com/cistern:{}", env!("CARGO_PKG_VERSION")));
            let arguments = items(&container["args"]).iter().map(text);
            Cli::try_parse_from(std::iter::once("cistern").chain(arguments)).expect("a verb");
        }
    }
}

#[test]
fn a_pod_is_given_the_time_that_stopping_takes() {
    for name in OVERLAYS {
        let objects = overlay(name);
        let deployment = one(&objects, "Deployment", "cistern");
        let pod = pod(deployment).expect("pods");
        let config = configuration(&objects, pod, &pod["containers"][0]).expect("a good configuration");
        let grace = Duration::from_secs(pod["terminationGracePeriodSeconds"].as_u64().expect("seconds"));
        let server = &config.server;
        assert_eq!(server.drain_delay, Duration::from_secs(5), "{name}");
        assert!(grace > server.drain_delay + server.drain_timeout + CLOSING, "{name}");
        let strategy = match name {
            "single" => json!({ "type": "Recreate" }),
            _ => json!({ "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 0, "maxSurge": 1 } }),
        };
        assert_eq!(deployment["spec"]["strategy"], strategy, "{name}");
    }
}

#[test]
fn ports_and_names_lead_to_the_listeners() {
    for name in OVERLAYS {
        let objects = overlay(name);
        let deployment = one(&objects, "Deployment", "cistern");
        let (labels, pod) = (&deployment["spec"]["template"]["metadata"]["labels"], pod(deployment).expect("pods"));
        let container = &pod["containers"][0];
        let config = configuration(&objects, pod, container).expect("a good configuration");
        let ports = json!([
            { "name": "http", "containerPort": config.server.listen.port() },
            { "name": "admin", "containerPort": config.server.admin_listen.port() },
        ]);
        assert_eq!(container["ports"], ports, "{name}");
        assert!(selects(&deployment["spec"]["selector"]["matchLabels"], labels), "{name}");
        for (service, port) in [("cistern", "http"), ("cistern-admin", "admin")] {
            let service = one(&objects, "Service", service);
            assert!(selects(&service["spec"]["selector"], labels), "{name}");
            assert_eq!(items(&service["spec"]["ports"]).len(), 1);
            assert_eq!(service["spec"]["ports"][0]["targetPort"], port, "{name}");
        }
        let budget = one(&objects, "PodDisruptionBudget", "cistern");
        assert!(selects(&budget["spec"]["selector"]["matchLabels"], labels), "{name}");
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            assert_eq!(container[probe]["httpGet"]["port"], "http", "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_paths_of_probes_and_ingresses_are_those_of_the_program() {
    let rig = crate::rig::Rig::new(cistern::demo::fake::World::new());
    let serving = rig.serve("cistern.db").await;
    let objects = overlay("replicated");
    let container = &pod(one(&objects, "Deployment", "cistern")).expect("pods")["containers"][0];
    for (probe, path) in [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")] {
        assert_eq!(container[probe]["httpGet"]["path"], path);
        assert_eq!(serving.get(path).await.status, 200, "{path}");
    }
    let ingress = one(&objects, "Ingress", "cistern-webhook");
    let only = json!([{
        "path": cistern::webhook::PATH, "pathType": "Exact",
        "backend": { "service": { "name": "cistern", "port": { "name": "http" } } },
    }]);
    assert_eq!(ingress["spec"]["rules"][0]["http"]["paths"], only);
    assert_eq!(serving.post(cistern::webhook::PATH, &[], b"{}").await.status, 401);

    let readers = documents(&path("k8s/components/ingress-readers/ingress.yaml")).remove(0);
    let prefix = text(&readers["spec"]["rules"][0]["http"]["paths"][0]["path"]).to_owned();
    assert!(serving.json(&format!("{prefix}/v4/projects")).await.is_array());
    serving.stop().await;
}

#[test]
fn what_is_written_is_on_a_volume() {
    for name in OVERLAYS {
        let objects = overlay(name);
        for (object, pod, container) in ours(&objects) {
            assert_eq!(mounts(pod, container, "emptyDir"), [PathBuf::from("/tmp")], "{name}: where SQLite sorts");
            let config = configuration(&objects, pod, container).expect("a good configuration");
            let disks = mounts(pod, container, "persistentVolumeClaim");
            let Place::Sqlite(file) = &config.store.place else {
                assert!(disks.is_empty(), "{name}");
                continue;
            };
            assert_eq!(file.parent(), disks.first().map(PathBuf::as_path), "{name}");
            assert_eq!(object["spec"]["replicas"], 1, "{name}: one `serve` has the file");
            let claim = one(&objects, "PersistentVolumeClaim", "cistern");
            assert_eq!(claim["spec"]["accessModes"], json!(["ReadWriteOnce"]));
        }
        let scheduled = of_kind(&objects, "CronJob").map(|job| &job["spec"]).collect::<Vec<_>>();
        assert_eq!(scheduled.len(), usize::from(name != "single"), "{name}: one process has the file");
        for spec in scheduled {
            assert_eq!(
                (&spec["concurrencyPolicy"], &spec["jobTemplate"]["spec"]["backoffLimit"]),
                (&json!("Forbid"), &json!(0))
            );
        }
    }
}

#[test]
fn the_page_about_them_names_what_exists() {
    let page = std::fs::read_to_string(path("k8s/README.md")).expect("a page");
    let known: Vec<_> = keys::KEYS.iter().flat_map(|key| key.names()).map(|name| keys::variable(&name)).collect();
    let ends = |c: char| !(c.is_ascii_uppercase() || c == '_');
    for (at, _) in page.match_indices(keys::VARIABLE_PREFIX) {
        let variable = page[at..].split(ends).next().unwrap_or_default();
        assert!(known.iter().any(|known| known == variable), "no setting {variable}");
    }
    for place in page.split(|c: char| c.is_whitespace() || c == '`') {
        let place = place.split_once("/k8s/").map_or(place, |(_, rest)| rest).trim_end_matches([',', '.', ')', ':']);
        if ["overlays/", "components/"].iter().any(|folder| place.starts_with(folder)) {
            assert!(path(&format!("k8s/{place}")).exists(), "no k8s/{place}");
        } else if place.starts_with("k8s/") || place.starts_with("systemd/") {
            assert!(path(place).exists(), "no {place}");
        }
    }
}

/// The tests above stand on our reading of Kustomize; this one compares it with the original where that is installed.
#[test]
fn kubectl_reads_the_same() {
    for name in OVERLAYS {
        let directory = path(&format!("k8s/overlays/{name}"));
        let Ok(built) = Command::new("kubectl").arg("kustomize").arg(&directory).output() else { return };
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let text = String::from_utf8(built.stdout).expect("text");
        let read = |text: &str| -> Vec<Value> { serde_saphyr::from_multiple(text).expect("YAML") };
        // A generated name ends with the hash of its content.
        let generated =
            super::text(&of_kind(&read(&text), "ConfigMap").next().expect("a ConfigMap")["metadata"]["name"])
                .to_owned();
        assert_eq!(generated.len(), "cistern-".len() + 10, "{generated}");
        let (mut original, mut ours) = (read(&text.replace(&generated, "cistern")), overlay(name));
        for objects in [&mut original, &mut ours] {
            objects.sort_by_key(|object| (object["kind"].to_string(), object["metadata"]["name"].to_string()));
        }
        for (ours, original) in ours.iter().zip(&original) {
            assert_eq!(ours, original, "{name}");
        }
        assert_eq!(ours.len(), original.len(), "{name}");
    }
}
