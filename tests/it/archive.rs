//! Archives: streamed, whole or not at all, without credentials, kept.

mod files;

use std::time::Duration;

use bytes::Bytes;
use cistern::archive::{Keep, Location};
use cistern::demo::fake::{
    Archive, ArtifactDelivery, Endpoint, Fault, FaultKind, JobSpec, Options, PipelineSpec, World,
};
use cistern::domain::{JobId, JobKey, Piece, ProjectId, Reason};
use cistern::parts::ArchiveReader;
use cistern::store::CHUNK_BYTES;
use futures_util::TryStreamExt;
use sha2::{Digest, Sha256};

use crate::rig::{Engine, Rig, eventually, on_both, until};

const STORE: &str = "cistern.db";

/// A zip that is streamed, because it is larger than what travels with a transaction.
fn large() -> Archive {
    let mut random = fastrand::Rng::with_seed(9);
    let content: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(3_000_000).collect();
    Archive::zip([("noise.bin", content.as_slice())]).expect("a zip")
}

fn small() -> Archive {
    Archive::zip([("out.txt", &b"small"[..])]).expect("a zip")
}

fn one_job(archive: Archive, artifacts: ArtifactDelivery) -> (Rig, ProjectId, JobId) {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let job = world.add_job(pipeline, JobSpec::new("unit").archive(archive));
    world.start_job(job);
    world.finish_job(job, "success");
    world.archive_trace(job);
    let rig = Rig::with(world, Options { artifacts, ..Options::default() });
    (rig.set("schedule.scale", "0.001"), project, job)
}

