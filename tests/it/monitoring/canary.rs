//! Secrets in every input and every setting that may hold one: none of them shows anywhere.

use std::path::Path;

use cistern::demo::fake::{CANARY_SECRET, JobSpec, Log, Options, PipelineSpec, World};
use cistern::domain::JobKey;

use super::trace::Collector;
use crate::process::{Ended, Process};
use crate::rig::{Rig, SIGNING_TOKEN, eventually};

/// What a collector of traces wants to see.
pub(super) const HEADER: &str = "authorization=canary-otlp-header-5d1f";

const READER: &str = "glpat-canary-reader-91c2";
const MANAGER: &str = "glpat-canary-manager-77aa";
const TOKEN: &str = "canary-webhook-token-0e3b";
const OLD_SIGNING: &str = "whsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
const FORGED: &str = "canary-forged-token-3a3a";
const IN_QUERY: &str = "canary-query-6b6b";
const PRINTED: &str = "canary-printed-by-a-job-c0c0";

fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(directory).expect("a directory");
    let paths = entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file());
    paths.map(|path| (path.display().to_string(), std::fs::read(&path).expect("a file"))).collect()
}

fn shown(name: &str, ended: &Ended) -> (String, Vec<u8>) {
    (name.to_owned(), format!("{}{}", ended.stdout, ended.stderr).into_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_in_no_log_metric_trace_error_or_file() {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let options = Options {
        token: READER.to_owned(),
        hooks_token: Some(MANAGER.to_owned()),
        secret_token: Some(TOKEN.to_owned()),
        ..Options::default()
    };
    let rig = Rig::with(world, options)
        .set("log.level", "trace")
        .set("gitlab.hooks_token", MANAGER)
        .set("webhook.tokens", TOKEN)
        .set("webhook.signing_tokens", &format!("{SIGNING_TOKEN},{OLD_SIGNING}"));
    let collector = Collector::start().await;
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", HEADER),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
    ];
    let server = Process::start_with(&rig, "cistern.db", &["serve"], &variables).serving().await;
    let rig = rig.set("server.public_url", &format!("http://{}", server.address()));
    server.until_swept().await;
    let (pipeline, job) = rig.fake.with(|world| {
        let pipeline = world.add_pipeline(project, PipelineSpec::default());
        let job = world.add_job(pipeline, JobSpec::new("unit").log(Log::bytes(PRINTED)));
        world.start_job(job);
        world.finish_job(job, "success");
        (pipeline, job)
    });
    let mut seen = Vec::new();
    let event = rig.fake.pipeline_event(pipeline).expect("an event");
    let answers = [
        server.deliver(&event).await,
        server.deliver(&event.clone().unsigned().with_token(FORGED)).await,
        server.deliver(&event.with_bad_signature().with_id(IN_QUERY)).await,
        server.deliver(&rig.fake.job_event(job).expect("an event")).await,
        server.get(&format!("/api/v4/projects/{project}?private_token={IN_QUERY}")).await,
        server.get(&format!("/api/v4/{IN_QUERY}?access_token={IN_QUERY}")).await,
    ];
    seen.extend(answers.into_iter().map(|answer| ("an answer".to_owned(), answer.body)));
    server.until_cached(&rig, JobKey { project, job }).await;
    // Every verb, as it works and as it fails.
    for verb in [
        &["hooks", "ensure"][..],
        &["hooks", "list"],
        &["hooks", "test"],
        &["hooks", "rotate", "--all"],
        &["hooks", "failed"],
        &["check"],
        &["verify"],
        &["backfill"],
    ] {
        for output in ["text", "json"] {
            let ended = Process::start(&rig, "cistern.db", &[verb, &["--output", output]].concat()).ended().await;
            assert!(!ended.stderr.contains("panicked"), "{ended:?}");
            seen.push(shown(&verb.join(" "), &ended));
        }
    }
    eventually(async || collector.spans().iter().any(|span| span.name == "job")).await;
    seen.push(("metrics".to_owned(), server.metrics().await.into_bytes()));
    seen.push(("status".to_owned(), server.status().await.to_string().into_bytes()));
    seen.extend(files(rig.directory.path()));
    seen.extend(rig.behind("cistern.db").await.documents().await);
    server.process.signal("TERM");
    seen.push(shown("serve", &server.process.ended().await));
    let header = HEADER.split_once('=').expect("a pair").1;
    let traces = collector.bytes();
    assert!(traces.windows(header.len()).any(|bytes| bytes == header.as_bytes()), "the collector was not let in");
    let spans = format!("{:?}", collector.spans());
    seen.push(("spans".to_owned(), spans.into_bytes()));

    let broken = rig
        .set("gitlab.url", "http://127.0.0.1:1")
        .set("store.url", "mongodb://u:canary-password-2f2f@127.0.0.1:1/c?replicaSet=r");
    for verb in ["check", "verify", "backfill"] {
        seen.push(shown(verb, &Process::start(&broken, "other.db", &[verb]).ended().await));
    }
    for secret in
        [READER, MANAGER, TOKEN, SIGNING_TOKEN, OLD_SIGNING, FORGED, header, "canary-password-2f2f", CANARY_SECRET]
    {
        for (name, bytes) in &seen {
            let found = bytes.windows(secret.len()).any(|bytes| bytes == secret.as_bytes());
            assert!(!found, "{secret} is in {name}");
        }
    }
    for (name, bytes) in seen.iter().filter(|(name, _)| !name.contains("cistern.db") && !name.starts_with("fs.")) {
        let found = bytes.windows(PRINTED.len()).any(|bytes| bytes == PRINTED.as_bytes());
        assert!(!found, "what a job printed is in {name}");
    }
    let logs = seen.iter().filter(|(name, _)| name == "serve" || name == "metrics" || name == "spans");
    for (name, bytes) in logs {
        let query = format!("private_token={IN_QUERY}");
        assert!(!bytes.windows(query.len()).any(|bytes| bytes == query.as_bytes()), "a query is in {name}");
    }
}
