//! A log that GitLab lists with its size, and answers with nothing.

use std::time::Duration;

use cistern::demo::fake::{HiddenLog, JobSpec, Log};
use cistern::domain::{LogNote, Piece, Reason};

use super::{STORE, look, one_job, row, settled};
use crate::rig::{Engine, Rig, on_both};

const MINUTES: Duration = Duration::from_secs(60);
const HOW: [HiddenLog; 2] = [HiddenLog::Empty, HiddenLog::NotFound];

fn unit() -> JobSpec {
    JobSpec::new("unit").log(Log::bytes(b"all of the log\n".to_vec()))
}

/// The schedule is the real one: what these tests are about is measured by GitLab's clock.
fn in_real_time(rig: Rig) -> Rig {
    rig.set("schedule.scale", "1")
}

async fn a_listed_log_that_comes_back_empty_never_settles_and_is_cached_when_it_comes(engine: Engine) {
    for how in HOW {
        let (rig, project, job) = one_job(engine, unit());
        let rig = in_real_time(rig);
        rig.fake.with(|world| world.hide_log(job, how));
        // Longer than two looks ten minutes apart, for which another size than the listed one settles.
        for _ in 0..4 {
            let log = look(&rig, project, job).await.log;
            assert_eq!((log.piece, log.size, log.note), (Piece::Live, 0, None), "{how:?}");
            assert_eq!(rig.gaps(STORE).await, Vec::new(), "not yet");
            rig.fake.with(|world| world.advance(11 * MINUTES));
        }
        rig.fake.with(|world| world.show_log(job));
        let log = look(&rig, project, job).await.log;
        assert_eq!((log.piece, log.size, log.note), (Piece::Whole, 15, None), "{how:?}");
        settled(&rig).await;
    }
}

async fn a_listed_log_that_is_empty_for_a_day_is_a_gap_with_a_reason(engine: Engine) {
    for how in HOW {
        let (rig, project, job) = one_job(engine, unit());
        let rig = in_real_time(rig);
        rig.fake.with(|world| {
            world.hide_log(job, how);
            world.advance(24 * 60 * MINUTES + Duration::from_secs(1));
        });
        let log = look(&rig, project, job).await.log;
        assert_eq!((log.piece, log.note), (Piece::Live, Some(LogNote::ListedEmpty)), "{how:?}");
        let gaps = rig.gaps(STORE).await;
        assert_eq!(gaps.len(), 1, "{gaps:?}");
        assert_eq!((gaps[0].job, gaps[0].kind, gaps[0].state.as_str()), (Some(job), "log", "failed"));
        let problem = gaps[0].problem.clone().unwrap_or_default();
        assert!(problem.contains("lists a log and answers with an empty one"), "{problem}");

        let view = rig.view(STORE).await;
        let pipeline = view.job(project, job).await.pipeline;
        let path = format!("/api/cistern/v1/projects/{project}/pipelines/{pipeline}/completeness");
        let told: serde_json::Value = serde_json::from_slice(&view.get(&path).await.body).expect("JSON");
        assert_eq!((&told["complete"], &told["jobs"][0]["log"]), (&false.into(), &"failed".into()));
        assert_eq!(told["jobs"][0]["log_note"], "listed_empty");
        let answer = view.ask(&format!("/api/v4/projects/{project}/jobs/{job}/trace")).await;
        assert_eq!((answer.status, answer.header("x-cistern-reason")), (404, "failed"));
        view.close().await;

        rig.fake.with(|world| world.show_log(job));
        assert_eq!(look(&rig, project, job).await.log.piece, Piece::Whole, "full passes ask again");
        settled(&rig).await;
    }
}

async fn what_was_read_before_the_log_vanished_is_kept(engine: Engine) {
    let (rig, project, job) = one_job(engine, unit());
    let rig = in_real_time(rig);
    rig.fake.with(|world| world.delay_log_tail(job, 8));
    assert_eq!(look(&rig, project, job).await.log.size, 7);
    rig.fake.with(|world| {
        world.hide_log(job, HiddenLog::Empty);
        world.advance(25 * 60 * MINUTES);
    });
    let log = look(&rig, project, job).await.log;
    assert_eq!((log.piece, log.size, log.note), (Piece::Live, 7, Some(LogNote::ListedEmpty)));
    assert_eq!(rig.gaps(STORE).await.len(), 1);
}

async fn a_log_that_an_earlier_version_took_for_none_is_asked_for_again(engine: Engine) {
    let (rig, project, job) = one_job(engine, unit());
    look(&rig, project, job).await;
    let behind = rig.behind(STORE).await;
    behind.take_log_for_none(job).await;
    behind.make_older().await;
    assert_eq!(row(&rig, project, job).await.log.piece, Piece::Live);
    let log = look(&rig, project, job).await.log;
    assert_eq!((log.piece, log.size), (Piece::Whole, 15));
    settled(&rig).await;
}

async fn an_empty_log_that_gitlab_lists_as_empty_is_none(engine: Engine) {
    let (rig, project, job) = one_job(engine, JobSpec::new("unit").log(Log::none()));
    assert_eq!(look(&rig, project, job).await.log.piece, Piece::Absent(Reason::NoLog));
    settled(&rig).await;
}

on_both! {
    a_listed_log_that_comes_back_empty_never_settles_and_is_cached_when_it_comes;
    a_listed_log_that_is_empty_for_a_day_is_a_gap_with_a_reason;
    what_was_read_before_the_log_vanished_is_kept;
    a_log_that_an_earlier_version_took_for_none_is_asked_for_again;
    an_empty_log_that_gitlab_lists_as_empty_is_none;
}
