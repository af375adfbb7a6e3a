//! Bounds: little memory, a full journal, a store that is away.

use std::time::Duration;

use cistern::demo::fake::{Endpoint, Fault, FaultKind, JobSpec, PipelineSpec};

use super::{cached, deliver, empty, eventually, job_event, pipeline_event, settled_jobs};
use crate::rig::Rig;

#[tokio::test(flavor = "multi_thread")]
async fn with_room_for_two_targets_all_of_many_are_worked_on_in_the_end() {
    let (world, project) = empty();
    let rig = Rig::new(world).set("limits.queue", "2");
    let serving = rig.serve("cistern.db").await;
    let (_, jobs) = settled_jobs(&rig, project, 30);
    // Nothing is handed out before all of them have arrived.
    serving.queue.hold(cistern::domain::Timestamp::now().plus(Duration::from_secs(1)));
    for job in &jobs {
        assert_eq!(deliver(&serving, &job_event(&rig, *job)).await, "accepted");
        assert!(serving.queue.len() <= 2);
    }
    for job in jobs {
        cached(&rig, &serving, project, job).await;
    }
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_with_more_jobs_than_memory_has_room_is_cached_whole() {
    let (world, project) = empty();
    let rig = Rig::new(world).set("limits.queue", "2");
    let serving = rig.serve("cistern.db").await;
    let (pipeline, jobs) = settled_jobs(&rig, project, 12);
    rig.fake.with(|world| world.set_pipeline_status(pipeline, "success"));
    deliver(&serving, &pipeline_event(&rig, pipeline)).await;
    for job in jobs {
        cached(&rig, &serving, project, job).await;
    }
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_later_look_does_not_keep_new_events_out() {
    let (world, project) = empty();
    // Every finished job leaves a look that is due in three minutes.
    let rig = Rig::new(world).set("limits.queue", "2");
    let serving = rig.serve("cistern.db").await;
    let jobs: Vec<_> = rig.fake.with(|world| {
        let pipeline = world.add_pipeline(project, PipelineSpec::default());
        let finished = |number| {
            let job = world.add_job(pipeline, JobSpec::new(&format!("unit {number}")));
            world.finish_job(job, "success");
            job
        };
        (0..8).map(finished).collect()
    });
    for job in jobs {
        deliver(&serving, &job_event(&rig, job)).await;
        cached(&rig, &serving, project, job).await;
    }
    serving.idle().await;
    assert_eq!(serving.store.journal_len().await.expect("a count"), 8, "the looks wait in the journal");
    // A pass gets its places, too.
    rig.fake.with(|world| {
        let pipeline = world.add_pipeline(project, PipelineSpec::default());
        super::settled_job(world, pipeline, "swept")
    });
    serving.queue.mark(project);
    eventually(async || {
        let pipelines = serving.json(&format!("/api/v4/projects/{project}/pipelines")).await;
        pipelines.as_array().expect("a list").len() == 2
    })
    .await;
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_journal_defers_and_the_early_sweep_caches_what_was_deferred() {
    let (world, project) = empty();
    let rig = Rig::new(world).set("limits.journal", "3").set("limits.api_calls", "1");
    let serving = rig.serve("cistern.db").await;
    let (_, jobs) = settled_jobs(&rig, project, 10);
    rig.fake.inject(Fault::new(FaultKind::ServerError).on(Endpoint::Job));
    serving.queue.hold(cistern::domain::Timestamp::now().plus(Duration::from_secs(1)));
    let mut outcomes = Vec::new();
    for job in &jobs {
        outcomes.push(deliver(&serving, &job_event(&rig, *job)).await);
    }
    assert_eq!(outcomes[..3], ["accepted"; 3]);
    assert_eq!(outcomes[3..], ["deferred"; 7]);
    rig.fake.clear_faults();
    for job in jobs {
        cached(&rig, &serving, project, job).await;
    }
    eventually(async || serving.store.marks().await.expect("the marks").is_empty()).await;
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_never_end_for_one_project_do_not_keep_the_others_from_being_swept() {
    let (mut world, project) = empty();
    let other = world.add_project("group/other");
    let rig = Rig::new(world).set("reconcile.interval", "2s");
    let serving = rig.serve("cistern.db").await;
    let missed = rig.fake.with(|world| {
        let pipeline = world.add_pipeline(other, PipelineSpec::default());
        super::settled_job(world, pipeline, "missed")
    });
    eventually(async || {
        serving.queue.mark(project);
        serving.get(&format!("/api/v4/projects/{other}/jobs/{missed}")).await.status == 200
    })
    .await;
    serving.stop().await;
}
