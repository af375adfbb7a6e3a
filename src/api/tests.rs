//! The routes over real sockets and a real store.

mod explained;

use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, web};
use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Api, ReadThrough};
use crate::access::{self, Access, Mode};
use crate::domain::{
    ArchiveRecord, Job, JobId, JobKey, LogRecord, Piece, Pipeline, PipelineId, PipelineKey, Project, ProjectId, Reason,
    ReportRecord, Timestamp,
};
use crate::store::{CHUNK_BYTES, Change, Config, FRAME_BYTES, Place, Store};

const PROJECT: ProjectId = ProjectId(7);

/// A listener on a store of its own.
struct Cistern {
    address: std::net::SocketAddr,
    server: ServerHandle,
    store: Store,
    _folder: tempfile::TempDir,
}

/// An answer, its header names in small letters.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let wanted = |line: &&str| line.split(':').next().is_some_and(|found| found.eq_ignore_ascii_case(name));
        self.head.lines().find(wanted).and_then(|line| line.split_once(':')).map(|(_, value)| value.trim())
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    fn ids(&self) -> Vec<u64> {
        self.json().as_array().expect("a list").iter().filter_map(|item| item["id"].as_u64()).collect()
    }
}

impl Cistern {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("cistern.db");
        let config = Config {
            place: Place::Sqlite(path),
            lease: Duration::from_secs(30),
            operations: 50,
            cache: None,
            kind: "test",
        };
        let store = Store::open(config).await.expect("a store");
        let shared = Api::new(store.clone(), ReadThrough::off(), 1_000);
        let open = Mode::Open { allow_open_network: false };
        let access = Access::new(open, store.clone()).expect("a rule");
        let server = HttpServer::new(move || {
            App::new()
                .service(access::reads(access.clone(), |config| super::routes(config, shared.clone())))
                .default_service(web::to(super::unknown_path))
        })
        .workers(1)
        .disable_signals()
        .bind(("127.0.0.1", 0))
        .expect("a port");
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        tokio::spawn(server);
        Self { address, server: handle, store, _folder: folder }
    }

    async fn ask(&self, method: &str, path: &str) -> Answer {
        let mut socket = TcpStream::connect(self.address).await.expect("a connection");
        let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.expect("received");
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8(answer[..end].to_vec()).expect("text");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        Answer { status, head, body: answer[end + 4..].to_vec() }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path).await
    }

    async fn apply(&self, changes: Vec<Change>) {
        self.store.apply(changes).await.expect("applied");
    }

    async fn stop(self) {
        self.server.stop(false).await;
        self.store.close().await.expect("closed");
    }
}

fn raw(value: &Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("JSON")
}

fn now() -> Timestamp {
    Timestamp::from_millis(1_795_392_000_000)
}

fn project() -> Change {
    let value = json!({ "id": 7, "path_with_namespace": "group/sub/name", "name": "name" });
    Change::Project(Project::parse(&raw(&value), now()).expect("a project"))
}

fn pipeline_value(id: u64, status: &str, source: &str) -> Value {
    json!({ "id": id, "iid": 1, "project_id": 7, "sha": "abc", "ref": "main", "status": status, "source": source,
            "created_at": "2026-11-20T09:14:02.200Z", "updated_at": "2026-11-20T09:16:16.200Z", "web_url": null })
}

fn pipeline(id: u64, status: &str, source: &str) -> Change {
    let value = pipeline_value(id, status, source);
    Change::Pipeline(Pipeline::parse(PROJECT, &raw(&value), now()).expect("a pipeline"))
}

fn job(id: u64, name: &str, status: &str) -> Change {
    job_with(id, name, status, json!({ "filename": "out.zip", "size": 9 }))
}

fn job_with(id: u64, name: &str, status: &str, archive: Value) -> Change {
    let value = json!({ "id": id, "name": name, "status": status, "started_at": "2026-11-20T09:14:02.200Z",
                        "pipeline": pipeline_value(5, "failed", "push"), "artifacts_file": archive, "artifacts": [] });
    Change::Job(Box::new(Job::parse(PROJECT, &raw(&value), now()).expect("a job")))
}

fn key(job: u64) -> JobKey {
    JobKey { project: PROJECT, job: JobId(job) }
}

/// Stores bytes as ingest does when they are large: as a blob, chunk by chunk.
async fn blob(store: &Store, bytes: &[u8]) -> crate::domain::BlobId {
    let blob = store.new_blob().await.expect("a blob");
    for (number, chunk) in (0..).zip(bytes.chunks(CHUNK_BYTES)) {
        store.put_chunk(blob, number, Bytes::copy_from_slice(chunk)).await.expect("stored");
    }
    blob
}

