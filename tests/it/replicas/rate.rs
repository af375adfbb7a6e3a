//! `limits.requests_per_minute` is the deployment's, too.

use std::sync::Mutex;
use std::time::Duration;

use cistern::demo::fake::{Endpoint, Fault, FaultKind, Options, World};
use futures_util::future::join_all;
use tokio::time::Instant;

use super::{STORE, place, replicas};
use crate::process::Process;
use crate::rig::{Engine, Rig, eventually, until};

/// What is allowed in a minute: four in a second.
const PER_MINUTE: u64 = 240;

/// How long calls are counted.
const COUNTED: Duration = Duration::from_secs(20);

/// Two services and a backfill.
const PROCESSES: u64 = 3;

#[tokio::test(flavor = "multi_thread")]
async fn the_rate_of_calls_holds_over_all_processes_together() {
    let _machine = place().await;
    let rig = Rig::with(World::demo(2, 10, 20, 9), Options::default()).on(Engine::Mongo);
    let rig = rig.set("limits.requests_per_minute", &PER_MINUTE.to_string());
    rig.fake.inject(Fault::new(FaultKind::HtmlStatus(503)).on(Endpoint::Projects));
    let servers = replicas(&rig, 2).await;
    for server in &servers {
        eventually(async || !server.status().await["reconcile"]["last_problem"].is_null()).await;
    }
    rig.fake.clear_faults();
    let backfill = Process::start(&rig, STORE, &["backfill"]);
    let jobs = rig.fake.with(|world| {
        let pipelines: Vec<_> = world.projects().into_iter().flat_map(|project| world.pipelines_of(project)).collect();
        pipelines.into_iter().flat_map(|pipeline| world.jobs_of(pipeline)).collect::<Vec<_>>()
    });
    // More than can be asked for in the time that is counted.
    let ended = jobs.into_iter().filter_map(|job| rig.fake.job_event(job)).take(160);
    for (number, event) in ended.enumerate() {
        assert!([200, 202].contains(&servers[number % 2].deliver(&event).await.status));
    }
    let begin = Instant::now();
    let counts = Mutex::new(vec![(Duration::ZERO, rig.fake.requests().total)]);
    until(|| {
        let (now, total) = (begin.elapsed(), rig.fake.requests().total);
        let mut counts = counts.lock().expect("nobody else has it");
        if counts.last().is_some_and(|(_, before)| *before < total) {
            counts.push((now, total));
        }
        now >= COUNTED
    })
    .await;
    let counts = counts.into_inner().expect("nobody else has it");
    for (number, (from, before)) in counts.iter().enumerate() {
        for (to, after) in &counts[number + 1..] {
            // A part of a second counts as a whole one, and each process may send one at both ends.
            let allowed = (*to - *from).as_secs_f64() * PER_MINUTE as f64 / 60.0 + PROCESSES as f64;
            let sent = after - before;
            assert!(sent as f64 <= allowed, "{sent} calls from {from:?} to {to:?}");
        }
    }
    let sent = counts.last().map(|(_, count)| count - counts[0].1).expect("counted");
    assert!(sent * 2 >= PER_MINUTE / 3, "{sent} calls only: nothing was held back");
    let calls = join_all(servers.iter().map(async |server| server.status().await["gitlab"]["calls"].as_u64())).await;
    assert!(calls.iter().all(|calls| *calls > Some(4)), "one was idle: {calls:?}");
    assert!(backfill.is_running(), "there was not enough to do");
}
