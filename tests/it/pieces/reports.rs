//! A report and its summary are two pieces: files expire, the report shrinks, the summary stays; and GitLab may fail to make the one
//! while it answers the other.

use std::time::Duration;

use cistern::demo::fake::{Endpoint, Fault, FaultKind, JobSpec, Junit, Options, PipelineSpec, World};
use cistern::domain::{JobId, Piece, PipelineId, ProjectId, Reason, ReportRecord, Timestamp};
use serde_json::Value;

use super::STORE;
use crate::rig::{Engine, Rig, Sent, on_both};

struct Tested {
    rig: Rig,
    project: ProjectId,
    pipeline: PipelineId,
    jobs: Vec<JobId>,
}

fn unit(name: &str, cases: u32) -> JobSpec {
    JobSpec::new(name).junit(Junit::generated(cases, 0, u64::from(cases)))
}

/// A pipeline whose jobs ended 10 min ago, by GitLab's clock, which stands.
fn tested(engine: Engine, jobs: Vec<JobSpec>) -> Tested {
    let mut world = World::at(Timestamp::from_millis(Timestamp::now().as_millis() / 1000 * 1000));
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let jobs: Vec<JobId> = jobs.into_iter().map(|spec| world.add_job(pipeline, spec)).collect();
    for job in &jobs {
        world.start_job(*job);
        world.finish_job(*job, "success");
        world.archive_trace(*job);
    }
    world.advance(Duration::from_secs(600));
    Tested { rig: Rig::with(world, Options::default()).on(engine), project, pipeline, jobs }
}

impl Tested {
    /// Runs a full pass that has to be clean and returns what is held.
    async fn look(&self) -> ReportRecord {
        let report = self.rig.backfill(STORE).await;
        assert!(report.is_clean(), "{:?}", report.failures);
        self.held().await
    }

    async fn held(&self) -> ReportRecord {
        let view = self.rig.view(STORE).await;
        let held = view.pipeline(self.project, self.pipeline).await.report;
        view.close().await;
        held
    }

    /// Reads below the pipeline.
    async fn read(&self, what: &str) -> Sent {
        self.read_at(&format!("/api/v4/projects/{}/pipelines/{}/{what}", self.project, self.pipeline)).await
    }

    async fn read_at(&self, path: &str) -> Sent {
        let view = self.rig.view(STORE).await;
        let answer = view.ask(path).await;
        view.close().await;
        answer
    }

    async fn completeness(&self) -> Value {
        let path = format!("/api/cistern/v1/projects/{}/pipelines/{}/completeness", self.project, self.pipeline);
        self.read_at(&path).await.json()
    }

    fn expire(&self, job: usize) {
        self.rig.fake.with(|world| {
            world.expire_artifacts(self.jobs[job]);
            world.advance(Duration::from_secs(1));
        });
    }

    /// Asks for nothing new, and says how often report and summary were asked for since the last time.
    fn calls(&self) -> (u64, u64) {
        let requests = self.rig.fake.requests();
        self.rig.fake.reset_counters();
        (requests.of(Endpoint::TestReport), requests.of(Endpoint::TestReportSummary))
    }

    /// Asserts that nothing is missed and that the next full pass asks for neither.
    async fn settled(&self) {
        assert_eq!(self.rig.gaps(STORE).await, Vec::new());
        self.calls();
        self.look().await;
        assert_eq!(self.calls(), (0, 0));
    }
}

async fn a_report_that_expired_before_the_first_look_keeps_gitlab_s_counts(engine: Engine) {
    let tested = tested(engine, vec![unit("unit", 150)]);
    tested.expire(0);
    let held = tested.look().await;
    assert_eq!((held.piece, held.summary_piece), (Piece::Absent(Reason::Expired), Piece::Whole));
    assert_eq!(tested.calls(), (0, 1), "what GitLab no longer has is not asked for");
    let summary = tested.read("test_report_summary").await;
    assert_eq!((summary.status, &summary.json()["total"]["count"]), (200, &150.into()));
    let report = tested.read("test_report").await;
    assert_eq!((report.status, report.header("x-cistern-reason")), (404, "expired"), "no false zeros");
    let told = tested.completeness().await;
    assert_eq!((&told["report"], &told["summary"]), (&"expired".into(), &"whole".into()));
    assert_eq!(told["complete"], true);
    let job = format!("/api/cistern/v1/projects/{}/jobs/{}/test_report", tested.project, tested.jobs[0]);
    let of_job = tested.read_at(&job).await;
    assert_eq!((of_job.status, of_job.header("x-cistern-reason")), (404, "expired"));
    tested.settled().await;
}

