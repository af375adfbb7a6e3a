//! A byte of what is stored is not what it was: nobody gets it, and it is fetched again.

use cistern::demo::fake::{Archive, ArtifactDelivery, JobSpec, Junit, Log, Options, PipelineSpec, World};
use cistern::loopback;
use cistern::reconcile::Extent;

use crate::rig::{Engine, Rig, Serving, on_both};

const STORE: &str = "cistern.db";

/// Reads something that may be cut off.
async fn read(serving: &Serving, path: &str) -> Option<loopback::Answer> {
    loopback::send(serving.address(), "GET", path, &[], b"").await.ok()
}

async fn what_is_damaged_is_served_to_nobody_and_fetched_again(engine: Engine) {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let spec = JobSpec::new("unit").log(Log::generated(700_000, 4, true)).junit(Junit::generated(3, 1, 3));
    let job = world.add_job(pipeline, spec.archive(Archive::zip([("out.txt", &b"all of it"[..])]).expect("a zip")));
    world.start_job(job);
    world.finish_job(job, "success");
    world.archive_trace(job);
    let rig = Rig::with(world, Options { artifacts: ArtifactDelivery::Direct, ..Options::default() }).on(engine);
    assert!(rig.backfill(STORE).await.is_clean());
    let view = rig.view(STORE).await;
    let row = view.job(project, job).await;
    let report = view.pipeline(project, pipeline).await.report.blob.expect("a report");
    view.close().await;
    let behind = rig.behind(STORE).await;
    for blob in [row.log.blob.expect("a log"), row.archive.blob.expect("an archive"), report] {
        behind.damage(blob).await;
    }
    let (api, own) = (format!("/api/v4/projects/{project}"), format!("/api/cistern/v1/projects/{project}"));
    let paths = [
        format!("{api}/jobs/{job}/trace"),
        format!("{api}/jobs/{job}/artifacts"),
        format!("{api}/jobs/{job}/artifacts/out.txt"),
        format!("{own}/jobs/{job}/log?head=3"),
        format!("{api}/pipelines/{pipeline}/test_report"),
    ];
    // While nothing is asked of GitLab there is nothing to give.
    let rig = rig.set("api.read_through", "false");
    let serving = rig.serve(STORE).await;
    for path in &paths {
        let answer = read(&serving, path).await;
        // What is streamed without a length has begun by then, and is cut off.
        let is_nothing = answer.as_ref().is_none_or(|answer| answer.status == 500 || answer.body.is_empty());
        assert!(is_nothing, "{path}: {answer:?}");
    }
    let metrics = serving.admin("/metrics").await;
    for kind in ["log", "archive", "report"] {
        let told = format!("cistern_store_damaged_chunks_total{{kind=\"{kind}\"}} 1\n");
        assert!(metrics.contains(&told), "{kind}: {metrics}");
    }
    // The next pass, however short, finds the gaps.
    rig.pass(STORE, Extent::Due).await;
    for path in &paths {
        let answer = read(&serving, path).await.expect("an answer");
        assert!(answer.status == 200 && !answer.body.is_empty(), "{path}: {answer:?}");
    }
    for path in paths.iter().filter(|path| path.starts_with(&api)) {
        assert!(serving.get(path).await.body == rig.get_gitlab(path).await.body, "{path}");
    }
    serving.stop().await;
    assert_eq!(rig.gaps(STORE).await, []);
}

async fn what_gitlab_has_no_longer_stays_as_far_as_it_is_sound(engine: Engine) {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let noise = (0..900_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8);
    let noise: Vec<u8> = b"PK\x03\x04".iter().copied().chain(noise).chain(*b"PK\x05\x06").chain([0; 18]).collect();
    let job = world.add_job(pipeline, JobSpec::new("zip").archive(Archive::bytes(noise)));
    world.start_job(job);
    world.finish_job(job, "success");
    world.archive_trace(job);
    let rig = Rig::with(world, Options { artifacts: ArtifactDelivery::Direct, ..Options::default() }).on(engine);
    assert!(rig.backfill(STORE).await.is_clean());
    let view = rig.view(STORE).await;
    let blob = view.job(project, job).await.archive.blob.expect("an archive");
    view.close().await;
    let path = format!("/api/v4/projects/{project}/jobs/{job}/artifacts");
    let whole = rig.get_gitlab(&path).await.body;
    rig.behind(STORE).await.damage(blob).await;
    rig.fake.with(|world| world.expire_artifacts(job));
    let serving = rig.serve(STORE).await;
    assert!(read(&serving, &path).await.is_none_or(|answer| answer.status == 500));
    rig.pass(STORE, Extent::Full(std::time::Duration::from_secs(3600 * 24 * 365))).await;
    assert!(read(&serving, &path).await.is_none_or(|answer| answer.status != 200));
    let range = [("Range".to_owned(), "bytes=300000-400000".to_owned())];
    let part = loopback::send(serving.address(), "GET", &path, &range, b"").await.expect("an answer");
    assert!(part.status == 206 && part.body == whole[300_000..=400_000], "{}", part.status);
    serving.stop().await;
}

on_both! {
    what_is_damaged_is_served_to_nobody_and_fetched_again;
    what_gitlab_has_no_longer_stays_as_far_as_it_is_sound;
}
