//! Who asks: the user whose token it is.

use cistern::demo::fake::{Endpoint, Fault, FaultKind};
use serde_json::Value;

use super::*;

fn away(rig: &Rig) {
    rig.fake.inject(Fault::new(FaultKind::CloseBeforeHead));
}

async fn a_reader_is_who_gitlab_says_also_while_it_is_away(engine: Engine) {
    let Instance { rig, .. } = instance(engine).await;
    // Every yes is asked for again.
    let rig = rig.set("access.positive_ttl", "0").set("access.negative_ttl", "0");
    let serving = rig.serve("cistern.db").await;
    let mut names = BTreeSet::new();
    for token in [OWNER, REPORTER, OUTSIDER] {
        let (theirs, ours) = (theirs(&rig, "/user", token).await, ours(&serving, "/user", token).await);
        assert_eq!((ours.status, &ours.body), (200, &theirs.body), "{token}");
        let user: Value = serde_json::from_slice(&ours.body).expect("JSON");
        names.insert(user["username"].as_str().expect("a name").to_owned());
    }
    assert_eq!(names.len(), 3, "somebody each: {names:?}");
    for token in [REVOKED, EXPIRED, UNKNOWN, ""] {
        assert_eq!(ours(&serving, "/user", token).await.status, 401, "{token}");
    }
    away(&rig);
    let gitlab = ours(&serving, "/user", OWNER).await;
    assert_eq!(gitlab.status, 200, "by GitLab's last word");
    assert_eq!(ours(&serving, "/user", GUEST).await.status, 503, "who never asked");
    for token in [UNKNOWN, ""] {
        assert_ne!(ours(&serving, "/user", token).await.status, 200);
    }
    rig.fake.clear_faults();
    assert_eq!(ours(&serving, "/user", OWNER).await.body, gitlab.body);
    rig.fake.with(|world| world.set_token(OWNER, TokenState::Revoked));
    assert_eq!(ours(&serving, "/user", OWNER).await.status, 401);
    away(&rig);
    assert_ne!(ours(&serving, "/user", OWNER).await.status, 200, "a refusal ends what was known");
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_who_a_reader_is() {
    let Instance { rig, .. } = instance(Engine::Mongo).await;
    let rig = rig.set("reconcile.interval", "1h");
    let (one, two) = (rig.serve("cistern.db").await, rig.serve("cistern.db").await);
    rig.fake.reset_counters();
    let first = ours(&one, "/user", GUEST).await;
    assert_eq!((first.status, rig.fake.requests().of(Endpoint::User)), (200, 1));
    assert_eq!(ours(&two, "/user", GUEST).await.body, first.body);
    assert_eq!(ours(&two, "/version", GUEST).await.status, 200);
    assert_eq!(rig.fake.requests().of(Endpoint::User), 1);
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_gitlab_judges_nobody_everybody_is_one_user() {
    let rig = Rig::new(World::new());
    let with_tokens =
        Rig::new(World::new()).set("access.mode", "token").set("access.tokens", "a-static-token-of-somebody");
    for (rig, token) in [(&rig, ""), (&with_tokens, "a-static-token-of-somebody")] {
        let serving = rig.serve("cistern.db").await;
        rig.fake.reset_counters();
        let answer = ours(&serving, "/user", token).await;
        let user: Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!((answer.status, &user["username"], &user["bot"]), (200, &"cistern".into(), &true.into()));
        assert_eq!(rig.fake.requests().total, 0);
        serving.stop().await;
    }
    let serving = with_tokens.serve("cistern.db").await;
    for token in ["wrong", ""] {
        assert_eq!(ours(&serving, "/user", token).await.status, 401);
    }
    serving.stop().await;
}

on_both! {
    a_reader_is_who_gitlab_says_also_while_it_is_away;
}
