//! One file: what is refused, and who may use it.

use cistern::store::{BlobKind, KeptBlob};

use super::*;

#[tokio::test]
async fn a_file_of_another_program_is_refused_and_left_as_it_was() {
    let directory = tempfile::tempdir().expect("a directory");
    Behind::new(&file(directory.path())).await.connect().execute_batch("CREATE TABLE theirs (x)").expect("made");
    let before = std::fs::read(directory.path().join("store.db")).expect("read");
    let sentence = unusable(config(file(directory.path()), Duration::from_secs(1))).await;
    assert!(sentence.contains("another program"), "{sentence}");
    assert_eq!(std::fs::read(directory.path().join("store.db")).expect("read"), before);

    std::fs::write(directory.path().join("store.db"), "a shopping list".repeat(100)).expect("written");
    let sentence = unusable(config(file(directory.path()), Duration::from_secs(1))).await;
    assert!(sentence.contains("not a database"), "{sentence}");
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_refused() {
    let rig = Rig::new(Engine::Sqlite).await;
    rig.store.close().await.expect("closed");
    rig.behind.sql("PRAGMA user_version = 99");
    let sentence = unusable(config(file(rig.directory.path()), Duration::from_secs(1))).await;
    assert!(sentence.contains("newer") && sentence.contains("99"), "{sentence}");
}

#[tokio::test]
async fn a_damaged_file_is_refused() {
    let rig = Rig::with_job(Engine::Sqlite).await;
    rig.store.close().await.expect("closed");
    let path = rig.directory.path().join("store.db");
    let whole = std::fs::read(&path).expect("read");
    std::fs::write(&path, &whole[..whole.len() / 2]).expect("cut");
    let sentence = unusable(config(file(rig.directory.path()), Duration::from_secs(1))).await;
    assert!(sentence.contains("damaged"), "{sentence}");
}

#[tokio::test]
async fn a_directory_that_does_not_exist_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let sentence = unusable(config(file(&directory.path().join("nowhere")), Duration::from_secs(1))).await;
    assert!(sentence.contains("nowhere") && sentence.contains("does not exist"), "{sentence}");
}

#[tokio::test]
async fn the_file_is_set_up_as_promised() {
    let rig = Rig::new(Engine::Sqlite).await;
    let connection = rig.behind.connect();
    let pragma = |name: &str| {
        connection.pragma_query_value(None, name, |row| row.get::<_, deadpool_sqlite::rusqlite::types::Value>(0))
    };
    assert_eq!(pragma("journal_mode").expect("read"), "wal".to_owned().into());
    assert_eq!(pragma("auto_vacuum").expect("read"), 2_i64.into());
    assert_eq!(pragma("application_id").expect("read"), 0x4349_5354_i64.into());
}

#[tokio::test]
async fn a_second_serve_is_refused_until_the_first_has_closed() {
    let directory = tempfile::tempdir().expect("a directory");
    let serve = || Config { kind: "serve", ..config(file(directory.path()), Duration::from_secs(30)) };
    let first = Store::open(serve()).await.expect("the first opens");
    let sentence = unusable(serve()).await;
    assert!(sentence.contains("another `cistern serve`"), "{sentence}");
    let beside = open(&file(directory.path()), Duration::from_secs(30)).await;
    beside.close().await.expect("closed");
    first.close().await.expect("closed");
    drop(Store::open(serve()).await.expect("the next opens"));
    drop(Store::open(serve()).await.expect("one that was only dropped gives way too"));
}

#[test]
fn dropping_a_store_outside_of_a_runtime_neither_hangs_nor_panics() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let rig = runtime.block_on(Rig::with_job(Engine::Sqlite));
    runtime.block_on(rig.store.job(JOB)).expect("read");
    drop(rig);
}

