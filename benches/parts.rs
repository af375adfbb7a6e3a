//! The parts of the main job, measured one by one with criterion. `benches/whole` puts the results into its table.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use cistern::demo::fake::{Delivery, FakeGitlab, JobSpec, Options, PipelineSpec, World};
use cistern::domain::{
    BlobId, Job, JobId, JobKey, LogRecord, Piece, PipelineId, PipelineKey, ProjectId, Schedule, Timestamp,
};
use cistern::queue::{self, Offer, Queue};
use cistern::store::{Change, Place, Store};
use cistern::webhook::event;
use cistern::webhook::verify::Verifier;
use cistern::work::{Cause, Lane, Target, Work};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use serde_json::value::RawValue;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const SIGNING_TOKEN: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

const PROJECT: ProjectId = ProjectId(7);

/// Who offers at once.
const CALLERS: u64 = 64;

/// A signed pipeline event of 10 kB: as many jobs as that takes.
fn delivery() -> Delivery {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let fake = FakeGitlab::start(world, Options::default()).expect("a made-up GitLab");
    loop {
        fake.with(|world| world.add_job(pipeline, JobSpec::new("rspec 3/4")));
        let delivery = fake.pipeline_event(pipeline).expect("an event");
        if delivery.body().len() >= 10_000 {
            return delivery.signed_with(SIGNING_TOKEN);
        }
    }
}

fn webhooks(criterion: &mut Criterion) {
    let delivery = delivery();
    let body = delivery.body();
    let mut headers = HeaderMap::new();
    for (name, value) in delivery.headers() {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        headers.insert(name, HeaderValue::from_str(&value).expect("a value"));
    }
    let config = cistern::webhook::Config {
        signing_tokens: vec![SIGNING_TOKEN.to_owned().into()],
        ..cistern::webhook::Config::default()
    };
    let verifier = Verifier::build(&config).expect("a good token");
    let now = Timestamp::now();
    criterion.bench_function("verify a signed body of 10 kB", |bencher| {
        bencher.iter(|| {
            let pending = verifier.headers(black_box(&headers), now).expect("headers in order");
            pending.body(black_box(&body)).is_ok()
        });
    });
    let pending = verifier.headers(&headers, now).expect("headers in order");
    let verified = pending.body(&body).expect("a good signature");
    criterion.bench_function("parse a pipeline event of 10 kB", |bencher| {
        bencher.iter(|| event::parse(black_box(verified), Some("Pipeline Hook")).is_ok());
    });
}

fn open(runtime: &Runtime, directory: &TempDir) -> Store {
    let config = cistern::store::Config {
        cache: None,
        place: Place::Sqlite(directory.path().join("cistern.db")),
        lease: Duration::from_secs(30),
        operations: 50,
        kind: "bench",
    };
    runtime.block_on(Store::open(config)).expect("a store")
}

fn journal(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let directory = TempDir::new().expect("a directory");
    let store = open(&runtime, &directory);
    let config = queue::Config {
        capacity: 10_000,
        journal: u64::MAX,
        lease: Duration::from_secs(30),
        patience: 1,
        schedule: Schedule::default(),
    };
    let queue = Queue::new(config, store.clone());
    let ids = Arc::new(AtomicU64::new(1));
    criterion.bench_function(&format!("offer and commit one hint, {CALLERS} callers"), |bencher| {
        bencher.iter_custom(|hints| runtime.block_on(offer(&queue, &ids, hints)));
    });
    runtime.block_on(store.close()).expect("closed");
}

/// Offers at least so many hints for targets of their own; returns what so many took.
async fn offer(queue: &Queue, ids: &Arc<AtomicU64>, hints: u64) -> Duration {
    let each = hints.div_ceil(CALLERS);
    let began = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (queue, ids) = (queue.clone(), Arc::clone(ids));
        callers.spawn(async move {
            for _ in 0..each {
                let pipeline = PipelineId(ids.fetch_add(1, Ordering::Relaxed));
                let target = Target::Pipeline(PipelineKey { project: PROJECT, pipeline });
                let due = Timestamp::now().plus(Duration::from_secs(3600));
                let work = Work { target, lane: Lane::Live, cause: Cause::Changed, due, listed: None, path: None };
                assert_eq!(queue.offer(work).await, Offer::Accepted);
            }
        });
    }
    callers.join_all().await;
    began.elapsed().mul_f64(hints as f64 / (each * CALLERS) as f64)
}

/// An ended job as GitLab lists it, with another id.
fn job(id: u64) -> Job {
    const SAMPLE: &str = include_str!("../fixtures/rest/23-api-pipeline-jobs-page.json");
    let sample: serde_json::Value = serde_json::from_str(SAMPLE).expect("JSON");
    let jobs = sample["_body"].as_array().expect("an answer");
    let mut job = jobs.iter().find(|job| job["status"] == "success").expect("an ended job").clone();
    job["id"] = id.into();
    let raw: Box<RawValue> = serde_json::value::to_raw_value(&job).expect("JSON");
    Job::parse(PROJECT, &raw, Timestamp::now()).expect("a job")
}

/// Bytes that do not compress, as frames are.
fn frame(bytes: usize) -> Bytes {
    let mut random = fastrand::Rng::with_seed(7);
    std::iter::repeat_with(|| random.u8(..)).take(bytes).collect()
}

fn stored(id: u64, log: &Bytes) -> Vec<Change> {
    let job = job(id);
    let pipeline = job.pipeline.clone();
    let frames = vec![u32::try_from(log.len()).expect("small")];
    let record = LogRecord { piece: Piece::Whole, size: 20_000, frames, ..LogRecord::missing() };
    let publish = Change::Log { key: job.key, record, bytes: Some(log.clone()) };
    vec![Change::Pipeline(pipeline), Change::Job(Box::new(job)), publish]
}

fn store(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let directory = TempDir::new().expect("a directory");
    let store = open(&runtime, &directory);
    let log = frame(20_000);
    let mut id = 1_000_000;
    criterion.bench_function("store a job and its log of 20 kB, one at a time", |bencher| {
        let next = || {
            id += 1;
            stored(id, &log)
        };
        bencher.iter_batched(
            next,
            |changes| runtime.block_on(store.apply(changes)).expect("stored"),
            BatchSize::SmallInput,
        );
    });
    let key = JobKey { project: PROJECT, job: JobId(1) };
    runtime.block_on(store.apply(stored(1, &log))).expect("stored");
    criterion.bench_function("read a log of 20 kB and its job's row", |bencher| {
        bencher.iter(|| {
            runtime.block_on(async {
                let row = store.job(key).await.expect("read").expect("stored");
                let blob: BlobId = row.log.blob.expect("held");
                store.chunk(blob, 0).await.expect("read").expect("held").len()
            })
        });
    });
    runtime.block_on(store.close()).expect("closed");
}

criterion_group! {
    name = parts;
    config = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .sample_size(20)
        .without_plots();
    targets = webhooks, journal, store
}
criterion_main!(parts);
