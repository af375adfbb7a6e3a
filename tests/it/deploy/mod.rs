//! What people deploy says what the program does: the manifests under `k8s/`, the image and the systemd unit.

mod image;
mod kustomize;
mod manifests;
mod monitoring;
mod restricted;

use serde_json::Value;

use self::kustomize::{Objects, build, path};

/// The overlays that people deploy.
const OVERLAYS: [&str; 3] = ["single", "replicated", "dev"];

fn overlay(name: &str) -> Objects {
    build(&path(&format!("k8s/overlays/{name}")))
}

/// Returns the objects of a kind.
fn of_kind<'a>(objects: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |object| object["kind"] == kind)
}

fn one<'a>(objects: &'a [Value], kind: &'a str, name: &str) -> &'a Value {
    let mut found = of_kind(objects, kind).filter(|object| object["metadata"]["name"] == name);
    found.next().unwrap_or_else(|| panic!("no {kind} {name}"))
}

/// Returns where in an object its pods are described.
fn template_of(object: &Value) -> Option<&'static str> {
    match object["kind"].as_str() {
        Some("Deployment" | "StatefulSet") => Some("/spec/template"),
        Some("CronJob") => Some("/spec/jobTemplate/spec/template"),
        _ => None,
    }
}

/// Returns the description of the pods of an object that has some.
fn pod(object: &Value) -> Option<&Value> {
    Some(&object.pointer(template_of(object)?).expect("a template")["spec"])
}

fn pod_mut(object: &mut Value) -> Option<&mut Value> {
    let place = template_of(object)?;
    Some(&mut object.pointer_mut(place).expect("a template")["spec"])
}

/// Returns an array's items; none where it is missing.
fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}"))
}

/// Returns whether labels have everything that a selector asks for.
fn selects(selector: &Value, labels: &Value) -> bool {
    let wanted = selector.as_object().expect("labels");
    !wanted.is_empty() && wanted.iter().all(|(name, value)| &labels[name] == value)
}
