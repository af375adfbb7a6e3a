//! From the table of routes to the document.

use serde_json::{Map, Value, json};

use super::operation::{Answer, Basis, Kind, Operation, Parameter, Shape};
use super::shapes;
use crate::api::table::Described;

/// What every route may answer beside its own.
const ALWAYS: [u16; 4] = [400, 404, 500, 503];

/// Makes the document of the described routes.
pub(super) fn document(routes: &[Described]) -> Value {
    let mut paths = Map::new();
    let mut schemas = Map::new();
    schemas.insert("Problem".to_owned(), problem());
    for Described { path, operation } in routes {
        if let Answer::One(shape) | Answer::List(shape) = operation.answer {
            schemas.insert(shape.name.to_owned(), schema(shape));
        }
        let describe = |head: bool| describe(path, operation, head);
        paths.insert(path.clone(), json!({ "get": describe(false), "head": describe(true) }));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Cistern",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What is cached of a GitLab instance's CI. Paths below `/api/v4` have GitLab's own shapes, so that \
                GitLab's clients work with another URL; paths below `/api/cistern/v1` are what GitLab has no shape for; where \
                GitLab's pages lead to files, those files are. A GET or HEAD \
                below `/api/v4` that is not described here, or with a parameter that is not, is GitLab's to answer where \
                `api.pass_through` says so: then `X-Cistern-Cache` is `passed`.",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{}, { "token": [] }, { "bearer": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": { "type": "apiKey", "in": "header", "name": "PRIVATE-TOKEN" },
                "bearer": { "type": "http", "scheme": "bearer" },
            },
        },
    })
}

fn describe(path: &str, operation: &Operation, head: bool) -> Value {
    let mut parameters: Vec<Value> = path_parameters(path).collect();
    parameters.extend(operation.parameters.iter().copied().flatten().map(query_parameter));
    let mut responses = Map::new();
    responses.insert("200".to_owned(), good(operation.answer, head));
    responses.insert("304".to_owned(), json!({ "description": "What the reader has already is the latest." }));
    if let Answer::Log | Answer::Archive | Answer::File = operation.answer {
        responses.insert("206".to_owned(), good(operation.answer, head));
        responses.insert("416".to_owned(), json!({ "description": "There is no such part." }));
    }
    let mut statuses = [&ALWAYS[..], operation.problems, &[401, 403, 405, 429]].concat();
    statuses.sort_unstable();
    for status in statuses {
        responses.insert(status.to_string(), bad(status, head));
    }
    let id = if head { format!("{}Head", operation.id) } else { operation.id.to_owned() };
    let mut described = json!({
        "operationId": id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "x-cistern-basis": match operation.basis {
            Basis::Cached => "cached",
            Basis::Derived => "derived",
        },
        "parameters": parameters,
        "responses": responses,
    });
    if !operation.about.is_empty() {
        described["description"] = operation.about.into();
    }
    described
}

fn path_parameters(path: &str) -> impl Iterator<Item = Value> {
    path.split('{').skip(1).filter_map(|rest| rest.split(['}', ':']).next()).map(|name| {
        let (schema, about, example) = match name {
            "project" => {
                (json!({ "type": "string" }), "A project's id, or its path with `/` written `%2F`.", json!("42"))
            }
            "group" => {
                (json!({ "type": "string" }), "A group's id, or its path with `/` written `%2F`.", json!("harbour"))
            }
            "job" => (id(), "A job's id.", json!(810_291)),
            "commit" => {
                (json!({ "type": "string" }), "A commit's whole SHA; for a commit itself also a ref.", json!("main"))
            }
            "ref" => (json!({ "type": "string" }), "A branch or tag; it may have slashes.", json!("main")),
            "merge_request" => (id(), "A merge request's number in its project (`iid`).", json!(7)),
            "path" => (json!({ "type": "string" }), "A file's path in the archive.", json!("coverage/index.html")),
            _ => (id(), "A pipeline's id.", json!(90_000)),
        };
        json!({
            "name": name, "in": "path", "required": true, "description": about, "schema": schema, "example": example,
        })
    })
}

fn id() -> Value {
    json!({ "type": "integer", "minimum": 1, "maximum": i64::MAX })
}

fn query_parameter(parameter: &Parameter) -> Value {
    let (name, schema) = match parameter.kind {
        Kind::Text | Kind::Needed => (parameter.name.to_owned(), json!({ "type": "string" })),
        Kind::Number(least, most) => {
            (parameter.name.to_owned(), json!({ "type": "integer", "minimum": least, "maximum": most }))
        }
        Kind::Switch => (parameter.name.to_owned(), json!({ "type": "boolean" })),
        Kind::Date => (parameter.name.to_owned(), json!({ "type": "string", "format": "date-time" })),
        Kind::Word(words) => (parameter.name.to_owned(), json!({ "type": "string", "enum": words })),
        Kind::Words(words) => {
            let items = json!({ "type": "string", "enum": words });
            (format!("{}[]", parameter.name), json!({ "type": "array", "items": items }))
        }
    };
    let mut described = json!({ "name": name, "in": "query", "description": parameter.about, "schema": schema });
    if matches!(parameter.kind, Kind::Needed) {
        described["required"] = true.into();
    }
    described
}

