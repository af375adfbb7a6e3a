//! The database goes away under load and comes back: GitLab sees no error, and nothing that was fired is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use cistern::demo::fake::World;
use cistern::domain::{JobKey, PipelineId};
use futures_util::future::join_all;
use serde_json::Value;
use tokio::time::Instant;

use super::{STORE, alone, ended_jobs, new_pipeline, replicas, until_all_cached};
use crate::process::{Server, outcome};
use crate::rig::mongod::Mongod;
use crate::rig::{Engine, PATIENCE, Rig, eventually, eventually_by, until};

/// "Well under a second", with room for a machine on which other tests run.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);

/// How long the database is away at least: several heartbeats of every replica find it gone.
const A_MOMENT: Duration = Duration::from_secs(4);

/// As long as it takes to move a database to another machine; the election of a primary takes ten seconds.
const A_MINUTE: Duration = Duration::from_secs(60);

/// How long until everything is cached: a replica that finds another one sweeping looks again after 30 s, and what was fired
/// in a minute has to be fetched.
const CAUGHT_UP: Duration = Duration::from_secs(100);

/// How many deliveries are under way at most, and how long each of these lanes rests between two.
const LANES: usize = 4;
const REST: Duration = Duration::from_millis(40);

/// A delivery that was answered.
struct Answered {
    job: JobKey,
    status: u16,
    outcome: String,
    took: Duration,
}

/// Events of jobs that end, one after the other, for all replicas in turn.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    fired: AtomicUsize,
    accepted: AtomicUsize,
    deferred: AtomicUsize,
}

impl Load {
    async fn run(&self, rig: &Rig, pipeline: PipelineId, servers: &[Server]) -> Vec<Answered> {
        let lane = || async {
            let mut answered = Vec::new();
            let mut turn = tokio::time::interval(REST);
            while !self.stop.load(Ordering::Relaxed) {
                turn.tick().await;
                let job = ended_jobs(rig, pipeline, 1)[0];
                let event = rig.fake.job_event(job.job).expect("an event");
                let server = &servers[self.fired.fetch_add(1, Ordering::Relaxed) % servers.len()];
                let begin = Instant::now();
                let answer = server.deliver(&event).await;
                let took = begin.elapsed();
                let outcome = outcome(&answer);
                let count = if outcome == "deferred" { &self.deferred } else { &self.accepted };
                count.fetch_add(1, Ordering::Relaxed);
                answered.push(Answered { job, status: answer.status, outcome, took });
            }
            answered
        };
        join_all((0..LANES).map(|_| lane())).await.into_iter().flatten().collect()
    }

    /// Waits until so many more events were answered like this.
    async fn more(&self, count: &AtomicUsize, more: usize) {
        let wanted = count.load(Ordering::Relaxed) + more;
        until(|| count.load(Ordering::Relaxed) >= wanted).await;
    }
}

/// Everybody who asks this replica is told that the store is away, and that the replica is not.
async fn tells_of_the_outage(server: &Server) {
    eventually(async || server.status().await["store"]["up"] == false).await;
    eventually(async || server.metrics().await.contains("cistern_store_up 0")).await;
    let ready = async || {
        let answer = server.get("/readyz").await;
        assert_eq!(answer.status, 200, "GitLab's deliveries would become errors");
        serde_json::from_slice::<Value>(&answer.body).expect("JSON")
    };
    eventually(async || ready().await["store"] == "away").await;
    assert_eq!(server.get("/livez").await.status, 200);
    server.until_answers("/api/v4/projects", 503).await;
    let problem = server.status().await["store"]["problem"].as_str().expect("a problem").to_owned();
    assert!(problem.contains("database") && problem.contains(' '), "no sentence: {problem}");
}

/// Runs two replicas under load, does something to the database and undoes it, and proves what an outage costs: nothing.
async fn survive(strike: fn(&Mongod), away: Duration, heal: fn(&Mongod)) {
    let _machine = alone().await;
    let mongod = Arc::new(Mongod::start());
    let mut world = World::new();
    let project = world.add_project("group/app");
    let rig = Rig::new(world).on(Engine::Mongo).set("schedule.scale", "0.001");
    rig.name_store(STORE, mongod.fresh_uri());
    let servers = replicas(&rig, 2).await;
    eventually(async || {
        let swept = join_all(servers.iter().map(async |server| server.status().await)).await;
        swept.iter().any(|status| !status["reconcile"]["last_success"].is_null())
    })
    .await;
    let pipeline = new_pipeline(&rig, project);
    let load = Load::default();
    let to_mongod = async |order: fn(&Mongod)| {
        let mongod = Arc::clone(&mongod);
        tokio::task::spawn_blocking(move || order(&mongod)).await.expect("done");
    };
    let disturb = async {
        load.more(&load.accepted, 40).await;
        to_mongod(strike).await;
        let begin = Instant::now();
        load.more(&load.deferred, 1).await;
        join_all(servers.iter().map(tells_of_the_outage)).await;
        // What was under way ends, and then GitLab is not asked for what could not be kept.
        eventually(async || {
            let all = join_all(servers.iter().map(async |server| server.status().await)).await;
            all.iter().all(|status| status["gitlab"]["in_flight"] == 0)
        })
        .await;
        let asked = rig.fake.requests().total;
        load.more(&load.deferred, 60).await;
        eventually_by(begin + away + PATIENCE, async || begin.elapsed() >= away).await;
        assert_eq!(rig.fake.requests().total, asked, "GitLab was asked while nothing could be kept");
        to_mongod(heal).await;
        load.more(&load.accepted, 40).await;
        load.stop.store(true, Ordering::Relaxed);
    };
    let (answered, ()) = tokio::join!(load.run(&rig, pipeline, &servers), disturb);

    let slowest = answered.iter().map(|answer| answer.took).max().expect("answers");
    assert!(slowest < ANSWERED_WITHIN, "an answer took {slowest:?}");
    for answer in &answered {
        assert_eq!(answer.status, 202, "{}", answer.outcome);
        assert!(["accepted", "coalesced", "deferred"].contains(&answer.outcome.as_str()), "{}", answer.outcome);
    }
    let jobs: Vec<JobKey> = answered.iter().map(|answer| answer.job).collect();
    let deadline = Instant::now() + CAUGHT_UP;
    for server in &servers {
        until_all_cached(&rig, server, &jobs, deadline).await;
        assert!(server.process.is_running());
    }
    let behind = rig.behind(STORE).await;
    eventually(async || behind.entries().await == 0).await;
    assert_eq!(behind.failures().await, 0, "an outage of the store is no verdict on a job");
    for server in &servers {
        eventually(async || server.status().await["store"]["up"] == true).await;
        assert!(server.metrics().await.contains("cistern_store_up 1"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_killed_for_a_minute_under_load_defers_events_and_everything_is_cached_when_it_is_back() {
    survive(Mongod::kill, A_MINUTE, Mongod::restart).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_stands_still_under_load_defers_events_and_everything_is_cached_when_it_goes_on() {
    survive(Mongod::pause, A_MOMENT, Mongod::resume).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_primary_is_elected_events_are_deferred_and_everything_is_cached_afterwards() {
    survive(Mongod::step_down, A_MOMENT, |_| {}).await;
}
