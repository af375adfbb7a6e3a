//! A log that our token may not read is told so, to clients and to people alike, and never read as an empty one.

use cistern::demo::fake::{JobSpec, Log, Options, PipelineSpec, World};

use crate::process::Process;
use crate::rig::{Engine, Rig, ask, on_both};

on_both! {
    a_log_that_the_token_may_not_read_is_404_with_its_reason;
}

async fn a_log_that_the_token_may_not_read_is_404_with_its_reason(engine: Engine) {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let job = world.add_job(pipeline, JobSpec::new("debug").log(Log::bytes(b"secret\n".to_vec())));
    world.start_job(job);
    world.finish_job(job, "success");
    world.archive_trace(job);
    world.forbid_log(job);
    let rig = Rig::with(world, Options::default()).on(engine).set("api.read_through", "true");
    assert!(rig.backfill("cistern.db").await.is_clean());
    let serving = rig.serve("cistern.db").await;
    let own = format!("/api/cistern/v1/projects/{project}/jobs/{job}/log");
    let trace = format!("/api/v4/projects/{project}/jobs/{job}/trace");
    let parts = ["?tail=1", "?grep=secret", "/sections", "/errors", "/follow"].map(|part| format!("{own}{part}"));
    for path in [trace, own].into_iter().chain(parts) {
        let answer = ask(serving.address(), "GET", &path, &[]).await;
        assert_eq!((answer.status, answer.header("x-cistern-reason")), (404, "forbidden"), "{path}");
        assert_eq!(answer.json()["message"], "404 Not found: Cistern does not hold it (forbidden)", "{path}");
    }
    let (job, url) = (job.to_string(), format!("http://{}", serving.address()));
    let remote = ["log", job.as_str(), "--project", "group/app", "--url", url.as_str()];
    for arguments in [&["log", job.as_str()][..], &remote[..], &[&remote[..], &["--follow"][..]].concat()[..]] {
        let ended = Process::start(&rig, "cistern.db", arguments).ended().await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{arguments:?}");
        assert!(ended.stderr.contains(&format!("the log of job {job} is not held: forbidden")), "{}", ended.stderr);
    }
    serving.stop().await;
}
