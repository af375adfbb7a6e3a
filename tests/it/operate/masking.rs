//! Masking: what looks like a secret is nowhere in the store, and everything else is as GitLab has it.

use std::fs;
use std::time::Duration;

use cistern::demo::fake::{Case, Junit, Log};
use cistern::domain::Piece;

use super::*;
use crate::process::Server;
use crate::rig::Engine;

/// Its second half is looked for: it stands in logs, reports and documents.
const TOKEN: &str = "glpat-Qq7cAnArYtOkEn0000xZ";
const OWN: &str = "hunter-4711";
const LOOKED_FOR: &[&[u8]] = &[b"cAnArYtOkEn", b"hunter-4711"];

/// A log of some 600 kB whose secrets stand at the cuts of everything that is cut.
fn log() -> Vec<u8> {
    let mut log = Vec::new();
    for line in 0..6000 {
        log.extend_from_slice(
            format!("line {line} of a log that goes on for a while, without a secret in it\n").as_bytes(),
        );
        if line % 100 == 0 {
            log.extend_from_slice(format!("curl -H 'PRIVATE-TOKEN: {TOKEN}' https://host  # {OWN}\n").as_bytes());
        }
    }
    log
}

fn masked(text: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(text).replace(TOKEN, "[MASKED]").replace(OWN, "[MASKED]").into_bytes()
}

struct Masked {
    rig: Rig,
    project: ProjectId,
    pipeline: PipelineId,
    job: JobId,
}

fn world_with_secrets(path: &str, engine: Engine) -> Masked {
    let mut world = World::new();
    let project = world.add_project(path);
    let spec = PipelineSpec { ref_name: format!("topic-{TOKEN}"), ..PipelineSpec::default() };
    let pipeline = world.add_pipeline(project, spec);
    let case = Case {
        name: "signs in".to_owned(),
        classname: "spec".to_owned(),
        status: "failed".to_owned(),
        seconds: 0.1,
        system_output: format!("401 with \"{TOKEN}\"\nand {OWN}").into(),
    };
    let spec = JobSpec::new("unit").log(Log::bytes(log())).junit(Junit::cases(vec![case]));
    let job = world.add_job(pipeline, spec);
    finish(&mut world, &vec![job]);
    let rig = Rig::new(world).on(engine).set("masking.include", "group/**").set("masking.patterns", "hunter-[0-9]+");
    Masked { rig, project, pipeline, job }
}

/// Returns how often something of the secrets stands anywhere in the store.
async fn found(rig: &Rig) -> usize {
    let view = rig.view(STORE).await;
    let cache = view.cache().await;
    view.close().await;
    let count = |bytes: &[u8]| {
        LOOKED_FOR
            .iter()
            .map(|secret| bytes.windows(secret.len()).filter(|window| window == secret).count())
            .sum::<usize>()
    };
    // Logs and reports are compressed: what readers get of them is all that is in them.
    let read = count(format!("{:?}", cache.pipelines).as_bytes())
        + cache.jobs.values().map(|job| count(&job.log) + count(job.document.to_string().as_bytes())).sum::<usize>();
    let files = fs::read_dir(rig.directory.path()).expect("a directory").filter_map(Result::ok);
    let in_files: usize = files.filter_map(|file| fs::read(file.path()).ok()).map(|bytes| count(&bytes)).sum();
    let documents = rig.behind(STORE).await.documents().await;
    read + in_files + documents.iter().map(|(_, bytes)| count(bytes)).sum::<usize>()
}

