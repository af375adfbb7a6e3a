//! `failed`: what did not arrive is listed, and sent again as fast as GitLab allows.

use cistern::domain::JobKey;
use serde_json::json;

use super::{hooks, options, run, serving, world};
use crate::process::Server;

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_that_met_nobody_are_found_and_sent_again_once() {
    let (world, [app, _], job) = world();
    let (rig, server) = serving(world, options()).await;
    assert_eq!(hooks(&rig, &["ensure"]).await.1, 0);
    let hook = rig.fake.with(|world| world.hooks_of(app))[0];
    let (none, code) = hooks(&rig, &["failed"]).await;
    assert_eq!((none, code), (json!([]), 0));
    let address = server.address();
    // In order: the share of the calls of one that was killed returns after a minute and a half only.
    server.process.signal("TERM");
    assert_eq!(server.process.ended().await.code, Some(0));
    for _ in 0..3 {
        rig.fake.fire(job).await;
        rig.fake.with(|world| world.set_hook_failures(hook, 0));
    }
    let (missed, code) = hooks(&rig, &["failed"]).await;
    assert_eq!((missed.as_array().map(Vec::len), code), (Some(3), 1), "{missed}");
    assert_eq!((&missed[0]["job"], &missed[0]["status"]), (&json!(job), &json!(null)), "{missed}");
    let (missed, code) = hooks(&rig, &["failed", "--resend"]).await;
    assert_eq!(code, 1, "{missed}");
    assert!(missed[0]["resent"]["problem"].to_string().contains("nothing answered"), "{missed}");

    let rig = rig.set("server.listen", &address.to_string());
    let server = Server::start(&rig, "cistern.db").await;
    // Six tries in all: one more than GitLab takes in a period, so that it has to be waited for.
    let (missed, code) = hooks(&rig, &["failed", "--resend"]).await;
    assert_eq!((missed.as_array().map(Vec::len), code), (Some(3), 0), "{missed}");
    assert_eq!(missed[2]["resent"], json!({"arrived": true, "status": 202, "problem": null}), "{missed}");
    server.until_cached(&rig, JobKey { project: app, job }).await;
    assert_eq!(hooks(&rig, &["failed"]).await, (json!([]), 0), "what arrived later is not missing any more");
    let text = run(&rig, &["failed", "--since", "0s"]).await;
    assert_eq!((text.code, text.stdout.as_str()), (Some(0), ""));
    drop(server);
}
