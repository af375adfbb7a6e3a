//! Many hints, little work; and none of them lost.

use std::time::Duration;

use cistern::demo::fake::{Endpoint, Fault, FaultKind, JobSpec, PipelineSpec};

use super::{cached, deliver, empty, job_event, pipeline_event, settled_job, settled_jobs};
use crate::rig::{Rig, eventually, until};

fn slow(endpoint: Endpoint) -> Fault {
    Fault::new(FaultKind::Drip { piece_bytes: 64, pause: Duration::from_millis(5) }).on(endpoint)
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicates_of_one_event_cost_one_fetch() {
    let (world, project) = empty();
    let rig = Rig::new(world);
    let serving = rig.serve("cistern.db").await;
    let (_, jobs) = settled_jobs(&rig, project, 1);
    rig.fake.reset_counters();
    // Nothing is handed out meanwhile, so that all of them arrive before the fetch.
    serving.queue.hold(cistern::domain::Timestamp::now().plus(Duration::from_millis(1500)));
    assert_eq!(deliver(&serving, &job_event(&rig, jobs[0])).await, "accepted");
    for _ in 0..20 {
        assert_eq!(deliver(&serving, &job_event(&rig, jobs[0])).await, "coalesced");
    }
    serving.idle().await;
    cached(&rig, &serving, project, jobs[0]).await;
    assert_eq!((rig.fake.requests().of(Endpoint::Job), rig.fake.requests().of(Endpoint::Trace)), (1, 1));
    // On MongoDB the entry ends a moment after the facts.
    eventually(async || serving.store.journal_len().await.expect("a count") == 0).await;
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_duplicate_about_a_job_that_is_wholly_cached_costs_no_call() {
    let (world, project) = empty();
    let rig = Rig::new(world);
    let serving = rig.serve("cistern.db").await;
    let (_, jobs) = settled_jobs(&rig, project, 1);
    deliver(&serving, &job_event(&rig, jobs[0])).await;
    serving.idle().await;
    rig.fake.reset_counters();
    for _ in 0..3 {
        deliver(&serving, &job_event(&rig, jobs[0])).await;
        serving.idle().await;
    }
    assert_eq!(rig.fake.requests().total, 0, "{:?}", rig.fake.requests());
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hint_that_arrives_during_the_fetch_is_fetched_again() {
    let (world, project) = empty();
    let rig = Rig::new(world);
    let serving = rig.serve("cistern.db").await;
    let (pipeline, jobs) = settled_jobs(&rig, project, 2);
    rig.fake.with(|world| world.set_pipeline_status(pipeline, "success"));
    rig.fake.inject(slow(Endpoint::PipelineJobs).times(1));
    assert_eq!(deliver(&serving, &pipeline_event(&rig, pipeline)).await, "accepted");
    until(|| rig.fake.requests().of(Endpoint::PipelineJobs) == 1).await;
    // The list that is being read was made before this job.
    let late = rig.fake.with(|world| settled_job(world, pipeline, "late"));
    rig.fake.with(|world| world.set_pipeline_status(pipeline, "success"));
    for _ in 0..5 {
        assert_eq!(deliver(&serving, &pipeline_event(&rig, pipeline)).await, "accepted");
    }
    cached(&rig, &serving, project, late).await;
    serving.idle().await;
    assert_eq!(rig.fake.requests().of(Endpoint::PipelineJobs), 2, "the five hints are one more fetch");
    for job in jobs {
        cached(&rig, &serving, project, job).await;
    }
    assert_eq!(serving.store.journal_len().await.expect("a count"), 0);
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_one_running_pipeline_become_one_look_and_its_end_does_not_wait_for_it() {
    let (world, project) = empty();
    let rig = Rig::new(world).set("webhook.refresh", "1h");
    let serving = rig.serve("cistern.db").await;
    let (pipeline, job) = rig.fake.with(|world| {
        let pipeline = world.add_pipeline(project, PipelineSpec::default());
        let job = world.add_job(pipeline, JobSpec::new("unit"));
        world.start_job(job);
        (pipeline, job)
    });
    rig.fake.reset_counters();
    assert_eq!(deliver(&serving, &job_event(&rig, job)).await, "accepted");
    assert_eq!(deliver(&serving, &pipeline_event(&rig, pipeline)).await, "coalesced");
    serving.idle().await;
    assert_eq!(rig.fake.requests().total, 0, "it is not time yet");

    rig.fake.with(|world| {
        world.finish_job(job, "success");
        world.archive_trace(job);
    });
    assert_eq!(deliver(&serving, &pipeline_event(&rig, pipeline)).await, "coalesced");
    cached(&rig, &serving, project, job).await;
    serving.idle().await;
    assert_eq!(rig.fake.requests().of(Endpoint::PipelineJobs), 1);
    assert_eq!(serving.store.journal_len().await.expect("a count"), 0);
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_does_not_call_off_the_later_looks_at_an_unsettled_log() {
    let (world, project) = empty();
    // The first later look comes after 0.9 s.
    let rig = Rig::new(world).set("schedule.scale", "0.005");
    let serving = rig.serve("cistern.db").await;
    let job = rig.fake.with(|world| {
        let pipeline = world.add_pipeline(project, PipelineSpec::default());
        let job = world.add_job(pipeline, JobSpec::new("unit"));
        world.finish_job(job, "success");
        world.delay_log_tail(job, 100);
        job
    });
    let event = job_event(&rig, job);
    deliver(&serving, &event).await;
    cached(&rig, &serving, project, job).await;
    serving.idle().await;
    deliver(&serving, &event).await;
    serving.idle().await;
    rig.fake.with(|world| world.archive_trace(job));
    cached(&rig, &serving, project, job).await;
    serving.stop().await;
}
