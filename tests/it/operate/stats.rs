//! `stats` and `completions`.

use std::process::{Command, Stdio};

use cistern::store::Store;

use super::*;
use crate::rig::Engine;

async fn what_is_stored_is_told_by_kind_project_and_day(engine: Engine) {
    let mut world = World::new();
    let (large, _, _) = finished(&mut world, "group/large", 5);
    let (small, pipeline, _) = finished(&mut world, "group/small", 1);
    let job = world.add_job(pipeline, JobSpec::new("zip").archive(archive([7; 974])));
    finish(&mut world, &vec![job]);
    let rig = Rig::new(world).on(engine);
    let made = Store::open(rig.config(STORE).store_for("test")).await.expect("a store");
    made.close().await.expect("closed");
    let empty = json(&rig, 0, &["stats"]).await;
    assert_eq!((&empty["total"]["count"], &empty["projects"]), (&0.into(), &Value::Array(vec![])));

    let server = crate::process::Server::start(&rig, STORE).await;
    server.until_swept().await;
    let stats = json(&rig, 0, &["stats", "--days", "3"]).await;
    let (log, archive) = (&stats["kinds"]["log"], &stats["kinds"]["archive"]);
    assert_eq!((&log["count"], &archive["count"], &archive["bytes"]), (&7.into(), &1.into(), &1000.into()));
    let traces: usize = rig.fake.with(|world| {
        let pipelines = [large, small].into_iter().flat_map(|project| world.pipelines_of(project)).collect::<Vec<_>>();
        let jobs = pipelines.into_iter().flat_map(|pipeline| world.jobs_of(pipeline)).collect::<Vec<_>>();
        jobs.into_iter().filter_map(|job| world.trace(job)).map(|trace| trace.len()).sum()
    });
    assert_eq!(log["bytes"], traces);
    assert!(log["stored_bytes"].as_u64() < log["bytes"].as_u64(), "logs are compressed: {log}");

    let projects = stats["projects"].as_array().expect("projects");
    let told = |project: &Value| (project["path"].clone(), project["pipelines"].clone(), project["jobs"].clone());
    assert_eq!(told(&projects[0]), ("group/large".into(), 1.into(), 5.into()));
    assert_eq!(told(&projects[1]), ("group/small".into(), 1.into(), 2.into()));
    let days = stats["days"].as_array().expect("days");
    assert_eq!(days.len(), 3);
    let sum: u64 = days.iter().filter_map(|day| day["count"].as_u64()).sum();
    assert_eq!(sum, 8, "all of it came today: {days:?}");
    assert!(stats["room"]["bytes"].as_u64() > Some(0));

    let only = json(&rig, 0, &["stats", "--project", "group/small"]).await;
    assert_eq!((&only["total"]["count"], only["projects"].as_array().map(Vec::len)), (&3.into(), Some(1)));
    let text = run(&rig, &["stats", "--top", "1"]).await.stdout;
    assert!(text.contains("group/large") && text.contains("and 1 smaller ones"), "{text}");
}

on_both! {
    what_is_stored_is_told_by_kind_project_and_day;
}

#[tokio::test(flavor = "multi_thread")]
async fn completions_know_verbs_and_settings_whatever_the_configuration() {
    let rig = Rig::new(World::new()).set("limits.jobs", "none");
    for shell in ["bash", "zsh", "fish"] {
        let ended = run(&rig, &["completions", shell]).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        for word in ["backfill", "forget", "gitlab-url"] {
            assert!(ended.stdout.contains(word), "{shell}: {word}");
        }
    }
    assert_eq!(run(&rig, &["completions", "tcsh"]).await.code, Some(2));
    // Who has read enough, as `head` has, is not told of it.
    let mut closed = Command::new(env!("CARGO_BIN_EXE_cistern"))
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    drop(closed.stdout.take());
    let ended = closed.wait_with_output().expect("ended");
    assert_eq!((ended.status.code(), ended.stderr.len()), (Some(0), 0), "{ended:?}");
}
