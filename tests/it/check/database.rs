//! A MongoDB that cannot be used: each reason by itself, and what to do.

use cistern::demo::fake::World;

use super::{about, check, has};
use crate::rig::mongod::{self, Mongod};
use crate::rig::{Engine, Rig};

async fn findings(url: &str) -> Vec<String> {
    let rig = Rig::new(World::new()).on(Engine::Mongo).set("store.url", url);
    about(&check(&rig).await.0, "store")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_cannot_be_reached_says_which_part_is_wrong() {
    let good = mongod::shared().fresh_uri();
    let set = "replicaSet=rs0";
    for (url, words) in [
        (good.replace("rs0", "rs7"), "member of replica set rs0, and store.url says replicaSet=rs7"),
        (format!("{good}&tls=true"), "speaks no TLS"),
        (format!("mongodb://127.0.0.1:1/c?{set}"), "refuses connections"),
        (format!("mongodb://no-such-host.invalid/c?{set}"), "no such host"),
    ] {
        if mongod::shared().is_ours() {
            let found = findings(&url).await;
            assert!(has(&found, "problem", words), "{words}: {found:?}");
        }
    }
    let found = findings(&format!("{good}&w=1&readPreference=secondary")).await;
    for words in ["w in store.url is not obeyed", "readPreference in store.url is not obeyed"] {
        assert!(has(&found, "warning", words), "{words}: {found:?}");
    }
    if mongod::shared().is_ours() {
        assert!(has(&found, "fine", "replica set rs0 of 1"), "{found:?}");
    }
    assert!(has(&found, "fine", "confirmed by the majority"), "{found:?}");
    assert!(has(&found, "unknown", "does not tell how much is free"), "it does not exist yet: {found:?}");
    let rig = Rig::new(World::new()).on(Engine::Mongo);
    rig.backfill("cistern.db").await;
    let found = about(&check(&rig).await.0, "store");
    assert!(has(&found, "fine", "are free on its disk"), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_speaks_tls_only_says_so() {
    let mongod = Mongod::start_with_tls();
    let found = findings(&mongod.fresh_uri()).await;
    assert!(has(&found, "problem", "speaks TLS only: add tls=true"), "{found:?}");
    let found = findings(&format!("{}&tls=true", mongod.fresh_uri())).await;
    assert!(has(&found, "problem", "certificate that is not trusted"), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_without_a_primary_says_so() {
    let mongod = Mongod::start();
    let url = mongod.fresh_uri();
    mongod.step_down();
    let found = findings(&url).await;
    assert!(has(&found, "problem", "answers and is not the primary"), "{found:?}");
}
