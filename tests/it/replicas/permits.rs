//! `limits.api_calls` is the deployment's, however many processes it has, and goes to whoever has work.

use std::time::Duration;

use cistern::demo::fake::{ArtifactDelivery, Endpoint, Fault, FaultKind, Options, World};
use cistern::domain::JobKey;
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use super::{BURST, STORE, ended_jobs, new_pipeline, place, replicas, replicas_that_only_listen, until_all_cached};
use crate::process::Process;
use crate::rig::{Engine, Rig, eventually, eventually_by, until};

/// Enough work to last for many heartbeats, which is how permits move, and calls that last so long that a program which is not
/// optimised, on a busy machine, has as many in flight as it may.
fn rig() -> Rig {
    let latency = Duration::from_millis(100);
    let options = Options { latency, artifacts: ArtifactDelivery::Redirect, ..Options::default() };
    Rig::with(World::demo(5, 10, 20, 4), options).on(Engine::Mongo).set("limits.api_calls", "20")
}

/// Some of the jobs that ended with a log.
fn jobs_with_logs(rig: &Rig, count: usize) -> Vec<JobKey> {
    rig.fake.with(|world| {
        let mut jobs = Vec::new();
        for project in world.projects() {
            for pipeline in world.pipelines_of(project) {
                for job in world.jobs_of(pipeline) {
                    let ended = ["success", "failed"].contains(&world.job_status(job).expect("a status"));
                    if ended && world.trace(job).is_some_and(|log| !log.is_empty()) {
                        jobs.push(JobKey { project, job });
                    }
                }
            }
        }
        // Of every project some.
        let step = jobs.len() / count;
        jobs.into_iter().step_by(step).take(count).collect()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn three_replicas_and_a_backfill_together_never_exceed_the_permits() {
    let _machine = place().await;
    let rig = rig();
    // The passes at start fail, so that the backfill finds work.
    rig.fake.inject(Fault::new(FaultKind::HtmlStatus(503)).on(Endpoint::Projects));
    let servers = replicas(&rig, 3).await;
    for server in &servers {
        eventually(async || !server.status().await["reconcile"]["last_problem"].is_null()).await;
    }
    rig.fake.clear_faults();
    let backfill = Process::start(&rig, STORE, &["backfill"]);
    let jobs = jobs_with_logs(&rig, 150);
    let deliveries = jobs.iter().zip(servers.iter().cycle()).map(|(job, server)| {
        let event = rig.fake.job_event(job.job).expect("an event");
        async move { assert_eq!(server.deliver(&event).await.status, 202) }
    });
    stream::iter(deliveries).buffer_unordered(8).collect::<Vec<()>>().await;
    let ended = backfill.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for server in &servers {
        until_all_cached(&rig, server, &jobs, Instant::now() + BURST).await;
    }
    let seen = rig.fake.max_in_flight();
    assert!((10..=20).contains(&seen), "{seen} calls were in flight at once");
    assert!(rig.fake.requests().storage > 0, "no archive was redirected");
    let statuses = join_all(servers.iter().map(async |server| server.status().await)).await;
    assert!(statuses.iter().all(|status| status["gitlab"]["calls"].as_u64() > Some(2)), "one was idle: {statuses:?}");
    assert!(rig.fake.leaked_credentials().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_one_that_sweeps_gets_nearly_all_permits_while_the_others_are_idle() {
    let _machine = place().await;
    let rig = rig().set("reconcile.interval", "1s");
    rig.fake.inject(Fault::new(FaultKind::HtmlStatus(503)).on(Endpoint::Projects));
    let servers = replicas(&rig, 3).await;
    rig.fake.reset_counters();
    rig.fake.clear_faults();
    until(|| rig.fake.max_in_flight() >= 16).await;
    // To the end of the pass it never gets too many.
    eventually_by(Instant::now() + BURST, async || {
        let all = join_all(servers.iter().map(async |server| server.status().await)).await;
        all.iter().any(|status| status["reconcile"]["last_report"]["jobs"].as_u64() > Some(0))
    })
    .await;
    let seen = rig.fake.max_in_flight();
    assert!((16..=20).contains(&seen), "{seen} calls were in flight at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_that_share_one_permit_both_get_their_events_cached() {
    let _machine = place().await;
    let (rig, project, servers) = replicas_that_only_listen(2, &[("limits.api_calls", "1")]).await;
    let pipeline = new_pipeline(&rig, project);
    for _ in 0..2 {
        for server in &servers {
            let jobs = ended_jobs(&rig, pipeline, 5);
            for job in &jobs {
                let event = rig.fake.job_event(job.job).expect("an event");
                assert_eq!(server.deliver(&event).await.status, 202);
            }
            until_all_cached(&rig, server, &jobs, Instant::now() + BURST).await;
        }
    }
    assert_eq!(rig.fake.max_in_flight(), 1);
}