#[actix_web::test]
async fn projects_are_found_by_id_and_by_encoded_path() {
    let cistern = Cistern::start().await;
    cistern.apply(vec![project()]).await;
    let list = cistern.get("/api/v4/projects?membership=true&simple=true").await;
    assert_eq!((list.status, list.ids(), list.header("x-total")), (200, vec![7], Some("1")));
    assert_eq!(list.header("content-type"), Some("application/json"));
    for address in ["7", "group%2Fsub%2Fname", "group%2fsub%2fname", "group%2Fsub%2F%6Eame"] {
        let answer = cistern.get(&format!("/api/v4/projects/{address}")).await;
        assert_eq!(
            (answer.status, &answer.json()["path_with_namespace"]),
            (200, &json!("group/sub/name")),
            "{address}"
        );
    }
    let nothing = json!({ "message": "404 Project Not Found" });
    for address in
        ["8", "0", "99999999999999999999", "group%2Fother", "group%252Fsub%252Fname", "8/pipelines", "8/jobs/1"]
    {
        let answer = cistern.get(&format!("/api/v4/projects/{address}")).await;
        assert_eq!((answer.status, answer.json()), (404, nothing.clone()), "{address}");
    }
    cistern.stop().await;
}

#[actix_web::test]
async fn pipelines_and_jobs_are_filtered_and_paged() {
    let cistern = Cistern::start().await;
    let base = "/api/v4/projects/7/pipelines";
    cistern.apply(vec![project()]).await;
    assert_eq!(cistern.get(base).await.json(), json!([]));
    let changes = vec![
        pipeline(5, "failed", "push"),
        pipeline(6, "success", "push"),
        pipeline(8, "success", "parent_pipeline"),
        job(50, "build", "failed"),
        job(51, "build", "success"),
        job(52, "test", "failed"),
    ];
    cistern.apply(changes).await;
    for (query, ids) in [
        ("", vec![6, 5]),
        ("?sort=asc", vec![5, 6]),
        ("?status=failed", vec![5]),
        ("?source=parent_pipeline", vec![8]),
        ("?ref=other", vec![]),
        ("?per_page=1&page=2", vec![5]),
        ("?unknown_to_gitlab=1&order_by=id", vec![6, 5]),
    ] {
        assert_eq!(cistern.get(&format!("{base}{query}")).await.ids(), ids, "{query}");
    }
    for (query, ids) in [
        ("", vec![52, 51]),
        ("?include_retried=true", vec![52, 51, 50]),
        ("?scope[]=failed&scope[]=running", vec![52]),
        ("?scope=success&per_page=100", vec![51]),
    ] {
        assert_eq!(cistern.get(&format!("{base}/5/jobs{query}")).await.ids(), ids, "{query}");
    }
    let second = cistern.get("/api/v4/projects/group%2Fsub%2Fname/pipelines?per_page=1&page=2&status=").await;
    let link = second.header("link").expect("links");
    assert!(
        link.starts_with("<http://localhost/api/v4/projects/group%2Fsub%2Fname/pipelines?page=1&per_page=1"),
        "{link}"
    );
    assert_eq!(cistern.get(&format!("{base}/5")).await.json()["status"], "failed");
    for query in ["?order_by=user_id", "?yaml_errors=true", "?username=x"] {
        let answer = cistern.get(&format!("{base}{query}")).await;
        // No pipeline's own document is held.
        assert_eq!((answer.status, answer.header("x-cistern-complete")), (200, Some("false")), "{query}");
    }
    let invalid = cistern.get(&format!("{base}/5/jobs?scope=done")).await;
    assert_eq!((invalid.status, invalid.json()), (400, json!({ "error": "scope does not have a valid value" })));
    for (path, body) in
        [("/9", json!({ "message": "404 Not found" })), ("/9/jobs", json!({ "message": "404 Not found" }))]
    {
        let answer = cistern.get(&format!("{base}{path}")).await;
        assert_eq!((answer.status, answer.json()), (404, body));
    }
    let word = cistern.get(&format!("{base}/latest-one")).await;
    assert_eq!((word.status, word.json()), (400, json!({ "error": "pipeline_id is invalid" })));
    cistern.stop().await;
}

