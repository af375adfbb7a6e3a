//! Histories that once broke the law, as they were printed after shrinking.

use cistern::demo::fake::{Endpoint, Fault, FaultKind};

use super::history::Fate::{self, *};
use super::history::Step;
use super::history::Verb::{self, *};
use super::{A_DAY_LATER, SOON, converges};

fn world(verb: Verb, which: u8, fate: Fate) -> Step {
    Step::World(verb, which, fate)
}

fn fault(kind: FaultKind, endpoint: Endpoint, times: u32) -> Step {
    Step::Fault(Fault::new(kind).on(endpoint).times(times))
}

/// What was held said that the report is whole, a backfill from empty that it is not: nine of ten tests had expired.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_a_report_is_final_whoever_asked_how_often() {
    let steps = vec![
        world(NewPipeline, 60, Lost),
        world(NewJob, 45, Late),
        world(Start, 3, Late),
        world(NewJob, 233, Delivered),
        world(NewJob, 254, Late),
        world(Start, 102, Delivered),
        world(Start, 131, Late),
        world(NewJob, 246, Lost),
        world(Succeed, 8, Lost),
        world(Succeed, 170, Doubled),
        world(Succeed, 193, Lost),
        world(Cancel, 181, Late),
        world(NewPipeline, 145, Late),
        world(Expire, 221, Late),
        world(NewJob, 75, Late),
        Step::Pass,
        world(Succeed, 149, Late),
    ];
    converges(steps, A_DAY_LATER).await.expect("converges");
}

/// What was held had the summary of three tests, a backfill from empty one of none: their JUnit expired before it looked.
#[tokio::test(flavor = "multi_thread")]
async fn the_summary_of_what_expired_is_asked_for() {
    let steps = vec![
        world(Archive, 117, Lost),
        world(NewJob, 59, Delivered),
        world(NewPipeline, 234, Delivered),
        fault(FaultKind::CloseBeforeHead, Endpoint::Pipeline, 2),
        Step::Settle,
        Step::Pass,
        world(Expire, 214, Lost),
        world(Archive, 165, Lost),
        world(NewChild, 157, Lost),
        world(Cancel, 90, Lost),
        world(WriteLog, 135, Late),
        world(NewJob, 49, Doubled),
        world(Expire, 202, Lost),
        world(Retry, 187, Late),
        fault(FaultKind::NotFound, Endpoint::Artifacts, 3),
        world(NewPipeline, 63, Delivered),
        world(NewJob, 29, Doubled),
        world(Play, 145, Late),
        world(Start, 207, Lost),
        world(Start, 72, Delivered),
        world(NewPipeline, 218, Lost),
        world(Succeed, 119, Delivered),
        world(Expire, 207, Delivered),
        world(Succeed, 120, Lost),
        world(Cancel, 171, Delivered),
        world(Start, 20, Delivered),
        world(Archive, 90, Delivered),
        fault(FaultKind::ServerError, Endpoint::Artifacts, 3),
        fault(FaultKind::HtmlStatus(502), Endpoint::TestReport, 2),
        world(Succeed, 162, Delivered),
        world(Move, 152, Delivered),
        world(Succeed, 11, Lost),
        world(Start, 181, Delivered),
        world(NewJob, 57, Delivered),
        world(Play, 125, Lost),
        Step::Settle,
        world(Succeed, 168, Delivered),
        Step::Settle,
        fault(FaultKind::NotFound, Endpoint::Job, 1),
        world(NewJob, 127, Late),
        fault(FaultKind::LoginPage, Endpoint::Storage, 2),
        world(NewPipeline, 248, Late),
        world(Erase, 4, Delivered),
        world(Start, 25, Late),
        world(Start, 144, Delivered),
        fault(FaultKind::ServerError, Endpoint::TestReport, 3),
        world(Fail, 52, Lost),
        world(Archive, 91, Lost),
        fault(FaultKind::Truncated { percent: 86 }, Endpoint::Pipelines, 1),
        world(Fail, 103, Late),
        Step::Settle,
        world(Start, 42, Lost),
        fault(FaultKind::BrokenJson, Endpoint::TestReportSummary, 2),
        world(Erase, 9, Delivered),
        world(Archive, 51, Doubled),
        Step::Settle,
        Step::Pass,
        world(WriteLog, 46, Delivered),
        world(NewJob, 58, Doubled),
        world(Succeed, 108, Late),
        world(Fail, 10, Delivered),
        world(NewJob, 62, Delivered),
        world(NewPipeline, 121, Doubled),
        world(WriteLog, 19, Doubled),
        fault(FaultKind::BrokenJson, Endpoint::Pipelines, 3),
        world(NewJob, 55, Lost),
        world(Play, 162, Lost),
        world(WriteLog, 200, Delivered),
    ];
    converges(steps, A_DAY_LATER).await.expect("converges");
}

