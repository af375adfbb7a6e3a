//! One delivery, from the webhook to the store, as a collector of traces and as the log show it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use cistern::demo::fake::{JobSpec, PipelineSpec, World};
use cistern::domain::JobKey;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::canary::HEADER;
use crate::process::Process;
use crate::rig::{Rig, eventually};

/// A span, as far as the tests look into it.
#[derive(Debug, Clone, Default)]
pub(super) struct Span {
    pub(super) trace: Vec<u8>,
    pub(super) id: Vec<u8>,
    pub(super) parent: Vec<u8>,
    pub(super) name: String,
    pub(super) attributes: HashMap<String, String>,
}

/// An OTLP receiver (HTTP, protobuf) of our own; ends when dropped.
pub(super) struct Collector {
    pub(super) endpoint: String,
    received: Arc<Mutex<Vec<u8>>>,
    spans: Arc<Mutex<Vec<Span>>>,
    task: JoinHandle<()>,
}

impl Collector {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let (received, spans) = (Arc::<Mutex<Vec<u8>>>::default(), Arc::<Mutex<Vec<Span>>>::default());
        let (bytes, kept) = (Arc::clone(&received), Arc::clone(&spans));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serve(stream, &bytes, &kept).await;
            }
        });
        Self { endpoint, received, spans, task }
    }

    pub(super) fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns everything that was received, heads included.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers the requests of one connection until it ends.
async fn serve(mut stream: TcpStream, received: &Mutex<Vec<u8>>, spans: &Mutex<Vec<Span>>) {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
        assert!(text.starts_with("post /v1/traces "), "{text}");
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
        let mut body = vec![0; length.trim().parse().expect("a number")];
        if stream.read_exact(&mut body).await.is_err() {
            return;
        }
        received.lock().unwrap_or_else(PoisonError::into_inner).extend([head, body.clone()].concat());
        spans.lock().unwrap_or_else(PoisonError::into_inner).extend(spans_of(&body));
        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
        if stream.write_all(answer).await.is_err() {
            return;
        }
    }
}

/// Reads the fields of a protobuf message: each number with its bytes, or with those of its number.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (first, rest) = bytes.split_first().expect("a whole number");
            *bytes = rest;
            value |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                break;
            }
        }
        value
    }
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let length = match key & 7 {
            0 => {
                found.push((key >> 3, varint(&mut bytes).to_string().into_bytes()));
                continue;
            }
            1 => 8,
            2 => usize::try_from(varint(&mut bytes)).expect("a length"),
            5 => 4,
            kind => panic!("wire type {kind}"),
        };
        let (value, rest) = bytes.split_at(length);
        bytes = rest;
        found.push((key >> 3, value.to_vec()));
    }
    found
}

fn inside(message: &[u8], number: u64) -> Vec<Vec<u8>> {
    fields(message).into_iter().filter(|(found, _)| *found == number).map(|(_, value)| value).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Reads `ExportTraceServiceRequest`: resource spans (1), scope spans (2), spans (2).
fn spans_of(body: &[u8]) -> Vec<Span> {
    let scopes = inside(body, 1).into_iter().flat_map(|resource| inside(&resource, 2));
    let spans = scopes.flat_map(|scope| inside(&scope, 2));
    spans
        .map(|span| {
            let one = |number| inside(&span, number).into_iter().next().unwrap_or_default();
            let attribute = |pair: Vec<u8>| {
                let name = inside(&pair, 1).first().map(|name| text(name)).unwrap_or_default();
                let value = inside(&pair, 2).first().map(|value| fields(value)).unwrap_or_default();
                (name, value.first().map(|(_, value)| text(value)).unwrap_or_default())
            };
            let attributes = inside(&span, 9).into_iter().map(attribute).collect();
            Span { trace: one(1), id: one(2), parent: one(4), name: text(&one(5)), attributes }
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_one_trace_and_every_line_about_it_has_its_ids() {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let rig = Rig::new(world).set("log.level", "debug");
    let collector = Collector::start().await;
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", HEADER),
        ("OTEL_SERVICE_NAME", "ci-cache"),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
    ];
    let server = Process::start_with(&rig, "cistern.db", &["serve"], &variables).serving().await;
    server.until_swept().await;
    let (pipeline, job) = rig.fake.with(|world| {
        let pipeline = world.add_pipeline(project, PipelineSpec::default());
        let job = world.add_job(pipeline, JobSpec::new("unit"));
        world.start_job(job);
        world.finish_job(job, "success");
        (pipeline, job)
    });
    let delivery = rig.fake.job_event(job).expect("an event").with_id("4711-delivery");
    assert_eq!(server.deliver(&delivery).await.status, 202);
    server.until_cached(&rig, JobKey { project, job }).await;
    let of_delivery = |span: &Span| span.attributes.get("delivery.id").is_some_and(|id| id == "4711-delivery");
    eventually(async || {
        let spans = collector.spans();
        ["webhook", "job"].iter().all(|name| spans.iter().any(|span| span.name == *name && of_delivery(span)))
    })
    .await;
    let spans = collector.spans();
    let find = |name: &str| spans.iter().find(|span| span.name == name && of_delivery(span)).expect("it was there");
    let (webhook, work) = (find("webhook"), find("job"));
    assert_eq!((&work.trace, &work.parent), (&webhook.trace, &webhook.id), "the work goes on where the delivery ended");
    assert_eq!(webhook.attributes["outcome"], "accepted");
    for (name, id) in [("project.id", project.0), ("pipeline.id", pipeline.0), ("job.id", job.0)] {
        assert_eq!(work.attributes.get(name), Some(&id.to_string()), "{name}");
    }
    let below = |parent: &Span, name: &str| spans.iter().any(|span| span.parent == parent.id && span.name == name);
    // The entry is recorded, the job asked for, its log read, and what was found stored.
    for (parent, name) in [(webhook, "apply"), (work, "job"), (work, "trace"), (work, "apply")] {
        assert!(below(parent, name), "{name} below {}: {spans:#?}", parent.name);
    }
    assert!(collector.bytes().windows(8).any(|bytes| bytes == b"ci-cache"));

    let log = server.process.log();
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of_it: Vec<&Value> = lines.iter().filter(|line| line["delivery.id"] == "4711-delivery").collect();
    for message in ["received an event", "answered", "cached log of job"] {
        let line = of_it.iter().find(|line| line["message"].as_str().is_some_and(|text| text.contains(message)));
        let line = line.unwrap_or_else(|| panic!("no line {message} in {log}"));
        assert_eq!((&line["project.id"], &line["job.id"]), (&project.0.into(), &job.0.into()), "{line}");
    }
    let cached = of_it.iter().find(|line| line["message"].as_str().is_some_and(|text| text.contains("cached log")));
    assert_eq!(cached.expect("it was there")["pipeline.id"], pipeline.0);
    server.process.signal("TERM");
    assert_eq!(server.process.ended().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_costs_nothing_but_spans() {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let job = world.add_job(pipeline, JobSpec::new("unit"));
    world.finish_job(job, "success");
    let rig = Rig::new(world);
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")];
    let ended = Process::start_with(&rig, "cistern.db", &["backfill"], &variables).ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
}
