//! How long GitLab's word holds: at most its time, longer only while GitLab cannot be asked, on every replica.

use cistern::demo::fake::{Endpoint, Fault, FaultKind};

use super::*;
use crate::rig::eventually;

/// Nothing reaches GitLab.
fn away(rig: &Rig) {
    rig.fake.inject(Fault::new(FaultKind::CloseBeforeHead));
}

fn calls(rig: &Rig) -> u64 {
    rig.fake.requests().total
}

async fn a_yes_holds_its_time_without_a_call(engine: Engine) {
    let Instance { rig, places } = instance(engine).await;
    let rig = rig.set("reconcile.interval", "1h");
    let serving = rig.serve("cistern.db").await;
    let (private, restricted) = (&places[5], &places[2]);
    for (place, token) in [(private, GUEST), (private, REPORTER), (restricted, REPORTER)] {
        assert_eq!(ours(&serving, &place.trace(), token).await.status, 200);
    }
    for _ in 0..3 {
        assert_eq!(ours(&serving, &private.trace(), OUTSIDER).await.status, 404);
        assert_eq!(ours(&serving, &restricted.trace(), OUTSIDER).await.status, 403);
    }
    serving.idle().await;
    rig.fake.reset_counters();
    rig.fake.with(|world| {
        world.set_role(private.project, GUEST, 0);
        world.set_role(private.project, OUTSIDER, 20);
        world.set_token(REPORTER, TokenState::Revoked);
    });
    for (place, token, status) in [
        (private, GUEST, 200),
        (private, REPORTER, 200),
        (private, OUTSIDER, 404),
        (restricted, OUTSIDER, 403),
        (restricted, REPORTER, 200),
    ] {
        assert_eq!(ours(&serving, &place.trace(), token).await.status, status, "{} {token}", place.name);
    }
    assert_eq!(calls(&rig), 0, "all of it was known");
    // What is not known yet is asked, and a 401 ends all that its token could.
    assert_eq!(ours(&serving, &places[0].trace(), REPORTER).await.status, 401);
    for place in [private, restricted] {
        assert_eq!(ours(&serving, &place.trace(), REPORTER).await.status, 401);
    }
    serving.stop().await;
}

async fn a_yes_ends_with_its_time(engine: Engine) {
    let Instance { rig, places } = instance(engine).await;
    let rig = rig.set("access.positive_ttl", "50ms").set("access.negative_ttl", "50ms");
    let serving = rig.serve("cistern.db").await;
    let private = &places[5];
    for (change, token, before, after) in [((GUEST, 0), GUEST, 200, 404), ((OUTSIDER, 10), OUTSIDER, 404, 200)] {
        assert_eq!(ours(&serving, &private.trace(), token).await.status, before);
        rig.fake.with(|world| world.set_role(private.project, change.0, change.1));
        eventually(async || ours(&serving, &private.trace(), token).await.status == after).await;
    }
    assert_eq!(ours(&serving, &private.trace(), REPORTER).await.status, 200);
    rig.fake.with(|world| world.set_token(REPORTER, TokenState::Expired));
    eventually(async || ours(&serving, &private.trace(), REPORTER).await.status == 401).await;
    rig.fake.with(|world| world.delete_project(private.project));
    eventually(async || ours(&serving, &private.trace(), OWNER).await.status == 404).await;
    serving.stop().await;
}

