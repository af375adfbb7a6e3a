//! The whole path once: an event arrives, the job is cached, a reader gets it.

use cistern::demo::fake::{JobSpec, PipelineSpec, World};

use crate::rig::Rig;

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_an_ended_job_makes_its_log_readable() {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let rig = Rig::new(world);
    let serving = rig.serve("cistern.db").await;
    let job = rig.fake.with(|world| {
        let pipeline = world.add_pipeline(project, PipelineSpec::default());
        let job = world.add_job(pipeline, JobSpec::new("unit"));
        world.start_job(job);
        world.finish_job(job, "success");
        job
    });
    let answer = serving.deliver(&rig.fake.job_event(job).expect("an event")).await;
    assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
    serving.idle().await;
    let log = serving.get(&format!("/api/v4/projects/{project}/jobs/{job}/trace")).await;
    assert_eq!(log.status, 200);
    assert_eq!(log.body, rig.fake.with(|world| world.trace(job)).expect("a log"));
    assert_eq!(serving.json(&format!("/api/v4/projects/{project}/jobs/{job}")).await["name"], "unit");
    serving.stop().await;
}
