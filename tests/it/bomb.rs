//! Answers that are small on the wire and enormous when they are unpacked.

use cistern::demo::fake::{Endpoint, Fault, FaultKind, JobSpec, Junit, PipelineSpec, World};
use cistern::domain::{JobKey, LogRecord, Piece, Reason};

use crate::process::Process;
use crate::rig::{Rig, until};

const STORE: &str = "cistern.db";

/// Backfills one job while an endpoint answers so; the process has 2 GB of addresses. Returns what it said, and the log that
/// is stored.
async fn backfill(endpoint: Endpoint, coding: &'static str) -> (String, Option<LogRecord>) {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let job = world.add_job(pipeline, JobSpec::new("unit"));
    world.start_job(job);
    world.finish_job(job, "success");
    let rig = Rig::new(world).set("limits.log_size", "2MiB").set("schedule.scale", "0.001");
    rig.fake.inject(Fault::new(FaultKind::Bomb(coding)).on(endpoint));
    let process = Process::start_after(&rig, STORE, "ulimit -v 2000000", &["backfill", "--since", "3650d"]);
    let ended = process.ended().await;
    assert!(matches!(ended.code, Some(0 | 1)), "{ended:?}");
    let serving = rig.serve(STORE).await;
    let row = serving.store.job(JobKey { project, job }).await.expect("read");
    serving.stop().await;
    (ended.stderr, row.map(|row| row.log))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_unpacks_without_an_end_is_too_large_and_no_part_of_it_is_kept() {
    let (_, log) = backfill(Endpoint::Trace, "gzip").await;
    let log = log.expect("a job");
    assert_eq!((log.piece, log.size, log.blob), (Piece::Absent(Reason::TooLarge), 0, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_unpacks_without_an_end_fails_and_says_why() {
    let (said, log) = backfill(Endpoint::PipelineJobs, "gzip").await;
    assert!(log.is_none());
    assert!(said.contains("it is larger than 16777216 bytes"), "{said}");
}

/// Backfills twenty pipelines at once while an endpoint answers so. Returns the most memory that it took, in MiB.
async fn peak_of_twenty(endpoint: Endpoint) -> u64 {
    let mut world = World::new();
    let project = world.add_project("group/app");
    for _ in 0..20 {
        let pipeline = world.add_pipeline(project, PipelineSpec::default());
        let job = world.add_job(pipeline, JobSpec::new("unit").junit(Junit::generated(5, 0, 1)));
        world.start_job(job);
        world.finish_job(job, "success");
    }
    let rig = Rig::new(world).set("limits.pipelines", "20").set("schedule.scale", "0.001");
    rig.fake.inject(Fault::new(FaultKind::Bomb("gzip")).on(endpoint));
    let process = Process::start(&rig, STORE, &["backfill", "--since", "3650d"]);
    let mut peak = 0;
    until(|| {
        peak = process.peak_kib().unwrap_or(0).max(peak);
        !process.is_running()
    })
    .await;
    peak / 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_answers_that_unpack_without_an_end_take_their_turns() {
    for endpoint in [Endpoint::PipelineJobs, Endpoint::TestReport] {
        let peak = peak_of_twenty(endpoint).await;
        assert!(peak <= 160, "{peak} MiB for {endpoint:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_packed_as_nobody_asked_for_is_not_taken_for_a_log() {
    for coding in ["zstd", "deflate"] {
        let (said, log) = backfill(Endpoint::Trace, coding).await;
        assert!(said.contains("it is encoded in a way that was not asked for"), "{said}");
        assert!(log.is_none_or(|log| !matches!(log.piece, Piece::Whole | Piece::Live) && log.blob.is_none()));
    }
}
