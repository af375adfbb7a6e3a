//! One thread writes for all.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_appends_are_all_kept_and_reads_go_on_beside_them() {
    let rig = Rig::with_job(Engine::Sqlite).await;
    let appends = (0..2000).map(|job| {
        let store = rig.store.clone();
        tokio::spawn(async move { store.apply(vec![Change::Append(vec![entry(job + 1, 0)])]).await })
    });
    let reads = (0..200).map(|_| {
        let store = rig.store.clone();
        tokio::spawn(async move { store.job(JOB).await.map(drop) })
    });
    let tasks: Vec<_> = appends.chain(reads).collect();
    for outcome in futures_util::future::join_all(tasks).await {
        outcome.expect("no panic").expect("worked");
    }
    assert_eq!(rig.store.journal_len().await.expect("read"), 2000);
}

#[tokio::test]
async fn a_transaction_that_sqlite_rolls_back_is_acknowledged_to_nobody() {
    let rig = Rig::with_job(Engine::Sqlite).await;
    // As SQLite does by itself when the disk is full: everything of the transaction is gone.
    rig.behind.sql("CREATE TRIGGER full BEFORE INSERT ON marks BEGIN SELECT raise(ROLLBACK, 'no space'); END");
    let both =
        [vec![Change::Append(vec![entry(1, 0)])], vec![Change::Append(vec![entry(2, 0)]), Change::Mark(PROJECT)]];
    let outcomes = futures_util::future::join_all(both.map(|changes| rig.store.apply(changes))).await;
    assert!(outcomes[1].as_ref().expect_err("rolled back").is_temporary());
    // The neighbour may have had a transaction of its own; what counts is that it was told the truth.
    let acknowledged = u64::from(outcomes[0].is_ok());
    assert_eq!(rig.store.journal_len().await.expect("read"), acknowledged);
    rig.behind.sql("DROP TRIGGER full");
    rig.store.apply(vec![Change::Append(vec![entry(3, 0)]), Change::Mark(PROJECT)]).await.expect("works again");
    assert!(rig.store.is_up());
}

#[tokio::test]
async fn metrics_tell_of_operations() {
    let rig = Rig::with_job(Engine::Sqlite).await;
    let mut registry = prometheus_client::registry::Registry::with_prefix("cistern");
    rig.store.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).expect("encoded");
    assert!(text.contains("cistern_store_up 1"), "{text}");
    assert!(text.contains("cistern_store_seconds_count{operation=\"apply\"} 1"), "{text}");
}