#[tokio::test]
async fn a_file_of_an_earlier_version_is_migrated() {
    const FIRST: &str = include_str!("../../../src/store/sqlite/migrations/0001_initial.sql");
    let directory = tempfile::tempdir().expect("a directory");
    let project = r#"{"id":7,"path_with_namespace":"group/app","name":"App"}"#;
    let rows = format!(
        "PRAGMA application_id = {}; PRAGMA user_version = 1;
         INSERT INTO projects VALUES (7, 'group/app', 1, '{project}');
         INSERT INTO pipelines (project, id, status, phase, open, created_at, updated_at, as_of, ref, doc)
             VALUES (7, 70, 'success', 2, 0, 1, 1, 1, 'v1', '{{\"id\":70,\"name\":\"nightly\"}}');
         INSERT INTO blobs (id, size, created_at) VALUES (1, 3, 0);
         INSERT INTO chunks (id, data) VALUES (1048576, x'010203');
         INSERT INTO jobs (project, id, pipeline, name, status, ended, started, archived, junit, open, as_of, log_piece,
                           log_blob, log_size, log_frames, doc)
             VALUES (7, 700, 70, 'build', 'success', 1, 1, 0, 0, 0, 1, 'whole', 1, 9, x'03000000',
                     '{{\"id\":700,\"tag\":true}}');",
        0x4349_5354
    );
    let behind = Behind::new(&file(directory.path())).await;
    behind.sql("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL");
    behind.connect().execute_batch(&format!("{FIRST}{rows}")).expect("made");
    let store = open(&file(directory.path()), Duration::from_secs(30)).await;
    assert_eq!(store.completed_ago("reconcile").await.expect("read"), None);
    assert_eq!(&*store.project_facts().await.expect("read")[0].1.name, "App");
    let scope = Some(cistern::store::PipelineScope::Tags);
    let tags = PipelineFilter { scope, name: Some("nightly".into()), ..PipelineFilter::default() };
    assert_eq!(store.pipelines(PROJECT, tags, ALL).await.expect("listed").total, 1);
    let of_ref = PipelineFilter { ref_: Some("v1".into()), ..PipelineFilter::default() };
    assert_eq!(store.pipelines(PROJECT, of_ref, ALL).await.expect("listed").total, 1);
    let documents = store.documents().await.expect("counted").remove(&PROJECT).unwrap_or_default();
    assert_eq!((documents.pipelines, documents.jobs), (1, 1), "what was stored before is counted");
    let log = store.job(JOB).await.expect("read").expect("stored").log;
    assert_eq!((log.piece, log.delivered()), (Piece::Whole, 9));
    let oldest = store.oldest_blobs(BlobKind::Log, None, 9).await.expect("read");
    assert_eq!(oldest, [KeptBlob { target: 700, project: PROJECT, stored: 3 }], "what was stored before is known, too");
    let gaps = store.gaps(Some(PROJECT), 9).await.expect("read");
    assert!(gaps.iter().any(|gap| gap.kind == "detail"), "its own document is yet to be fetched: {gaps:?}");
    let (_, pipelines) = store.tallies(PROJECT).await.expect("counted");
    assert_eq!(pipelines.iter().map(|found| (found.detail, found.count)).collect::<Vec<_>>(), [(Piece::Missing, 1)]);
    let chunk = store.stored_chunk(BlobId(1), 0).await.expect("read").expect("a chunk");
    assert_eq!((chunk.bytes.len(), chunk.sound), (3, None));
}

#[tokio::test]
async fn the_files_are_this_user_s_alone_and_wider_ones_are_told() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().expect("a directory");
    let mut serving = config(file(directory.path()), Duration::from_secs(1));
    serving.kind = "serve";
    let store = Store::open(serving).await.expect("opened");
    store.apply(vec![Change::Append(vec![entry(1, 0)])]).await.expect("stored");
    for name in ["store.db", "store.db-wal", "store.db-shm", "store.db.lock"] {
        let mode = std::fs::metadata(directory.path().join(name)).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    store.close().await.expect("closed");
    let told = async || {
        let findings = Store::inspect(&file(directory.path())).await;
        findings.iter().filter(|finding| finding.text.contains("chmod 600")).count()
    };
    assert_eq!(told().await, 0);
    let path = directory.path().join("store.db");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o640)).expect("widened");
    assert_eq!(told().await, 1);
}