async fn artifacts_that_expired_without_junit_cost_one_summary_and_are_zeros(engine: Engine) {
    let archive = cistern::demo::fake::Archive::zip([("out.txt", &b"out"[..])]).expect("a zip");
    let tested = tested(engine, vec![JobSpec::new("unit").archive(archive)]);
    tested.expire(0);
    let held = tested.look().await;
    assert_eq!((held.piece, held.summary_piece, tested.calls()), (Piece::Whole, Piece::Whole, (0, 1)));
    let report = tested.read("test_report").await;
    assert_eq!((report.status, &report.json()["total_count"]), (200, &0.into()));
    tested.settled().await;
}

async fn artifacts_that_expire_after_they_were_seen_cost_no_summary(engine: Engine) {
    let archive = cistern::demo::fake::Archive::zip([("out.txt", &b"out"[..])]).expect("a zip");
    let tested = tested(engine, vec![JobSpec::new("unit").archive(archive)]);
    tested.look().await;
    assert_eq!(tested.calls(), (0, 0));
    tested.expire(0);
    tested.rig.fake.with(|world| world.touch(tested.pipeline));
    assert_eq!(tested.look().await.piece, Piece::Whole);
    assert_eq!(tested.calls(), (0, 0));
}

async fn what_is_left_of_a_partly_expired_report_is_final_at_once(engine: Engine) {
    for erased in [false, true] {
        let tested =
            tested(engine, vec![unit("unit", 1), unit("other", 9), unit("rspec 1/2", 4), unit("rspec 2/2", 5)]);
        tested.expire(1);
        match erased {
            true => tested.rig.fake.with(|world| world.erase_job(tested.jobs[3])),
            false => tested.expire(3),
        }
        let held = tested.look().await;
        assert_eq!((held.piece, held.total_count, held.summary_piece), (Piece::Whole, 5, Piece::Whole));
        assert_eq!(tested.calls(), (1, 1));
        let summary = tested.read("test_report_summary").await.json();
        assert_eq!(summary["total"]["count"], 19);
        let gone = format!("/api/cistern/v1/projects/{}/jobs/{}/test_report", tested.project, tested.jobs[1]);
        assert_eq!(tested.read_at(&gone).await.header("x-cistern-reason"), "expired");
        tested.settled().await;
    }
}

async fn a_report_that_gitlab_fails_to_make_is_asked_for_once_a_pass_and_its_summary_kept(engine: Engine) {
    let tested = tested(engine, vec![unit("unit", 150)]);
    tested.rig.fake.inject(Fault::new(FaultKind::ServerError).on(Endpoint::TestReport));
    for pass in 1..=2 {
        let report = tested.rig.backfill(STORE).await;
        assert_eq!((report.failed, report.failures[0].again), (1, false), "pass {pass}: {:?}", report.failures);
        assert!(report.failures[0].problem.contains("could not make the test report"), "{:?}", report.failures);
        assert_eq!(tested.calls(), (1, u64::from(pass == 1)), "pass {pass}");
        let held = tested.held().await;
        assert_eq!((held.piece, held.summary_piece), (Piece::Absent(Reason::Failed), Piece::Whole));
        let summary = tested.read("test_report_summary").await;
        assert_eq!((summary.status, &summary.json()["total"]["count"]), (200, &150.into()));
        let report = tested.read("test_report").await;
        assert_eq!((report.status, report.header("x-cistern-reason")), (404, "failed"));
        let gaps = tested.rig.gaps(STORE).await;
        assert_eq!(gaps.iter().map(|gap| (gap.kind, gap.state.as_str())).collect::<Vec<_>>(), [("report", "failed")]);
        assert!(gaps[0].problem.as_deref().unwrap_or_default().contains("test report"), "{gaps:?}");
        let told = tested.completeness().await;
        assert_eq!((&told["report"], &told["summary"]), (&"failed".into(), &"whole".into()));
        assert_eq!(told["failures"][0]["kind"], "report");
        assert!(told["waiting"][0]["next_try"].is_string(), "{told}");
        tested.calls();
    }
    // An incremental pass leaves it alone.
    tested.rig.pass(STORE, cistern::reconcile::Extent::Due).await;
    assert_eq!(tested.calls(), (0, 0));
    tested.rig.fake.clear_faults();
    let held = tested.look().await;
    assert_eq!((held.piece, held.total_count), (Piece::Whole, 150));
    assert_eq!(tested.rig.gaps(STORE).await, Vec::new());
}

