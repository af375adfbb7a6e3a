//! MongoDB's own limits on this machine: what its driver alone does, and how near the store comes to it.

use std::error::Error;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cistern::domain::{ArchiveRecord, Job, JobId, JobKey, Piece, PipelineId, PipelineKey, ProjectId, Timestamp};
use cistern::store::{CHUNK_BYTES, Change, Config, Place, Store};
use futures_util::{AsyncReadExt, AsyncWriteExt, StreamExt, TryStreamExt, stream};
use mongodb::bson::{DateTime, Document, doc};
use mongodb::options::{Acknowledgment, ClientOptions, WriteConcern};
use mongodb::{Client, Database};

use super::figure::{Figures, median};
use crate::mongod;

/// How large a blob is measured with.
const BLOB_BYTES: usize = 64 << 20;

/// Runs of which the median is told.
const RUNS: usize = 5;

/// Entries that the driver inserts with one command, and commands at once.
const BATCH: usize = 100;
const COMMANDS: usize = 8;

/// Moving blobs through GridFS: ours beside the driver's.
pub(crate) fn blobs(figures: &mut Figures) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let url = mongod::shared().fresh_uri();
        let database = database(&url).await?;
        let place = Place::mongo(&url)?;
        let store =
            Store::open(Config { place, lease: Duration::from_secs(30), operations: 50, cache: None, kind: "bench" })
                .await?;
        let mut random = fastrand::Rng::with_seed(3);
        let bytes = Bytes::from_iter(std::iter::repeat_with(|| random.u8(..)).take(BLOB_BYTES));
        let (mut ours, mut theirs) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
        for run in 0..RUNS {
            let began = Instant::now();
            let key = upload(&store, run as u64 + 1, &bytes).await?;
            ours[0].push(rate(began));
            let began = Instant::now();
            download(&store, key).await?;
            ours[1].push(rate(began));

            let bucket = database.gridfs_bucket(None);
            let began = Instant::now();
            let mut up = bucket.open_upload_stream(format!("raw {run}")).await?;
            up.write_all(&bytes).await?;
            up.close().await?;
            theirs[0].push(rate(began));
            let began = Instant::now();
            let mut down = bucket.open_download_stream_by_name(format!("raw {run}")).await?;
            let mut buffer = vec![0; 1 << 20];
            while down.read(&mut buffer).await? > 0 {}
            theirs[1].push(rate(began));
        }
        store.close().await?;
        for ((what, ours), theirs) in ["into", "out of"].into_iter().zip(ours).zip(theirs) {
            let name = format!("a blob of 64 MiB {what} MongoDB");
            figures.against(&name, median(ours), "MB/s", median(theirs), "the driver's GridFS stream");
        }
        Ok(())
    })
}

/// How many journal entries a second the driver alone inserts, confirmed by the majority.
pub(crate) fn insert_many_per_second() -> Result<f64, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let database = database(&mongod::shared().fresh_uri()).await?;
        let journal = database.collection::<Document>("journal");
        let mut rates = Vec::new();
        for run in 0..RUNS {
            let began = Instant::now();
            let batches = (0..300).map(|batch| {
                let first = ((run * 300 + batch) * BATCH) as i64;
                let entries: Vec<Document> = (0..BATCH as i64).map(|number| entry(first + number)).collect();
                let journal = journal.clone();
                async move { journal.insert_many(entries).ordered(false).await.map(drop) }
            });
            stream::iter(batches).buffer_unordered(COMMANDS).try_collect::<Vec<()>>().await?;
            rates.push(300.0 * BATCH as f64 / began.elapsed().as_secs_f64());
        }
        Ok(median(rates))
    })
}

async fn database(url: &str) -> Result<Database, Box<dyn Error>> {
    let mut options = ClientOptions::parse(url).await?;
    options.write_concern = Some(WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build());
    Ok(Client::with_options(options)?.default_database().ok_or("the URL names a database")?)
}

fn entry(id: i64) -> Document {
    doc! {
        "_id": id, "owner": 1_i64, "kind": "pipeline", "project": 7_i64, "target": id, "lane": 0, "cause": "changed",
        "due": DateTime::now(), "attempts": 0_i64, "deaths": 0_i64, "running": 0_i64,
    }
}

/// Stores an archive as ingest does: registered, chunk by chunk, published.
async fn upload(store: &Store, id: u64, bytes: &Bytes) -> Result<JobKey, Box<dyn Error>> {
    let key = JobKey { project: ProjectId(7), job: JobId(id) };
    let blob = store.new_blob().await?;
    let puts = (0..).zip(bytes.chunks(CHUNK_BYTES)).map(|(number, chunk)| {
        let chunk = bytes.slice_ref(chunk);
        async move { store.put_chunk(blob, number, chunk).await }
    });
    stream::iter(puts).buffer_unordered(cistern::store::CHUNKS_AT_ONCE).try_collect::<Vec<()>>().await?;
    let record = ArchiveRecord {
        piece: Piece::Whole,
        blob: Some(blob),
        size: bytes.len() as u64,
        sha256: None,
        index: Box::default(),
    };
    store.apply(vec![Change::Job(Box::new(job(key)?)), Change::Archive { key, record, bytes: None }]).await?;
    Ok(key)
}

async fn download(store: &Store, key: JobKey) -> Result<(), Box<dyn Error>> {
    let row = store.job(key).await?.ok_or("the job is stored")?;
    let blob = row.archive.blob.ok_or("it has an archive")?;
    let mut number = 0;
    while store.chunk(blob, number).await?.is_some() {
        number += 1;
    }
    Ok(())
}

fn job(key: JobKey) -> Result<Job, Box<dyn Error>> {
    let at = Timestamp::now();
    let pipeline = PipelineKey { project: key.project, pipeline: PipelineId(70) };
    let json = serde_json::json!({
        "id": key.job, "name": "unit", "status": "success", "started_at": at, "finished_at": at, "artifacts": [],
        "pipeline": {
            "id": pipeline.pipeline, "project_id": key.project, "sha": "", "ref": "main", "status": "success",
            "created_at": at, "updated_at": at,
        },
    });
    let raw = serde_json::value::to_raw_value(&json)?;
    Ok(Job::parse(key.project, &raw, at)?)
}

fn rate(began: Instant) -> f64 {
    BLOB_BYTES as f64 / 1e6 / began.elapsed().as_secs_f64()
}
