//! Test reports and their summaries (design, section 4.4).

use std::time::Duration;

use cistern::demo::fake::{Endpoint, JobSpec, Junit, Options, PipelineSpec, World};
use cistern::domain::{JobId, Piece, PipelineId, ProjectId, Timestamp};
use serde_json::Value;

use crate::rig::{Rig, eventually};

const STORE: &str = "cistern.db";

struct Pipeline {
    rig: Rig,
    project: ProjectId,
    pipeline: PipelineId,
    jobs: Vec<JobId>,
}

/// A pipeline of jobs with so many test cases each, not started yet.
fn pipeline(cases: &[(&str, Option<Junit>)]) -> Pipeline {
    pipeline_on(cases, Options::default())
}

fn pipeline_on(cases: &[(&str, Option<Junit>)], options: Options) -> Pipeline {
    let mut world = World::at(Timestamp::from_millis(Timestamp::now().as_millis() / 1000 * 1000));
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let add = |(name, junit): &(&str, Option<Junit>)| {
        let mut spec = JobSpec::new(name);
        spec.junit.clone_from(junit);
        world.add_job(pipeline, spec)
    };
    let jobs = cases.iter().map(add).collect();
    Pipeline { rig: Rig::with(world, options), project, pipeline, jobs }
}

impl Pipeline {
    fn run(&self, index: usize) {
        run(&self.rig, self.jobs[index]);
    }

    fn run_all(&self) {
        (0..self.jobs.len()).for_each(|index| self.run(index));
    }

    async fn backfill(&self) -> (Piece, Option<Value>) {
        let report = self.rig.backfill(STORE).await;
        assert!(report.is_clean(), "{:?}", report.failures);
        let view = self.rig.view(STORE).await;
        let piece = view.pipeline(self.project, self.pipeline).await.report.piece;
        let found = (piece, view.report(self.project, self.pipeline).await);
        view.close().await;
        found
    }

    fn calls(&self) -> (u64, u64) {
        let requests = self.rig.fake.requests();
        (requests.of(Endpoint::TestReport), requests.of(Endpoint::TestReportSummary))
    }
}

fn run(rig: &Rig, job: JobId) {
    rig.fake.with(|world| {
        world.start_job(job);
        world.finish_job(job, "success");
        world.archive_trace(job);
        world.advance(Duration::from_secs(1));
    });
}

fn total((_, report): &(Piece, Option<Value>)) -> u64 {
    report.as_ref().and_then(|report| report["total_count"].as_u64()).expect("a report")
}

