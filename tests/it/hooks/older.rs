//! A GitLab below 19.0, which ignores signing tokens and tells nothing about tokens.

use serde_json::json;

use super::{Options, column, hooks, options, run, serving, world};

const SECRET: &str = "a-long-random-secret-token";

fn old() -> Options {
    Options { version: "18.11.2-ee".to_owned(), ..options() }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_gets_the_secret_token_and_is_told_so() {
    let (world, [app, _], job) = world();
    let rig = crate::rig::Rig::with(world, old())
        .set("gitlab.hooks_token", super::MANAGER)
        .set("webhook.tokens", SECRET)
        .set("webhook.allow_unsigned", "true");
    let server = crate::process::Server::start(&rig, "cistern.db").await;
    let rig = rig.set("server.public_url", &format!("http://{}", server.address()));
    let (ensured, code) = hooks(&rig, &["ensure"]).await;
    assert_eq!((column(&ensured, "outcome"), code), (json!(["created", "created"]), 0), "{ensured}");
    assert!(ensured[0]["notes"].to_string().contains("first of webhook.tokens"), "{ensured}");
    assert!(!ensured.to_string().contains(SECRET), "{ensured}");
    let hook = rig.fake.with(|world| world.hooks_of(app))[0];
    assert_eq!(rig.fake.with(|world| world.hook_tokens(hook)), (None, Some(SECRET.to_owned())));
    rig.fake.fire(job).await;
    assert_eq!(rig.fake.with(|world| world.deliveries_of(hook)), (1, 0), "its deliveries arrive");
    let (again, code) = hooks(&rig, &["ensure"]).await;
    assert_eq!((code, again[0]["changes"].to_string().contains("does not tell")), (0, true), "{again}");
    assert_eq!(hooks(&rig, &["list"]).await.1, 0);
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_secret_token_no_hook_is_made_that_nobody_would_believe() {
    let (world, [app, _], _) = world();
    let (rig, server) = serving(world, old()).await;
    let ended = run(&rig, &["ensure"]).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("webhook.tokens") && ended.stderr.contains("allow_unsigned"), "{ended:?}");
    assert!(rig.fake.with(|world| world.hooks_of(app)).is_empty());
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_only_claims_to_sign_is_found_out() {
    // 19.0 without its feature flag: the version alone does not tell.
    let (world, [app, _], _) = world();
    let (rig, server) = serving(world, old()).await;
    rig.fake.claim_version("19.0.1-ee");
    let (ensured, code) = hooks(&rig, &["ensure", "--project", "group/app"]).await;
    assert_eq!((column(&ensured, "outcome"), code), (json!(["failed"]), 1), "{ensured}");
    assert!(ensured[0]["problem"].to_string().contains("did not take the signing token"), "{ensured}");
    let rig = rig.set("webhook.tokens", SECRET);
    let (ensured, code) = hooks(&rig, &["ensure", "--project", "group/app"]).await;
    assert_eq!((column(&ensured, "outcome"), code), (json!(["updated"]), 0), "{ensured}");
    assert!(ensured[0]["notes"].to_string().contains("allow_unsigned"), "{ensured}");
    let hook = rig.fake.with(|world| world.hooks_of(app))[0];
    assert_eq!(rig.fake.with(|world| world.hook_tokens(hook)).1.as_deref(), Some(SECRET));
    drop(server);
}
