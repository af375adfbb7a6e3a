//! Many and large deliveries of GitLab's own at once, and strangers who are in their way.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cistern::demo::fake::Delivery;
use cistern::loopback;
use tokio::io::AsyncWriteExt;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::interval;

use super::{PATH, Raw, headers, running, said, verdict, with_body};
use crate::rig::{Rig, SIGNING_TOKEN};

const MIB: usize = 1024 * 1024;

/// An event with blanks behind it.
fn event_of(rig: &Rig, bytes: usize) -> Delivery {
    let pipeline = rig.fake.with(|world| world.pipelines_of(world.projects()[0])[0]);
    let mut body = rig.fake.pipeline_event(pipeline).expect("an event").body().to_vec();
    body.resize(bytes, b' ');
    Delivery::new("Pipeline Hook", body).signed_with(SIGNING_TOKEN)
}

/// Sends so many at once, each over the time that a network takes, to a service with a budget in MiB: a part of GitLab's largest
/// bodies and of the default budget, because the service is built without optimization here.
async fn all_are_taken(budget: usize, bytes: usize, count: usize) {
    let (world, ..) = running();
    let rig = Rig::new(world).set("limits.webhook_bytes", &format!("{budget}MiB"));
    let serving = rig.serve("cistern.db").await;
    let (event, address) = (event_of(&rig, bytes), serving.address());
    let mut deliveries = JoinSet::new();
    for _ in 0..count {
        let event = event.clone();
        deliveries.spawn(async move {
            let mut raw = Raw::send_head(address, &event, &[&format!("Content-Length: {bytes}")]).await;
            let mut tick = interval(Duration::from_millis(20));
            for piece in event.body().chunks(bytes.div_ceil(16)) {
                tick.tick().await;
                raw.send(piece).await;
            }
            raw.answer().await.0
        });
    }
    assert_eq!(deliveries.join_all().await, vec![202; count], "{count} bodies of {bytes} bytes");
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_signed_events_of_a_large_pipeline_are_all_taken() {
    all_are_taken(8, 125_000, 120).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_bodies_that_are_more_than_the_budget_together_are_all_taken() {
    all_are_taken(8, MIB, 12).await;
    all_are_taken(8, 25 * MIB / 8, 5).await;
}

/// Keeps connections busy with bodies under a signature that is made up: so many bytes every 10 ms, and again and again.
async fn strangers(address: SocketAddr, connections: usize, length: usize, bytes: usize) -> JoinSet<()> {
    let mut strangers = JoinSet::new();
    let begun = Arc::new(Barrier::new(connections + 1));
    for _ in 0..connections {
        let begun = Arc::clone(&begun);
        strangers.spawn(async move {
            let mut begun = Some(begun);
            let piece = vec![b' '; bytes];
            loop {
                let (announced, forged) = (format!("Content-Length: {length}"), with_body("{}").with_bad_signature());
                let mut raw = Raw::send_head(address, &forged, &[&announced]).await;
                let mut tick = interval(Duration::from_millis(10));
                for _ in 0..length.div_ceil(bytes) {
                    tick.tick().await;
                    if raw.0.write_all(&piece).await.is_err() {
                        break;
                    }
                    if let Some(begun) = begun.take() {
                        begun.wait().await;
                    }
                }
            }
        });
    }
    begun.wait().await;
    strangers
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_with_made_up_signatures_hold_up_no_small_delivery() {
    let (world, ..) = running();
    let rig = Rig::new(world);
    let serving = rig.serve("cistern.db").await;
    let event = event_of(&rig, 10_000);
    for (connections, length, bytes) in [(4, 25 * MIB, 80_000), (4, 25 * MIB, 10), (300, 64 * 1024, 1)] {
        let strangers = strangers(serving.address(), connections, length, bytes).await;
        let (mut tick, mut deliveries) = (interval(Duration::from_millis(20)), JoinSet::new());
        for _ in 0..100 {
            tick.tick().await;
            let (address, event) = (serving.address(), event.clone());
            deliveries.spawn(async move {
                let began = Instant::now();
                let answer = loopback::send(address, "POST", PATH, &headers(&event), &event.body()).await;
                (verdict(&answer.expect("an answer")).0, began.elapsed() < Duration::from_secs(1))
            });
        }
        let taken = deliveries.join_all().await;
        assert_eq!(taken, [(202, true); 100], "{connections} strangers with {bytes} of {length} bytes every 10 ms");
        drop(strangers);
    }
    serving.stop().await;
}

/// A large body waits for those that hold more than their part, but only as long as these come fast.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_stranger_is_cut_for_a_large_delivery() {
    let (world, ..) = running();
    let rig = Rig::new(world);
    let serving = rig.serve("cistern.db").await;
    let announced = format!("Content-Length: {}", 25 * MIB);
    let mut slow = Raw::send_head(serving.address(), &with_body("{}").with_bad_signature(), &[&announced]).await;
    slow.send(b"  ").await;
    // Whoever holds a share is told to go on, or has been read from, which nothing tells: so this asks until it must wait.
    let taken = verdict(&serving.deliver(&event_of(&rig, 12 * MIB)).await);
    assert_eq!((slow.answer().await, taken.0), (said(408, "too_slow"), 202));
    serving.stop().await;
}
