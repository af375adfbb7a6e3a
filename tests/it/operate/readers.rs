//! Readers of a cache that reads through: their misses bring back neither what is forgotten nor what is pruned, and show no
//! secret; and what is damaged is no other reader's trouble.

use std::time::Duration;

use cistern::demo::fake::{Endpoint, Log};
use cistern::domain::{Piece, Timestamp};

use super::*;
use crate::process::Server;
use crate::rig::{Engine, eventually};

const DAY: Duration = Duration::from_secs(86_400);
const TOKEN: &str = "glpat-Qq7cAnArYtOkEn0000xZ";

/// Returns how many of GitLab's logs, archives, reports and lists of trigger jobs were asked for.
fn fetched(rig: &Rig) -> u64 {
    let asked = rig.fake.requests();
    [Endpoint::Trace, Endpoint::Artifacts, Endpoint::TestReport, Endpoint::Bridges].map(|of| asked.of(of)).iter().sum()
}

fn told(status: u16, why: &str) -> (u16, Option<String>) {
    (status, Some(why.to_owned()))
}

async fn what_is_forgotten_is_not_read_through(engine: Engine) {
    let mut world = World::new();
    let (project, pipeline, jobs) = finished(&mut world, "group/app", 2);
    let child = world.add_child_pipeline(pipeline, "trigger", PipelineSpec::default());
    let below = world.add_job(child, JobSpec::new("below"));
    finish(&mut world, &vec![below]);
    let rig = Rig::new(world).on(engine).set("api.read_through", "true");
    let server = Server::start(&rig, STORE).await;
    server.until_swept().await;
    let (of, job) = (format!("/api/v4/projects/{project}"), jobs[0]);
    let own = format!("/api/cistern/v1/projects/{project}");
    assert_eq!(reason(server.address(), &format!("{of}/pipelines/{pipeline}/bridges")).0, 200, "are held from now on");

    json(&rig, 0, &["forget", "--project", "group/app", "--job", &job.to_string()]).await;
    rig.fake.reset_counters();
    for path in ["", "/trace", "/artifacts", "/artifacts/tree", "/artifacts/a.txt"] {
        let path = format!("{of}/jobs/{job}{path}");
        assert_eq!(reason(server.address(), &path), told(404, "forgotten"), "{path}");
    }
    for path in ["/log", "/log/sections", "/log/errors", "/log/follow", "/test_report"] {
        let path = format!("{own}/jobs/{job}{path}");
        assert_eq!(reason(server.address(), &path), told(404, "forgotten"), "{path}");
    }
    assert_eq!((fetched(&rig), rig.fake.requests().of(Endpoint::Job)), (0, 0));

    json(&rig, 0, &["forget", "--project", "group/app", "--pipeline", &pipeline.to_string()]).await;
    rig.fake.reset_counters();
    for path in ["", "/jobs", "/bridges", "/test_report", "/test_report_summary"] {
        let path = format!("{of}/pipelines/{pipeline}{path}");
        assert_eq!(reason(server.address(), &path), told(404, "forgotten"), "{path}");
    }
    let completeness = format!("{own}/pipelines/{pipeline}/completeness");
    assert_eq!(reason(server.address(), &completeness), told(404, "forgotten"));
    // Which pipeline it is of only GitLab knows.
    assert_eq!(reason(server.address(), &format!("{of}/jobs/{}/trace", jobs[1])).0, 404);
    assert_eq!(fetched(&rig), 0);

    json(&rig, 0, &["forget", "--project", "group/app"]).await;
    rig.fake.reset_counters();
    for path in ["", "/pipelines", "/pipelines/latest", "/jobs"] {
        let path = format!("{of}{path}");
        assert_eq!(reason(server.address(), &path), told(404, "forgotten"), "{path}");
    }
    assert_eq!(reason(server.address(), &format!("{own}/completeness")), told(404, "forgotten"));
    assert_eq!(reason(server.address(), &format!("{of}/jobs/{below}/trace")).0, 404);
    assert_eq!(rig.fake.requests().total, 0, "not even a document");
    let cache = rig.cache(STORE).await;
    assert!(cache.jobs.is_empty() && cache.pipelines.is_empty());
}

async fn what_is_pruned_is_not_read_through(engine: Engine) {
    let mut world = World::at(Timestamp::now().minus(DAY * 200));
    let project = world.add_project("group/app");
    let add = |world: &mut World| {
        let pipeline = world.add_pipeline(project, PipelineSpec::default());
        let job = world.add_job(pipeline, JobSpec::new("unit").archive(archive(*b"some bytes")));
        finish(world, &vec![job]);
        (pipeline, job)
    };
    let (ancient, lost) = add(&mut world);
    world.advance(DAY * 130);
    let (old, job) = add(&mut world);
    world.advance(DAY * 69);
    let rig = Rig::new(world).on(engine).set("api.read_through", "true").set("reconcile.since", "80d");
    let rig = rig.set("retention.documents", "100d").set("retention.logs", "30d").set("retention.artifacts", "30d");
    let server = Server::start(&rig, STORE).await;
    server.until_swept().await;
    let of = format!("/api/v4/projects/{project}");
    let own = format!("/api/cistern/v1/projects/{project}/jobs/{job}");
    assert_eq!(reason(server.address(), &format!("{of}/jobs/{job}/trace")), told(404, "pruned"));
    for path in ["/artifacts", "/artifacts/tree", "/artifacts/a.txt"] {
        assert_eq!(reason(server.address(), &format!("{of}/jobs/{job}{path}")), told(404, "pruned"), "{path}");
    }
    for path in ["/log", "/log/sections", "/log/errors"] {
        assert_eq!(reason(server.address(), &format!("{own}{path}")), told(404, "pruned"), "{path}");
    }
    let completeness = format!("/api/cistern/v1/projects/{project}/pipelines/{old}/completeness");
    let told: Value = serde_json::from_slice(&server.get(&completeness).await.body).expect("JSON");
    assert_eq!((&told["jobs"][0]["log"], &told["complete"]), (&"pruned".into(), &true.into()), "{told}");
    // A pipeline that retention would remove at once is not stored for a reader either.
    assert_eq!(reason(server.address(), &format!("{of}/pipelines/{ancient}")).0, 404);
    assert_eq!(reason(server.address(), &format!("{of}/pipelines/{ancient}/jobs")).0, 404);
    assert_eq!(reason(server.address(), &format!("{of}/jobs/{lost}/trace")).0, 404);
    assert_eq!(fetched(&rig), 0);
    assert_eq!(rig.cache(STORE).await.jobs.keys().copied().collect::<Vec<_>>(), [key(project, job)]);
}