async fn while_gitlab_is_away_its_last_word_holds_and_no_longer_than_told(engine: Engine) {
    let Instance { rig, places } = instance(engine).await;
    let rig = rig.set("access.positive_ttl", "0").set("access.negative_ttl", "0");
    let serving = rig.serve("cistern.db").await;
    let (private, public) = (&places[5], &places[0]);
    for (token, status) in [(GUEST, 200), (REPORTER, 200), (OUTSIDER, 404), (REVOKED, 401)] {
        assert_eq!(ours(&serving, &private.trace(), token).await.status, status);
    }
    away(&rig);
    for (token, status) in [(GUEST, 200), (REPORTER, 200), (OUTSIDER, 404), (REVOKED, 503), ("", 401)] {
        assert_eq!(ours(&serving, &private.trace(), token).await.status, status, "{token}");
    }
    assert_eq!(ours(&serving, &public.trace(), REPORTER).await.status, 503, "never asked about");
    let by_path = format!("/projects/{}/jobs/{}/trace", private.path.replace('/', "%2F"), private.job);
    assert_eq!(ours(&serving, &by_path, GUEST).await.status, 200, "where the path led when it was cached");
    serving.stop().await;
    // The same store, read by who is less patient: GitLab's word is older than that.
    rig.fake.clear_faults();
    let rig = rig.set("access.stale_if_error", "200ms");
    let serving = rig.serve("cistern.db").await;
    assert_eq!(ours(&serving, &private.trace(), GUEST).await.status, 200);
    away(&rig);
    eventually(async || ours(&serving, &private.trace(), GUEST).await.status == 503).await;
    rig.fake.clear_faults();
    eventually(async || ours(&serving, &private.trace(), GUEST).await.status == 200).await;
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_verdicts() {
    let Instance { rig, places } = instance(Engine::Mongo).await;
    let rig = rig.set("reconcile.interval", "1h");
    let (one, two) = (rig.serve("cistern.db").await, rig.serve("cistern.db").await);
    let private = &places[5];
    assert_eq!(ours(&one, &private.trace(), GUEST).await.status, 200);
    assert_eq!(ours(&one, &private.trace(), OUTSIDER).await.status, 404);
    two.idle().await;
    rig.fake.reset_counters();
    assert_eq!(ours(&two, &private.trace(), GUEST).await.status, 200);
    assert_eq!(ours(&two, &private.trace(), OUTSIDER).await.status, 404);
    assert_eq!(calls(&rig), 0);
    rig.fake.with(|world| world.set_token(GUEST, TokenState::Revoked));
    assert_eq!(ours(&one, &places[3].trace(), GUEST).await.status, 401);
    assert_eq!(ours(&two, &private.trace(), GUEST).await.status, 401, "what one learned the other knows");
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_readers_of_one_token_cost_one_check() {
    let mut world = World::new();
    world.add_user(GUEST);
    let place = add(&mut world, "private", Visibility::Private, true);
    let options = Options { latency: std::time::Duration::from_millis(30), ..Options::default() };
    let rig = Rig::with(world, options).set("access.mode", "gitlab").set("limits.api_calls", "8");
    assert!(rig.backfill("cistern.db").await.is_clean());
    let serving = rig.serve("cistern.db").await;
    serving.idle().await;
    rig.fake.reset_counters();
    let path = format!("/projects/{}", place.project);
    let reads = (0..20).map(|_| ours(&serving, &path, GUEST));
    let answers = futures_util::future::join_all(reads).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(rig.fake.requests().of(Endpoint::Project), 1);
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_take_a_quarter_of_the_calls() {
    let mut world = World::new();
    let tokens: Vec<String> = (0..10).map(|number| format!("glpat-number-{number}")).collect();
    let place = add(&mut world, "public", Visibility::Public, true);
    tokens.iter().for_each(|token| world.add_user(token));
    let options = Options { latency: std::time::Duration::from_millis(30), ..Options::default() };
    let rig = Rig::with(world, options).set("access.mode", "gitlab").set("limits.api_calls", "8");
    assert!(rig.backfill("cistern.db").await.is_clean());
    let serving = rig.serve("cistern.db").await;
    serving.idle().await;
    rig.fake.reset_counters();
    let path = format!("/projects/{}", place.project);
    let answers = futures_util::future::join_all(tokens.iter().map(|token| ours(&serving, &path, token))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!((rig.fake.requests().of(Endpoint::Project), rig.fake.max_in_flight()), (10, 2));
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_s_own_rate_limit_stops_only_that_reader() {
    let Instance { rig, places } = instance(Engine::chosen()).await;
    let rig = rig.set("access.positive_ttl", "0");
    let serving = rig.serve("cistern.db").await;
    let private = &places[5];
    assert_eq!(ours(&serving, &private.trace(), GUEST).await.status, 200);
    let throttled = FaultKind::Throttled { retry_after_secs: 600 };
    rig.fake.inject(Fault::new(throttled).on(Endpoint::Project).times(1));
    rig.fake.reset_counters();
    assert_eq!(ours(&serving, &private.trace(), GUEST).await.status, 200, "by GitLab's last word");
    let asked = rig.fake.requests().of(Endpoint::Project);
    assert_eq!(ours(&serving, &private.trace(), GUEST).await.status, 200);
    assert_eq!(rig.fake.requests().of(Endpoint::Project), asked, "and GitLab is left alone by them");
    assert_eq!(ours(&serving, &private.trace(), REPORTER).await.status, 200);
    assert!(rig.fake.requests().of(Endpoint::Project) > asked, "others go on");
    let status: serde_json::Value = serde_json::from_str(&serving.admin("/status").await).expect("JSON");
    assert!(status["gitlab"]["paused"].is_null(), "{status}");
    serving.stop().await;
}

on_both! {
    a_yes_holds_its_time_without_a_call;
    a_yes_ends_with_its_time;
    while_gitlab_is_away_its_last_word_holds_and_no_longer_than_told;
}