fn junit(count: u32) -> Option<Junit> {
    Some(Junit::generated(count, 1, u64::from(count)))
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_jobs_are_one_suite_and_a_broken_file_is_an_error_of_its_suite() {
    let pipeline =
        pipeline(&[("rspec 1/2", junit(3)), ("rspec 2/2", junit(4)), ("e2e", Some(Junit::broken("bad XML")))]);
    pipeline.run_all();
    let found = pipeline.backfill().await;
    assert_eq!((found.0, total(&found)), (Piece::Whole, 7));
    let suites = found.1.as_ref().expect("a report")["test_suites"].as_array().expect("suites").clone();
    let suites: Vec<_> = suites.iter().map(|suite| (suite["name"].clone(), suite["suite_error"].clone())).collect();
    assert_eq!(suites, [("rspec".into(), Value::Null), ("e2e".into(), "bad XML".into())]);
    assert_eq!(pipeline.calls(), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_waits_until_no_job_is_active() {
    let pipeline = pipeline(&[("unit", junit(3)), ("later", junit(4))]);
    pipeline.run(0);
    assert_eq!(total(&pipeline.backfill().await), 0);
    assert_eq!(pipeline.calls(), (0, 0));
    pipeline.run(1);
    assert_eq!(total(&pipeline.backfill().await), 7);
    assert_eq!(pipeline.calls(), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_report_is_asked_for_again_and_replaced() {
    let pipeline = pipeline(&[("unit", junit(3)), ("later", junit(4))]);
    pipeline.run(0);
    ask(&pipeline).await;
    pipeline.run(1);
    let stale = pipeline.backfill().await;
    assert_eq!((stale.0, total(&stale)), (Piece::Live, 3), "its summary counts more");
    pipeline.rig.fake.with(|world| world.advance(Duration::from_secs(130)));
    let fresh = pipeline.backfill().await;
    assert_eq!((fresh.0, total(&fresh)), (Piece::Whole, 7));
    let calls = pipeline.calls();
    pipeline.backfill().await;
    assert_eq!(pipeline.calls(), calls, "a whole one is not asked for again");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_asks_for_a_stale_report_again_by_itself() {
    let Pipeline { rig, project, pipeline, jobs } = pipeline(&[("unit", junit(3)), ("later", junit(4))]);
    let rig = rig.set("schedule.scale", "0.005");
    let serving = rig.serve(STORE).await;
    let pipeline = Pipeline { rig, project, pipeline, jobs };
    pipeline.run(0);
    ask(&pipeline).await;
    pipeline.run(1);
    serving.deliver(&pipeline.rig.fake.pipeline_event(pipeline.pipeline).expect("an event")).await;
    let path = format!("/api/v4/projects/{}/pipelines/{}/test_report", pipeline.project, pipeline.pipeline);
    serving.until(|| pipeline.calls().1 >= 1).await;
    pipeline.rig.fake.with(|world| world.advance(Duration::from_secs(130)));
    let whole = async || serving.get(&path).await.status == 200 && serving.json(&path).await["total_count"] == 7;
    eventually(whole).await;
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_whose_counts_never_agree_is_asked_for_three_times() {
    // GitLab's cache never ends.
    let options = Options { report_cache: Duration::from_secs(3600), ..Options::default() };
    let pipeline = pipeline_on(&[("unit", junit(3)), ("later", junit(4))], options);
    pipeline.run(0);
    ask(&pipeline).await;
    pipeline.run(1);
    let asked = pipeline.calls().0;
    for (looks, piece) in [(1, Piece::Live), (2, Piece::Live), (3, Piece::Whole), (3, Piece::Whole)] {
        let found = pipeline.backfill().await;
        assert_eq!((found.0, total(&found), pipeline.calls()), (piece, 3, (asked + looks, looks)));
        pipeline.rig.fake.with(|world| world.advance(Duration::from_secs(130)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retried_job_replaces_the_report() {
    let pipeline = pipeline(&[("unit", junit(3)), ("other", junit(4))]);
    pipeline.run_all();
    let before = pipeline.backfill().await;
    pipeline.rig.fake.with(|world| world.advance(Duration::from_secs(130)));
    let again = pipeline.rig.fake.with(|world| world.retry_job(pipeline.jobs[0]));
    run(&pipeline.rig, again);
    let after = pipeline.backfill().await;
    assert_eq!((total(&before), total(&after), after.0), (7, 7, Piece::Whole));
    assert_eq!(pipeline.calls(), (2, 2));
    let view = pipeline.rig.view(STORE).await;
    let row = view.pipeline(pipeline.project, pipeline.pipeline).await;
    assert_eq!(row.report.build_ids, vec![pipeline.jobs[1], again]);
    assert!(row.report.summary.is_some_and(|summary| summary.contains(&again.to_string())));
    view.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_never_replaced_by_what_expiry_left_of_it() {
    let pipeline = pipeline(&[("unit", junit(3)), ("other", junit(4))]);
    pipeline.run_all();
    let before = pipeline.backfill().await;
    for job in &pipeline.jobs {
        pipeline.rig.fake.with(|world| {
            world.advance(Duration::from_secs(130));
            world.expire_artifacts(*job);
            world.touch(pipeline.pipeline);
        });
        assert_eq!(pipeline.backfill().await, before);
    }
    assert_eq!(pipeline.calls(), (1, 1), "nothing changed about its attempts");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_junit_gitlab_s_zeros_are_served_without_a_call() {
    let pipeline = pipeline(&[("unit", None)]);
    pipeline.run_all();
    let (piece, report) = pipeline.backfill().await;
    assert_eq!((piece, pipeline.calls()), (Piece::Whole, (0, 0)));
    assert_eq!(report, Some(ask(&pipeline).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_above_the_limit_is_recorded() {
    let Pipeline { rig, project, pipeline, jobs } = pipeline(&[("unit", junit(60))]);
    let pipeline = Pipeline { rig: rig.set("limits.report_size", "2KiB"), project, pipeline, jobs };
    pipeline.run_all();
    let (piece, report) = pipeline.backfill().await;
    assert_eq!((piece.as_str(), report), ("too_large", None));
    pipeline.backfill().await;
    assert_eq!(pipeline.calls().0, 1);
    assert_eq!(pipeline.rig.gaps(STORE).await, Vec::new());
}

/// Asks GitLab itself for the report, as somebody who watches the pipeline does.
async fn ask(pipeline: &Pipeline) -> Value {
    let path = format!("/api/v4/projects/{}/pipelines/{}/test_report", pipeline.project, pipeline.pipeline);
    pipeline.rig.ask_gitlab(&path).await
}
