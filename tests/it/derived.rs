//! Facts that an older Cistern computed from stored bytes: never believed, and made again from the store alone.

use cistern::demo::fake::{JobSpec, Log, Options, PipelineSpec, World};
use cistern::derive::{Derive, DeriveError, Made};
use cistern::domain::{BlobId, JobId, JobKey, ProjectId};
use cistern::log::{INDEX_VERSION, Index};
use cistern::parts::LogReader;

use crate::rig::{Engine, Rig, eventually, on_both};

const STORE: &str = "cistern.db";

/// Jobs whose logs go on over several frames, are short, and do not exist.
async fn cached(engine: Engine) -> (Rig, ProjectId, Vec<JobId>) {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let logs =
        [Log::generated(700_000, 4, true), Log::generated(3_000, 5, true), Log::bytes(b"a\nb\n".to_vec()), Log::none()];
    let mut jobs = Vec::new();
    for log in logs {
        let job = world.add_job(pipeline, JobSpec::new("unit").log(log));
        world.start_job(job);
        world.finish_job(job, "success");
        world.archive_trace(job);
        jobs.push(job);
    }
    let rig = Rig::with(world, Options::default()).on(engine);
    rig.backfill(STORE).await;
    (rig, project, jobs)
}

/// Returns the indexes as they are stored.
async fn indexes(rig: &Rig, project: ProjectId, jobs: &[JobId]) -> Vec<Box<[u8]>> {
    let view = rig.view(STORE).await;
    let mut indexes = Vec::new();
    for job in jobs {
        indexes.push(view.job(project, *job).await.log.index);
    }
    view.close().await;
    indexes
}

/// Gives every log the index that version 1 made of it: it took each `\n` for the end of a line.
async fn make_older(rig: &Rig, jobs: &[JobId]) {
    let behind = rig.behind(STORE).await;
    for job in jobs {
        let log = rig.fake.with(|world| world.trace(*job)).expect("a log");
        let breaks = |frame: &[u8]| frame.iter().filter(|byte| **byte == b'\n').count();
        let frames: Vec<usize> = log.chunks(cistern::store::FRAME_BYTES).map(breaks).collect();
        let mut index = vec![1, u8::from(!log.ends_with(b"\n")), frames.len() as u8];
        for mut breaks in frames {
            while breaks >= 0x80 {
                index.push(breaks as u8 | 0x80);
                breaks >>= 7;
            }
            index.push(breaks as u8);
        }
        index.extend([0, 0]);
        behind.set_log_index(*job, &index).await;
    }
}

async fn an_older_index_is_not_believed_and_made_again_without_gitlab(engine: Engine) {
    let (rig, project, jobs) = cached(engine).await;
    let fresh = indexes(&rig, project, &jobs).await;
    assert!(fresh[..3].iter().all(|index| index[0] == INDEX_VERSION));
    let lines = |index: &[u8]| Index::decode(index).expect("an index").lines.lines();
    let with_logs = &jobs[..3];
    make_older(&rig, with_logs).await;

    let view = rig.view(STORE).await;
    for (job, index) in with_logs.iter().zip(&fresh) {
        let record = view.job(project, *job).await.log;
        assert_eq!((record.index[0], Index::decode(&record.index)), (1, None));
        let mut log = LogReader::new(&view.store, &record);
        assert_eq!(log.lines().await.expect("counted"), lines(index), "right at once");
        assert_eq!(log.sections().await.expect("read"), Index::decode(index).expect("an index").sections);
    }

    rig.fake.reset_counters();
    let derive = Derive::new(view.store.clone());
    let lease = view.store.take_lease("derive").await.expect("asked").expect("free");
    assert!(matches!(derive.pass().await, Err(DeriveError::LeaseTaken)), "one at a time");
    view.store.release_lease(&lease, false).await.expect("given back");
    assert_eq!(derive.pass().await.expect("made"), Made { log_indexes: 3 });
    assert_eq!(derive.pass().await.expect("made"), Made::default(), "what is of this version stays");
    assert_eq!(rig.fake.requests().total, 0, "nothing is fetched for that");
    assert_eq!(indexes(&rig, project, &jobs).await, fresh);

    // Of a log that was replaced meanwhile nothing is written, and one that cannot be read is passed over.
    let key = JobKey { project, job: jobs[0] };
    let other = view.store.save_log_index(key, BlobId(1), vec![INDEX_VERSION].into()).await;
    assert!(!other.expect("asked"), "it is of another blob");
    make_older(&rig, with_logs).await;
    let blob = view.job(project, jobs[0]).await.log.blob.expect("a blob");
    rig.behind(STORE).await.damage(blob).await;
    assert_eq!(derive.pass().await.expect("made"), Made { log_indexes: 2 });
    view.close().await;
}

async fn a_service_makes_older_indexes_again_in_the_background(engine: Engine) {
    let (rig, project, jobs) = cached(engine).await;
    let fresh = indexes(&rig, project, &jobs).await;
    make_older(&rig, &jobs[..3]).await;
    rig.fake.reset_counters();
    let serving = rig.serve(STORE).await;
    let sections = serving.json(&format!("/api/cistern/v1/projects/{project}/jobs/{}/log/sections", jobs[0])).await;
    let expected = Index::decode(&fresh[0]).expect("an index");
    assert_eq!(sections["lines"], expected.lines.lines());
    assert_eq!(sections["sections"].as_array().map(Vec::len), Some(3), "{sections}");
    eventually(async || indexes(&rig, project, &jobs).await == fresh).await;
    serving.stop().await;
    assert_eq!(rig.fake.requests().of(cistern::demo::fake::Endpoint::Trace), 0);
}

on_both! {
    an_older_index_is_not_believed_and_made_again_without_gitlab;
    a_service_makes_older_indexes_again_in_the_background;
}
