//! The log of a running job: as far as it goes, marked, and never in the way of the whole one.

use cistern::demo::fake::{Endpoint, Options};
use cistern::domain::Piece;

use super::{add_job, get, job_path, job_with_log, reading_through};
use crate::rig::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn a_running_log_is_served_live_grows_and_becomes_the_whole_one() {
    let (rig, project) = reading_through(Options::default());
    let rig = rig.set("api.max_age", "0s");
    let (_, job) = add_job(&rig, project, job_with_log(""), "running");
    rig.fake.with(|world| world.append_log(job, b"begin\n"));
    let serving = rig.serve(super::STORE).await;
    let path = format!("{}/trace", job_path(project, job));
    let answer = get(serving.address(), &path).await;
    assert_eq!((answer.body.as_slice(), answer.header("x-cistern-log")), (&b"begin\n"[..], "live"));
    rig.fake.with(|world| world.append_log(job, b"more\n"));
    eventually(async || get(serving.address(), &path).await.body == b"begin\nmore\n").await;
    let key = cistern::domain::JobKey { project, job };
    assert_eq!(serving.store.job(key).await.expect("read").expect("stored").log.piece, Piece::Partial);

    rig.fake.with(|world| {
        world.append_log(job, b"end\n");
        world.finish_job(job, "success");
        world.archive_trace(job);
    });
    serving.deliver(&rig.fake.job_event(job).expect("an event")).await;
    serving.idle().await;
    rig.fake.reset_counters();
    let answer = get(serving.address(), &path).await;
    assert_eq!((answer.body.as_slice(), answer.header("x-cistern-log")), (&b"begin\nmore\nend\n"[..], "settled"));
    assert_eq!((answer.source(), rig.fake.requests().total), ("hit", 0));
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_a_reader_got_is_a_gap_until_a_pass_has_the_whole() {
    let (rig, project) = reading_through(Options::default());
    let (_, job) = add_job(&rig, project, job_with_log(""), "running");
    rig.fake.with(|world| world.append_log(job, b"begin\n"));
    let serving = rig.serve(super::STORE).await;
    let path = format!("{}/trace", job_path(project, job));
    assert_eq!(get(serving.address(), &path).await.body, b"begin\n");
    serving.stop().await;
    // Nobody hears of the end.
    rig.fake.with(|world| {
        world.append_log(job, b"end\n");
        world.finish_job(job, "failed");
        world.archive_trace(job);
    });
    assert!(rig.backfill(super::STORE).await.is_clean());
    let view = rig.view(super::STORE).await;
    let row = view.job(project, job).await;
    assert_eq!((row.log.piece, row.log.looks), (Piece::Whole, 1));
    assert_eq!(view.log(project, job).await, b"begin\nend\n");
    view.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_of_an_unsettled_log_have_it_looked_at_and_use_up_no_look_of_the_schedule() {
    let (rig, project) = reading_through(Options::default());
    let rig = rig.set("api.max_age", "0s");
    let serving = rig.serve(super::STORE).await;
    let (_, job) = add_job(&rig, project, job_with_log("begin\nend of the log\n"), "running");
    rig.fake.with(|world| {
        world.finish_job(job, "success");
        world.delay_log_tail(job, 15);
    });
    let path = format!("{}/trace", job_path(project, job));
    for _ in 0..6 {
        let answer = get(serving.address(), &path).await;
        assert_eq!((answer.body.as_slice(), answer.header("x-cistern-log")), (&b"begin\n"[..], "live"));
    }
    let key = cistern::domain::JobKey { project, job };
    assert_eq!(serving.store.job(key).await.expect("read").expect("stored").log.looks, 1);
    rig.fake.with(|world| world.archive_trace(job));
    eventually(async || get(serving.address(), &path).await.header("x-cistern-log") == "settled").await;
    rig.fake.reset_counters();
    assert_eq!(get(serving.address(), &path).await.body, b"begin\nend of the log\n");
    assert_eq!(rig.fake.requests().of(Endpoint::Trace), 0);
    serving.stop().await;
}
