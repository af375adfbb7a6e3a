//! Who is believed: every way of not proving a secret is 401, and says so before the body is read where it can.

use cistern::demo::fake::{Delivery, Options};
use cistern::domain::Timestamp;

use super::{PATH, Raw, headers, running, said, verdict};
use crate::rig::{Rig, SIGNING_TOKEN, Serving};

const OTHER_TOKEN: &str = "whsec_/v79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA=";

fn now() -> i64 {
    Timestamp::now().as_millis() / 1000
}

/// Serves a world in which one pipeline runs, and returns an event of it.
async fn serve(settings: &[(&str, &str)]) -> (Rig, Serving, Delivery) {
    let (world, _, pipeline, _) = running();
    let rig = settings.iter().fold(Rig::with(world, Options::default()), |rig, (key, value)| rig.set(key, value));
    let serving = rig.serve("cistern.db").await;
    let event = rig.fake.pipeline_event(pipeline).expect("an event");
    (rig, serving, event)
}

/// Posts, and checks that it is refused for this reason and counted so.
async fn refused(serving: &Serving, headers: &[(String, String)], body: &[u8], reason: &str) {
    let before = refusals(serving, reason).await;
    let answer = serving.post(PATH, headers, body).await;
    assert_eq!(verdict(&answer), said(401, "refused"), "{reason}");
    assert_eq!(refusals(serving, reason).await, before + 1, "{reason}");
}

async fn refusals(serving: &Serving, reason: &str) -> u64 {
    let metrics = serving.admin("/metrics").await;
    let sample = format!(r#"cistern_webhook_refusals_total{{reason="{reason}"}} "#);
    let count = metrics.lines().find_map(|line| line.strip_prefix(&sample));
    count.expect("there from the start").parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_without_a_fitting_signature_is_refused_for_its_reason() {
    let (_rig, serving, event) = serve(&[("webhook.tokens", "plain-secret")]).await;
    let without = |name: &str| {
        let mut headers = headers(&event);
        headers.retain(|(known, _)| known != name);
        headers
    };
    let replaced = |name: &str, value: &str| {
        let mut headers = without(name);
        headers.push((name.to_owned(), value.to_owned()));
        headers
    };
    let body = event.body();
    refused(&serving, &without("webhook-signature"), &body, "signature_missing").await;
    // The plain token alone does not help where signing tokens are set.
    let mut stripped = headers(&event.clone().with_token("plain-secret"));
    stripped.retain(|(name, _)| name != "webhook-signature");
    refused(&serving, &stripped, &body, "signature_missing").await;
    refused(&serving, &replaced("webhook-signature", "v2,abc"), &body, "signature_malformed").await;
    refused(&serving, &replaced("webhook-signature", "v1,bm90IGl0"), &body, "signature_malformed").await;
    refused(&serving, &headers(&event.clone().with_bad_signature()), &body, "signature_wrong").await;
    refused(
        &serving,
        &headers(&event.clone().with_bad_signature().with_token("plain-secret")),
        &body,
        "signature_wrong",
    )
    .await;
    refused(&serving, &headers(&event.clone().signed_with(OTHER_TOKEN)), &body, "signature_wrong").await;
    refused(&serving, &headers(&event), b"{\"object_kind\":\"pipeline\"}", "signature_wrong").await;
    refused(&serving, &replaced("webhook-id", "another"), &body, "signature_wrong").await;
    refused(&serving, &without("webhook-id"), &body, "id_missing").await;
    refused(&serving, &without("webhook-timestamp"), &body, "timestamp_missing").await;
    refused(&serving, &replaced("webhook-timestamp", "1.5e9"), &body, "timestamp_missing").await;
    assert!(serving.queue.is_empty(), "nothing of all this may reach the queue");
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_outside_of_five_minutes_is_refused_and_one_inside_is_a_repeated_hint() {
    let (_rig, serving, event) = serve(&[("webhook.refresh", "1h")]).await;
    // The clock goes on between signing and checking: a second of room where that would matter.
    for away in [-301, 302, -86_400, 86_400] {
        let replayed = event.clone().at(now() + away);
        refused(&serving, &headers(&replayed), &replayed.body(), "timestamp_stale").await;
    }
    for (away, outcome) in [(-298, "accepted"), (300, "coalesced"), (-298, "coalesced")] {
        let replayed = event.clone().at(now() + away);
        assert_eq!(verdict(&serving.deliver(&replayed).await), said(202, outcome));
    }
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_secret_every_delivery_is_refused() {
    let (_rig, serving, event) = serve(&[("webhook.signing_tokens", "")]).await;
    refused(&serving, &headers(&event), &event.body(), "not_configured").await;
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_tokens_count_alone_and_any_of_them() {
    let (_rig, serving, event) =
        serve(&[("webhook.signing_tokens", ""), ("webhook.tokens", "old-secret,new-secret")]).await;
    let unsigned = event.unsigned();
    for token in ["old-secret", "new-secret"] {
        assert_eq!(serving.deliver(&unsigned.clone().with_token(token)).await.status, 202);
    }
    refused(&serving, &headers(&unsigned), &unsigned.body(), "token_missing").await;
    for wrong in ["", "new-secre", "new-secrets", "NEW-SECRET", "old-secret,new-secret"] {
        let delivery = unsigned.clone().with_token(wrong);
        refused(&serving, &headers(&delivery), &delivery.body(), "token_wrong").await;
    }
    let mut twice = headers(&unsigned.clone().with_token("new-secret"));
    twice.push(("X-Gitlab-Token".to_owned(), "new-secret".to_owned()));
    refused(&serving, &twice, &unsigned.body(), "token_missing").await;
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn during_a_migration_unsigned_deliveries_pass_by_their_token_and_bad_signatures_never() {
    let (_rig, serving, event) = serve(&[("webhook.tokens", "plain-secret"), ("webhook.allow_unsigned", "true")]).await;
    assert_eq!(serving.deliver(&event).await.status, 202);
    let unsigned = event.clone().unsigned();
    assert_eq!(serving.deliver(&unsigned.clone().with_token("plain-secret")).await.status, 202);
    refused(&serving, &headers(&unsigned), &unsigned.body(), "token_missing").await;
    let bad = event.with_bad_signature().with_token("plain-secret");
    refused(&serving, &headers(&bad), &bad.body(), "signature_wrong").await;
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn during_a_rotation_both_signing_tokens_count_and_several_signatures_may_be_sent() {
    let both = format!("{OTHER_TOKEN},{SIGNING_TOKEN}");
    let (_rig, serving, event) = serve(&[("webhook.signing_tokens", &both)]).await;
    for token in [SIGNING_TOKEN, OTHER_TOKEN] {
        assert_eq!(serving.deliver(&event.clone().signed_with(token)).await.status, 202);
    }
    let mut several = headers(&event);
    for (name, value) in &mut several {
        if name == "webhook-signature" {
            *value = format!("v1,bm90IGl0 {value} v1a,other");
        }
    }
    assert_eq!(serving.post(PATH, &several, &event.body()).await.status, 202);
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_headers_can_refuse_is_answered_before_the_body_is_sent() {
    let (_rig, serving, event) = serve(&[]).await;
    let unsigned = Raw::send_head(serving.address(), &event.clone().unsigned(), &["Content-Length: 1000"]).await;
    assert_eq!(unsigned.answer().await, said(401, "refused"));
    let stale = Raw::send_head(serving.address(), &event.at(now() - 1000), &["Content-Length: 1000"]).await;
    assert_eq!(stale.answer().await, said(401, "refused"));
    serving.stop().await;
}
