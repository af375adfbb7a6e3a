//! One process at a time sweeps, and another one goes on when it is gone.

use std::time::Duration;

use cistern::demo::fake::{Endpoint, Fault, FaultKind, World};
use tokio::time::Instant;

use super::{place, replicas};
use crate::rig::{Engine, Rig, eventually, until};

/// How long a sweeper that stands in the middle is watched: several times the interval and the lease of these tests.
const WATCHED: Duration = Duration::from_secs(6);

/// Passes that are watched.
const PASSES: u64 = 12;

/// An answer to the listing of projects that takes a while.
fn slow_projects() -> Fault {
    let pause = Duration::from_millis(20);
    Fault::new(FaultKind::Drip { piece_bytes: 100, pause }).on(Endpoint::Projects)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_three_replicas_that_sweep_all_the_time_only_one_sweeps_at_a_time() {
    let _machine = place().await;
    let mut world = World::new();
    let project = world.add_project("group/app");
    // Without CI the listing of projects is all that a pass asks: two at a time would be two passes at a time.
    world.set_ci_disabled(project, true);
    let rig = Rig::new(world).on(Engine::Mongo).set("reconcile.interval", "1s").set("store.lease", "2s");
    rig.fake.inject(slow_projects());
    let servers = replicas(&rig, 3).await;
    // Each asks once about its token; once these are answered passes alone ask. They are counted when they arrive.
    until(|| rig.fake.requests().of(Endpoint::User) == 3).await;
    until(|| rig.fake.in_flight() == 0).await;
    rig.fake.reset_counters();
    until(|| rig.fake.requests().of(Endpoint::Projects) >= PASSES).await;
    assert_eq!(rig.fake.max_in_flight(), 1, "two swept at the same time");
    assert_eq!(rig.fake.requests().total, rig.fake.requests().of(Endpoint::Projects));
    for server in &servers {
        server.until_swept().await;
    }
    assert_eq!(rig.fake.max_in_flight(), 1, "two swept at the same time");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_one_sweeps_no_other_begins_and_when_it_is_killed_another_does() {
    let _machine = place().await;
    let mut world = World::new();
    world.add_project("group/app");
    let rig = Rig::new(world).on(Engine::Mongo).set("reconcile.interval", "1s").set("store.lease", "2s");
    rig.fake.inject(Fault::new(FaultKind::Stall).on(Endpoint::Projects).times(1));
    let mut servers = replicas(&rig, 3).await;
    let asked = || (rig.fake.requests().of(Endpoint::Projects), rig.fake.requests().of(Endpoint::User));
    until(|| asked() == (1, 3)).await;
    // The questions about tokens are counted when they arrive and end a moment later; then one call is left.
    let sweeping = async || {
        let mut sweeping = Vec::new();
        for (number, server) in servers.iter().enumerate() {
            if server.status().await["gitlab"]["in_flight"] == 1 {
                sweeping.push(number);
            }
        }
        sweeping
    };
    eventually(async || sweeping().await.len() == 1).await;
    let sweeping = sweeping().await[0];
    let begin = Instant::now();
    until(|| {
        assert_eq!(rig.fake.requests().total, 4, "another one swept");
        begin.elapsed() >= WATCHED
    })
    .await;
    let sweeper = servers.remove(sweeping);
    sweeper.process.kill();
    until(|| rig.fake.requests().of(Endpoint::Projects) > 1).await;
    for server in &servers {
        server.until_swept().await;
    }
}