/// Of three jobs of one name the first had the results, the last had none and expired: the made-up GitLab once counted the first,
/// as if it were not an older attempt.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_added_takes_the_place_of_one_of_its_name() {
    let steps = vec![
        world(NewPipeline, 68, Lost),
        world(NewJob, 241, Delivered),
        world(NewPipeline, 110, Lost),
        world(Cancel, 224, Delivered),
        world(Retry, 106, Lost),
        world(NewJob, 136, Lost),
        world(NewChild, 128, Late),
        world(Start, 240, Late),
        world(NewPipeline, 114, Delivered),
        world(DeletePipeline, 94, Delivered),
        world(Start, 94, Lost),
        world(NewPipeline, 64, Delivered),
        world(Succeed, 197, Lost),
        world(Retry, 245, Late),
        world(NewManualJob, 150, Delivered),
        world(HideLog, 179, Delivered),
        world(Fail, 77, Lost),
        world(NewPipeline, 241, Delivered),
        world(Start, 206, Lost),
        world(Succeed, 109, Delivered),
        world(Start, 216, Delivered),
        world(Play, 250, Delivered),
        world(NewPipeline, 255, Lost),
        world(Archive, 40, Doubled),
        Step::Pass,
        world(NewJob, 86, Delivered),
        world(NewJob, 32, Late),
        world(Wait, 146, Delivered),
        world(KeepPastExpiry, 15, Delivered),
        Step::Settle,
        world(HideLog, 214, Delivered),
        world(NewJob, 58, Doubled),
        world(NewPipeline, 195, Delivered),
        world(Move, 179, Delivered),
        world(Archive, 112, Lost),
        world(Wait, 213, Lost),
    ];
    converges(steps, A_DAY_LATER).await.expect("converges");
}

