//! A database of MongoDB: what is refused, what other programs can read of it, and what crashes and races leave behind.

use cistern::store::{PipelineOrder, PipelineScope};
use mongodb::bson::{DateTime, Document, doc};
use mongodb::{Client, Database};
use secrecy::ExposeSecret;

use super::*;
use crate::rig::mongod::{self, Mongod, PASSWORD, USER};

fn place(url: &str) -> Place {
    Place::mongo(url).expect("a good URL")
}

async fn database(place: &Place) -> Database {
    let Place::Mongo(url) = place else { panic!("no database") };
    let client = Client::with_uri_str(url.expose_secret()).await.expect("a client");
    client.default_database().expect("a database")
}

fn collection(database: &Database, name: &str) -> mongodb::Collection<Document> {
    database.collection(name)
}

#[tokio::test]
async fn a_database_of_another_program_or_of_a_newer_version_is_refused() {
    let place = place(&mongod::shared().fresh_uri());
    let theirs = database(&place).await;
    collection(&theirs, "jobs").insert_one(doc! { "_id": "theirs" }).await.expect("made");
    let sentence = unusable(config(place.clone(), Duration::from_secs(1))).await;
    assert!(sentence.contains("`jobs` of another program"), "{sentence}");
    assert_eq!(theirs.list_collection_names().await.expect("read"), ["jobs"], "nothing was made");

    let rig = Rig::new(Engine::Mongo).await;
    let newer = doc! { "$set": { "schema": 99_i64 } };
    collection(&database(&rig.place).await, "meta").update_one(doc! {}, newer).await.expect("changed");
    let sentence = unusable(config(rig.place.clone(), Duration::from_secs(1))).await;
    assert!(sentence.contains("newer") && sentence.contains("99"), "{sentence}");
}

#[tokio::test]
async fn a_lease_is_given_up_when_it_ran_out_even_while_the_database_owes_an_answer() {
    let mongod = Mongod::start();
    let store = Store::open(config(place(&mongod.fresh_uri()), Duration::from_secs(2))).await.expect("the store opens");
    let lease = store.take_lease("reconcile").await.expect("asked").expect("free");
    mongod.pause();
    let lost = store.keep_lease(&lease).await;
    // A renewal waits longer for its answer than the lease lasts: an answer would be `Away`.
    assert!(matches!(lost.kind, Kind::FenceLost), "{lost}");
    mongod.resume();
}

#[tokio::test]
async fn blobs_are_files_of_gridfs_that_other_programs_read_by_name() {
    let rig = Rig::with_job(Engine::Mongo).await;
    let zip: Vec<u8> = (0..3 * CHUNK_BYTES + 7).map(|byte| (byte % 251) as u8).collect();
    let record = ArchiveRecord { piece: Piece::Whole, size: zip.len() as u64, ..ArchiveRecord::missing() };
    let archive = Change::Archive { key: JOB, record, bytes: Some(zip.clone().into()) };
    let streamed = rig.store.new_blob().await.expect("a blob");
    rig.store.put_chunk(streamed, 0, Bytes::from_static(b"frames")).await.expect("stored");
    let (record, _) = log_of(Piece::Whole, 6);
    let log = Change::Log { key: JOB, record: LogRecord { blob: Some(streamed), ..record }, bytes: None };
    rig.store.apply(vec![archive, log]).await.expect("stored");

    let bucket = database(&rig.place).await.gridfs_bucket(None);
    for (name, expected) in [("artifacts.zip", zip.as_slice()), ("trace.zst", b"frames")] {
        let mut found = bucket.open_download_stream_by_name(format!("projects/7/jobs/700/{name}")).await.expect(name);
        let mut read = Vec::new();
        futures_util::AsyncReadExt::read_to_end(&mut found, &mut read).await.expect("read");
        assert!(read == expected, "{name}: {} bytes of {}", read.len(), expected.len());
    }
}

