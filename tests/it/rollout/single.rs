//! The overlay `single`: one replica on a file, which ends before the next one begins.

use cistern::demo::fake::World;
use tokio::time::Instant;

use super::{DRAIN_DELAY, LAG, Load, cached_job};
use crate::process::Server;
use crate::replicas::{BURST, STORE, alone, until_all_cached};
use crate::rig::Balancer;
use crate::rig::{Engine, Rig, until};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_while_nobody_listens_is_found_by_a_pass() {
    let _machine = alone().await;
    let mut world = World::new();
    let project = world.add_project("group/app");
    let rig = Rig::new(world)
        .on(Engine::Sqlite)
        .set("server.drain_delay", DRAIN_DELAY)
        .set("schedule.scale", "0.01")
        .set("reconcile.interval", "2s");
    let old = Server::start(&rig, STORE).await;
    old.until_swept().await;
    let cached = cached_job(&rig, project, &old).await;
    let balancer = Balancer::start(vec![old.address()], LAG).await;
    let load = Load::new(&rig, project, balancer.address);
    let mut new = None;
    let sent = load
        .run(cached, async {
            until(|| load.told() >= 20).await;
            old.process.signal("TERM");
            let ended = old.process.ended().await;
            assert_eq!(ended.code, Some(0), "{}", ended.stderr);
            // One that is late, as an image that is pulled: what is told meanwhile reaches nobody.
            let deaf = load.told();
            until(|| load.told() >= deaf + 20).await;
            let server = Server::start(&rig, STORE).await;
            let address = server.address();
            balancer.change(move |list| *list = vec![address]);
            until(|| balancer.knows(address)).await;
            let heard = load.told();
            until(|| load.told() >= heard + 20).await;
            new = Some(server);
        })
        .await;
    let server = new.expect("it was started");
    until_all_cached(&rig, &server, &sent.jobs, Instant::now() + BURST).await;
    assert!(sent.failed_webhooks.len() >= 20, "it was heard all the time");
    let gaps = rig.gaps(STORE).await;
    assert!(gaps.is_empty(), "{gaps:?}");
}
