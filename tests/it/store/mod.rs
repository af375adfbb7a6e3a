//! What every store promises, tried against real files.

mod behind;
mod blobs;
mod facts;
mod file;
mod gaps;
mod journal;
mod processes;
mod slots;
mod writer;

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use cistern::domain::{
    ArchiveRecord, BlobId, Job, JobId, JobKey, LogRecord, Piece, Pipeline, PipelineId, PipelineKey, Project, ProjectId,
    Reason, ReportRecord, Timestamp,
};
use cistern::store::{CHUNK_BYTES, Change, Config, Entry, JobFilter, Kind, PipelineFilter, Progress, Slice, Store};
use cistern::work::{Cause, Lane, Target};
use deadpool_sqlite::rusqlite::Connection;
use proptest::prelude::*;
use serde_json::value::RawValue;
use tempfile::TempDir;

const PROJECT: ProjectId = ProjectId(7);
const PIPELINE: PipelineKey = PipelineKey { project: PROJECT, pipeline: PipelineId(70) };
const JOB: JobKey = JobKey { project: PROJECT, job: JobId(700) };
const ALL: Slice = Slice { offset: 0, limit: 1000 };

/// A store in a directory of its own.
struct Rig {
    directory: TempDir,
    store: Store,
}

impl Rig {
    async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = open(directory.path(), Duration::from_secs(30)).await;
        Self { directory, store }
    }

    /// Has a pipeline with one ended job that lists an archive.
    async fn with_job() -> Self {
        let rig = Self::new().await;
        let changes = vec![Change::Pipeline(pipeline(70, "success", 100)), Change::Job(job(JOB, "success", 100))];
        rig.store.apply(changes).await.expect("stored");
        rig
    }

    fn sql(&self, sql: &str) {
        connect(self.directory.path()).execute_batch(sql).expect(sql);
    }

    fn count(&self, table: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        connect(self.directory.path()).query_row(&sql, [], |row| row.get(0)).expect("a count")
    }

    async fn log(&self) -> LogRecord {
        self.store.job(JOB).await.expect("read").expect("stored").log
    }
}

fn connect(directory: &Path) -> Connection {
    let connection = Connection::open(directory.join("store.db")).expect("the file opens");
    connection.busy_timeout(Duration::from_secs(10)).expect("a timeout");
    connection
}

fn config(directory: &Path, lease: Duration) -> Config {
    Config { path: directory.join("store.db"), lease, operations: 50, kind: "test" }
}

async fn open(directory: &Path, lease: Duration) -> Store {
    Store::open(config(directory, lease)).await.expect("the store opens")
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_790_000_000_000 + seconds * 1000)
}

fn raw(value: &serde_json::Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("JSON")
}

fn pipeline_json(id: u64, status: &str, updated: i64) -> serde_json::Value {
    serde_json::json!({
        "id": id, "iid": 1, "project_id": 7, "sha": format!("{id:040}"), "ref": if id.is_multiple_of(2) { "main" } else { "topic" },
        "status": status, "source": if id % 10 == 5 { "parent_pipeline" } else { "push" },
        "created_at": at(0).to_string(), "updated_at": at(updated).to_string(), "web_url": "http://gitlab.example/p",
    })
}

fn pipeline(id: u64, status: &str, updated: i64) -> Pipeline {
    Pipeline::parse(PROJECT, &raw(&pipeline_json(id, status, updated)), at(updated)).expect("a pipeline")
}

fn job_json(id: u64, name: &str, status: &str) -> serde_json::Value {
    let ended = matches!(status, "success" | "failed" | "canceled");
    serde_json::json!({
        "id": id, "name": name, "status": status, "pipeline": pipeline_json(70, "success", 100),
        "started_at": ended.then(|| at(10).to_string()), "finished_at": ended.then(|| at(20).to_string()),
        "artifacts_file": ended.then(|| serde_json::json!({"filename": "artifacts.zip", "size": 1000})),
        "artifacts": [], "artifacts_expire_at": null, "erased_at": null,
    })
}

fn job(key: JobKey, status: &str, as_of: i64) -> Box<Job> {
    parse_job(job_json(key.job.0, "build", status), as_of)
}

fn parse_job(json: serde_json::Value, as_of: i64) -> Box<Job> {
    Box::new(Job::parse(PROJECT, &raw(&json), at(as_of)).expect("a job"))
}

fn with(mut json: serde_json::Value, key: &str, value: impl Into<serde_json::Value>) -> serde_json::Value {
    json[key] = value.into();
    json
}

fn log_of(piece: Piece, size: usize) -> (LogRecord, Option<Bytes>) {
    let held = matches!(piece, Piece::Live | Piece::Whole);
    let frames = if held && size > 0 { vec![u32::try_from(size).expect("small")] } else { Vec::new() };
    let size = if held { size } else { 0 };
    let record = LogRecord { piece, size: size as u64, frames, ..LogRecord::missing() };
    (record, held.then(|| Bytes::from(vec![b'x'; size])))
}

fn publish(piece: Piece, size: usize) -> Change {
    let (record, bytes) = log_of(piece, size);
    Change::Log { key: JOB, record, bytes }
}

fn entry(job: u64, due: i64) -> Entry {
    let target = Target::Job(JobKey { project: PROJECT, job: JobId(job) });
    Entry::new(target, Lane::Live, Cause::Ended, at(due))
}

async fn unusable(config: Config) -> String {
    match Store::open(config).await {
        Ok(_) => panic!("it opened"),
        Err(error) => match error.kind {
            Kind::Unusable(sentence) => sentence,
            other => panic!("{other:?}"),
        },
    }
}
