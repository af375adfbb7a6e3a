//! Opening and closing.

use super::*;

async fn several_processes_may_open_a_new_store_at_once(engine: Engine) {
    let directory = tempfile::tempdir().expect("a directory");
    let place = match engine {
        Engine::Sqlite => file(directory.path()),
        Engine::Mongo => Place::mongo(&engine.fresh_url(directory.path())).expect("a good URL"),
    };
    let opens = (0..6).map(|_| open(&place, Duration::from_secs(30)));
    let stores = futures_util::future::join_all(opens).await;
    for store in &stores {
        store.heartbeat(0, 1, 6).await.expect("a heartbeat");
    }
    assert_eq!(stores[0].heartbeat(0, 6, 6).await.expect("a heartbeat"), 1, "six processes share six permits");
}

async fn a_closed_store_says_so_and_keeps_everything(engine: Engine) {
    let rig = Rig::with_job(engine).await;
    rig.store.close().await.expect("closed");
    rig.store.close().await.expect("closing twice is no error");
    let write = rig.store.apply(vec![Change::Append(vec![entry(1, 0)])]).await.expect_err("closed");
    let read = rig.store.job(JOB).await.expect_err("closed");
    assert!(matches!((write.kind, read.kind), (Kind::Closed, Kind::Closed)));
    let again = rig.open(Duration::from_secs(30)).await;
    assert!(again.job(JOB).await.expect("read").is_some());
}

on_both! {
    several_processes_may_open_a_new_store_at_once;
    a_closed_store_says_so_and_keeps_everything;
}
