//! `log` and `artifacts`: the same from the local store, also beside a running `serve`, and from that `serve`.

use cistern::demo::fake::{Archive, JobSpec, Log, Options, PipelineSpec, World};

use super::{Ended, Process, Server};
use crate::rig::Rig;

const STORE: &str = "cistern.db";

async fn run(rig: &Rig, arguments: &[&str]) -> Ended {
    Process::start(rig, STORE, arguments).ended().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_and_a_file_are_the_same_from_the_store_and_from_a_running_service() {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let text: String = (1..=500).map(|line| format!("\x1b[32mline {line}\x1b[0m\n")).collect();
    let archive = Archive::zip([("out/a.txt", &b"first"[..]), ("b.txt", b"second")]).expect("a zip");
    let job = world.add_job(pipeline, JobSpec::new("unit").log(Log::bytes(text.into_bytes())).archive(archive));
    world.start_job(job);
    world.finish_job(job, "success");
    world.archive_trace(job);
    let rig = Rig::with(world, Options::default());
    assert!(rig.backfill(STORE).await.is_clean());
    let job = job.to_string();
    let server = Server::start(&rig, STORE).await;
    let url = format!("http://{}", server.address());
    let remote = ["--url", url.as_str(), "--project", "group/app"];
    for (verb, more, expected) in [
        ("log", &["--tail", "2"][..], "line 499\nline 500\n"),
        ("log", &["--head", "1", "--ansi", "keep"], "\x1b[32mline 1\x1b[0m\n"),
        ("log", &["--grep", "LINE 25[01]$", "--ignore-case"], "line 250\nline 251\n"),
        ("artifacts", &["out/a.txt"], "first"),
        ("artifacts", &["--list"], "           6  b.txt\n           5  out/a.txt\n"),
    ] {
        let arguments = [&[verb, job.as_str()][..], more].concat();
        let local = run(&rig, &arguments).await;
        assert_eq!((local.code, local.stdout.as_str()), (Some(0), expected), "{arguments:?} {}", local.stderr);
        let arguments = [&arguments[..], &remote[..]].concat();
        let other = run(&rig, &arguments).await;
        assert_eq!((other.code, other.stdout.as_str()), (Some(0), expected), "{arguments:?} {}", other.stderr);
    }
    let followed = run(&rig, &[&["log", job.as_str(), "--follow"][..], &remote[..]].concat()).await;
    assert!(followed.code == Some(0) && followed.stdout.ends_with("line 500\x1b[0m\n"), "{}", followed.stderr);

    let here = [&[][..], &remote[..]];
    for (arguments, code, words) in [
        (&["log", "999999"][..], 1, ["not cached here", "the log of job 999999: 404 Not found"]),
        (&["log", &job, "--section", "none"], 1, ["the log has no section of this name"; 2]),
        (&["log", &job, "--grep", "("], 2, ["grep"; 2]),
        (&["artifacts", "999999"], 1, ["not cached here", "the archive of job 999999: 404 Not found"]),
        (&["artifacts", &job, "out/none.txt"], 1, ["out/none.txt in the archive of job"; 2]),
        (&["artifacts", &job, "none.txt"], 1, ["the archive has no such file"; 2]),
    ] {
        for (place, words) in here.iter().zip(words) {
            let arguments = [arguments, *place].concat();
            let ended = run(&rig, &arguments).await;
            let told = ended.code == Some(code) && ended.stderr.contains(words);
            assert!(told, "{arguments:?} {:?} {}", ended.code, ended.stderr);
        }
    }
    for (arguments, words) in [
        (&["log", "abc"][..], "whole number"),
        (&["log", &job, "--follow"], "--url"),
        (&["log", &job, "--url", &url], "--project"),
        (&["log", &job, "--url", &url, "--project", "group/app", "--token-file", "no-such"], "no-such cannot be read"),
    ] {
        let ended = run(&rig, arguments).await;
        assert!(
            ended.code == Some(2) && ended.stderr.contains(words),
            "{arguments:?} {:?} {}",
            ended.code,
            ended.stderr
        );
    }
    let misspelt = run(&rig, &["log", &job, "--project", "group/ap"]).await;
    assert!(misspelt.code == Some(1) && misspelt.stderr.contains("no project group/ap is cached here"), "{misspelt:?}");
    let secret = "http://me:s3cret@127.0.0.1:1/base?token=s3cret";
    for verb in ["log", "artifacts"] {
        let ended = run(&rig, &[verb, &job, "--project", "7", "--url", secret]).await;
        let told = ended.stderr.contains("http://127.0.0.1:1/base does not answer") && ended.stderr.contains("--url");
        assert!(ended.code == Some(3) && told && !ended.stderr.contains("s3cret"), "{ended:?}");
    }
    let missing =
        Process::start(&rig, "elsewhere.db", &["log", &job, "--store-url", "sqlite:no-such.db"]).ended().await;
    assert!(missing.code == Some(3) && missing.stderr.contains("does not exist"), "{}", missing.stderr);
    server.process.signal("TERM");
    assert_eq!(server.process.ended().await.code, Some(0));
}
