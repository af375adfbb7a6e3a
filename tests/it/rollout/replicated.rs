//! The overlay `replicated`: three replicas on one database, replaced one after another.

use std::time::Duration;

use cistern::demo::fake::Endpoint;
use tokio::time::Instant;

use super::{DRAIN_DELAY, LAG, Load, Sent, cached_job};
use crate::process::Server;
use crate::replicas::{BURST, STORE, alone, replicas_that_only_listen, until_all_cached};
use crate::rig::Balancer;
use crate::rig::{Rig, until};

const LEASE: Duration = Duration::from_secs(3);

/// Of three replicas one is killed and then another one: a third keeps its share of the GitLab permits, while those of the dead
/// ones rest for their lease and a minute.
const KILLED: usize = 2;

/// Of three replicas one does not answer until the balancer has learnt of it; twice as long on a machine that is busy.
const FAILED_AT_MOST: usize = KILLED * 2 * 200 / 3;

/// How a replica ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Told,
    Killed,
}

/// Starts a replica in the place of another, and lets the balancer know as soon as it is ready.
async fn start(rig: &Rig, balancer: &Balancer) -> Server {
    let server = Server::start(rig, STORE).await;
    server.until_answers("/readyz", 200).await;
    let address = server.address();
    balancer.change(move |list| list.push(address));
    server
}

async fn replace(rig: &Rig, balancer: &Balancer, old: Server, end: End) -> Server {
    let address = old.address();
    let remove = || balancer.change(move |list| list.retain(|replica| *replica != address));
    match end {
        End::Told => {
            let new = start(rig, balancer).await;
            until(|| balancer.knows(new.address())).await;
            remove();
            old.process.signal("TERM");
            let ended = old.process.ended().await;
            assert_eq!(ended.code, Some(0), "{}", ended.stderr);
            assert!(ended.stderr.contains(r#""message":"stopped","in_time":true"#), "{}", ended.stderr);
            new
        }
        End::Killed => {
            old.process.kill();
            remove();
            let new = start(rig, balancer).await;
            until(|| balancer.knows(new.address()) && !balancer.knows(address)).await;
            new
        }
    }
}

/// Replaces so many of three under load; what was told of is then cached, and by no pass.
async fn roll_out(end: End, count: usize) -> (Sent, Vec<String>) {
    let settings = [("server.drain_delay", DRAIN_DELAY), ("store.lease", "3s"), ("schedule.scale", "0.01")];
    let (rig, project, mut servers) = replicas_that_only_listen(3, &settings).await;
    // The share of a killed one rests for its lease and a minute: each has to have permits of its own, and fetches a job with them.
    let cached = cached_job(&rig, project, &servers[0]).await;
    for server in &servers[1..] {
        cached_job(&rig, project, server).await;
    }
    let balancer = Balancer::start(servers.iter().map(Server::address).collect(), LAG).await;
    let load = Load::new(&rig, project, balancer.address);
    let mut replaced = Vec::new();
    let sent = load
        .run(cached, async {
            for old in servers.drain(..count) {
                let told = load.told();
                until(|| load.told() >= told + 20).await;
                replaced.push(replace(&rig, &balancer, old, end).await);
            }
        })
        .await;
    let deadline = Instant::now() + 2 * LEASE + BURST;
    until_all_cached(&rig, &replaced[0], &sent.jobs, deadline).await;
    assert_eq!(rig.fake.requests().of(Endpoint::PipelineJobs), 0, "the jobs were found by a pass");
    assert!(sent.webhooks > 300 && sent.reads > 300, "{} and {}", sent.webhooks, sent.reads);
    (sent, balancer.broken())
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_are_told_to_end_are_replaced_without_a_failed_request_or_a_lost_event() {
    let _machine = alone().await;
    let (sent, broken) = roll_out(End::Told, 3).await;
    assert_eq!(sent.failed(), Vec::<&String>::new(), "of {} and {}: {broken:?}", sent.webhooks, sent.reads);
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_are_killed_fail_only_what_they_were_handed_and_lose_no_event_that_they_had_accepted() {
    let _machine = alone().await;
    let (sent, _) = roll_out(End::Killed, KILLED).await;
    let failed = [sent.failed_webhooks.len(), sent.failed_reads.len()];
    assert!(failed.iter().all(|failed| (1..=FAILED_AT_MOST).contains(failed)), "{failed:?}");
}
