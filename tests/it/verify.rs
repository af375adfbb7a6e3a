//! `verify`: nothing after a clean pass, and exactly what somebody took away after that.

use cistern::demo::fake::World;
use cistern::domain::{JobId, PipelineId};
use cistern::store::Gap;

use crate::process::Process;
use crate::rig::Rig;

const STORE: &str = "cistern.db";

fn kinds(gaps: &[Gap]) -> Vec<(PipelineId, Option<JobId>, &'static str)> {
    gaps.iter().map(|gap| (gap.pipeline, gap.job, gap.kind)).collect()
}

/// Returns the first job of the world that has an archive, with its pipeline.
fn with_archive(rig: &Rig) -> (PipelineId, JobId) {
    rig.fake.with(|world| {
        let pipelines =
            world.projects().into_iter().flat_map(|project| world.pipelines_of(project)).collect::<Vec<_>>();
        let jobs = pipelines
            .into_iter()
            .flat_map(|pipeline| world.jobs_of(pipeline).into_iter().map(move |job| (pipeline, job)));
        jobs.into_iter().find(|(_, job)| world.archive(*job).is_some()).expect("an archive")
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn it_lists_exactly_the_gaps_and_a_full_pass_fills_them() {
    let rig = Rig::new(World::demo(1, 3, 20, 5));
    assert!(rig.backfill(STORE).await.is_clean());
    assert_eq!(rig.gaps(STORE).await, Vec::new());
    let before = rig.cache(STORE).await;
    let (pipeline, job) = with_archive(&rig);
    let behind = rig.behind(STORE).await;
    for kind in ["log", "archive", "job", "report", "detail", "pipeline"] {
        match kind {
            "log" => behind.lose_log(job).await,
            "archive" => behind.lose_archive(job).await,
            "job" => behind.remove_job(job).await,
            "report" => behind.lose_report(pipeline).await,
            "detail" => behind.lose_detail(pipeline).await,
            _ => behind.remove_pipeline(pipeline).await,
        }
        let job = matches!(kind, "log" | "archive" | "job").then_some(job);
        let gaps = rig.gaps(STORE).await;
        assert!(kinds(&gaps).contains(&(pipeline, job, kind)), "{kind}: {gaps:?}");
        assert_eq!(gaps.len(), 1, "{kind}: {gaps:?}");
        // Nobody told the store what it lacks.
        behind.lose_listing(pipeline).await;
        assert!(rig.backfill(STORE).await.is_clean());
        assert_eq!(rig.gaps(STORE).await, Vec::new(), "{kind}");
        assert_eq!(rig.cache(STORE).await, before, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_finds_what_only_gitlab_knows() {
    let rig = Rig::new(World::demo(1, 2, 20, 5));
    rig.backfill(STORE).await;
    let (pipeline, job) = with_archive(&rig);
    let again = rig.fake.with(|world| {
        let again = world.retry_job(job);
        world.start_job(again);
        world.finish_job(again, "success");
        again
    });
    let changed = vec![(pipeline, None, "detail"), (pipeline, Some(again), "job")];
    assert_eq!(kinds(&rig.gaps(STORE).await), changed, "the pipeline tells another end, too");
    rig.backfill(STORE).await;
    rig.fake.with(|world| world.erase_job(job));
    assert_eq!(kinds(&rig.gaps(STORE).await), vec![(pipeline, Some(job), "erasure")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_exit_code_tells_whether_a_gap_remains() {
    let rig = Rig::new(World::demo(1, 1, 5, 5));
    let run = async |arguments: &[&str]| {
        let ended = Process::start(&rig, STORE, arguments).ended().await;
        (ended.code, ended.stdout)
    };
    let (code, gaps) = run(&["verify", "--output", "json"]).await;
    let gaps: Vec<serde_json::Value> = serde_json::from_str(&gaps).expect("JSON");
    assert_eq!((code, gaps.is_empty()), (Some(1), false), "nothing is cached yet");
    assert_eq!(run(&["backfill"]).await.0, Some(0));
    assert_eq!(run(&["verify", "--output", "json"]).await, (Some(0), "[]\n".to_owned()));
    let (pipeline, job) = with_archive(&rig);
    rig.behind(STORE).await.lose_log(job).await;
    let (code, text) = run(&["verify"]).await;
    assert_eq!(code, Some(1));
    assert!(text.contains(&format!("pipeline {pipeline}, job {job}: log missing")), "{text}");
}
