//! The parts of the main job, measured one by one with criterion. `benches/whole` puts the results into its table.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use cistern::demo::fake::{Delivery, FakeGitlab, JobSpec, Options, PipelineSpec, World};
use cistern::domain::{Job, JobId, JobKey, LogRecord, Piece, PipelineId, PipelineKey, ProjectId, Schedule, Timestamp};
use cistern::log::Request;
use cistern::parts::LogReader;
use cistern::queue::{self, Offer, Queue, Role, Share};
use cistern::store::{Change, Entry, Place, Store};
use cistern::webhook::event;
use cistern::webhook::verify::Verifier;
use cistern::work::{Cause, Lane, Target, Work};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use futures_util::TryStreamExt;
use serde_json::value::RawValue;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

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
    let queue = || {
        let config = queue::Config {
            capacity: 10_000,
            journal: u64::MAX,
            lease: Duration::from_secs(30),
            patience: 1,
            schedule: Schedule::default(),
        };
        Queue::new(config, store.clone())
    };
    let filled = queue();
    let ids = Arc::new(AtomicU64::new(1));
    criterion.bench_function("commit one journal entry, one at a time", |bencher| {
        bencher.iter(|| runtime.block_on(store.apply(vec![entry(&ids)])).expect("committed"));
    });
    criterion.bench_function(&format!("commit one journal entry, {CALLERS} callers"), |bencher| {
        let (store, ids) = (store.clone(), Arc::clone(&ids));
        let once = move || {
            let (store, entry) = (store.clone(), entry(&ids));
            async move { store.apply(vec![entry]).await.expect("committed") }
        };
        bencher.iter_custom(|times| runtime.block_on(by_callers(times, once.clone())));
    });
    criterion.bench_function(&format!("offer and commit one hint, {CALLERS} callers"), |bencher| {
        let (queue, ids) = (filled.clone(), Arc::clone(&ids));
        let once = move || {
            let (queue, hint) = (queue.clone(), hint(PipelineId(ids.fetch_add(1, Ordering::Relaxed))));
            async move { assert_eq!(queue.offer(hint).await, Offer::Accepted) }
        };
        bencher.iter_custom(|times| runtime.block_on(by_callers(times, once.clone())));
    });
    // Only a process whose heartbeat is fresh trusts what it knows of its own entries, and only those in memory.
    let queue = queue();
    let stop = CancellationToken::new();
    let (kept, stopped) = (queue.clone(), stop.clone());
    let maintained = runtime.spawn(async move { kept.maintain(&NoPermits, Role::Observer, stopped).await });
    let coalesced = async || queue.offer(hint(PipelineId(1))).await == Offer::Coalesced;
    while !runtime.block_on(coalesced()) {}
    criterion.bench_function("offer a hint that an entry stands for already", |bencher| {
        bencher.iter(|| assert!(runtime.block_on(coalesced())));
    });
    stop.cancel();
    runtime.block_on(maintained).expect("ended");
    runtime.block_on(store.close()).expect("closed");
}

/// Asks for nothing.
struct NoPermits;

impl Share for NoPermits {
    fn total(&self) -> u32 {
        1
    }

    fn held(&self) -> u32 {
        0
    }

    fn wanted(&self) -> u32 {
        0
    }

    fn granted(&self, _permits: u32) {}
}

/// A hint that nobody works on soon.
fn hint(pipeline: PipelineId) -> Work {
    let target = Target::Pipeline(PipelineKey { project: PROJECT, pipeline });
    let due = Timestamp::now().plus(Duration::from_secs(3600));
    Work { target, lane: Lane::Live, cause: Cause::Changed, due, listed: None, path: None }
}

/// A journal entry for a target of its own.
fn entry(ids: &AtomicU64) -> Change {
    let Work { target, lane, cause, due, .. } = hint(PipelineId(ids.fetch_add(1, Ordering::Relaxed)));
    Change::Append(vec![Entry::new(target, lane, cause, due)])
}

/// Does something at least so many times, by all callers at once; returns what so many took.
async fn by_callers<F>(times: u64, once: impl Fn() -> F + Clone + Send + 'static) -> Duration
where
    F: Future<Output = ()> + Send + 'static,
{
    let each = times.div_ceil(CALLERS);
    let began = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let once = once.clone();
        callers.spawn(async move {
            for _ in 0..each {
                let done = once();
                done.await;
            }
        });
    }
    callers.join_all().await;
    began.elapsed().mul_f64(times as f64 / (each * CALLERS) as f64)
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
fn incompressible(bytes: usize) -> Bytes {
    let mut random = fastrand::Rng::with_seed(7);
    std::iter::repeat_with(|| random.u8(..)).take(bytes).collect()
}

/// What is written of an ended job with a log of so many bytes in one frame.
fn stored(id: u64, size: u64, frame: &Bytes) -> Vec<Change> {
    let job = job(id);
    let pipeline = job.pipeline.clone();
    let frames = vec![u32::try_from(frame.len()).expect("small")];
    let record = LogRecord { piece: Piece::Whole, size, frames, ..LogRecord::missing() };
    let publish = Change::Log { key: job.key, record, bytes: Some(frame.clone()) };
    vec![Change::Pipeline(pipeline), Change::Job(Box::new(job)), publish]
}

fn store(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let directory = TempDir::new().expect("a directory");
    let store = open(&runtime, &directory);
    let log = incompressible(20_000);
    let mut id = 1_000_000;
    criterion.bench_function("store a job and its log of 20 kB, one at a time", |bencher| {
        let next = || {
            id += 1;
            stored(id, 20_000, &log)
        };
        bencher.iter_batched(
            next,
            |changes| runtime.block_on(store.apply(changes)).expect("stored"),
            BatchSize::SmallInput,
        );
    });
    let text: String =
        (0..).map(|line| format!("2026-11-24T10:00:00.{line:06}Z 00O test {line} passed\n")).take(400).collect();
    let frame = Bytes::from(zstd::bulk::compress(text.as_bytes(), 4).expect("compressed"));
    let key = JobKey { project: PROJECT, job: JobId(1) };
    runtime.block_on(store.apply(stored(1, text.len() as u64, &frame))).expect("stored");
    criterion.bench_function("read a log of 20 kB and its job's row", |bencher| {
        bencher.iter(|| runtime.block_on(read(&store, key)));
    });
    assert_eq!(runtime.block_on(read(&store, key)), text.len());
    runtime.block_on(store.close()).expect("closed");
}

/// Reads a log as a reader gets it; returns how long it is.
async fn read(store: &Store, key: JobKey) -> usize {
    let row = store.job(key).await.expect("read").expect("stored");
    let reading = LogReader::new(store, &row.log).read(Request::default()).await.expect("read");
    let pieces = reading.into_stream().map_ok(|piece| piece.len());
    pieces.try_fold(0, async |sum, piece| Ok(sum + piece)).await.expect("whole")
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
