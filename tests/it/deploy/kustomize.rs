//! As much of Kustomize as the manifests of this project use, so that they can be looked at where no `kubectl` is installed.
//!
//! A field that it does not know is a failure and not overlooked; where there is a `kubectl`, a test compares the two.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

/// Kubernetes objects, fully resolved; names of ConfigMaps without the hash of their content.
pub(super) type Objects = Vec<Value>;

/// Returns the documents of a YAML file.
pub(super) fn documents(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Builds the kustomization in a directory.
pub(super) fn build(directory: &Path) -> Objects {
    let mut objects = Objects::new();
    apply(directory, &mut objects);
    objects
}

fn apply(directory: &Path, objects: &mut Objects) {
    let file = directory.join("kustomization.yaml");
    let kustomization = documents(&file).remove(0);
    let fields = kustomization.as_object().expect("a mapping");
    for name in fields.keys() {
        let known = ["apiVersion", "kind", "namespace", "resources", "components", "labels", "configMapGenerator"];
        let known = known.contains(&name.as_str()) || ["images", "patches"].contains(&name.as_str());
        assert!(known, "{}: `{name}` is not known here", file.display());
    }
    let mut own = Objects::new();
    for resource in strings(&kustomization["resources"]) {
        let path = directory.join(resource);
        if path.is_dir() { apply(&path, &mut own) } else { own.extend(documents(&path)) }
    }
    // A component works on what is there already.
    objects.append(&mut own);
    for component in strings(&kustomization["components"]) {
        apply(&directory.join(component), objects);
    }
    for generator in list(&kustomization["configMapGenerator"]) {
        generate(directory, generator, objects);
    }
    for patch in list(&kustomization["patches"]) {
        let patch = documents(&directory.join(patch["path"].as_str().expect("a path"))).remove(0);
        let at = objects.iter().position(|object| identity(object) == identity(&patch));
        let at = at.unwrap_or_else(|| panic!("{}: a patch of nothing", file.display()));
        if patch["$patch"] == "delete" {
            objects.remove(at);
        } else {
            merge(&mut objects[at], &patch);
        }
    }
    for object in objects {
        for labels in list(&kustomization["labels"]) {
            label(object, labels["pairs"].as_object().expect("pairs"));
        }
        for image in list(&kustomization["images"]) {
            name_image(object, image);
        }
        if let Some(namespace) = kustomization["namespace"].as_str() {
            let at = if object["kind"] == "Namespace" { "name" } else { "namespace" };
            object["metadata"][at] = namespace.into();
        }
    }
}

fn identity(object: &Value) -> (String, String) {
    (object["kind"].to_string(), object["metadata"]["name"].to_string())
}

fn generate(directory: &Path, generator: &Value, objects: &mut Objects) {
    let mut data = Map::new();
    for name in strings(&generator["envs"]) {
        let text = std::fs::read_to_string(directory.join(name)).expect("settings");
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        data.extend(lines.map(setting));
    }
    data.extend(strings(&generator["literals"]).map(setting));
    for name in strings(&generator["files"]) {
        let text = std::fs::read_to_string(directory.join(name)).expect("a file");
        data.insert(name.to_owned(), text.into());
    }
    let mut object = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": generator["name"] } });
    if generator["behavior"] == "merge" {
        let there = objects.iter_mut().find(|other| identity(other) == identity(&object)).expect("what is merged into");
        there["data"].as_object_mut().expect("data").extend(data);
        return;
    }
    if let Some(labels) = generator["options"].get("labels") {
        object["metadata"]["labels"] = labels.clone();
    }
    object["data"] = data.into();
    objects.push(object);
}

fn setting(line: &str) -> (String, Value) {
    let (name, value) = line.split_once('=').expect("NAME=VALUE");
    (name.to_owned(), value.into())
}

/// Merges as the API server does: mappings by key, lists of things with a name by that name, other lists whole.
fn merge(into: &mut Value, patch: &Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            if patch.get("$patch").is_some_and(|how| how == "replace") {
                into.clear();
            }
            for (key, value) in patch.iter().filter(|(key, _)| *key != "$patch") {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (Value::Array(into), Value::Array(patch)) if patch.iter().all(|item| key_of(item).is_some()) => {
            // What is new comes first, as Kustomize has it.
            let (mut new, mut old) = (Vec::new(), std::mem::take(into));
            for item in patch {
                match old.iter_mut().find(|other| key_of(other) == key_of(item)) {
                    Some(other) => merge(other, item),
                    None => new.push(item.clone()),
                }
            }
            new.append(&mut old);
            *into = new;
        }
        (into, patch) => *into = patch.clone(),
    }
}

/// Returns what tells an item of a list from the others: of a volume mount its path, else its name.
fn key_of(item: &Value) -> Option<&Value> {
    item.get("mountPath").or_else(|| item.get("name"))
}

fn label(object: &mut Value, pairs: &Map<String, Value>) {
    let mut places = vec!["/metadata"];
    match object["kind"].as_str() {
        Some("Deployment" | "StatefulSet") => places.push("/spec/template/metadata"),
        Some("CronJob") => places.extend(["/spec/jobTemplate/metadata", "/spec/jobTemplate/spec/template/metadata"]),
        _ => {}
    }
    for place in places {
        if place == "/spec/jobTemplate/metadata" && object.pointer(place).is_none() {
            object["spec"]["jobTemplate"]["metadata"] = json!({});
        }
        let metadata = object.pointer_mut(place).and_then(Value::as_object_mut).expect("metadata");
        let labels = metadata.entry("labels").or_insert_with(|| json!({}));
        labels.as_object_mut().expect("labels").extend(pairs.clone());
    }
}

fn name_image(object: &mut Value, image: &Value) {
    let Some(pod) = super::pod_mut(object) else { return };
    for container in pod["containers"].as_array_mut().expect("containers") {
        if container["image"] == image["name"] {
            let [name, tag] = ["newName", "newTag"].map(|field| image[field].as_str().expect("a text"));
            container["image"] = format!("{name}:{tag}").into();
        }
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn strings(value: &Value) -> impl Iterator<Item = &str> {
    list(value).iter().map(|item| item.as_str().expect("a text"))
}

/// Returns a path of the project.
pub(super) fn path(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(below)
}
