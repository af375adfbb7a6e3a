//! Listings without an end: a cache before GitLab shows the same page whichever is asked for, or one time has very many rows.

use std::time::Duration;

use cistern::demo::fake::{Endpoint, Fault, FaultKind, JobSpec, PipelineSpec, World};

use super::{FULL, done, run, world};
use crate::process::Process;
use crate::rig::{Engine, Rig, on_both};

const STORE: &str = "cistern.db";

/// A project whose one pipeline has more than a page of jobs.
fn large() -> World {
    let mut world = world();
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    for number in 0..110 {
        let job = world.add_job(pipeline, JobSpec::new(&format!("job {number}")));
        run(&mut world, job);
    }
    world
}

async fn the_same_page_of_pipelines_again_and_again_ends_a_project_s_sweep_and_is_told(engine: Engine) {
    // Updated at one time, or each later than the one before.
    for step in [Duration::ZERO, Duration::from_secs(1)] {
        pipelines(engine, step).await;
    }
}

async fn pipelines(engine: Engine, step: Duration) {
    let mut world = world();
    let (large, small) = (world.add_project("group/large"), world.add_project("group/small"));
    for _ in 0..110 {
        world.add_pipeline(large, PipelineSpec::default());
        world.advance(step);
    }
    done(&mut world, small);
    let rig = Rig::new(world).on(engine);
    rig.fake.inject(Fault::new(FaultKind::FirstPage).on(Endpoint::Pipelines));
    let report = rig.pass(STORE, FULL).await;
    assert_eq!((report.projects, report.projects_failed, report.listed), (2, 1, 101), "{:?}", report.failures);
    let [failed] = report.failures.as_slice() else { panic!("{:?}", report.failures) };
    assert_eq!(failed.what, "project group/large");
    for word in [format!("pipelines of project {large} "), "the same rows again and again".to_owned()] {
        assert!(failed.problem.contains(&word), "{}", failed.problem);
    }
    // What was read is stored, and nothing is lost once it ends.
    rig.fake.clear_faults();
    assert!(rig.pass(STORE, FULL).await.is_clean());
    assert_eq!(rig.gaps(STORE).await, []);
}

async fn the_same_page_of_jobs_again_and_again_fails_the_pipeline_and_what_was_listed_is_fetched(engine: Engine) {
    let rig = Rig::new(large()).on(engine);
    rig.fake.inject(Fault::new(FaultKind::FirstPage).on(Endpoint::PipelineJobs));
    let report = rig.pass(STORE, FULL).await;
    assert_eq!((report.projects_failed, report.failed), (0, 1), "{:?}", report.failures);
    let [failed] = report.failures.as_slice() else { panic!("{:?}", report.failures) };
    for word in ["list jobs of pipeline", "the same page again and again"] {
        assert!(failed.problem.contains(word), "{}", failed.problem);
    }
    assert_eq!(rig.fake.requests().of(Endpoint::Trace), 100);
    rig.fake.clear_faults();
    assert!(rig.pass(STORE, FULL).await.is_clean());
    assert_eq!(rig.fake.requests().of(Endpoint::Trace), 110);
    assert_eq!(rig.gaps(STORE).await, []);
}

on_both! {
    the_same_page_of_pipelines_again_and_again_ends_a_project_s_sweep_and_is_told;
    the_same_page_of_jobs_again_and_again_fails_the_pipeline_and_what_was_listed_is_fetched;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_page_of_projects_again_and_again_ends_a_pass_after_those_that_it_shows() {
    let mut world = world();
    for number in 0..110 {
        let project = world.add_project(&format!("group/app{number}"));
        if number == 7 {
            done(&mut world, project);
        }
    }
    let rig = Rig::new(world);
    rig.fake.inject(Fault::new(FaultKind::FirstPage).on(Endpoint::Projects));
    let ended = Process::start(&rig, STORE, &["backfill"]).ended().await;
    assert_ne!(ended.code, Some(0));
    assert!(ended.stderr.contains("list projects: GitLab's listing does not end"), "{}", ended.stderr);
    assert_eq!(rig.fake.requests().of(Endpoint::Trace), 1);
    assert_eq!(rig.fake.requests().of(Endpoint::Projects), 3);
}