async fn the_service_asks_for_a_failed_report_with_growing_distance(engine: Engine) {
    let Tested { rig, project, pipeline, jobs } = tested(engine, vec![unit("unit", 3)]);
    rig.fake.inject(Fault::new(FaultKind::HtmlStatus(504)).on(Endpoint::TestReport).times(3));
    // 130 s are 130 ms: the looks come after 130, 520 and 2080 ms.
    let tested = Tested { rig: rig.set("schedule.scale", "0.001"), project, pipeline, jobs };
    let serving = tested.rig.serve(STORE).await;
    let path = format!("/api/v4/projects/{project}/pipelines/{pipeline}/test_report");
    crate::rig::eventually(async || serving.get(&path).await.status == 200).await;
    serving.stop().await;
    assert_eq!(tested.calls(), (4, 1));
    assert_eq!(tested.held().await.piece, Piece::Whole);
    assert_eq!(tested.rig.gaps(STORE).await, Vec::new());
}

async fn where_not_even_the_summary_is_answered_the_report_is_not_asked_for(engine: Engine) {
    let Tested { rig, project, pipeline, jobs } = tested(engine, vec![unit("unit", 3)]);
    rig.fake.inject(Fault::new(FaultKind::HtmlStatus(502)).on(Endpoint::TestReportSummary).times(2));
    let tested = Tested { rig: rig.set("schedule.scale", "0.001"), project, pipeline, jobs };
    assert_eq!(tested.look().await.piece, Piece::Whole);
    assert_eq!(tested.calls(), (1, 3));
}

async fn a_report_above_the_limit_keeps_its_summary(engine: Engine) {
    let Tested { rig, project, pipeline, jobs } = tested(engine, vec![unit("unit", 60)]);
    let tested = Tested { rig: rig.set("limits.report_size", "2KiB"), project, pipeline, jobs };
    let held = tested.look().await;
    assert_eq!((held.piece, held.summary_piece), (Piece::Absent(Reason::TooLarge), Piece::Whole));
    assert_eq!(tested.read("test_report_summary").await.json()["total"]["count"], 60);
    tested.calls();
    tested.settled().await;
}

async fn a_newer_report_that_expired_takes_the_place_of_the_former_attempt_s(engine: Engine) {
    let tested = tested(engine, vec![unit("unit", 3)]);
    assert_eq!(tested.look().await.total_count, 3);
    tested.rig.fake.with(|world| {
        let again = world.retry_job(tested.jobs[0]);
        world.start_job(again);
        world.finish_job(again, "success");
        world.archive_trace(again);
        world.advance(Duration::from_secs(600));
        world.expire_artifacts(again);
        world.advance(Duration::from_secs(1));
    });
    let held = tested.look().await;
    assert_eq!((held.piece, held.summary_piece), (Piece::Absent(Reason::Expired), Piece::Whole));
    tested.settled().await;
}

async fn zeros_that_an_earlier_version_told_of_expired_files_are_looked_at_again(engine: Engine) {
    let tested = tested(engine, vec![unit("unit", 150)]);
    tested.expire(0);
    tested.look().await;
    let behind = tested.rig.behind(STORE).await;
    behind.take_report_for_zeros(tested.pipeline).await;
    behind.make_older().await;
    assert_eq!(tested.held().await.summary_piece, Piece::Missing);
    let held = tested.look().await;
    assert_eq!((held.piece, held.summary_piece), (Piece::Absent(Reason::Expired), Piece::Whole));
    tested.settled().await;
}

async fn a_report_that_an_earlier_version_found_too_large_gets_its_summary(engine: Engine) {
    let Tested { rig, project, pipeline, jobs } = tested(engine, vec![unit("unit", 60)]);
    let tested = Tested { rig: rig.set("limits.report_size", "2KiB"), project, pipeline, jobs };
    tested.look().await;
    let behind = tested.rig.behind(STORE).await;
    behind.lose_summary(tested.pipeline).await;
    behind.make_older().await;
    let held = tested.look().await;
    assert_eq!((held.piece, held.summary_piece), (Piece::Absent(Reason::TooLarge), Piece::Whole));
    tested.settled().await;
}

on_both! {
    a_report_that_expired_before_the_first_look_keeps_gitlab_s_counts;
    artifacts_that_expired_without_junit_cost_one_summary_and_are_zeros;
    artifacts_that_expire_after_they_were_seen_cost_no_summary;
    what_is_left_of_a_partly_expired_report_is_final_at_once;
    a_report_that_gitlab_fails_to_make_is_asked_for_once_a_pass_and_its_summary_kept;
    the_service_asks_for_a_failed_report_with_growing_distance;
    where_not_even_the_summary_is_answered_the_report_is_not_asked_for;
    a_report_above_the_limit_keeps_its_summary;
    a_newer_report_that_expired_takes_the_place_of_the_former_attempt_s;
    zeros_that_an_earlier_version_told_of_expired_files_are_looked_at_again;
    a_report_that_an_earlier_version_found_too_large_gets_its_summary;
}