async fn a_running_log_is_masked_and_so_are_its_parts_and_trigger_jobs(engine: Engine) {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let spec = PipelineSpec { ref_name: format!("topic-{TOKEN}"), ..PipelineSpec::default() };
    let pipeline = world.add_pipeline(project, spec);
    world.add_child_pipeline(pipeline, "trigger", PipelineSpec::default());
    let job = world.add_job(pipeline, JobSpec::new("unit").log(Log::bytes(Vec::new())));
    world.start_job(job);
    let log = |lines: usize| -> String {
        let line = |number| format!("line {number} with {TOKEN}\n");
        let lines: String = (0..lines).map(line).collect();
        format!("section_start:1:s\r\x1b[0KIt begins\n{lines}section_end:2:s\r\x1b[0K\n")
    };
    let masked = |log: &str| log.replace(TOKEN, "[MASKED]");
    world.append_log(job, log(1000).as_bytes());
    let rig = Rig::new(world).on(engine).set("api.read_through", "true").set("api.max_age", "0s");
    let rig = rig.set("masking.include", "**");
    let server = Server::start(&rig, STORE).await;
    server.until_swept().await;
    let trace = format!("/api/v4/projects/{project}/jobs/{job}/trace");
    assert_eq!(String::from_utf8_lossy(&server.get(&trace).await.body), masked(&log(1000)));
    rig.fake.with(|world| world.append_log(job, log(20_000).as_bytes()));
    let whole = masked(&(log(1000) + &log(20_000)));
    eventually(async || server.get(&trace).await.body == whole.as_bytes()).await;
    let view = rig.view(STORE).await;
    let record = view.job(project, job).await.log;
    view.close().await;
    assert_eq!((record.piece, record.size), (Piece::Partial, whole.len() as u64));

    // Its parts are found by an index of what is stored; a section's end alone shows nothing, and is not counted.
    let own = format!("/api/cistern/v1/projects/{project}/jobs/{job}/log");
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    let part = server.get(&format!("{own}?lines=15001-15003")).await;
    assert_eq!(String::from_utf8_lossy(&part.body), lines[15_001..15_004].concat());
    let bridges = server.get(&format!("/api/v4/projects/{project}/pipelines/{pipeline}/bridges")).await;
    let bridges = String::from_utf8_lossy(&bridges.body).into_owned();
    assert!(bridges.contains("topic-[MASKED]") && !bridges.contains(TOKEN), "{bridges}");

    rig.fake.with(|world| {
        world.finish_job(job, "success");
        world.archive_trace(job);
    });
    server.deliver(&rig.fake.job_event(job).expect("an event")).await;
    let view = rig.view(STORE).await;
    eventually(async || view.job(project, job).await.log.piece == Piece::Whole).await;
    view.close().await;
    assert_eq!(server.get(&trace).await.body, whole.as_bytes());
    let found = rig.behind(STORE).await.documents().await;
    assert!(found.iter().all(|(_, bytes)| !bytes.windows(12).any(|window| window == b"cAnArYtOkEn0")));
}

async fn one_damaged_job_is_told_as_damage_and_is_nobody_else_s_trouble(engine: Engine) {
    let mut world = World::new();
    let (project, _, jobs) = finished(&mut world, "group/app", 1);
    let (kept, ..) = finished(&mut world, "group/kept", 1);
    let rig = Rig::new(world).on(engine);
    let server = Server::start(&rig, STORE).await;
    server.until_cached(&rig, key(project, jobs[0])).await;
    rig.behind(STORE).await.garble_name(jobs[0]).await;
    let damaged = reason(server.address(), &format!("/api/v4/projects/{project}/jobs/{}", jobs[0]));
    assert_eq!(damaged.0, 500);
    assert_eq!(reason(server.address(), &format!("/api/v4/projects/{kept}/pipelines")).0, 200);
    assert!(server.metrics().await.contains("cistern_store_up 1"));
}

on_both! {
    one_damaged_job_is_told_as_damage_and_is_nobody_else_s_trouble;
    what_is_forgotten_is_not_read_through;
    what_is_pruned_is_not_read_through;
    a_running_log_is_masked_and_so_are_its_parts_and_trigger_jobs;
}