#[tokio::test]
async fn a_summary_that_is_too_large_for_a_document_is_kept_all_the_same() {
    let rig = Rig::with_job(Engine::Mongo).await;
    let summary = |letter: &str| format!("\"{}\"", letter.repeat(20 << 20)).into_boxed_str();
    let report = |total_count, summary: &str, piece| Change::Report {
        key: PIPELINE,
        record: ReportRecord {
            piece,
            total_count,
            summary: Some(summary.into()),
            summary_piece: piece,
            ..ReportRecord::missing()
        },
        bytes: Some(Bytes::from_static(b"report")),
    };
    let held = async || rig.store.pipeline(PIPELINE).await.expect("read").expect("stored").report;
    let (first, second) = (summary("a"), summary("b"));
    rig.store.apply(vec![report(10, &first, Piece::Live)]).await.expect("stored");
    assert!(held().await.summary.as_deref() == Some(&*first));
    rig.store.apply(vec![report(9, &second, Piece::Live)]).await.expect("stored");
    assert_eq!(held().await.total_count, 10, "fewer tests of the same attempts");
    assert!(held().await.summary.as_deref() == Some(&*second), "of two that may change the later one is GitLab's word");
    rig.store.apply(vec![report(11, &first, Piece::Whole)]).await.expect("stored");
    assert!(held().await.summary.as_deref() == Some(&*first));
    rig.store.apply(vec![report(9, &second, Piece::Live)]).await.expect("refused quietly");
    assert!(held().await.summary.as_deref() == Some(&*first), "it is whole");
    rig.behind.age_replaced_blobs().await;
    rig.store.sweep_blobs().await.expect("swept");
    assert_eq!(rig.behind.blobs().await, 2, "the report and its summary");
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_of_one_job_in_several_processes_leave_one_whole_blob() {
    let rig = Rig::with_job(Engine::Mongo).await;
    let mut others = vec![rig.store.clone()];
    for _ in 0..3 {
        others.push(rig.open(Duration::from_secs(30)).await);
    }
    let writes = (1..=40).map(|size| {
        let store = others[size % others.len()].clone();
        tokio::spawn(async move { store.apply(vec![publish(Piece::Live, size)]).await })
    });
    for write in futures_util::future::join_all(writes.collect::<Vec<_>>()).await {
        write.expect("no panic").expect("answered");
    }
    let log = rig.log().await;
    assert_eq!(log.size, 40, "the longest stays");
    let chunk = rig.store.chunk(log.blob.expect("a blob"), 0).await.expect("read").expect("whole");
    assert_eq!(chunk.len(), 40);
    rig.behind.age_replaced_blobs().await;
    for store in &others {
        store.sweep_blobs().await.expect("swept");
    }
    assert_eq!((rig.behind.blobs().await, rig.behind.chunks().await), (1, 1));
}

#[tokio::test]
async fn a_crash_between_two_steps_costs_no_published_blob_and_leaks_none() {
    let rig = Rig::with_job(Engine::Mongo).await;
    rig.store.apply(vec![publish(Piece::Live, 5)]).await.expect("stored");
    let (held, files) = (rig.log().await.blob.expect("a blob"), database(&rig.place).await);
    let files = collection(&files, "fs.files");
    // As after a crash between a document's write and the note that its blob is published.
    let in_dead_hands = doc! { "$set": { "metadata.owner": 1_i64 } };
    files.update_one(doc! { "_id": held.0 }, in_dead_hands).await.expect("changed");
    // And as after one between a blob's last chunk and the document's write.
    let unpublished = doc! {
        "_id": 5_i64, "length": 3_i64, "chunkSize": 262_144, "uploadDate": DateTime::now(), "filename": "x",
        "metadata": { "owner": 1_i64, "of": { "kind": "log", "id": 700_i64 } },
    };
    files.insert_one(unpublished).await.expect("made");
    rig.store.sweep_blobs().await.expect("swept");
    rig.behind.age_replaced_blobs().await;
    rig.store.sweep_blobs().await.expect("swept");
    assert_eq!(rig.behind.blobs().await, 1);
    assert!(rig.store.chunk(held, 0).await.expect("read").is_some(), "the published one stays");
}

#[tokio::test]
async fn a_process_that_was_paused_cannot_end_what_another_took_over() {
    let rig = Rig::new(Engine::Mongo).await;
    let paused = rig.open(Duration::from_millis(1)).await;
    let work = entry(1, 0);
    paused.apply(vec![Change::Append(vec![work.clone()]), Change::Start(vec![work.id])]).await.expect("stored");
    while rig.store.adopt().await.expect("adopted") == 0 {}
    paused.apply(vec![Change::Finish(work.target, vec![work.id])]).await.expect("answered");
    assert_eq!(rig.store.entries(9).await.expect("read"), [Entry { attempts: 1, suspicion: Suspicion::Alone, ..work }]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_and_no_password_is_ever_shown() {
    let mongod = Mongod::start_with_auth();
    let good =
        Store::open(config(place(&mongod.uri_as(USER, PASSWORD)), Duration::from_secs(30))).await.expect("opens");
    good.close().await.expect("closed");
    let url = mongod.uri_as(USER, "s3cret");
    let error = Store::open(config(place(&url), Duration::from_secs(30))).await.expect_err("refused");
    let told = format!("{error} {error:?}");
    assert!(told.contains("user name or password") && !told.contains("s3cret"), "{told}");

    let findings = Store::inspect(&place(&url)).await;
    let told: String = findings.iter().map(ToString::to_string).collect();
    assert!(told.contains("✗ store: the database refuses") && !told.contains("s3cret"), "{told}");

    let admin = database(&place(&mongod.uri_as(USER, PASSWORD))).await;
    let reader = doc! { "createUser": "reader", "pwd": "s3cret", "roles": ["readAnyDatabase"] };
    admin.client().database("admin").run_command(reader).await.expect("made");
    let findings = Store::inspect(&place(&mongod.uri_as("reader", "s3cret"))).await;
    let told: String = findings.iter().map(ToString::to_string).collect();
    assert!(told.contains("lacks rights") && told.contains("insert") && told.contains("readWrite"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tls_options_of_the_url_are_obeyed() {
    let mongod = Mongod::start_with_tls();
    let open = async |options: String| {
        let url = format!("{}{options}", mongod.fresh_uri());
        Store::open(config(place(&url), Duration::from_secs(30))).await
    };
    let trusted = open(format!("&tls=true&tlsCAFile={}", mongod::authority())).await.expect("a known authority");
    trusted.apply(vec![Change::Mark(PROJECT)]).await.expect("stored");
    trusted.close().await.expect("closed");
    for refused in ["", "&tls=true"] {
        let error = open(refused.to_owned()).await.expect_err(refused);
        assert!(error.is_temporary() && error.to_string().contains("TLS options"), "{refused}: {error}");
    }
    let error = open("&tls=true&tlsCAFile=/nowhere.pem".to_owned()).await.expect_err("no such file");
    assert!(error.to_string().contains("TLS options of store.url cannot be used"), "{error}");
}

#[tokio::test]
async fn long_lists_are_counted_by_keys_and_the_latest_of_each_branch_is_found_from_ref_to_ref() {
    let rig = Rig::new(Engine::Mongo).await;
    // An earlier version wrote them, without these indexes: the next start makes them.
    let database = database(&rig.place).await;
    for name in ["by_ref_and_status", "by_source_and_status", "of_refs", "of_tags"] {
        collection(&database, "pipelines").drop_index(format!("pipelines_{name}")).await.expect("dropped");
    }
    let store = rig.open(Duration::from_secs(30)).await;
    let pipelines = (100..400).map(|id| Change::Pipeline(pipeline(id, "success", 1)));
    store.apply(pipelines.collect()).await.expect("stored");
    database.run_command(doc! { "profile": 2 }).await.expect("watched");
    let any = PipelineFilter::default;
    let some = |text: &str| Some(text.to_owned());
    let finished = Some(PipelineScope::Finished);
    // Every second one is of `topic`, every fifth of those is a child pipeline.
    for (filter, total) in [
        (any(), 270),
        (PipelineFilter { status: some("success"), ..any() }, 270),
        (PipelineFilter { scope: finished, ..any() }, 270),
        (PipelineFilter { ref_: some("topic"), ..any() }, 120),
        (PipelineFilter { ref_: some("topic"), status: some("success"), ..any() }, 120),
        (PipelineFilter { ref_: some("topic"), scope: finished, ..any() }, 120),
        (PipelineFilter { source: some("push"), ..any() }, 270),
        (PipelineFilter { source: some("parent_pipeline"), ref_: some("topic"), ..any() }, 30),
        (PipelineFilter { source: some("parent_pipeline"), scope: finished, ..any() }, 30),
        (PipelineFilter { order: PipelineOrder::UpdatedAt, ..any() }, 270),
        (PipelineFilter { scope: Some(PipelineScope::Branches), ..any() }, 2),
        (PipelineFilter { scope: Some(PipelineScope::Tags), ..any() }, 0),
    ] {
        let page = store.pipelines(PROJECT, filter.clone(), Slice { offset: 0, limit: 20 }).await.expect("listed");
        assert_eq!(page.total, total, "{filter:?}");
    }
    let counts = counted_by_keys(&database, "pipelines").await;
    assert!(counts > 20, "{counts} counts");
}

#[tokio::test]
async fn the_jobs_of_a_large_project_are_counted_by_keys() {
    let rig = Rig::new(Engine::Mongo).await;
    for first in [1000, 2000, 3000] {
        let jobs = (first..first + 1000).map(|id| Change::Job(parse_job(job_json(id, "build", "success"), 1)));
        rig.store.apply(jobs.collect()).await.expect("stored");
    }
    let database = database(&rig.place).await;
    database.run_command(doc! { "profile": 2 }).await.expect("watched");
    let (jobs, pipelines) = rig.store.tallies(PROJECT).await.expect("counted");
    assert_eq!((jobs.len(), jobs[0].count, pipelines.len()), (1, 3000, 0));
    assert_eq!(counted_by_keys(&database, "jobs").await, 2, "whether they are many, and how many are in the one state");
}

/// Makes sure that what was watched counted keys without looking into them, and looked at few others; returns how many counts
/// there were.
async fn counted_by_keys(database: &Database, name: &str) -> usize {
    let of = doc! { "ns": format!("{}.{name}", database.name()) };
    let mut watched = collection(database, "system.profile").find(of).await.expect("read");
    let mut counts = 0;
    while watched.advance().await.expect("read") {
        let seen: Document = watched.deserialize_current().expect("a document");
        let command = seen.get_document("command").expect("a command");
        if command.contains_key("count") {
            assert!(seen.get_str("planSummary").is_ok_and(|plan| plan.starts_with("COUNT_SCAN")), "{seen}");
            counts += 1;
        } else if command.contains_key("aggregate") || command.contains_key("min") {
            assert!(seen.get_i32("keysExamined").is_ok_and(|keys| keys < 10), "{seen}");
        }
    }
    counts
}
