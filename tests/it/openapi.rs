//! The OpenAPI document: whole, true to the routes, and the same by both ways.

use std::collections::BTreeSet;

use cistern::api::openapi;
use cistern::demo::fake::{Options, World};
use serde_json::Value;

use crate::process::Process;
use crate::rig::Rig;

fn document() -> Value {
    serde_json::from_str(&openapi::text()).expect("JSON")
}

#[test]
fn every_route_is_described_with_an_example_of_each_answer() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().expect("paths");
    assert_eq!(paths.keys().cloned().collect::<BTreeSet<_>>(), openapi::paths().into_iter().collect());
    let mut ids = BTreeSet::new();
    for (path, item) in paths {
        let operation = &item["get"];
        assert!(ids.insert(operation["operationId"].as_str().expect("an id").to_owned()), "{path}");
        let described: BTreeSet<&str> = operation["parameters"]
            .as_array()
            .expect("parameters")
            .iter()
            .filter(|parameter| parameter["in"] == "path")
            .filter_map(|parameter| parameter["name"].as_str())
            .collect();
        let named: BTreeSet<&str> = path.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect();
        assert_eq!(described, named, "{path}");
        for (media, content) in operation["responses"]["200"]["content"].as_object().expect("content") {
            let example = &content["example"];
            assert!(media == "application/zip" || !example.is_null(), "{path} has no example of {media}");
        }
        for status in ["400", "404", "405", "500", "503"] {
            assert!(
                operation["responses"][status]["content"]["application/json"]["example"].is_object(),
                "{path} {status}"
            );
        }
    }
    for (name, schema) in document["components"]["schemas"].as_object().expect("schemas") {
        assert!(schema["properties"].as_object().is_some_and(|properties| !properties.is_empty()), "{name}");
    }
}

/// Returns a row of a table for each route, and for each parameter of parts of logs.
fn tables(document: &Value) -> [String; 2] {
    let (mut routes, mut parts) = (String::new(), String::new());
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    for (path, item) in document["paths"].as_object().expect("paths") {
        let operation = &item["get"];
        let parameters = operation["parameters"].as_array().expect("parameters").iter();
        let asked: Vec<&Value> = parameters.filter(|parameter| parameter["in"] == "query").collect();
        let names: Vec<String> = asked.iter().map(|parameter| format!("`{}`", text(&parameter["name"]))).collect();
        let (summary, basis) = (text(&operation["summary"]), text(&operation["x-cistern-basis"]));
        routes += &format!("| `{path}` | {summary} | {basis} | {} |\n", names.join(" "));
        for parameter in asked.iter().filter(|_| operation["operationId"] == "getLogPart") {
            let schema = &parameter["schema"];
            let values = match (schema["type"].as_str(), schema["enum"].as_array()) {
                (_, Some(words)) => words.iter().map(|word| format!("`{}`", text(word))).collect::<Vec<_>>().join(", "),
                (Some("boolean"), _) => "`true`, `false`".to_owned(),
                (kind, _) => kind.expect("a type").replace("integer", "a number").replace("string", "text"),
            };
            parts += &format!("| `{}` | {values} | {} |\n", text(&parameter["name"]), text(&parameter["description"]));
        }
    }
    [routes, parts]
}

/// With `CISTERN_WRITE_DOCS` set it writes the tables instead.
#[test]
#[expect(clippy::disallowed_methods, reason = "whoever runs the tests says so")]
fn the_tables_of_the_documentation_are_made_of_the_routes() {
    let path = format!("{}/docs/api.md", env!("CARGO_MANIFEST_DIR"));
    let written = std::fs::read_to_string(&path).expect("the documentation");
    let mut made = written.clone();
    for (name, table) in ["routes", "log"].into_iter().zip(tables(&document())) {
        let (before, rest) = made.split_once(&format!("<!-- {name} -->\n")).expect("a mark");
        let (head, after) = rest.split_once("|---|\n").expect("the head of a table");
        let (_, after) = after.split_once(&format!("<!-- /{name} -->")).expect("another mark");
        made = format!("{before}<!-- {name} -->\n{head}|---|\n{table}<!-- /{name} -->{after}");
    }
    if std::env::var_os("CISTERN_WRITE_DOCS").is_some() {
        std::fs::write(path, made).expect("written");
        return;
    }
    assert!(written == made, "run: CISTERN_WRITE_DOCS=1 cargo test --test it the_tables_of_the_documentation");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_printed_and_served_and_every_described_path_is_there() {
    let rig = Rig::with(World::new(), Options::default());
    let printed = Process::start(&rig, "cistern.db", &["openapi"]).ended().await;
    assert_eq!((printed.code, printed.stdout.as_str()), (Some(0), openapi::text().as_str()), "{}", printed.stderr);
    let serving = rig.serve("cistern.db").await;
    assert_eq!(serving.json("/openapi.json").await, document());
    for path in openapi::paths() {
        let path: String = path
            .replace("{project}", "7")
            .replace("{group}", "g")
            .replace("{pipeline}", "8")
            .replace("{job}", "9")
            .replace("{merge_request}", "5");
        let needs_name = path.contains("/jobs/artifacts/");
        let answer = serving.get(&if needs_name { format!("{path}?job=build") } else { path.clone() }).await;
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(
            matches!(answer.status, 200 | 404) && !body.contains("no such path"),
            "{path}: {} {body}",
            answer.status
        );
    }
    serving.stop().await;
}