async fn piece(rig: &Rig, project: ProjectId, job: JobId) -> (Piece, Option<Vec<u8>>) {
    let view = rig.view(STORE).await;
    let found = (view.job(project, job).await.archive.piece, view.archive(project, job).await);
    view.close().await;
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_come_back_byte_for_byte_and_no_credential_leaves_gitlab() {
    for (archive, delivery) in [
        (small(), ArtifactDelivery::Redirect),
        (large(), ArtifactDelivery::Redirect),
        (large(), ArtifactDelivery::Direct),
    ] {
        let (rig, project, job) = one_job(archive, delivery);
        assert!(rig.backfill(STORE).await.is_clean());
        let whole = rig.fake.with(|world| world.archive(job)).expect("an archive");
        let (state, held) = piece(&rig, project, job).await;
        assert_eq!(state, Piece::Whole);
        assert!(held.as_deref() == Some(&whole), "the same bytes");
        let view = rig.view(STORE).await;
        let digest: [u8; 32] = Sha256::digest(&whole).into();
        assert_eq!(view.job(project, job).await.archive.sha256, Some(digest));
        view.close().await;
        assert_eq!(rig.fake.leaked_credentials(), Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_whole_is_never_published_and_heals() {
    let faults = [
        (FaultKind::Truncated { percent: 60 }, Endpoint::Storage),
        (FaultKind::CloseBeforeHead, Endpoint::Storage),
        (FaultKind::HtmlStatus(403), Endpoint::Storage),
        (FaultKind::LoginPage, Endpoint::Storage),
        (FaultKind::LoginPage, Endpoint::Artifacts),
    ];
    // Another size than GitLab lists, and a good beginning; and what GitLab lists and does not have. They fail for good.
    let contradictions =
        [(FaultKind::Shortened { percent: 70 }, Endpoint::Storage), (FaultKind::NotFound, Endpoint::Artifacts)];
    let faults = faults.map(|fault| (fault, (1, 0), Piece::Missing)).into_iter();
    let contradictions = contradictions.map(|fault| (fault, (0, 1), Piece::Absent(Reason::Failed)));
    let faults: Vec<_> = faults.chain(contradictions).collect();
    for archive in [small(), large()] {
        for ((kind, endpoint), counts, without) in &faults {
            let (rig, project, job) = one_job(archive.clone(), ArtifactDelivery::Redirect);
            rig.fake.inject(Fault::new(kind.clone()).on(*endpoint));
            let report = rig.backfill(STORE).await;
            assert_eq!((report.postponed, report.failed), *counts, "{kind:?}: {:?}", report.failures);
            assert_eq!(piece(&rig, project, job).await, (*without, None), "{kind:?}");
            let view = rig.view(STORE).await;
            assert_eq!(view.job(project, job).await.log.piece, Piece::Whole, "the log is cached all the same");
            view.close().await;
            assert_eq!(rig.behind(STORE).await.blobs().await, 1, "{kind:?} leaves nothing behind");
            rig.fake.clear_faults();
            assert!(rig.backfill(STORE).await.is_clean());
            assert!(piece(&rig, project, job).await.1 == rig.fake.with(|world| world.archive(job)).map(Vec::from));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_zip_is_not_published() {
    let (rig, project, job) = one_job(Archive::bytes(b"<html>sign in</html>".to_vec()), ArtifactDelivery::Direct);
    let failed = (Piece::Absent(Reason::Failed), None);
    let report = rig.backfill(STORE).await;
    assert_eq!((report.postponed, report.failed), (0, 1));
    assert!(report.failures[0].problem.contains("zip"), "{:?}", report.failures);
    assert_eq!(piece(&rig, project, job).await, failed);
    // As large as GitLab lists, and with a zip's beginning: only its end is another's.
    let (whole, _, job) = one_job(small(), ArtifactDelivery::Direct);
    let mut torn = whole.fake.with(|world| world.archive(job)).expect("an archive").to_vec();
    let length = torn.len();
    torn[length - 10..].fill(0xff);
    let (rig, project, job) = one_job(Archive::bytes(torn), ArtifactDelivery::Direct);
    assert_eq!(rig.backfill(STORE).await.failed, 1);
    assert_eq!(piece(&rig, project, job).await, failed);
    let empty = Archive::zip([]).expect("a zip");
    let (rig, project, job) = one_job(empty, ArtifactDelivery::Direct);
    assert!(rig.backfill(STORE).await.is_clean());
    assert_eq!(piece(&rig, project, job).await.0, Piece::Whole, "an empty zip is a zip");
}

#[tokio::test(flavor = "multi_thread")]
async fn our_copy_stays_when_gitlab_s_expires() {
    let (rig, project, job) = one_job(small(), ArtifactDelivery::Redirect);
    rig.backfill(STORE).await;
    let before = piece(&rig, project, job).await;
    rig.fake.with(|world| {
        world.expire_artifacts(job);
        world.touch(world.pipelines_of(project)[0]);
    });
    rig.fake.reset_counters();
    assert!(rig.backfill(STORE).await.is_clean());
    assert_eq!(piece(&rig, project, job).await, before);
    assert_eq!(rig.fake.requests().of(Endpoint::Artifacts), 0);
    assert_eq!(rig.gaps(STORE).await, Vec::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_expired_first_has_that_reason() {
    let (rig, project, job) = one_job(small(), ArtifactDelivery::Redirect);
    rig.fake.with(|world| world.expire_artifacts(job));
    rig.fake.with(|world| world.advance(Duration::from_secs(2)));
    assert!(rig.backfill(STORE).await.is_clean());
    assert_eq!(piece(&rig, project, job).await, (Piece::Absent(Reason::Expired), None));
    assert_eq!(rig.fake.requests().of(Endpoint::Artifacts), 0);

    // Between the listing and the download.
    let (rig, project, job) = one_job(small(), ArtifactDelivery::Redirect);
    let wait = FaultKind::Throttled { retry_after_secs: 1 };
    rig.fake.inject(Fault::new(wait).on(Endpoint::Artifacts).times(1));
    let (_, report) = tokio::join!(
        async {
            until(|| rig.fake.requests().of(Endpoint::Artifacts) >= 1).await;
            rig.fake.with(|world| world.expire_artifacts(job));
        },
        rig.backfill(STORE)
    );
    assert!(report.is_clean(), "{:?}", report.failures);
    assert_eq!(piece(&rig, project, job).await, (Piece::Absent(Reason::Expired), None));
    assert_eq!(rig.gaps(STORE).await, Vec::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_that_are_too_large_or_forbidden_have_their_reasons() {
    let (rig, project, job) = one_job(large(), ArtifactDelivery::Redirect);
    let rig = rig.set("limits.artifact_size", "1MiB");
    assert!(rig.backfill(STORE).await.is_clean());
    assert_eq!(piece(&rig, project, job).await, (Piece::Absent(Reason::TooLarge), None));
    assert_eq!(rig.fake.requests().of(Endpoint::Artifacts), 0);

    let (rig, project, job) = one_job(small(), ArtifactDelivery::Redirect);
    rig.fake.with(|world| world.forbid_artifacts(job));
    assert!(rig.backfill(STORE).await.is_clean());
    assert_eq!(piece(&rig, project, job).await, (Piece::Absent(Reason::Forbidden), None));
    rig.fake.reset_counters();
    rig.backfill(STORE).await;
    assert_eq!(rig.fake.requests().of(Endpoint::Artifacts), 1, "a full pass asks once more for what was refused");
    assert_eq!(piece(&rig, project, job).await, (Piece::Absent(Reason::Forbidden), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_is_stored_with_the_place_of_its_directory() {
    for archive in [small(), large()] {
        let (rig, project, job) = one_job(archive, ArtifactDelivery::Redirect);
        assert!(rig.backfill(STORE).await.is_clean());
        let view = rig.view(STORE).await;
        let record = view.job(project, job).await.archive;
        assert!(Location::decode(&record.index, record.size).is_some());
        let mut reader = ArchiveReader::open(&view.store, &record, 100).await.expect("opened");
        let directory = reader.directory(Keep::all()).await.expect("a directory");
        let path = directory.entries()[0].path.clone();
        let file = reader.file(&path, 1 << 30).await.expect("found");
        let size = file.size();
        let content: Vec<Bytes> = file.stream(0..size).expect("readable").try_collect().await.expect("sound");
        assert_eq!(content.concat().len() as u64, size);
        view.close().await;
    }
}

async fn an_archive_whose_publication_fails_leaves_nothing_behind(engine: Engine) {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let options = Options { artifacts: ArtifactDelivery::Direct, ..Options::default() };
    let rig = Rig::with(world, options).on(engine).set("schedule.scale", "0.001");
    let serving = rig.serve(STORE).await;
    let behind = rig.behind(STORE).await;
    behind.refuse_archives().await;
    let job = rig.fake.with(|world| {
        let pipeline = world.add_pipeline(project, PipelineSpec::default());
        let job = world.add_job(pipeline, JobSpec::new("unit").archive(large()));
        world.finish_job(job, "success");
        world.archive_trace(job);
        job
    });
    serving.deliver(&rig.fake.job_event(job).expect("an event")).await;
    until(|| rig.fake.requests().of(Endpoint::Artifacts) >= 3).await;
    behind.accept_all().await;
    let key = JobKey { project, job };
    let state = async || serving.store.job(key).await.expect("read").map(|row| row.archive.piece);
    eventually(async || state().await == Some(Piece::Whole)).await;
    until(|| serving.queue.is_empty()).await;
    serving.store.sweep_blobs().await.expect("swept");
    // One that a document was about to point to may have readers.
    behind.age_replaced_blobs().await;
    serving.store.sweep_blobs().await.expect("swept");
    assert_eq!(behind.blobs().await, 2, "the log and the archive");
    let archive = rig.fake.with(|world| world.archive(job)).expect("an archive");
    assert_eq!(behind.chunks().await, 1 + archive.len().div_ceil(CHUNK_BYTES) as u64);
    serving.stop().await;
}

on_both! {
    an_archive_whose_publication_fails_leaves_nothing_behind;
}
