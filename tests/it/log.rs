//! Logs: when they are settled, and what never gets lost until then (design, section 4.4).

use std::time::Duration;

use bytes::Bytes;
use cistern::demo::fake::{Endpoint, JobSpec, Log, PipelineSpec, World};
use cistern::domain::{JobId, LogNote, LogRecord, Piece, ProjectId, Reason, Timestamp};
use cistern::log::{Index, Part, Request, Stamp};
use cistern::parts::LogReader;
use cistern::store::FRAME_BYTES;
use futures_util::TryStreamExt;

use crate::rig::{Rig, eventually, until};

const STORE: &str = "cistern.db";

/// A GitLab whose clock stands, with one job that has just succeeded; its log is not archived.
fn one_job(spec: JobSpec) -> (Rig, ProjectId, JobId) {
    let mut world = World::at(Timestamp::from_millis(Timestamp::now().as_millis() / 1000 * 1000));
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let job = world.add_job(pipeline, spec);
    world.start_job(job);
    world.finish_job(job, "success");
    (Rig::new(world), project, job)
}

fn text(text: &str) -> JobSpec {
    JobSpec::new("unit").log(Log::bytes(text.as_bytes().to_vec()))
}

/// Has a full pass look at the log and returns its record and bytes.
async fn look(rig: &Rig, project: ProjectId, job: JobId) -> (LogRecord, Vec<u8>) {
    let report = rig.backfill(STORE).await;
    assert!(report.is_clean(), "{:?}", report.failures);
    let view = rig.view(STORE).await;
    let found = (view.job(project, job).await.log, view.log(project, job).await);
    view.close().await;
    found
}

