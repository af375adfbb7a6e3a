//! Heartbeats, leases with fences, watermarks.

use super::*;

#[tokio::test]
async fn permits_move_only_after_their_holder_gave_them_up() {
    let rig = Rig::new().await;
    assert_eq!(rig.store.heartbeat(0, 20, 20).await.expect("a heartbeat"), 20, "who is alone gets everything");
    let other = open(rig.directory.path(), Duration::from_secs(30)).await;
    assert_eq!(other.heartbeat(0, 20, 20).await.expect("a heartbeat"), 0, "all are still held");
    assert_eq!(rig.store.heartbeat(20, 20, 20).await.expect("a heartbeat"), 10, "it is to go down to its half");
    assert_eq!(other.heartbeat(0, 20, 20).await.expect("a heartbeat"), 0, "which it has not done yet");
    assert_eq!(rig.store.heartbeat(10, 20, 20).await.expect("a heartbeat"), 10);
    assert_eq!(other.heartbeat(0, 20, 20).await.expect("a heartbeat"), 10, "now it has");
    other.close().await.expect("closed");
    assert_eq!(rig.store.heartbeat(10, 20, 20).await.expect("a heartbeat"), 20, "who closes gives everything back");
}

#[tokio::test]
async fn a_lease_has_one_holder_and_a_rising_fence() {
    let rig = Rig::new().await;
    let other = open(rig.directory.path(), Duration::from_secs(30)).await;
    let first = rig.store.take_lease("reconcile").await.expect("asked").expect("free");
    assert_eq!(other.take_lease("reconcile").await.expect("asked"), None);
    assert!(rig.store.renew_lease(&first).await.expect("asked"));
    rig.sql("UPDATE leases SET expires = 0");
    let second = other.take_lease("reconcile").await.expect("asked").expect("expired");
    assert!(second.fence > first.fence);
    assert!(!rig.store.renew_lease(&first).await.expect("asked"));
    rig.store.release_lease(&first).await.expect("nothing happens");
    assert_eq!(rig.store.take_lease("reconcile").await.expect("asked"), None);
    other.release_lease(&second).await.expect("released");
    let third = rig.store.take_lease("reconcile").await.expect("asked").expect("released");
    assert!(third.fence > second.fence);
}

#[tokio::test]
async fn a_watermark_never_goes_back_and_needs_the_lease() {
    let rig = Rig::new().await;
    let progress = |watermark, full: Option<i64>| Progress {
        watermark: at(watermark),
        covered_since: at(0),
        full_pass_at: full.map(at),
    };
    let old = rig.store.take_lease("reconcile").await.expect("asked").expect("free");
    rig.store.save_progress(PROJECT, progress(50, Some(40)), &old).await.expect("saved");
    rig.store.save_progress(PROJECT, progress(20, None), &old).await.expect("saved");
    assert_eq!(rig.store.progress(PROJECT).await.expect("read"), Some(progress(50, Some(40))));
    rig.sql("UPDATE leases SET expires = 0");
    let other = open(rig.directory.path(), Duration::from_secs(30)).await;
    let new = other.take_lease("reconcile").await.expect("asked").expect("expired");
    let error = rig.store.save_progress(PROJECT, progress(90, None), &old).await.expect_err("fenced");
    assert!(matches!(error.kind, Kind::FenceLost));
    other.save_progress(PROJECT, progress(60, None), &new).await.expect("saved");
    assert_eq!(rig.store.progress(PROJECT).await.expect("read"), Some(progress(60, Some(40))));
}