async fn secrets_are_replaced_before_anything_is_stored(engine: Engine) {
    let Masked { rig, project, pipeline, job } = world_with_secrets("group/app", engine);
    let server = Server::start(&rig, STORE).await;
    server.until_swept().await;
    let path = format!("/api/v4/projects/{project}/jobs/{job}/trace");
    assert_eq!(server.get(&path).await.body, masked(&log()));
    let report = server.get(&format!("/api/v4/projects/{project}/pipelines/{pipeline}/test_report")).await.body;
    let report: Value = serde_json::from_slice(&report).expect("a report");
    let output = &report["test_suites"][0]["test_cases"][0]["system_output"];
    assert_eq!(output, "401 with \"[MASKED]\"\nand [MASKED]");
    let metrics = server.metrics().await;
    for kind in ["log\"} 120", "report\"} 2"] {
        assert!(metrics.contains(&format!("cistern_ingest_masked_total{{kind=\"{kind}")), "{metrics}");
    }
    server.process.signal("TERM");
    assert_eq!(server.process.ended().await.code, Some(0));
    assert_eq!(found(&rig).await, 0, "no part of a secret is stored");

    let view = rig.view(STORE).await;
    let record = view.job(project, job).await.log;
    view.close().await;
    assert_eq!((record.piece, record.size), (Piece::Whole, masked(&log()).len() as u64), "GitLab's size settled it");
    assert_eq!(record.fetched, Some(log().len() as u64));
    assert_eq!(run(&rig, &["backfill"]).await.code, Some(0));
    let verified = json(&rig, 0, &["verify", "--deep", "--sample", "9"]).await;
    assert_eq!((&verified["sample"]["compared"], &verified["deep"]["checked"]), (&1.into(), &2.into()), "{verified}");
}

async fn what_a_reader_s_look_at_a_list_finds_is_masked_too(engine: Engine) {
    let Masked { rig, project, .. } = world_with_secrets("group/app", engine);
    let rig = rig.set("api.read_through", "true").set("api.max_age", "0s");
    let server = Server::start(&rig, STORE).await;
    server.until_swept().await;
    rig.fake.with(|world| {
        world.add_pipeline(project, PipelineSpec { ref_name: format!("new-{TOKEN}"), ..PipelineSpec::default() })
    });
    let list = server.get(&format!("/api/v4/projects/{project}/pipelines")).await.body;
    let list = String::from_utf8(list).expect("text");
    assert!(list.contains("new-[MASKED]") && !list.contains(TOKEN), "{list}");
}

async fn only_the_projects_that_are_named_are_masked(engine: Engine) {
    let Masked { rig, project, job, .. } = world_with_secrets("other/app", engine);
    assert_eq!(run(&rig, &["backfill"]).await.code, Some(0));
    let view = rig.view(STORE).await;
    assert_eq!(view.log(project, job).await, log(), "byte for byte");
    assert_eq!(view.job(project, job).await.log.fetched, None);
    view.close().await;
    assert!(found(&rig).await > 0);
}

async fn a_masked_log_grows_until_gitlab_has_archived_it(engine: Engine) {
    let mut world = World::at(cistern::domain::Timestamp::now());
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    // The first look cuts a token: what is seen of it is no secret yet, and shorter than the mask when it is.
    let whole = format!("begin\n{TOKEN}\n");
    let archive = archive(format!(" {TOKEN}").into_bytes());
    let job = world.add_job(pipeline, JobSpec::new("unit").log(Log::bytes(whole.into_bytes())).archive(archive));
    world.start_job(job);
    world.finish_job(job, "success");
    world.delay_log_tail(job, 5);
    let rig = Rig::new(world).on(engine).set("masking.include", "**");
    let look = async |rig: &Rig| {
        assert_eq!(run(rig, &["backfill"]).await.code, Some(0));
        let view = rig.view(STORE).await;
        let found = (view.job(project, job).await, view.log(project, job).await);
        let archive = view.archive(project, job).await.expect("an archive");
        view.close().await;
        assert!(archive.windows(TOKEN.len()).any(|window| window == TOKEN.as_bytes()), "archives are not looked into");
        found
    };
    let (row, log) = look(&rig).await;
    assert_eq!((row.log.piece, log.starts_with(b"begin\n")), (Piece::Live, true));
    rig.fake.with(|world| {
        world.advance(Duration::from_secs(200));
        world.archive_trace(job);
    });
    let (row, log) = look(&rig).await;
    assert_eq!((row.log.piece, log.as_slice()), (Piece::Whole, &b"begin\n[MASKED]\n"[..]));
}

on_both! {
    secrets_are_replaced_before_anything_is_stored;
    what_a_reader_s_look_at_a_list_finds_is_masked_too;
    only_the_projects_that_are_named_are_masked;
    a_masked_log_grows_until_gitlab_has_archived_it;
}
