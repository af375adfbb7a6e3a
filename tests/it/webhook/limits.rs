//! Limits of size, time and memory.

use cistern::demo::fake::Delivery;

use super::{Raw, running, said, verdict, with_body};
use crate::rig::Rig;

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_25_mib_is_413_by_its_length_before_it_is_sent() {
    let (world, ..) = running();
    let rig = Rig::new(world);
    let serving = rig.serve("cistern.db").await;
    let length = format!("Content-Length: {}", 25 * 1024 * 1024 + 1);
    let raw = Raw::send_head(serving.address(), &with_body("{}"), &[&length]).await;
    assert_eq!(raw.answer().await, said(413, "too_large"));
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_grows_beyond_the_limit_is_413_by_its_bytes() {
    let (world, ..) = running();
    let rig = Rig::new(world).set("limits.webhook_bytes", "64KiB");
    let serving = rig.serve("cistern.db").await;
    let mut raw = Raw::send_head(serving.address(), &with_body("{}"), &["Transfer-Encoding: chunked"]).await;
    let piece = [b"4000\r\n".as_slice(), &[b' '; 0x4000], b"\r\n"].concat();
    for _ in 0..5 {
        raw.send(&piece).await;
    }
    raw.send(b"0\r\n\r\n").await;
    assert_eq!(raw.answer().await, said(413, "too_large"));
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunked_body_within_the_limits_is_as_good_as_any() {
    let (world, _, pipeline, _) = running();
    let rig = Rig::new(world);
    let serving = rig.serve("cistern.db").await;
    let event = rig.fake.pipeline_event(pipeline).expect("an event");
    let mut raw = Raw::send_head(serving.address(), &event, &["Transfer-Encoding: chunked"]).await;
    for piece in event.body().chunks(100) {
        raw.send(format!("{:x}\r\n", piece.len()).as_bytes()).await;
        raw.send(piece).await;
        raw.send(b"\r\n").await;
    }
    raw.send(b"0\r\n\r\n").await;
    assert_eq!(raw.answer().await, said(202, "accepted"));
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_is_never_taken_for_a_whole_one() {
    let (world, _, pipeline, _) = running();
    let rig = Rig::new(world);
    let serving = rig.serve("cistern.db").await;
    let event = rig.fake.pipeline_event(pipeline).expect("an event");
    let body = event.body();
    let length = format!("Content-Length: {}", body.len());
    let mut raw = Raw::send_head(serving.address(), &event, &[&length]).await;
    raw.send(&body[..body.len() - 1]).await;
    raw.end().await;
    assert_eq!(raw.answer().await, said(400, "broken"));
    assert!(serving.queue.is_empty());
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_body_is_408_and_while_it_holds_all_bytes_others_are_503() {
    let (world, _, pipeline, _) = running();
    let rig = Rig::new(world).set("limits.webhook_bytes", "64KiB");
    // Whoever proved a secret by the head alone is not cut for others.
    let rig = rig.set("webhook.tokens", "a-secret-token").set("webhook.allow_unsigned", "true");
    let serving = rig.serve("cistern.db").await;
    let proved = |delivery: Delivery| delivery.unsigned().with_token("a-secret-token");
    let event = proved(rig.fake.pipeline_event(pipeline).expect("an event"));
    let head = ["Content-Length: 57344"];
    let mut slow = Raw::send_head(serving.address(), &proved(with_body("{}")), &head).await;
    slow.send(&[b' '; 57_300]).await;
    // The slow one has its share when the service has read its head, which nothing tells: so this asks until it must wait.
    let busy = async {
        loop {
            match verdict(&serving.deliver(&event).await) {
                (202, _) => {}
                other => break other,
            }
        }
    };
    let (slow, busy) = tokio::join!(slow.answer(), busy);
    assert_eq!(slow, said(408, "too_slow"));
    assert_eq!(busy, said(503, "busy"));
    // What they held is free again.
    assert_eq!(serving.deliver(&event).await.status, 202);
    let metrics = serving.admin("/metrics").await;
    for outcome in ["too_slow", "busy"] {
        assert!(metrics.contains(&format!(r#"{{event="unknown",outcome="{outcome}"}} 1"#)), "{metrics}");
    }
    serving.stop().await;
}

/// Signatures are proved by the whole body: until then anybody could say that it will be large.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_only_announced_is_cut_for_whoever_waits() {
    let (world, _, pipeline, _) = running();
    let rig = Rig::new(world).set("limits.webhook_bytes", "64KiB");
    let serving = rig.serve("cistern.db").await;
    let head = ["Content-Length: 57344", "Expect: 100-continue"];
    let mut idle = Raw::send_head(serving.address(), &with_body("{}"), &head).await;
    assert!(idle.goes_on().await, "the service waits for the body");
    let event = rig.fake.pipeline_event(pipeline).expect("an event");
    assert_eq!(serving.deliver(&event).await.status, 202);
    assert_eq!(idle.answer().await, said(408, "too_slow"));
    serving.stop().await;
}
