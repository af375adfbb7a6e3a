//! `rotate`: every hook, resumable, nothing lost.

use cistern::demo::fake::{Endpoint, Fault, FaultKind};

use serde_json::json;

use super::{NEW_TOKEN, column, hooks, options, run, serving, world};
use crate::process::Server;
use crate::rig::{Rig, SIGNING_TOKEN};

fn held(rig: &Rig, hook: u64) -> String {
    rig.fake.with(|world| world.hook_tokens(hook)).0.expect("a signing token")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_was_cut_goes_on_where_it_ended_and_every_delivery_arrives() {
    let (world, projects, job) = world();
    let (rig, server) = serving(world, options()).await;
    assert_eq!(hooks(&rig, &["ensure"]).await.1, 0);
    let ended = run(&rig, &["rotate"]).await;
    assert!(ended.code == Some(2) && ended.stderr.contains("two tokens"), "{ended:?}");

    let rig = rig.set("webhook.signing_tokens", &format!("{NEW_TOKEN},{SIGNING_TOKEN}"));
    let (refused, code) = hooks(&rig, &["rotate"]).await;
    assert_eq!((column(&refused, "outcome"), code), (json!(["put_back"]), 1), "{refused}");
    let hooks_of = |index: usize| rig.fake.with(|world| world.hooks_of(projects[index]))[0];
    let (first, second) = (hooks_of(0), hooks_of(1));
    assert_eq!((held(&rig, first), held(&rig, second)), (SIGNING_TOKEN.to_owned(), SIGNING_TOKEN.to_owned()));
    // It gives its part of the calls back; one that is killed keeps it for a minute.
    server.process.signal("TERM");
    server.process.ended().await;

    // The operator restarts the service with both.
    let server = Server::start(&rig, "cistern.db").await;
    let url = format!("http://{}", server.address());
    let rig = rig.set("server.public_url", &url);
    rig.fake.with(|world| {
        for hook in [first, second] {
            world.set_hook_url(hook, &format!("{url}/webhooks/gitlab"));
        }
    });
    server.until_hooks_seen().await;
    // The second project's list is not answered.
    rig.fake.inject(Fault::new(FaultKind::CloseBeforeHead).on(Endpoint::Hooks).project(projects[1].0).times(1));
    assert_eq!(run(&rig, &["rotate"]).await.code, Some(3));
    assert_eq!((held(&rig, first), held(&rig, second)), (NEW_TOKEN.to_owned(), SIGNING_TOKEN.to_owned()));
    rig.fake.fire(job).await;
    let (rotated, code) = hooks(&rig, &["rotate"]).await;
    assert_eq!((column(&rotated, "outcome"), code), (json!(["already", "rotated"]), 0), "{rotated}");
    assert_eq!((held(&rig, first), held(&rig, second)), (NEW_TOKEN.to_owned(), NEW_TOKEN.to_owned()));
    rig.fake.fire(job).await;
    let (sent, failed) = rig.fake.with(|world| world.deliveries_of(first));
    // The one that failed is the test that found out that the service did not know the new token.
    assert_eq!((sent, failed), (4, 1));
    let (listed, code) = hooks(&rig, &["list"]).await;
    assert_eq!((column(&listed, "current"), code), (json!([true, true]), 0), "{listed}");
    drop(server);
}
