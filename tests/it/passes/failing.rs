//! What fails, what waits, and who tries again.

use std::time::{Duration, Instant};

use cistern::demo::fake::{Archive, Endpoint, Fault, FaultKind, JobSpec, Junit, PipelineSpec};
use cistern::reconcile::Extent;

use super::{done, run, world};
use crate::rig::Rig;

#[tokio::test(flavor = "multi_thread")]
async fn a_full_pass_offers_what_failed_once_more_and_an_incremental_one_does_not() {
    let mut world = world();
    let project = world.add_project("group/app");
    let (_, job) = done(&mut world, project);
    let rig = Rig::new(world);
    // 406 is no status that waiting could heal.
    rig.fake.inject(Fault::new(FaultKind::HtmlStatus(406)).on(Endpoint::Trace));
    let report = rig.backfill("cistern.db").await;
    assert_eq!((report.failed, report.postponed), (1, 0));
    assert!(!report.failures[0].again && report.failures[0].what.contains(&job.to_string()), "{:?}", report.failures);

    rig.fake.reset_counters();
    assert!(rig.pass("cistern.db", Extent::Due).await.is_clean());
    assert_eq!(rig.fake.requests().of(Endpoint::Trace), 0, "failed is failed");
    let gaps = rig.gaps("cistern.db").await;
    assert_eq!(gaps.iter().map(|gap| (gap.job, gap.kind)).collect::<Vec<_>>(), vec![(Some(job), "log")]);

    rig.fake.reset_counters();
    assert_eq!(rig.backfill("cistern.db").await.failed, 1);
    assert_eq!(rig.fake.requests().of(Endpoint::Trace), 1, "once");

    rig.fake.clear_faults();
    assert!(rig.backfill("cistern.db").await.is_clean());
    assert_eq!(rig.gaps("cistern.db").await, Vec::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gitlab_cannot_answer_now_is_tried_five_times_and_then_waits_in_the_journal() {
    let mut world = world();
    let project = world.add_project("group/app");
    done(&mut world, project);
    let (_, job) = done(&mut world, project);
    let rig = Rig::new(world).set("schedule.scale", "0.001");
    rig.fake.inject(Fault::new(FaultKind::HtmlStatus(502)).on(Endpoint::Trace).subject(job.0));
    let report = rig.backfill("cistern.db").await;
    assert_eq!((report.postponed, report.failed), (1, 0));
    assert!(report.failures[0].again, "{:?}", report.failures);
    assert!(rig.fake.requests().of(Endpoint::Trace) > 5, "one of the other job, five of this one");
    assert_eq!(rig.behind("cistern.db").await.entries().await, 1);

    rig.fake.clear_faults();
    assert!(rig.backfill("cistern.db").await.is_clean());
    assert_eq!(rig.gaps("cistern.db").await, Vec::new());
    assert_eq!(rig.behind("cistern.db").await.entries().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_failure_never_stops_the_rest() {
    let mut world = world();
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let archive = Archive::zip([("out.txt", &b"out"[..])]).expect("a zip");
    let jobs: Vec<_> = (0..6)
        .map(|number| {
            let job = world.add_job(pipeline, JobSpec::new(&format!("job {number}")).archive(archive.clone()));
            run(&mut world, job);
            job
        })
        .collect();
    let rig = Rig::new(world).set("schedule.scale", "0.001");
    rig.fake.inject(Fault::new(FaultKind::ServerError).on(Endpoint::Trace).subject(jobs[0].0));
    rig.fake.inject(Fault::new(FaultKind::ServerError).on(Endpoint::Artifacts).subject(jobs[1].0));
    rig.backfill("cistern.db").await;
    let view = rig.view("cistern.db").await;
    for (index, job) in jobs.iter().enumerate() {
        let row = view.job(project, *job).await;
        assert_eq!(row.log.piece.as_str(), if index == 0 { "missing" } else { "whole" }, "{index}");
        assert_eq!(row.archive.piece.as_str(), if index == 1 { "missing" } else { "whole" }, "{index}");
    }
    view.close().await;
    rig.fake.clear_faults();
    assert!(rig.backfill("cistern.db").await.is_clean());
    assert_eq!(rig.gaps("cistern.db").await, Vec::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_row_that_cannot_be_read_loses_that_row_only_and_is_told() {
    let mut world = world();
    let project = world.add_project("group/app");
    let (_, job) = done(&mut world, project);
    let rig = Rig::new(world);
    rig.fake.inject(Fault::new(FaultKind::MalformedRow).on(Endpoint::PipelineJobs));
    let report = rig.backfill("cistern.db").await;
    assert!(!report.is_clean(), "what was not readable is told");
    let view = rig.view("cistern.db").await;
    assert_eq!(Some(view.log(project, job).await), rig.fake.with(|world| world.trace(job)).map(Vec::from));
    view.close().await;
    rig.fake.clear_faults();
    assert!(rig.backfill("cistern.db").await.is_clean());
    assert_eq!(rig.gaps("cistern.db").await, Vec::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_no_json_are_not_believed_and_heal() {
    for kind in [FaultKind::LoginPage, FaultKind::BrokenJson, FaultKind::HtmlStatus(503), FaultKind::CloseBeforeHead] {
        let mut world = world();
        let project = world.add_project("group/app");
        done(&mut world, project);
        let rig = Rig::new(world).set("schedule.scale", "0.001");
        for endpoint in [Endpoint::Projects, Endpoint::Pipelines, Endpoint::PipelineJobs, Endpoint::Trace] {
            rig.fake.inject(Fault::new(kind.clone()).on(endpoint).times(2));
        }
        let report = rig.backfill("cistern.db").await;
        assert!(report.is_clean(), "{kind:?}: {:?}", report.failures);
        assert_eq!(rig.gaps("cistern.db").await, Vec::new(), "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_failure_of_what_is_no_longer_there_is_no_gap() {
    let mut world = world();
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let archive = Archive::zip([("out.txt", &b"out"[..])]).expect("a zip");
    let job = world.add_job(pipeline, JobSpec::new("unit").archive(archive).junit(Junit::generated(3, 0, 1)));
    run(&mut world, job);
    let rig = Rig::new(world);
    rig.fake.inject(Fault::new(FaultKind::HtmlStatus(406)).on(Endpoint::Artifacts));
    rig.fake.inject(Fault::new(FaultKind::HtmlStatus(406)).on(Endpoint::TestReport));
    assert_eq!(rig.backfill("cistern.db").await.failed, 2);
    let kinds: Vec<_> = rig.gaps("cistern.db").await.into_iter().map(|gap| gap.kind).collect();
    assert_eq!(kinds, ["report", "archive"]);

    // The archive expires, and the pipeline goes on: there will be another report.
    let again = rig.fake.with(|world| {
        world.expire_artifacts(job);
        let again = world.retry_job(job);
        world.start_job(again);
        world.advance(Duration::from_secs(1));
        again
    });
    let report = rig.pass("cistern.db", Extent::Due).await;
    assert!(report.is_clean(), "{:?}", report.failures);
    assert_eq!(rig.gaps("cistern.db").await, Vec::new());

    rig.fake.clear_faults();
    rig.fake.with(|world| {
        world.finish_job(again, "success");
        world.archive_trace(again);
    });
    let report = rig.pass("cistern.db", Extent::Due).await;
    assert!(report.is_clean(), "{:?}", report.failures);
    assert_eq!(rig.gaps("cistern.db").await, Vec::new());
    let view = rig.view("cistern.db").await;
    assert_eq!(view.report(project, pipeline).await.expect("a report")["total_count"], 3);
    view.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_failure_of_what_was_never_stored_and_is_gone_ends_with_a_full_pass() {
    let mut world = world();
    let project = world.add_project("group/app");
    let rig = Rig::new(world);
    let serving = rig.serve("cistern.db").await;
    let (pipeline, job) = rig.fake.with(|world| done(world, project));
    rig.fake.inject(Fault::new(FaultKind::MalformedRow).on(Endpoint::Pipeline));
    rig.fake.inject(Fault::new(FaultKind::MalformedRow).on(Endpoint::Job));
    for event in [rig.fake.pipeline_event(pipeline), rig.fake.job_event(job)] {
        serving.deliver(&event.expect("an event")).await;
    }
    serving.idle().await;
    serving.stop().await;
    let kinds: Vec<_> = rig.gaps("cistern.db").await.into_iter().map(|gap| gap.kind).collect();
    assert!(kinds.contains(&"job") && kinds.contains(&"pipeline"), "{kinds:?}");
    rig.fake.clear_faults();
    rig.fake.with(|world| world.delete_pipeline(pipeline));
    assert!(rig.backfill("cistern.db").await.is_clean());
    assert_eq!(rig.gaps("cistern.db").await, Vec::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_report_that_failed_is_a_gap_until_the_pipeline_goes_on() {
    let mut world = world();
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let job = world.add_job(pipeline, JobSpec::new("unit").junit(Junit::generated(3, 0, 1)));
    run(&mut world, job);
    let rig = Rig::new(world);
    assert!(rig.backfill("cistern.db").await.is_clean());
    let again = rig.fake.with(|world| {
        let again = world.retry_job(job);
        run(world, again);
        again
    });
    rig.fake.inject(Fault::new(FaultKind::HtmlStatus(406)).on(Endpoint::TestReport));
    assert_eq!(rig.pass("cistern.db", Extent::Due).await.failed, 1);
    assert_eq!(rig.gaps("cistern.db").await.len(), 1, "what is held is of the former attempt");
    rig.fake.with(|world| {
        let again = world.retry_job(again);
        world.start_job(again);
    });
    assert!(rig.pass("cistern.db", Extent::Due).await.is_clean());
    assert_eq!(rig.gaps("cistern.db").await, Vec::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_stray_401_among_good_answers_is_tried_again_within_seconds() {
    for endpoint in [Endpoint::PipelineJobs, Endpoint::Trace, Endpoint::Pipelines] {
        let mut world = world();
        let project = world.add_project("group/app");
        for _ in 0..3 {
            done(&mut world, project);
        }
        let rig = Rig::new(world);
        rig.fake.inject(Fault::new(FaultKind::Unauthorized).on(endpoint).times(1));
        let began = Instant::now();
        let report = rig.backfill("cistern.db").await;
        assert!(report.is_clean(), "{endpoint:?}: {:?}", report.failures);
        assert!(began.elapsed() < Duration::from_secs(10), "{endpoint:?}: {:?}", began.elapsed());
        assert_eq!(rig.fake.requests().of(Endpoint::Trace), 3 + u64::from(endpoint == Endpoint::Trace));
        assert_eq!(rig.gaps("cistern.db").await, Vec::new());
    }
}
