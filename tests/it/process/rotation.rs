//! Secrets in files that are rotated while the service runs: the new ones count without a restart, and nothing is lost.

use std::path::Path;

use cistern::demo::fake::{Delivery, Options};
use cistern::demo::fake::{JobSpec, PipelineSpec, World};
use cistern::domain::{JobKey, PipelineId, ProjectId};
use cistern::loopback;

use super::{Server, outcome};
use crate::rig::{Rig, SIGNING_TOKEN, eventually, until};

const OTHER_SIGNING_TOKEN: &str = "whsec_HxAREhMUFRYXGBkaGxwdHh8AAQIDBAUGBwgJCgsMDQ4=";

/// As an orchestrator does: the new file takes the old one's place whole.
fn write(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    std::fs::write(&beside, text).expect("a file");
    std::fs::rename(&beside, path).expect("its place");
}

fn world() -> (World, ProjectId, PipelineId) {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    (world, project, pipeline)
}

fn ended_job(rig: &Rig, project: ProjectId, pipeline: PipelineId) -> JobKey {
    rig.fake.with(|world| {
        let job = world.add_job(pipeline, JobSpec::new("unit"));
        world.finish_job(job, "success");
        world.archive_trace(job);
        JobKey { project, job }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_webhook_secret_counts_without_a_restart_and_a_bad_one_changes_nothing() {
    let (world, project, pipeline) = world();
    let rig = Rig::new(world);
    let file = rig.directory.path().join("signing-tokens");
    write(&file, SIGNING_TOKEN);
    let rig = rig.set("webhook.signing_tokens", "").set("webhook.signing_tokens_file", &file.to_string_lossy());
    let server = Server::start(&rig, "cistern.db").await;
    server.until_swept().await;
    let event = |rig: &Rig| -> (JobKey, Delivery) {
        let job = ended_job(rig, project, pipeline);
        (job, rig.fake.job_event(job.job).expect("an event"))
    };
    let (first, old) = event(&rig);
    assert_eq!(server.deliver(&old).await.status, 202);

    // Both count while the hook still has the old one; order and line ends are the person's.
    write(&file, &format!("{OTHER_SIGNING_TOKEN}\n{SIGNING_TOKEN}\n"));
    let (second, delivery) = event(&rig);
    let new = delivery.signed_with(OTHER_SIGNING_TOKEN);
    eventually(async || server.deliver(&new).await.status == 202).await;
    assert_eq!(server.deliver(&old).await.status, 202);

    // Only the new one, then something that nobody can use.
    write(&file, OTHER_SIGNING_TOKEN);
    eventually(async || server.deliver(&old).await.status == 401).await;
    assert_eq!(server.deliver(&new).await.status, 202);
    write(&file, "whsec_s3cret");
    until(|| server.process.log().contains("the old one stays")).await;
    assert_eq!(server.deliver(&new).await.status, 202);
    assert_eq!(server.deliver(&old).await.status, 401);
    let log = server.process.log();
    assert!(
        log.contains("webhook.signing_tokens (environment CISTERN_WEBHOOK_SIGNING_TOKENS_FILE): one is not base64"),
        "{log}"
    );
    for secret in ["s3cret", &SIGNING_TOKEN[6..], &OTHER_SIGNING_TOKEN[6..]] {
        assert!(!log.contains(secret), "{log}");
    }
    for job in [first, second] {
        server.until_cached(&rig, job).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_gitlab_token_ends_a_refusal_and_what_waited_is_cached() {
    let (world, project, pipeline) = world();
    let options = Options::default();
    let good = options.token.clone();
    let rig = Rig::with(world, options).set("schedule.scale", "0.01");
    let file = rig.directory.path().join("gitlab-token");
    write(&file, "glpat-0ld-and-revoked\n");
    let rig = rig.set("gitlab.token", "").set("gitlab.token_file", &file.to_string_lossy());
    let server = Server::start(&rig, "cistern.db").await;
    let job = ended_job(&rig, project, pipeline);
    let answer = server.deliver(&rig.fake.job_event(job.job).expect("an event")).await;
    assert_eq!((answer.status, outcome(&answer).as_str()), (202, "accepted"));
    until(|| server.process.log().contains("GitLab refuses the token")).await;

    write(&file, &format!("{good}\n"));
    server.until_cached(&rig, job).await;
    let log = server.process.log();
    assert!(log.contains("the new one counts from now on") && !log.contains(&good) && !log.contains("0ld"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rotated_tokens_of_readers_let_in_whom_they_name_and_nobody_else() {
    let (world, ..) = world();
    let rig = Rig::new(world);
    let file = rig.directory.path().join("readers");
    write(&file, "0ld-reader-0123456789\n");
    let rig = rig.set("access.mode", "token").set("access.tokens_file", &file.to_string_lossy());
    let server = Server::start(&rig, "cistern.db").await;
    server.until_swept().await;
    let status = async |token: &str| {
        let header = [("PRIVATE-TOKEN".to_owned(), token.to_owned())];
        let answer = loopback::send(server.address(), "GET", "/api/v4/projects/group%2Fapp", &header, b"").await;
        answer.expect("an answer").status
    };
    assert_eq!((status("0ld-reader-0123456789").await, status("new-reader-0123456789").await), (200, 401));
    write(&file, "new-reader-0123456789\nsome-reader-0123456789=elsewhere/**\n");
    // Not by asking: who tries unknown tokens again and again is told 429.
    until(|| server.process.log().contains("the new one counts from now on")).await;
    assert_eq!(status("new-reader-0123456789").await, 200);
    assert_eq!((status("0ld-reader-0123456789").await, status("some-reader-0123456789").await), (401, 404));
    let log = server.process.log();
    assert!(!log.contains("-reader-"), "{log}");
}
