//! What every store promises, tried against real files and a real `mongod`: one suite for both, so that neither can drift.

mod archive_parts;
mod blobs;
mod counts;
mod database;
mod details;
mod facts;
mod file;
mod gaps;
mod journal;
mod keeping;
mod lists;
mod log_parts;
mod opening;
mod processes;
mod refused;
mod slots;
mod verdicts;
mod writer;

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use cistern::domain::{
    ArchiveRecord, BlobId, Job, JobId, JobKey, LogRecord, Piece, Pipeline, PipelineId, PipelineKey, Project, ProjectId,
    Reason, ReportRecord, Timestamp,
};
use cistern::store::{
    CHUNK_BYTES, Change, Config, Entry, JobFilter, Kind, PipelineFilter, Place, Progress, Slice, Store, Suspicion,
};
use cistern::work::{Cause, Lane, Target};
use proptest::prelude::*;
use serde_json::value::RawValue;
use tempfile::TempDir;

use crate::rig::{Behind, Engine, on_both};

const PROJECT: ProjectId = ProjectId(7);
const PIPELINE: PipelineKey = PipelineKey { project: PROJECT, pipeline: PipelineId(70) };
const JOB: JobKey = JobKey { project: PROJECT, job: JobId(700) };
const ALL: Slice = Slice { offset: 0, limit: 1000 };

/// A store of its own.
struct Rig {
    directory: TempDir,
    engine: Engine,
    url: String,
    place: Place,
    store: Store,
    behind: Behind,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.engine.discard(&self.url);
    }
}

impl Rig {
    async fn new(engine: Engine) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("store.db");
        let url = engine.fresh_url(&path);
        let place = match engine {
            Engine::Sqlite => Place::Sqlite(path),
            Engine::Mongo => Place::mongo(&url).expect("a good URL"),
        };
        let store = open(&place, Duration::from_secs(30)).await;
        let behind = Behind::new(&place).await;
        Self { directory, engine, url, place, store, behind }
    }

    /// Has a pipeline with one ended job that lists an archive.
    async fn with_job(engine: Engine) -> Self {
        let rig = Self::new(engine).await;
        let changes = vec![Change::Pipeline(pipeline(70, "success", 100)), Change::Job(job(JOB, "success", 100))];
        rig.store.apply(changes).await.expect("stored");
        rig
    }

    /// Opens the same store as another process would.
    async fn open(&self, lease: Duration) -> Store {
        open(&self.place, lease).await
    }

    async fn log(&self) -> LogRecord {
        self.store.job(JOB).await.expect("read").expect("stored").log
    }
}

fn file(directory: &Path) -> Place {
    Place::Sqlite(directory.join("store.db"))
}

fn config(place: Place, lease: Duration) -> Config {
    Config { place, lease, operations: 50, cache: None, kind: "test" }
}

async fn open(place: &Place, lease: Duration) -> Store {
    Store::open(config(place.clone(), lease)).await.expect("the store opens")
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

/// A pipeline that was asked for itself.
fn pipeline(id: u64, status: &str, updated: i64) -> Pipeline {
    Pipeline::parse_detail(PROJECT, &raw(&pipeline_json(id, status, updated)), at(updated)).expect("a pipeline")
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
    let index = frames.iter().map(|length| *length as u8).collect();
    let record = LogRecord { piece, size: size as u64, frames, index, ..LogRecord::missing() };
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
