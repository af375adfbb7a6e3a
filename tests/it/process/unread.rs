//! Nobody reads what it writes, as after `| head`: it does its work all the same.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use cistern::config::keys;
use cistern::demo::fake::{JobSpec, PipelineSpec, World};

use crate::rig::{Rig, until};

const STORE: &str = "cistern.db";

/// Starts a verb whose output has no reader any more when it begins.
fn start(rig: &Rig, arguments: &[&str]) -> Child {
    let settings = rig.values(STORE).into_iter().map(|(key, value)| (keys::variable(&key), value));
    let mut child = Command::new("sh")
        .args(["-c", r#"read -r _; exec "$0" "$@""#, env!("CARGO_BIN_EXE_cistern")])
        .args(arguments)
        .env_clear()
        .envs(settings)
        .current_dir(rig.directory.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a process");
    drop((child.stdout.take(), child.stderr.take()));
    child.stdin.take().expect("a pipe").write_all(b"now\n").expect("written");
    child
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_cannot_be_written_is_none() {
    let mut world = World::new();
    world.add_project("group/app");
    let rig = Rig::new(world);
    assert!(rig.backfill(STORE).await.is_clean());
    for arguments in [&["verify", "--output", "json"][..], &["stats"], &["openapi"], &["work", "list"]] {
        let settings = rig.values(STORE).into_iter().map(|(key, value)| (keys::variable(&key), value));
        let ended = Command::new("sh")
            .args(["-c", r#"exec "$0" "$@" >/dev/full"#, env!("CARGO_BIN_EXE_cistern")])
            .args(arguments)
            .env_clear()
            .envs(settings)
            .current_dir(rig.directory.path())
            .output()
            .expect("a process");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(3), "{arguments:?}: {said}");
        assert!(said.contains("could not write the answer"), "{arguments:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_whose_output_nobody_reads_caches_everything_and_ends_well() {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    for number in 0..30 {
        let job = world.add_job(pipeline, JobSpec::new(&format!("unit {number}")));
        world.start_job(job);
        world.finish_job(job, "success");
        world.archive_trace(job);
    }
    let rig = Rig::new(world).set("log.level", "debug");
    for (arguments, code) in [
        (&["backfill"][..], 0),
        (&["backfill", "--output", "json"], 0),
        (&["stats"], 0),
        (&["work", "list"], 0),
        (&["work", "retry"], 2),
        (&["log", "999"], 1),
    ] {
        let child = Mutex::new(start(&rig, arguments));
        let ended = || child.lock().expect("one at a time").try_wait().expect("a status");
        until(|| ended().is_some()).await;
        assert_eq!(ended().and_then(|ended| ended.code()), Some(code), "{arguments:?}");
    }
    assert!(rig.gaps(STORE).await.is_empty());
}
