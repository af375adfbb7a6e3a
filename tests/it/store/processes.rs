//! Heartbeats, leases with fences, watermarks.

use super::*;

async fn permits_move_only_after_their_holder_gave_them_up(engine: Engine) {
    let rig = Rig::new(engine).await;
    assert_eq!(rig.store.heartbeat(0, 20, 20).await.expect("a heartbeat"), 20, "who is alone gets everything");
    let other = rig.open(Duration::from_secs(30)).await;
    assert_eq!(other.heartbeat(0, 20, 20).await.expect("a heartbeat"), 0, "all are still held");
    assert_eq!(rig.store.heartbeat(20, 20, 20).await.expect("a heartbeat"), 10, "it is to go down to its half");
    assert_eq!(other.heartbeat(0, 20, 20).await.expect("a heartbeat"), 0, "which it has not done yet");
    assert_eq!(rig.store.heartbeat(10, 20, 20).await.expect("a heartbeat"), 10);
    assert_eq!(other.heartbeat(0, 20, 20).await.expect("a heartbeat"), 10, "now it has");
    other.close().await.expect("closed");
    assert_eq!(rig.store.heartbeat(10, 20, 20).await.expect("a heartbeat"), 20, "who closes gives everything back");
}

async fn a_lease_has_one_holder_and_a_rising_fence(engine: Engine) {
    let rig = Rig::new(engine).await;
    let other = rig.open(Duration::from_secs(30)).await;
    let first = rig.store.take_lease("reconcile").await.expect("asked").expect("free");
    assert_eq!(other.take_lease("reconcile").await.expect("asked"), None);
    assert!(rig.store.renew_lease(&first).await.expect("asked"));
    rig.behind.expire_leases().await;
    let second = other.take_lease("reconcile").await.expect("asked").expect("expired");
    assert!(second.fence > first.fence);
    assert!(!rig.store.renew_lease(&first).await.expect("asked"));
    rig.store.release_lease(&first, true).await.expect("nothing happens");
    assert_eq!(other.completed_ago("reconcile").await.expect("read"), None, "who lost it completes nothing");
    assert_eq!(rig.store.take_lease("reconcile").await.expect("asked"), None);
    other.release_lease(&second, true).await.expect("released");
    let ago = rig.store.completed_ago("reconcile").await.expect("read").expect("completed");
    assert!(ago < Duration::from_secs(20), "{ago:?}");
    let third = rig.store.take_lease("reconcile").await.expect("asked").expect("released");
    assert!(third.fence > second.fence);
}

async fn who_keeps_a_lease_learns_that_another_has_it(engine: Engine) {
    let rig = Rig::new(engine).await;
    let mine = rig.open(Duration::from_secs(3)).await;
    let lease = mine.take_lease("reconcile").await.expect("asked").expect("free");
    rig.behind.expire_leases().await;
    rig.store.take_lease("reconcile").await.expect("asked").expect("expired");
    let lost = mine.keep_lease(&lease).await;
    assert!(matches!(lost.kind, Kind::FenceLost), "{lost}");
}

async fn a_watermark_never_goes_back_and_needs_the_lease(engine: Engine) {
    let rig = Rig::new(engine).await;
    let progress = |watermark, full: Option<i64>| Progress {
        watermark: at(watermark),
        covered_since: at(0),
        full_pass_at: full.map(at),
    };
    let old = rig.store.take_lease("reconcile").await.expect("asked").expect("free");
    rig.store.save_progress(PROJECT, progress(50, Some(40)), &old).await.expect("saved");
    rig.store.save_progress(PROJECT, progress(20, None), &old).await.expect("saved");
    assert_eq!(rig.store.progress(PROJECT).await.expect("read"), Some(progress(50, Some(40))));
    rig.behind.expire_leases().await;
    let other = rig.open(Duration::from_secs(30)).await;
    let new = other.take_lease("reconcile").await.expect("asked").expect("expired");
    let error = rig.store.save_progress(PROJECT, progress(90, None), &old).await.expect_err("fenced");
    assert!(matches!(error.kind, Kind::FenceLost));
    other.save_progress(PROJECT, progress(60, None), &new).await.expect("saved");
    assert_eq!(rig.store.progress(PROJECT).await.expect("read"), Some(progress(60, Some(40))));
}

on_both! {
    permits_move_only_after_their_holder_gave_them_up;
    a_lease_has_one_holder_and_a_rising_fence;
    who_keeps_a_lease_learns_that_another_has_it;
    a_watermark_never_goes_back_and_needs_the_lease;
}
