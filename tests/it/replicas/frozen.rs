//! A replica that stands still (SIGSTOP) for longer than its lease in the middle of a pass, and then goes on: nothing of
//! what others did meanwhile is undone.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cistern::demo::fake::{Endpoint, Fault, FaultKind, World};
use cistern::domain::ProjectId;
use futures_util::future::join_all;
use serde_json::Value;

use super::{STORE, ended_jobs, new_pipeline, place, replicas, replicas_that_only_listen};
use crate::process::{Server, outcome};
use crate::rig::{Behind, Engine, Rig, eventually, until};

/// Returns all values that a project's watermark has until `stop`, one after the other.
async fn watermarks(behind: &Behind, project: ProjectId, stop: &AtomicBool) -> Vec<i64> {
    let seen = Mutex::new(Vec::new());
    eventually(async || {
        let now = behind.watermark(project).await.expect("a project that was swept");
        let mut seen = seen.lock().expect("nobody else has it");
        if seen.last() != Some(&now) {
            seen.push(now);
        }
        stop.load(Ordering::Relaxed)
    })
    .await;
    seen.into_inner().expect("nobody else has it")
}

async fn reconcile(server: &Server) -> Value {
    server.status().await["reconcile"].take()
}

/// Waits until one replica is where the fault catches its pass, and returns it and the other one.
async fn caught<'a>(rig: &Rig, servers: &'a [Server; 2], endpoint: Endpoint) -> (&'a Server, &'a Server) {
    let busy = async || {
        let all = join_all(servers.iter().map(async |server| server.status().await)).await;
        all.into_iter().position(|status| status["gitlab"]["in_flight"].as_u64() > Some(0))
    };
    eventually(async || rig.fake.requests().of(endpoint) > 0 && busy().await.is_some()).await;
    match busy().await.expect("the fault lasts longer than that") {
        0 => (&servers[0], &servers[1]),
        _ => (&servers[1], &servers[0]),
    }
}

/// Stops the replica that sweeps where a fault of this endpoint catches it, has the other one sweep what is new, and lets
/// the first go on.
async fn freeze_while_sweeping(kind: FaultKind, endpoint: Endpoint) {
    let _machine = place().await;
    let mut world = World::new();
    let project = world.add_project("group/app");
    let settings = [("store.lease", "2s"), ("reconcile.interval", "2s"), ("server.drain_timeout", "1s")];
    let rig = Rig::new(world).on(Engine::Mongo).set("schedule.scale", "0.001");
    let rig = settings.into_iter().fold(rig, |rig, (key, value)| rig.set(key, value));
    ended_jobs(&rig, new_pipeline(&rig, project), 5);
    let servers: [Server; 2] = replicas(&rig, 2).await.try_into().ok().expect("two");
    for server in &servers {
        // Both have permits, and a silent one takes its own with it.
        server.until_swept().await;
    }

    rig.fake.inject(Fault::new(kind).on(endpoint));
    rig.fake.reset_counters();
    ended_jobs(&rig, new_pipeline(&rig, project), 5);
    let (frozen, other) = caught(&rig, &servers, endpoint).await;
    let pass = reconcile(frozen).await;
    assert!(!pass["running_since"].is_null(), "no pass: {pass}");
    frozen.process.signal("STOP");
    rig.fake.clear_faults();
    let behind = rig.behind(STORE).await;
    let before = behind.watermark(project).await.expect("a watermark");
    ended_jobs(&rig, new_pipeline(&rig, project), 5);

    let stop = AtomicBool::new(false);
    let play = async {
        eventually(async || behind.watermark(project).await > Some(before)).await;
        frozen.process.signal("CONT");
        eventually(async || reconcile(frozen).await["running_since"] != pass["running_since"]).await;
        let ended = reconcile(frozen).await;
        assert_eq!(ended["last_success"], pass["last_success"], "a pass without its lease counts as whole");
        let problem = ended["last_problem"].as_str().expect("a problem");
        // Whichever it notices first: the time limit of a question to the store may have passed meanwhile, too.
        let noticed = ["another process", "lease was lost", "did not answer in time"];
        assert!(noticed.iter().any(|words| problem.contains(words)), "{problem}");
        // It then sweeps as well as the other one.
        for server in [frozen, other] {
            let last = reconcile(server).await["last_success"].take();
            eventually(async || reconcile(server).await["last_success"] != last).await;
        }
        stop.store(true, Ordering::Relaxed);
    };
    let ((), watermarks) = tokio::join!(play, watermarks(&behind, project, &stop));
    assert!(watermarks.len() > 1 && watermarks.is_sorted(), "a watermark went back: {watermarks:?}");

    for server in servers {
        server.process.signal("TERM");
        let ended = server.process.ended().await;
        // The fault may still hold what one of them was fetching.
        let drained = ended.stderr.contains(r#""targets.cut_off":0"#);
        assert_eq!(ended.code, Some(i32::from(!drained)), "{}", ended.stderr);
    }
    let report = rig.backfill(STORE).await;
    assert!(report.is_clean(), "{:?}", report.failures);
    assert!(behind.watermark(project).await >= watermarks.last().copied());
    assert_eq!(rig.gaps(STORE).await, []);
    assert!(rig.backfill("fresh.db").await.is_clean());
    let differences = rig.cache(STORE).await.differences(&rig.cache("fresh.db").await);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert_eq!(behind.entries().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweeper_that_stands_still_while_it_fetches_loses_its_lease_and_undoes_nothing() {
    freeze_while_sweeping(FaultKind::Stall, Endpoint::Trace).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweeper_that_stands_still_while_it_lists_loses_its_lease_and_undoes_nothing() {
    // The rest of the listing is there when it goes on, so that it comes as far as it can.
    let slowly = FaultKind::Drip { piece_bytes: 40, pause: Duration::from_millis(50) };
    freeze_while_sweeping(slowly, Endpoint::Pipelines).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_stood_still_leaves_to_the_others_what_they_took_over() {
    let _machine = place().await;
    let settings = [("store.lease", "2s"), ("webhook.refresh", "10s")];
    let (rig, project, servers) = replicas_that_only_listen(2, &settings).await;
    let pipeline = new_pipeline(&rig, project);
    rig.fake.with(|world| world.set_pipeline_status(pipeline, "running"));
    rig.fake.reset_counters();
    let event = rig.fake.pipeline_event(pipeline).expect("an event");
    assert_eq!(outcome(&servers[0].deliver(&event).await), "accepted");
    let asked = || rig.fake.requests().of(Endpoint::Pipeline);
    servers[0].process.signal("STOP");
    until(|| servers[1].process.log().contains("took over what processes that ended")).await;
    servers[0].process.signal("CONT");
    let waiting = async |server: &Server| {
        let lanes = server.status().await["queue"]["lanes"].take();
        lanes.as_object().expect("lanes").values().map(|lane| lane["targets"].as_u64().expect("a count")).sum::<u64>()
    };
    eventually(async || waiting(&servers[1]).await == 1).await;
    assert_eq!(asked(), 0, "the machine was too slow: it is due already");
    until(|| asked() > 0).await;
    eventually(async || servers[1].status().await["queue"]["journal"] == 0).await;
    for server in &servers {
        eventually(async || waiting(server).await == 0 && server.status().await["gitlab"]["in_flight"] == 0).await;
    }
    assert_eq!(asked(), 1, "both fetched it");
    // It goes on as before.
    assert_eq!(outcome(&servers[0].deliver(&event).await), "accepted");
    until(|| asked() == 2).await;
}