/// A log was hidden, then erased, then deleted with its pipeline: what was served before is what may be kept.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_held_before_it_was_hidden_erased_and_deleted_is_what_gitlab_had() {
    let steps = vec![
        world(WriteLog, 199, Lost),
        world(Succeed, 45, Delivered),
        world(KeepPastExpiry, 28, Delivered),
        Step::Pass,
        world(NewJob, 188, Delivered),
        world(NewManualJob, 52, Delivered),
        world(Start, 120, Lost),
        world(NewPipeline, 116, Late),
        world(NewJob, 201, Late),
        world(Succeed, 24, Lost),
        world(NewJob, 123, Late),
        world(Start, 103, Lost),
        Step::Settle,
        Step::Settle,
        world(NewJob, 243, Delivered),
        world(Expire, 56, Delivered),
        world(Archive, 151, Late),
        world(Skip, 35, Delivered),
        Step::Settle,
        world(Succeed, 70, Delivered),
        world(Succeed, 157, Delivered),
        world(Expire, 61, Late),
        world(Archive, 255, Delivered),
        world(Cancel, 166, Delivered),
        world(KeepPastExpiry, 70, Lost),
        Step::Pass,
        Step::Settle,
        world(Retry, 55, Lost),
        Step::Settle,
        Step::Settle,
        world(Succeed, 233, Delivered),
        world(Wait, 106, Delivered),
        Step::Settle,
        world(Archive, 94, Delivered),
        world(Start, 86, Delivered),
        world(Archive, 231, Delivered),
        world(KeepPastExpiry, 148, Lost),
        world(NewPipeline, 240, Lost),
        world(Move, 132, Delivered),
        world(Archive, 143, Delivered),
        world(NewPipeline, 246, Delivered),
        world(HideLog, 5, Lost),
        fault(FaultKind::Truncated { percent: 13 }, Endpoint::Storage, 1),
        world(DeletePipeline, 31, Late),
        world(KeepPastExpiry, 222, Delivered),
        world(Erase, 170, Delivered),
        Step::Settle,
        world(NewPipeline, 104, Delivered),
        world(Erase, 15, Lost),
        world(Erase, 252, Delivered),
        world(NewPipeline, 38, Delivered),
        Step::Settle,
        world(NewJob, 173, Delivered),
        world(DeletePipeline, 248, Delivered),
        world(NewJob, 196, Lost),
        world(Succeed, 184, Delivered),
        Step::Settle,
        world(Archive, 168, Delivered),
        world(Fail, 93, Late),
        world(NewPipeline, 149, Late),
        world(Erase, 183, Lost),
        world(WriteLog, 160, Late),
        world(Start, 162, Delivered),
    ];
    converges(steps, A_DAY_LATER).await.expect("converges");
}

/// An attempt that somebody replaced while it ran kept the report from being asked for.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_latest_attempts_have_to_have_ended_for_a_report() {
    let steps = vec![
        world(NewPipeline, 104, Doubled),
        world(NewJob, 143, Lost),
        world(Start, 181, Lost),
        world(NewJob, 99, Late),
        world(NewJob, 13, Delivered),
        world(NewJob, 107, Late),
        world(Succeed, 102, Delivered),
        world(NewPipeline, 56, Late),
        world(Retry, 64, Lost),
        world(Start, 148, Lost),
        world(Start, 33, Delivered),
        world(Fail, 25, Late),
        world(Retry, 39, Lost),
        world(Start, 248, Late),
        world(Succeed, 78, Lost),
        Step::Pass,
        world(Skip, 92, Delivered),
        fault(FaultKind::HtmlStatus(502), Endpoint::Artifacts, 2),
        fault(FaultKind::Forbidden, Endpoint::Storage, 3),
        world(Succeed, 133, Lost),
        world(NewJob, 127, Delivered),
        world(NewPipeline, 14, Lost),
    ];
    converges(steps, SOON).await.expect("converges");
}

/// A project moved, which changes nothing of its pipelines but the addresses in their documents.
#[tokio::test(flavor = "multi_thread")]
async fn the_documents_of_pipelines_follow_a_project_that_moves() {
    let steps = vec![
        world(Fail, 12, Delivered),
        world(NewPipeline, 148, Lost),
        world(ShowLog, 128, Delivered),
        Step::Settle,
        Step::Settle,
        world(NewPipeline, 117, Delivered),
        world(Erase, 98, Doubled),
        world(NewManualJob, 211, Lost),
        world(NewJob, 106, Delivered),
        Step::Settle,
        Step::Settle,
        world(Start, 61, Doubled),
        world(Move, 133, Lost),
        world(Move, 101, Lost),
        world(Fail, 94, Lost),
        world(KeepPastExpiry, 101, Lost),
        world(Start, 129, Delivered),
        world(Erase, 246, Lost),
        world(NewJob, 174, Lost),
        world(Cancel, 85, Late),
        world(NewPipeline, 72, Late),
        world(Expire, 18, Lost),
    ];
    converges(steps, A_DAY_LATER).await.expect("converges");
}