async fn settled(rig: &Rig, project: ProjectId, job: JobId) -> LogRecord {
    let (record, _) = look(rig, project, job).await;
    rig.fake.reset_counters();
    rig.backfill(STORE).await;
    assert_eq!(rig.fake.requests().of(Endpoint::Trace), 0, "settled is for ever");
    record
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_live_until_gitlab_archived_the_size_we_hold() {
    let (rig, project, job) = one_job(text("all of it\n"));
    let (record, bytes) = look(&rig, project, job).await;
    assert_eq!((record.piece, record.looks, bytes.as_slice()), (Piece::Live, 1, &b"all of it\n"[..]));
    rig.fake.with(|world| world.advance(Duration::from_secs(180)));
    let (record, _) = look(&rig, project, job).await;
    assert_eq!((record.piece, record.looks), (Piece::Live, 2));
    rig.fake.with(|world| {
        world.advance(Duration::from_secs(180));
        world.archive_trace(job);
    });
    let record = settled(&rig, project, job).await;
    assert_eq!((record.piece, record.looks, record.note), (Piece::Whole, 3, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_tail_is_fetched_by_a_later_look_of_the_service() {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let rig = Rig::new(world).set("schedule.scale", "0.002");
    let serving = rig.serve(STORE).await;
    let job = rig.fake.with(|world| {
        let pipeline = world.add_pipeline(project, PipelineSpec::default());
        let job = world.add_job(pipeline, text("begin\nend of the log\n"));
        world.start_job(job);
        world.finish_job(job, "success");
        world.delay_log_tail(job, 15);
        job
    });
    serving.deliver(&rig.fake.job_event(job).expect("an event")).await;
    serving.idle().await;
    let path = format!("/api/v4/projects/{project}/jobs/{job}/trace");
    assert_eq!(serving.get(&path).await.body, b"begin\n", "what there is, is served");
    rig.fake.with(|world| world.archive_trace(job));
    eventually(async || serving.get(&path).await.body == b"begin\nend of the log\n").await;
    serving.stop().await;
    assert_eq!(settled(&rig, project, job).await.piece, Piece::Whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_comes_again_does_not_end_the_looks() {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let rig = Rig::new(world).set("schedule.scale", "0.002");
    let serving = rig.serve(STORE).await;
    let job = rig.fake.with(|world| {
        let pipeline = world.add_pipeline(project, PipelineSpec::default());
        let job = world.add_job(pipeline, text("log\n"));
        world.start_job(job);
        world.finish_job(job, "success");
        job
    });
    let event = rig.fake.job_event(job).expect("an event");
    serving.deliver(&event).await;
    serving.idle().await;
    // This one meets the look that waits in the journal.
    serving.deliver(&event).await;
    until(|| rig.fake.requests().of(Endpoint::Trace) >= 4).await;
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_size_than_listed_settles_after_two_looks_ten_minutes_apart() {
    let (rig, project, job) = one_job(text("four\n"));
    rig.fake.with(|world| {
        world.archive_trace(job);
        world.delay_log_tail(job, 1);
    });
    assert_eq!(look(&rig, project, job).await.0.piece, Piece::Live);
    rig.fake.with(|world| world.advance(Duration::from_secs(599)));
    assert_eq!(look(&rig, project, job).await.0.piece, Piece::Live, "not ten minutes yet");
    rig.fake.with(|world| world.advance(Duration::from_secs(2)));
    let record = settled(&rig, project, job).await;
    assert_eq!((record.piece, record.note, record.size), (Piece::Whole, Some(LogNote::SizeMismatch), 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_never_archived_settles_a_day_after_the_end() {
    for (log, piece) in [("a line\n", Piece::Whole), ("", Piece::Absent(Reason::NoLog))] {
        let (rig, project, job) = one_job(text(log));
        rig.fake.with(|world| world.advance(Duration::from_secs(24 * 3600 - 60)));
        let (record, bytes) = look(&rig, project, job).await;
        assert_eq!((record.piece, bytes.as_slice()), (Piece::Live, log.as_bytes()));
        rig.fake.with(|world| world.advance(Duration::from_secs(120)));
        let record = settled(&rig, project, job).await;
        assert_eq!((record.piece, record.note), (piece, Some(LogNote::NeverArchived)), "{log:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shorter_answer_never_replaces_a_longer_one() {
    let (rig, project, job) = one_job(text("twelve bytes"));
    look(&rig, project, job).await;
    for shorter in ["twelve", ""] {
        rig.fake.with(|world| {
            world.advance(Duration::from_secs(60));
            world.set_log(job, Log::bytes(shorter.as_bytes().to_vec()));
        });
        let (record, bytes) = look(&rig, project, job).await;
        assert_eq!((record.piece, bytes.as_slice()), (Piece::Live, &b"twelve bytes"[..]), "{shorter:?}");
    }
    // Not even a settled one.
    rig.fake.with(|world| {
        world.set_log(job, Log::bytes(b"twelve".to_vec()));
        world.archive_trace(job);
        world.advance(Duration::from_secs(60));
    });
    let (record, bytes) = look(&rig, project, job).await;
    assert_eq!((record.size, bytes.as_slice()), (12, &b"twelve bytes"[..]));
    rig.fake.with(|world| world.advance(Duration::from_secs(60)));
    assert_eq!(rig.behind(STORE).await.kept_blobs().await, 1, "what was not taken is let go");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_takes_our_copy_when_the_jobs_are_listed_again() {
    let archive = cistern::demo::fake::Archive::zip([("out.txt", &b"out"[..])]).expect("a zip");
    let (rig, project, job) = one_job(text("secret\n").archive(archive));
    rig.fake.with(|world| world.archive_trace(job));
    look(&rig, project, job).await;
    rig.fake.with(|world| {
        world.advance(Duration::from_secs(60));
        world.erase_job(job);
        let pipeline = world.pipelines_of(project)[0];
        world.touch(pipeline);
    });
    let (record, bytes) = look(&rig, project, job).await;
    assert_eq!((record.piece, record.blob, bytes), (Piece::Absent(Reason::Erased), None, Vec::new()));
    let view = rig.view(STORE).await;
    assert_eq!(view.archive(project, job).await, None);
    assert_eq!(view.job(project, job).await.archive.piece, Piece::Absent(Reason::Erased));
    view.close().await;
    assert_eq!(rig.behind(STORE).await.kept_blobs().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_above_the_limit_is_recorded_and_not_fetched() {
    let (rig, project, job) = one_job(JobSpec::new("unit").log(Log::generated(3000, 1, false)));
    let rig = rig.set("limits.log_size", "2KiB");
    // Not archived yet: its size shows while it is read.
    let (record, bytes) = look(&rig, project, job).await;
    assert_eq!((record.piece, bytes.len()), (Piece::Absent(Reason::TooLarge), 0));
    rig.behind(STORE).await.remove_facts().await;
    rig.fake.with(|world| world.archive_trace(job));
    rig.fake.reset_counters();
    assert_eq!(settled(&rig, project, job).await.piece, Piece::Absent(Reason::TooLarge));
    assert_eq!(rig.fake.requests().of(Endpoint::Trace), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_our_token_may_not_read_is_forbidden_and_its_archive_is_cached_all_the_same() {
    let archive = cistern::demo::fake::Archive::zip([("out.txt", &b"out"[..])]).expect("a zip");
    let (rig, project, job) = one_job(text("debug\n").archive(archive));
    rig.fake.with(|world| world.forbid_log(job));
    assert_eq!(look(&rig, project, job).await.0.piece, Piece::Absent(Reason::Forbidden));
    let view = rig.view(STORE).await;
    assert_eq!(view.archive(project, job).await, rig.fake.with(|world| world.archive(job)).map(Vec::from));
    view.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_never_started_has_no_log_and_costs_no_call() {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let job = world.add_job(pipeline, JobSpec::new("unit"));
    world.finish_job(job, "canceled");
    let rig = Rig::new(world);
    let (record, bytes) = look(&rig, project, job).await;
    assert_eq!((record.piece, bytes.len()), (Piece::Absent(Reason::NoLog), 0));
    assert_eq!(rig.fake.requests().of(Endpoint::Trace), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_log_comes_back_byte_for_byte_and_its_frames_add_up() {
    const SIZE: usize = 3 * 1024 * 1024 + 17;
    let mut random = fastrand::Rng::with_seed(5);
    let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(SIZE).collect();
    for log in [Log::bytes(noise), Log::generated(SIZE, 5, true)] {
        let (rig, project, job) = one_job(JobSpec::new("unit").log(log));
        let (record, bytes) = look(&rig, project, job).await;
        let whole: Bytes = rig.fake.with(|world| world.trace(job)).expect("a log");
        assert!(bytes == whole, "{} bytes of {}", bytes.len(), whole.len());
        assert_eq!(record.frames.len(), SIZE.div_ceil(FRAME_BYTES));
        let stored: u64 = record.frames.iter().copied().map(u64::from).sum();
        let blob = record.blob.expect("a blob");
        assert_eq!(rig.behind(STORE).await.bytes_of(blob).await, stored);
        // A second look at as large a log replaces it and leaves nothing behind.
        rig.fake.with(|world| world.archive_trace(job));
        assert_eq!(settled(&rig, project, job).await.piece, Piece::Whole);
        assert_eq!(rig.behind(STORE).await.kept_blobs().await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_stored_with_the_index_of_its_parts() {
    let generated = JobSpec::new("unit").log(Log::generated(900_000, 3, true));
    let (rig, project, job) = one_job(generated);
    let (record, bytes) = look(&rig, project, job).await;
    let index = Index::decode(&record.index).expect("an index");
    let entries: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let begin = |entry: &&&[u8]| Stamp::parse(entry).is_some_and(|stamp| !stamp.continues);
    let lines = entries.iter().filter(begin).count();
    assert!(lines < entries.len(), "some go on with others");
    assert_eq!(index.lines.joined(), lines as u64);
    let names: Vec<_> = index.sections.all.iter().map(|section| &*section.name).collect();
    assert_eq!(names, ["prepare_executor", "get_sources", "step_script"]);

    // A later look at the same bytes keeps it.
    rig.fake.with(|world| world.archive_trace(job));
    let settled = settled(&rig, project, job).await;
    assert_eq!((settled.piece, &settled.index), (Piece::Whole, &record.index));
    let view = rig.view(STORE).await;
    let request = Request { part: Part::Tail(3), ..Request::default() };
    let tail = LogReader::new(&view.store, &settled).read(request).await.expect("read");
    let tail: Vec<Bytes> = tail.into_stream().try_collect().await.expect("read");
    let tail = tail.concat();
    // The last one shows nothing, and is not counted.
    let [.., before, dots, end, verdict, last] = &entries[..] else { panic!("few entries") };
    let joined = [end.trim_ascii_end(), Stamp::strip(verdict)].concat();
    assert_eq!(String::from_utf8_lossy(&tail), String::from_utf8_lossy(&[*before, *dots, &joined, *last].concat()));
    view.close().await;
}
