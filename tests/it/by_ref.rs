//! Artifacts by the names of a ref and a job: the job that GitLab would take, from the cache.

use cistern::demo::fake::{Archive, ArtifactDelivery, JobSpec, Options, PipelineSpec, World};
use cistern::domain::{JobId, PipelineId, ProjectId};

use crate::rig::Rig;
use crate::view::View;

const STORE: &str = "cistern.db";

/// Ends a job of this name with an archive that says of which job it is.
fn build(world: &mut World, pipeline: PipelineId, name: &str, ends: &str) -> JobId {
    let files = [("out.txt", &b"flat"[..]), ("raw/größe.txt", &b"deep"[..])];
    let job = world.add_job(pipeline, JobSpec::new(name).archive(Archive::zip(files).expect("a zip")));
    world.start_job(job);
    world.finish_job(job, ends);
    world.archive_trace(job);
    job
}

fn on(world: &mut World, project: ProjectId, ref_name: &str) -> PipelineId {
    world.add_pipeline(project, PipelineSpec { ref_name: ref_name.to_owned(), ..PipelineSpec::default() })
}

/// Asks both, and makes sure that they answer alike; returns the status. Of a file that is not there we say what is missing.
async fn same(rig: &Rig, view: &View, path: &str) -> u16 {
    let (theirs, ours) = (rig.get_gitlab(path).await, view.get(path).await);
    let (status, text) = (theirs.status, |body: &[u8]| String::from_utf8_lossy(body).into_owned());
    assert_eq!(ours.status, theirs.status, "{path}");
    let (theirs, ours) = (text(&theirs.body), text(&ours.body));
    assert_eq!(ours.replace(": the archive has no such file", ""), theirs, "{path}");
    status
}

#[tokio::test(flavor = "multi_thread")]
async fn the_archive_of_the_newest_successful_pipeline_of_a_ref_is_gitlab_s_own() {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let old = on(&mut world, project, "main");
    build(&mut world, old, "only in the old one", "success");
    build(&mut world, old, "build", "success");
    let newest = on(&mut world, project, "main");
    build(&mut world, newest, "build", "failed");
    // Only the latest attempt counts.
    build(&mut world, newest, "build", "success");
    let child = world.add_child_pipeline(newest, "child", PipelineSpec::default());
    build(&mut world, child, "build", "success");
    build(&mut world, child, "of a child", "success");
    let failed = on(&mut world, project, "main");
    build(&mut world, failed, "build", "failed");
    let other = on(&mut world, project, "feature/raw/x");
    build(&mut world, other, "rspec 1/2", "success");
    let rig = Rig::with(world, Options { artifacts: ArtifactDelivery::Direct, ..Options::default() });
    assert!(rig.backfill(STORE).await.is_clean());
    // Which child pipelines there are is asked for when somebody wants to know it.
    let rig = rig.set("api.read_through", "true");
    let serving = rig.serve(STORE).await;
    let bridges = format!("/api/v4/projects/{project}/pipelines/{newest}/bridges");
    crate::rig::ask(serving.address(), "GET", &bridges, &[]).await;
    serving.stop().await;

    let view = rig.view(STORE).await;
    let base = format!("/api/v4/projects/{project}/jobs/artifacts");
    rig.fake.reset_counters();
    let mut calls = 0;
    for (path, status) in [
        ("main/download?job=build", 200),
        ("main/download?job=of%20a%20child", 200),
        ("main/download?job=only%20in%20the%20old%20one", 404),
        ("main/download?job=only%20in%20the%20old%20one&search_recent_successful_pipelines=true", 200),
        ("main/download?job=none", 404),
        ("main/download", 400),
        ("none/download?job=build", 404),
        ("feature%2Fraw%2Fx/download?job=rspec%201%2F2", 200),
        ("feature/raw/x/download?job=rspec%201%2F2", 200),
        ("main/raw/out.txt?job=build", 200),
        ("main/raw/none.txt?job=build", 404),
        ("main/raw/out.txt", 400),
        ("feature%2Fraw%2Fx/raw/out.txt?job=rspec%201%2F2", 200),
        ("feature/raw/x/raw/out.txt?job=rspec%201%2F2", 200),
        // Both take what is before the last `raw` for the ref.
        ("main/raw/raw/gr%C3%B6%C3%9Fe.txt?job=build", 404),
        ("main/raw/raw%2Fgr%C3%B6%C3%9Fe.txt?job=build", 200),
    ] {
        assert_eq!(same(&rig, &view, &format!("{base}/{path}")).await, status, "{path}");
        calls += 1;
    }
    assert_eq!(rig.fake.requests().total, calls, "only the test asked GitLab");
    let head = view.ask(&format!("{base}/main/download?job=build")).await;
    assert_eq!((head.header("content-type"), head.header("x-cistern-cache")), ("application/zip", "hit"));
    view.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_addresses_that_gitlab_s_pages_lead_to_are_the_same_files() {
    let mut world = World::new();
    let project = world.add_project("group/sub/deep/app");
    let pipeline = on(&mut world, project, "feature/x");
    let job = build(&mut world, pipeline, "build", "success");
    let rig = Rig::with(world, Options::default());
    assert!(rig.backfill(STORE).await.is_clean());
    let view = rig.view(STORE).await;
    for (page, api) in [
        ("artifacts/feature/x/download?job=build".to_owned(), "artifacts/feature%2Fx/download?job=build".to_owned()),
        (
            "artifacts/feature/x/raw/out.txt?job=build".to_owned(),
            "artifacts/feature%2Fx/raw/out.txt?job=build".to_owned(),
        ),
        (format!("{job}/artifacts/download"), format!("{job}/artifacts")),
        (format!("{job}/artifacts/raw/out.txt"), format!("{job}/artifacts/out.txt")),
        (format!("{job}/artifacts/raw/none/of%2Fit"), format!("{job}/artifacts/none/of%2Fit")),
        (format!("{job}/raw"), format!("{job}/trace")),
        ("1/raw".to_owned(), "1/trace".to_owned()),
        ("artifacts/none/download?job=build".to_owned(), "artifacts/none/download?job=build".to_owned()),
    ] {
        let page = view.ask(&format!("/group/sub/deep/app/-/jobs/{page}")).await;
        let api = view.ask(&format!("/api/v4/projects/{project}/jobs/{api}")).await;
        assert_eq!((page.status, &page.body, page.header("etag")), (api.status, &api.body, api.header("etag")));
    }
    for unknown in ["/group/sub/-/jobs/1/raw", "/group/sub/deep/app/-/jobs/1/artifacts/browse", "/-/jobs/1/raw"] {
        assert_eq!(view.ask(unknown).await.status, 404, "{unknown}");
    }
    view.close().await;
}
