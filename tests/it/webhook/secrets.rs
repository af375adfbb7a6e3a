//! What must never show: `variables` of pipelines, secrets of ours, and what jobs printed in our own log.

use std::path::Path;

use cistern::demo::fake::{Archive, CANARY_SECRET, JobSpec, Junit, Log, Options, PipelineSpec, World};
use cistern::domain::JobKey;

use crate::process::{Process, Server};
use crate::rig::eventually;
use crate::rig::{Rig, SIGNING_TOKEN};

const PLAIN_TOKEN: &str = "plain-webhook-token-4711";
const PRINTED: &str = "what the job printed 8f4e";

/// Returns every file below a directory with its bytes.
fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    std::fs::read_dir(directory)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| (path.display().to_string(), std::fs::read(&path).expect("a file")))
        .collect()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_and_secrets_are_in_no_file_no_log_line_and_no_answer() {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let options = Options { secret_token: Some(PLAIN_TOKEN.to_owned()), ..Options::default() };
    let rig = Rig::with(world, options).set("log.level", "trace").set("webhook.tokens", PLAIN_TOKEN);
    let server = Server::start(&rig, "cistern.db").await;
    server.until_swept().await;
    let (pipeline, job) = rig.fake.with(|world| {
        let pipeline = world.add_pipeline(project, PipelineSpec::default());
        let archive = Archive::zip([("out.txt", b"built".as_slice())]).expect("a zip");
        let spec = JobSpec::new("unit").log(Log::bytes(PRINTED)).archive(archive).junit(Junit::generated(3, 1, 1));
        let job = world.add_job(pipeline, spec);
        world.start_job(job);
        (pipeline, job)
    });
    let mut seen = Vec::new();
    let running = rig.fake.pipeline_event(pipeline).expect("an event");
    assert!(holds(&running.body(), CANARY_SECRET), "the event does not carry what is looked for");
    seen.push(server.deliver(&running).await.body);
    seen.push(server.deliver(&running.with_bad_signature()).await.body);
    rig.fake.with(|world| {
        world.finish_job(job, "success");
        world.archive_trace(job);
    });
    seen.push(server.deliver(&rig.fake.job_event(job).expect("an event")).await.body);
    seen.push(server.deliver(&rig.fake.pipeline_event(pipeline).expect("an event")).await.body);
    server.until_cached(&rig, JobKey { project, job }).await;
    eventually(async || server.status().await["queue"]["journal"] == 0).await;

    for path in ["", "/pipelines", "/jobs"] {
        seen.push(server.get(&format!("/api/v4/projects/{project}{path}")).await.body);
    }
    for path in ["", "/jobs", "/test_report"] {
        let answer = server.get(&format!("/api/v4/projects/{project}/pipelines/{pipeline}{path}")).await;
        assert_eq!(answer.status, 200, "{path}");
        seen.push(answer.body);
    }
    seen.push(server.metrics().await.into_bytes());
    seen.push(server.status().await.to_string().into_bytes());
    // While it runs, the write-ahead log is a file of its own.
    let mut kept = files(rig.directory.path());
    kept.extend(rig.behind("cistern.db").await.documents().await);
    let looked_at = |end: &str| kept.iter().any(|(name, _)| name.ends_with(end));
    assert!(looked_at("-wal") || looked_at("fs.chunks"), "{:?}", rig.directory);
    server.process.signal("TERM");
    let ended = server.process.ended().await;
    kept.extend(files(rig.directory.path()));
    assert!(
        ended.stderr.contains(r#""message":"received an event""#),
        "the log is not detailed enough to prove anything"
    );
    kept.push(("the log".to_owned(), ended.stderr.clone().into_bytes()));
    kept.push(("stdout".to_owned(), ended.stdout.into_bytes()));
    kept.extend(seen.into_iter().map(|body| ("an answer".to_owned(), body)));
    for secret in [CANARY_SECRET, "DEPLOY_TOKEN", PLAIN_TOKEN, SIGNING_TOKEN, rig.fake.token()] {
        for (name, bytes) in &kept {
            assert!(!holds(bytes, secret), "{secret} is in {name}");
        }
    }
    assert!(!ended.stderr.contains(PRINTED), "what a job prints is not ours to log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_shows_no_secret_either() {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let job = world.add_job(pipeline, JobSpec::new("unit").log(Log::bytes(PRINTED)));
    world.finish_job(job, "success");
    let rig = Rig::new(world).set("log.level", "trace").set("gitlab.token", "glpat-refused-0815");
    let ended = Process::start(&rig, "cistern.db", &["backfill"]).ended().await;
    assert_eq!(ended.code, Some(3));
    assert!(!format!("{ended:?}").contains("glpat-refused-0815"));
    let rig = rig.set("gitlab.token", "glpat-fake-0123456789abcdef");
    let ended = Process::start(&rig, "cistern.db", &["backfill", "--output", "json"]).ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for secret in [CANARY_SECRET, rig.fake.token(), PRINTED] {
        assert!(!format!("{ended:?}").contains(secret), "{secret} was shown");
    }
    let mut kept = files(rig.directory.path());
    kept.extend(rig.behind("cistern.db").await.documents().await);
    assert!(!kept.is_empty() && kept.iter().all(|(_, bytes)| !holds(bytes, CANARY_SECRET)));
}
