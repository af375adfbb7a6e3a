//! Opening, refusing, closing.

use super::*;

#[tokio::test]
async fn a_file_of_another_program_is_refused_and_left_as_it_was() {
    let directory = tempfile::tempdir().expect("a directory");
    connect(directory.path()).execute_batch("CREATE TABLE theirs (x)").expect("made");
    let before = std::fs::read(directory.path().join("store.db")).expect("read");
    let sentence = unusable(config(directory.path(), Duration::from_secs(1))).await;
    assert!(sentence.contains("another program"), "{sentence}");
    assert_eq!(std::fs::read(directory.path().join("store.db")).expect("read"), before);

    std::fs::write(directory.path().join("store.db"), "a shopping list".repeat(100)).expect("written");
    let sentence = unusable(config(directory.path(), Duration::from_secs(1))).await;
    assert!(sentence.contains("not a database"), "{sentence}");
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_refused() {
    let rig = Rig::new().await;
    rig.store.close().await.expect("closed");
    rig.sql("PRAGMA user_version = 99");
    let sentence = unusable(config(rig.directory.path(), Duration::from_secs(1))).await;
    assert!(sentence.contains("newer") && sentence.contains("99"), "{sentence}");
}

#[tokio::test]
async fn a_damaged_file_is_refused() {
    let rig = Rig::with_job().await;
    rig.store.close().await.expect("closed");
    let path = rig.directory.path().join("store.db");
    let whole = std::fs::read(&path).expect("read");
    std::fs::write(&path, &whole[..whole.len() / 2]).expect("cut");
    let sentence = unusable(config(rig.directory.path(), Duration::from_secs(1))).await;
    assert!(sentence.contains("damaged"), "{sentence}");
}

#[tokio::test]
async fn a_directory_that_does_not_exist_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let sentence = unusable(config(&directory.path().join("nowhere"), Duration::from_secs(1))).await;
    assert!(sentence.contains("nowhere") && sentence.contains("does not exist"), "{sentence}");
}

#[tokio::test]
async fn the_file_is_set_up_as_promised() {
    let rig = Rig::new().await;
    let connection = connect(rig.directory.path());
    let pragma = |name: &str| {
        connection.pragma_query_value(None, name, |row| row.get::<_, deadpool_sqlite::rusqlite::types::Value>(0))
    };
    assert_eq!(pragma("journal_mode").expect("read"), "wal".to_owned().into());
    assert_eq!(pragma("auto_vacuum").expect("read"), 2_i64.into());
    assert_eq!(pragma("application_id").expect("read"), 0x4349_5354_i64.into());
}

#[tokio::test]
async fn two_processes_may_open_a_new_file_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let opens = (0..6).map(|_| open(directory.path(), Duration::from_secs(30)));
    let stores = futures_util::future::join_all(opens).await;
    for store in &stores {
        store.heartbeat(0, 1, 6).await.expect("a heartbeat");
    }
    assert_eq!(stores[0].heartbeat(0, 6, 6).await.expect("a heartbeat"), 1, "six processes share six permits");
}

#[tokio::test]
async fn a_second_serve_is_refused_until_the_first_has_closed() {
    let directory = tempfile::tempdir().expect("a directory");
    let serve = || Config { kind: "serve", ..config(directory.path(), Duration::from_secs(30)) };
    let first = Store::open(serve()).await.expect("the first opens");
    let sentence = unusable(serve()).await;
    assert!(sentence.contains("another `cistern serve`"), "{sentence}");
    let beside = open(directory.path(), Duration::from_secs(30)).await;
    beside.close().await.expect("closed");
    first.close().await.expect("closed");
    drop(Store::open(serve()).await.expect("the next opens"));
    drop(Store::open(serve()).await.expect("one that was only dropped gives way too"));
}

#[tokio::test]
async fn a_closed_store_says_so_and_keeps_everything() {
    let rig = Rig::with_job().await;
    rig.store.close().await.expect("closed");
    rig.store.close().await.expect("closing twice is no error");
    let write = rig.store.apply(vec![Change::Append(vec![entry(1, 0)])]).await.expect_err("closed");
    let read = rig.store.job(JOB).await.expect_err("closed");
    assert!(matches!((write.kind, read.kind), (Kind::Closed, Kind::Closed)));
    let again = open(rig.directory.path(), Duration::from_secs(30)).await;
    assert!(again.job(JOB).await.expect("read").is_some());
}

#[test]
fn dropping_a_store_outside_of_a_runtime_neither_hangs_nor_panics() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let rig = runtime.block_on(Rig::with_job());
    runtime.block_on(rig.store.job(JOB)).expect("read");
    drop(rig);
}