fn good(answer: Answer, head: bool) -> Value {
    let reference = |shape: Shape| json!({ "$ref": format!("#/components/schemas/{}", shape.name) });
    let example = |shape: Shape| serde_json::from_str::<Value>(shape.example).unwrap_or_default();
    let (about, media, schema, example, headers) = match answer {
        Answer::One(shape) => ("It.", "application/json", reference(shape), example(shape), json!({})),
        Answer::List(shape) => {
            let schema = json!({ "type": "array", "items": reference(shape) });
            ("A page of them.", "application/json", schema, json!([example(shape)]), page_headers())
        }
        Answer::Log => {
            let log = "The log as far as it is held; empty, with a reason, where GitLab's is.";
            (
                log,
                "text/plain",
                json!({ "type": "string" }),
                json!("Running with gitlab-runner 18.9.0\n"),
                file_headers(),
            )
        }
        Answer::Archive => ("The archive.", "application/zip", json!({}), Value::Null, file_headers()),
        Answer::Part => {
            ("The part.", "text/plain", json!({ "type": "string" }), json!("$ make test\n"), file_headers())
        }
        Answer::File => ("The file.", "*/*", json!({}), json!("<html></html>"), json!({})),
        Answer::Events => {
            let text = json!({ "type": "string" });
            let event = json!({ "type": "object", "properties": { "id": text, "event": text, "data": text } });
            let example = json!({ "id": "6", "event": "log", "data": "{\"offset\":0,\"text\":\"begin\\n\"}" });
            ("Events for as long as the job runs.", "text/event-stream", event, example, json!({}))
        }
    };
    let mut good = json!({ "description": about });
    if head {
        good["description"] = format!("{about} Without its body.").into();
    } else {
        good["content"] = json!({ media: { "schema": schema } });
        if let Answer::Part = answer {
            for (other, example) in [
                ("text/html", "<span class=\"fg-2\">$ make test</span>\n"),
                ("application/x-ndjson", "{\"line\":1,\"offset\":0,\"text\":\"$ make test\"}\n"),
            ] {
                good["content"][other] = json!({ "schema": { "type": "string" }, "example": example });
            }
        }
        if !example.is_null() {
            good["content"][media]["example"] = example;
        }
    }
    if headers.as_object().is_some_and(|headers| !headers.is_empty()) {
        good["headers"] = headers;
    }
    good
}

fn page_headers() -> Value {
    let header = |about: &str| json!({ "description": about, "schema": { "type": "string" } });
    json!({
        "Link": header("The pages around this one; `rel=\"next\"` leads on."),
        "X-Page": header("The number of this page."),
        "X-Per-Page": header("Rows on a page."),
        "X-Prev-Page": header("The number of the page before it; empty for the first."),
        "X-Next-Page": header("The number of the page after it; empty for the last."),
        "X-Total": header("Rows of the whole list; left out above 10,000, and where GitLab leaves it out."),
        "X-Total-Pages": header("Pages of the whole list; left out with `X-Total`."),
        "X-Cistern-Left-Out": header("Of the tree of an archive: entries that are in no directory of it, and why."),
    })
}

fn file_headers() -> Value {
    let header = |about: &str| json!({ "description": about, "schema": { "type": "string" } });
    json!({
        "X-Cistern-Reason": header("Why it is not held."),
        "X-Cistern-Log": header("Of a log: `settled`, or `live` when it may still grow."),
    })
}

fn bad(status: u16, head: bool) -> Value {
    let about = match status {
        400 => "A parameter has a value that GitLab or Cistern does not know.",
        401 => "The token is missing or refused.",
        403 => "The reader may not read this.",
        404 => "It is not cached, or not to be seen by this reader; `X-Cistern-Reason` says why it is not held.",
        415 => "The file is encrypted or packed in a way that is not read here; `X-Cistern-Reason` says which.",
        422 => "The archive, or this file of it, is damaged, dangerous or too large; `X-Cistern-Reason` says how.",
        405 => "This cannot be paged so, or is no read.",
        429 => "Too many unknown tokens, or questions without one.",
        503 => "The cache or GitLab cannot be asked right now; ask again soon.",
        _ => "The cache cannot be read.",
    };
    let mut bad = json!({ "description": about });
    if !head {
        let reference = json!({ "$ref": "#/components/schemas/Problem" });
        bad["content"] = json!({ "application/json": { "schema": reference, "example": shapes::problem(status) } });
    }
    bad
}

fn problem() -> Value {
    json!({
        "type": "object",
        "description": "As GitLab: `error` when a parameter is wrong, `message` otherwise.",
        "properties": { "message": { "type": "string" }, "error": { "type": "string" } },
    })
}

/// Reads a schema from a shape's example. What is always there is what GitLab's clients find things by.
fn schema(shape: Shape) -> Value {
    let example: Value = serde_json::from_str(shape.example).unwrap_or_default();
    let properties = example.as_object().into_iter().flatten();
    let properties: Map<_, _> = properties.map(|(key, value)| (key.clone(), typed(value))).collect();
    let required: Vec<&str> = ["id"].into_iter().filter(|key| properties.contains_key(*key)).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": true })
}

fn typed(value: &Value) -> Value {
    match value {
        Value::Null => json!({}),
        Value::Bool(_) => json!({ "type": ["boolean", "null"] }),
        Value::Number(_) => json!({ "type": ["number", "null"] }),
        Value::String(_) => json!({ "type": ["string", "null"] }),
        Value::Array(_) => json!({ "type": ["array", "null"] }),
        Value::Object(_) => json!({ "type": ["object", "null"] }),
    }
}
