//! The least calls of a full pass, and that a pass with nothing new makes list calls only.

use std::time::Duration;

use cistern::demo::fake::{ArtifactDelivery, Endpoint, JobSpec, Options, PipelineSpec, World};
use cistern::reconcile::{Extent, Only};

use super::{FULL, done, run, world};
use crate::rig::{PATIENCE, Rig};

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_full_pass_makes_exactly_the_least_calls() {
    for artifacts in [ArtifactDelivery::Redirect, ArtifactDelivery::Direct] {
        let world = World::demo(2, 5, 20, 7);
        let census = world.census();
        let rig = Rig::with(world, Options { artifacts, ..Options::default() });
        let report = rig.backfill("cistern.db").await;
        assert!(report.is_clean(), "{:?}", report.failures);
        let requests = rig.fake.requests();
        let stored = if artifacts == ArtifactDelivery::Redirect { census.archives } else { 0 };
        let expected = [
            (Endpoint::Projects, 1),
            (Endpoint::Pipelines, 2 * census.projects),
            (Endpoint::PipelineJobs, census.pipelines),
            (Endpoint::Pipeline, census.pipelines),
            (Endpoint::Trace, census.logs),
            (Endpoint::Artifacts, census.archives),
            (Endpoint::TestReport, census.reports),
            (Endpoint::TestReportSummary, census.reports),
            (Endpoint::Storage, stored),
        ];
        for (endpoint, calls) in expected {
            assert_eq!(requests.of(endpoint), calls, "{endpoint:?}");
        }
        assert_eq!(requests.total + requests.storage, expected.iter().map(|(_, calls)| calls).sum::<u64>());
        assert_eq!((report.gitlab_calls, report.storage_calls), (requests.total, requests.storage));
        assert_eq!((report.projects, report.pipelines), (census.projects, census.pipelines));
        assert!(census.reports > 0 && census.archives > 0, "a world worth counting");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_with_nothing_new_lists_projects_and_pipelines_and_nothing_else() {
    let rig = Rig::new(World::demo(2, 5, 20, 7));
    rig.backfill("cistern.db").await;
    for extent in [Extent::Due, FULL] {
        rig.fake.reset_counters();
        let report = rig.pass("cistern.db", extent).await;
        let requests = rig.fake.requests();
        assert_eq!((requests.of(Endpoint::Projects), requests.of(Endpoint::Pipelines)), (1, 4), "{extent:?}");
        assert_eq!((requests.total, requests.storage), (5, 0), "{extent:?}");
        assert_eq!((report.pipelines, report.details, report.jobs, report.reports), (0, 0, 0, 0), "{extent:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_jobs_than_a_page_and_without_totals_cost_one_call_for_each_page() {
    let mut world = world();
    let project = world.add_project("group/app");
    let (pipeline, _) = done(&mut world, project);
    for number in 0..249 {
        let job = world.add_job(pipeline, cistern::demo::fake::JobSpec::new(&format!("job {number}")));
        run(&mut world, job);
    }
    // As above 10,000 rows: without totals and without the last page's number.
    let rig = Rig::with(world, Options { count_limit: 100, ..Options::default() });
    assert!(rig.backfill("cistern.db").await.is_clean());
    assert_eq!(rig.fake.requests().of(Endpoint::PipelineJobs), 3);
    assert_eq!(rig.fake.requests().of(Endpoint::Trace), 250);
    assert_eq!(rig.cache("cistern.db").await.jobs.len(), 250);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_ended_job_costs_its_document_and_its_pieces() {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let rig = Rig::new(world);
    let serving = rig.serve("cistern.db").await;
    rig.fake.with(|world| done(world, project));
    serving.reconciler.pass(Extent::Due, &Only::All, PATIENCE).await.expect("a pass");
    rig.fake.reset_counters();
    let job = rig.fake.with(|world| done(world, project).1);
    serving.deliver(&rig.fake.job_event(job).expect("an event")).await;
    serving.idle().await;
    serving.deliver(&rig.fake.job_event(job).expect("an event")).await;
    serving.idle().await;
    let requests = rig.fake.requests();
    assert_eq!((requests.of(Endpoint::Job), requests.of(Endpoint::Trace), requests.total), (1, 1, 2));
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_forecast_is_what_the_following_backfill_calls() {
    let rig = Rig::new(World::demo(2, 5, 20, 3));
    for round in ["cold", "with news"] {
        let forecast = rig.forecast("cistern.db").await;
        assert_eq!(forecast.calls_made, rig.fake.requests().total, "{round}");
        rig.fake.reset_counters();
        let report = rig.backfill("cistern.db").await;
        assert_eq!(forecast.gitlab_calls, report.gitlab_calls, "{round}");
        assert_eq!(forecast.storage_calls, report.storage_calls, "{round}");
        assert_eq!(forecast.pipelines, report.pipelines, "{round}");
        rig.fake.with(|world| {
            let project = world.projects()[0];
            done(world, project);
            let failed = world.jobs_of(world.pipelines_of(project)[0])[0];
            let again = world.retry_job(failed);
            run(world, again);
        });
        rig.fake.reset_counters();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_forecast_counts_once_what_both_listings_show_and_what_none_shows() {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let mut world = world();
    let project = world.add_project("group/app");
    let old = [(); 3].map(|()| {
        let pipeline = world.add_pipeline(project, PipelineSpec::default());
        let job = world.add_job(pipeline, JobSpec::new("unit"));
        world.start_job(job);
        (pipeline, job)
    });
    let rig = Rig::with(world, Options { children_in_plain: true, ..Options::default() });
    rig.backfill("cistern.db").await;
    rig.fake.with(|world| {
        let then = world.now();
        run(world, old[0].1);
        world.set_updated_at(old[0].0, then);
        world.delete_pipeline(old[1].0);
        world.advance(10 * DAY);
        let (parent, _) = done(world, project);
        for number in 0..4 {
            let child = world.add_child_pipeline(parent, &format!("child {number}"), PipelineSpec::default());
            let job = world.add_job(child, JobSpec::new("inner"));
            run(world, job);
        }
    });
    let forecast = rig.forecast_since("cistern.db", 5 * DAY).await;
    assert_eq!((forecast.pipelines, forecast.logs, forecast.gone), (5 + 3, 6, 1));
    let report = rig.pass("cistern.db", Extent::Full(5 * DAY)).await;
    assert!(report.is_clean(), "{:?}", report.failures);
    assert_eq!((forecast.pipelines, forecast.gitlab_calls), (report.pipelines, report.gitlab_calls));
}
