//! Listings longer than a page, whose rows move while they are read.

use std::time::Duration;

use cistern::demo::fake::{Boundary, Endpoint, Fault, FaultKind, Options, PipelineSpec, World};
use cistern::domain::{PipelineId, ProjectId};
use cistern::reconcile::Extent;

use super::{done, run, world};
use crate::rig::{Rig, until};

/// Pipelines without jobs: cheap, and enough to be listed.
fn bare(world: &mut World, project: ProjectId, count: usize) -> Vec<PipelineId> {
    let add = |_| {
        let pipeline = world.add_pipeline(project, PipelineSpec::default());
        world.set_pipeline_status(pipeline, "success");
        pipeline
    };
    (0..count).map(add).collect()
}

/// Compares with a backfill of another store file.
async fn assert_complete(rig: &Rig) {
    rig.backfill("fresh.db").await;
    let differences = rig.cache("cistern.db").await.differences(&rig.cache("fresh.db").await);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_move_while_pages_are_read_are_not_missed() {
    for (boundary, count) in [(Boundary::Inclusive, 150), (Boundary::Inclusive, 250), (Boundary::Exclusive, 250)] {
        let mut world = world();
        let project = world.add_project("group/app");
        let pipelines = bare(&mut world, project, count);
        let rig = Rig::with(world, Options { updated_after: boundary, ..Options::default() });
        // The first question of each listing is answered, the next one has to wait: meanwhile rows move.
        let wait = FaultKind::Throttled { retry_after_secs: 1 };
        rig.fake.inject(Fault::new(wait).on(Endpoint::Pipelines).skip(2).times(1));
        let (_, report) = tokio::join!(
            async {
                until(|| rig.fake.requests().of(Endpoint::Pipelines) >= 3).await;
                rig.fake.with(|world| {
                    world.advance(Duration::from_secs(5));
                    // Read, the last one read, not read yet, the very last.
                    for index in [10, 99, 100, 140, count - 1] {
                        world.set_pipeline_status(pipelines[index], "failed");
                    }
                });
            },
            rig.backfill("cistern.db")
        );
        assert!(report.is_clean(), "{:?}", report.failures);
        assert_eq!(rig.cache("cistern.db").await.pipelines.len(), count, "{boundary:?}");
        assert_complete(&rig).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_changes_while_the_other_listing_is_read_is_found_by_the_next_pass() {
    let mut world = world();
    let project = world.add_project("group/app");
    let pipelines = bare(&mut world, project, 150);
    let rig = Rig::new(world);
    let wait = FaultKind::Throttled { retry_after_secs: 1 };
    rig.fake.inject(Fault::new(wait).on(Endpoint::Pipelines).skip(2).times(1));
    tokio::join!(
        async {
            until(|| rig.fake.requests().of(Endpoint::Pipelines) >= 3).await;
            rig.fake.with(|world| {
                let child = world.add_child_pipeline(pipelines[0], "child", PipelineSpec::default());
                let job = world.add_job(child, cistern::demo::fake::JobSpec::new("inner"));
                run(world, job);
                world.advance(Duration::from_secs(3600));
                world.touch(pipelines[1]);
            });
        },
        rig.backfill("cistern.db")
    );
    rig.pass("cistern.db", Extent::Due).await;
    assert_complete(&rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_that_fills_pages_is_read_to_its_end() {
    for boundary in [Boundary::Inclusive, Boundary::Exclusive] {
        let mut world = world();
        let project = world.add_project("group/app");
        let pipelines = bare(&mut world, project, 330);
        let at = world.now();
        for pipeline in &pipelines[40..290] {
            world.set_updated_at(*pipeline, at);
        }
        world.advance(Duration::from_secs(1));
        for pipeline in &pipelines[290..] {
            world.touch(*pipeline);
        }
        let rig = Rig::with(world, Options { updated_after: boundary, ..Options::default() });
        let report = rig.backfill("cistern.db").await;
        assert_eq!(report.pipelines, 330, "{boundary:?}");
        assert_eq!(rig.cache("cistern.db").await.pipelines.len(), 330, "{boundary:?}");
        rig.fake.reset_counters();
        assert_eq!(rig.backfill("cistern.db").await.pipelines, 0, "{boundary:?}");
        assert_eq!(rig.fake.requests().of(Endpoint::PipelineJobs), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_full_pages_are_read_to_the_end() {
    for count in [100, 101] {
        let mut world = world();
        let project = world.add_project("group/app");
        bare(&mut world, project, count);
        let rig = Rig::new(world);
        rig.backfill("cistern.db").await;
        assert_eq!(rig.cache("cistern.db").await.pipelines.len(), count);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_after_the_listing_is_found_by_the_next_pass() {
    let mut world = world();
    let project = world.add_project("group/app");
    done(&mut world, project);
    let late = done(&mut world, project).0;
    let rig = Rig::new(world);
    // The listing is read; the jobs' listing of a pipeline has to wait until its pipeline went on.
    let wait = FaultKind::Throttled { retry_after_secs: 1 };
    rig.fake.inject(Fault::new(wait).on(Endpoint::PipelineJobs).times(1));
    tokio::join!(
        async {
            until(|| rig.fake.requests().of(Endpoint::PipelineJobs) >= 1).await;
            rig.fake.with(|world| {
                world.advance(Duration::from_secs(5));
                let job = world.add_job(late, cistern::demo::fake::JobSpec::new("late"));
                run(world, job);
            });
        },
        rig.backfill("cistern.db")
    );
    rig.pass("cistern.db", Extent::Due).await;
    assert_complete(&rig).await;
}
