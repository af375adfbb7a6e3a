//! GitLab does not know yet what it announced: asked again after 2, 5, 15 and 60 s, then left to the reconciler.

use cistern::demo::fake::{Endpoint, Fault, FaultKind, JobSpec, PipelineSpec};

use super::{cached, deliver, empty, job_event, settled_jobs};
use crate::rig::{Rig, until};

/// Makes 2 s into 20 ms.
const FAST: &str = "0.01";

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_gitlab_does_not_know_yet_is_asked_for_again_until_it_does() {
    let (world, project) = empty();
    let rig = Rig::new(world).set("schedule.scale", FAST);
    let serving = rig.serve("cistern.db").await;
    let (_, jobs) = settled_jobs(&rig, project, 1);
    rig.fake.inject(Fault::new(FaultKind::NotFound).on(Endpoint::Job).times(3));
    deliver(&serving, &job_event(&rig, jobs[0])).await;
    cached(&rig, &serving, project, jobs[0]).await;
    assert_eq!(rig.fake.requests().of(Endpoint::Job), 4);
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_has_not_ended_for_gitlab_yet_is_asked_for_again_until_it_has() {
    let (world, project) = empty();
    let rig = Rig::new(world).set("schedule.scale", FAST);
    let serving = rig.serve("cistern.db").await;
    let job = rig.fake.with(|world| {
        let pipeline = world.add_pipeline(project, PipelineSpec::default());
        let job = world.add_job(pipeline, JobSpec::new("unit"));
        world.finish_job(job, "success");
        job
    });
    let event = job_event(&rig, job);
    // A replica that lags behind still shows it running.
    rig.fake.with(|world| world.start_job(job));
    deliver(&serving, &event).await;
    until(|| rig.fake.requests().of(Endpoint::Job) == 2).await;
    rig.fake.with(|world| {
        world.finish_job(job, "success");
        world.archive_trace(job);
    });
    cached(&rig, &serving, project, job).await;
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_schedule_it_is_left_to_the_reconciler_and_a_new_hint_starts_anew() {
    let (world, project) = empty();
    let rig = Rig::new(world).set("schedule.scale", "0.001");
    let serving = rig.serve("cistern.db").await;
    let (_, jobs) = settled_jobs(&rig, project, 1);
    rig.fake.inject(Fault::new(FaultKind::NotFound).on(Endpoint::Job));
    let event = job_event(&rig, jobs[0]);
    deliver(&serving, &event).await;
    until(|| serving.queue.is_empty()).await;
    assert_eq!(rig.fake.requests().of(Endpoint::Job), 5, "at once and four times later");
    assert_eq!(serving.store.journal_len().await.expect("a count"), 0);
    assert_eq!(serving.store.failures(None).await.expect("the failures").len(), 0, "it has not failed");

    deliver(&serving, &event).await;
    until(|| rig.fake.requests().of(Endpoint::Job) == 7).await;
    rig.fake.clear_faults();
    cached(&rig, &serving, project, jobs[0]).await;
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_hint_for_a_job_that_is_being_asked_for_again_starts_its_schedule_anew() {
    let (world, project) = empty();
    // 2, 5, 15 and 60 s become 0.1, 0.25, 0.75 and 3 s.
    let rig = Rig::new(world).set("schedule.scale", "0.05");
    let serving = rig.serve("cistern.db").await;
    let (_, jobs) = settled_jobs(&rig, project, 1);
    rig.fake.inject(Fault::new(FaultKind::NotFound).on(Endpoint::Job));
    let event = job_event(&rig, jobs[0]);
    deliver(&serving, &event).await;
    until(|| rig.fake.requests().of(Endpoint::Job) == 4).await;
    serving.idle().await;
    for asked in 5..8 {
        // It waits for its last try. A hint asks at once, and is not the end of the asking.
        deliver(&serving, &event).await;
        until(|| rig.fake.requests().of(Endpoint::Job) >= asked).await;
        serving.idle().await;
        assert!(!serving.queue.is_empty(), "given up after {asked} questions");
    }
    rig.fake.clear_faults();
    cached(&rig, &serving, project, jobs[0]).await;
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_pipeline_is_forgotten_without_a_failure() {
    let (world, project) = empty();
    let rig = Rig::new(world).set("schedule.scale", "0.001");
    let serving = rig.serve("cistern.db").await;
    let (pipeline, jobs) = settled_jobs(&rig, project, 1);
    let event = job_event(&rig, jobs[0]);
    rig.fake.with(|world| world.delete_pipeline(pipeline));
    deliver(&serving, &event).await;
    until(|| serving.queue.is_empty()).await;
    assert_eq!(serving.get(&format!("/api/v4/projects/{project}/jobs/{}", jobs[0])).await.status, 404);
    assert_eq!(serving.store.failures(None).await.expect("the failures").len(), 0);
    serving.stop().await;
}
