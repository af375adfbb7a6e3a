//! Searches that would take for ever, and those of others meanwhile.

use std::fmt::Write as _;
use std::time::Instant;

use cistern::demo::fake::{JobSpec, Log, Options, PipelineSpec, World};
use futures_util::future::join_all;

use crate::rig::{Rig, ask};

const STORE: &str = "cistern.db";

/// Lines of `a` and `b` in no order, of 1.5 KB each: for each byte of them every state of the pattern counts.
fn hard_log() -> Vec<u8> {
    let mut random = 1_u32;
    let mut text = String::new();
    for _ in 0..1400 {
        for _ in 0..1500 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            text.push(if random >> 31 == 0 { 'a' } else { 'b' });
        }
        text.push('\n');
    }
    writeln!(text, "one word").expect("a string");
    text.into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_that_takes_long_is_ended_and_told_and_a_word_is_found_meanwhile() {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let mut add = |log: Vec<u8>| {
        let job = world.add_job(pipeline, JobSpec::new("unit").log(Log::bytes(log)));
        world.start_job(job);
        world.finish_job(job, "success");
        world.archive_trace(job);
        job
    };
    let (hard, plain) = (add(hard_log()), add(b"some lines\nand one error\n".to_vec()));
    let rig = Rig::with(world, Options::default());
    assert!(rig.backfill(STORE).await.is_clean());
    let serving = rig.serve(STORE).await;
    let address = serving.address();
    let path = |job, query: &str| format!("/api/cistern/v1/projects/{project}/jobs/{job}/log?{query}");

    let heavy = path(hard, "grep=a%5Bab%5D%7B1000%7Dc");
    let attack = tokio::spawn(async move { join_all((0..4).map(|_| ask(address, "GET", &heavy, &[]))).await });
    let mut slowest = std::time::Duration::ZERO;
    while !attack.is_finished() {
        let began = Instant::now();
        let found = ask(address, "GET", &path(plain, "grep=error"), &[]).await;
        slowest = slowest.max(began.elapsed());
        assert_eq!((found.status, found.text().as_str()), (200, "and one error\n"));
    }
    // 50 ms is the aim; nothing is optimised here, and other tests run.
    assert!(slowest.as_millis() < 1000, "a word took {slowest:?}");
    for answer in attack.await.expect("answers") {
        assert_eq!(answer.status, 422, "{}", answer.head);
        assert!(
            answer.text().contains("more than 5 s") && answer.text().contains("plainer pattern"),
            "{}",
            answer.text()
        );
    }
    serving.stop().await;
}