#[actix_web::test]
async fn logs_stream_whole_and_say_whether_they_are_settled() {
    let cistern = Cistern::start().await;
    cistern
        .apply(vec![project(), job(50, "build", "failed"), job(51, "test", "running"), job(52, "lint", "failed")])
        .await;
    let noise = (0..1_500_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 17) as u8);
    let text: Vec<u8> = noise.chain(std::iter::repeat_n(b'z', 3_000_000)).collect();
    let frames: Vec<Vec<u8>> =
        text.chunks(FRAME_BYTES).map(|part| zstd::bulk::compress(part, 3).expect("compresses")).collect();
    let record = LogRecord {
        piece: Piece::Live,
        blob: Some(blob(&cistern.store, &frames.concat()).await),
        size: text.len() as u64,
        frames: frames.iter().map(|frame| frame.len() as u32).collect(),
        looks: 1,
        ..LogRecord::missing()
    };
    cistern.apply(vec![Change::Log { key: key(50), record: record.clone(), bytes: None }]).await;
    let path = "/api/v4/projects/7/jobs/50/trace";
    let live = cistern.get(path).await;
    assert_eq!((live.status, live.header("x-cistern-log")), (200, Some("live")));
    assert!(live.body == text, "{} of {} bytes", live.body.len(), text.len());
    assert_eq!(live.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(live.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(live.header("content-security-policy"), Some("sandbox; default-src 'none'"));

    let whole = LogRecord { piece: Piece::Whole, looks: 2, ..record };
    cistern.apply(vec![Change::Log { key: key(50), record: whole, bytes: None }]).await;
    let head = cistern.ask("HEAD", path).await;
    assert_eq!((head.status, head.header("x-cistern-log"), head.body.len()), (200, Some("settled"), 0));
    assert_eq!(head.header("content-length"), Some(text.len().to_string().as_str()));

    for path in ["/api/v4/projects/7/jobs/99/trace", "/api/v4/projects/7/jobs/99"] {
        assert_eq!(cistern.get(path).await.json(), json!({ "message": "404 Not found" }));
    }
    cistern.stop().await;
}

#[actix_web::test]
async fn archives_are_served_as_files_or_say_why_not() {
    let cistern = Cistern::start().await;
    cistern
        .apply(vec![
            project(),
            job(50, "build", "failed"),
            job(51, "test", "failed"),
            job_with(52, "lint", "success", Value::Null),
        ])
        .await;
    let zip: Vec<u8> = (0..600_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let record = ArchiveRecord {
        piece: Piece::Whole,
        blob: Some(blob(&cistern.store, &zip).await),
        size: zip.len() as u64,
        sha256: None,
        index: Box::default(),
    };
    let absent = ArchiveRecord { piece: Piece::Absent(Reason::Expired), ..ArchiveRecord::missing() };
    cistern
        .apply(vec![
            Change::Archive { key: key(50), record, bytes: None },
            Change::Archive { key: key(51), record: absent, bytes: None },
        ])
        .await;
    let path = "/api/v4/projects/group%2Fsub%2Fname/jobs/50/artifacts";
    let answer = cistern.get(path).await;
    assert!(answer.status == 200 && answer.body == zip, "{}", answer.head);
    assert_eq!(answer.header("content-disposition"), Some(r#"attachment; filename="out.zip""#));
    let head = cistern.ask("HEAD", path).await;
    assert_eq!((head.status, head.body.len(), head.header("content-length")), (200, 0, Some("600000")));
    let gone = cistern.get("/api/v4/projects/7/jobs/51/artifacts").await;
    assert_eq!((gone.status, gone.header("x-cistern-reason")), (404, Some("expired")));
    assert_eq!(gone.json(), json!({ "message": "404 Not found" }), "as GitLab says it");
    let none = cistern.get("/api/v4/projects/7/jobs/52/artifacts").await;
    assert_eq!((none.status, none.header("x-cistern-reason")), (404, Some("no_archive")), "it never had one");
    cistern.stop().await;
}

#[actix_web::test]
async fn reports_are_gitlabs_json_zero_or_missing() {
    let cistern = Cistern::start().await;
    let pipelines = [(5, "failed"), (6, "success"), (8, "failed"), (9, "running")];
    let mut changes = vec![project()];
    changes.extend(pipelines.map(|(id, status)| pipeline(id, status, "push")));
    cistern.apply(changes).await;
    let report = json!({ "total_count": 2, "test_suites": [{ "name": "s", "padding": "x".repeat(2_000_000) }] });
    let text = report.to_string();
    let whole = |total_count, summary: Option<&str>| ReportRecord {
        piece: Piece::Whole,
        size: text.len() as u64,
        summary: summary.map(Into::into),
        summary_piece: Piece::Whole,
        total_count,
        ..ReportRecord::missing()
    };
    let of = |pipeline| PipelineKey { project: PROJECT, pipeline: PipelineId(pipeline) };
    let compressed = Bytes::from(zstd::bulk::compress(text.as_bytes(), 3).expect("compresses"));
    cistern
        .apply(vec![
            Change::Report { key: of(5), record: whole(2, Some(r#"{"total":{"count":2}}"#)), bytes: Some(compressed) },
            Change::Report { key: of(6), record: ReportRecord { size: 0, ..whole(0, None) }, bytes: None },
        ])
        .await;
    let get =
        async |pipeline: u64, what: &str| cistern.get(&format!("/api/v4/projects/7/pipelines/{pipeline}/{what}")).await;
    assert_eq!(get(5, "test_report").await.json(), report);
    assert_eq!(get(5, "test_report_summary").await.json(), json!({ "total": { "count": 2 } }));
    assert_eq!(get(6, "test_report").await.json()["test_suites"], json!([]));
    assert_eq!(get(6, "test_report_summary").await.json()["total"]["count"], 0);
    let running = get(9, "test_report").await;
    assert_eq!((running.status, running.header("x-cistern-reason")), (200, Some("not_finished")));
    for what in ["test_report", "test_report_summary"] {
        let missing = get(8, what).await;
        assert_eq!((missing.status, missing.header("x-cistern-reason")), (404, Some("missing")), "no false zeros");
    }
    cistern.stop().await;
}
