//! A pipeline's own document: GitLab's, byte for byte, for one call each; what was cached without it catches up.

use cistern::demo::fake::{Endpoint, Fault, FaultKind, JobSpec, Log, Options, PipelineSpec, World};
use cistern::domain::{Piece, PipelineId, ProjectId, Reason};
use cistern::reconcile::Extent;

use crate::rig::{Engine, Rig, ask, on_both};

const STORE: &str = "cistern.db";

on_both! {
    readers_get_gitlab_s_document_byte_for_byte;
    what_was_cached_without_catches_up_for_one_call_each_in_full_passes;
    a_running_pipeline_is_asked_for_again_and_ends_whole;
    what_gitlab_does_not_give_holds_no_job_up;
    what_is_refused_is_asked_for_again_and_had_once_it_is_given;
    a_reader_has_what_is_missing_fetched;
}

/// Adds a pipeline with one job that ended.
fn add(world: &mut World, project: ProjectId, name: &str) -> PipelineId {
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let job = world.add_job(pipeline, JobSpec::new(name).log(Log::bytes(b"log\n".to_vec())));
    world.start_job(job);
    world.finish_job(job, "success");
    world.archive_trace(job);
    pipeline
}

fn rig(pipelines: usize, engine: Engine) -> (Rig, ProjectId, Vec<PipelineId>) {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let pipelines = (0..pipelines).map(|number| add(&mut world, project, &format!("job {number}"))).collect();
    (Rig::with(world, Options::default()).on(engine), project, pipelines)
}

fn path(project: ProjectId, pipeline: PipelineId) -> String {
    format!("/api/v4/projects/{project}/pipelines/{pipeline}")
}

async fn readers_get_gitlab_s_document_byte_for_byte(engine: Engine) {
    let rig = Rig::new(World::demo(2, 3, 20, 7)).on(engine);
    assert!(rig.backfill(STORE).await.is_clean());
    let view = rig.view(STORE).await;
    let pipelines = rig.fake.with(|world| {
        let of = |project| world.pipelines_of(project).into_iter().map(move |pipeline| (project, pipeline));
        world.projects().into_iter().flat_map(of).collect::<Vec<_>>()
    });
    for (project, pipeline) in pipelines {
        let path = path(project, pipeline);
        let (ours, gitlab_s) = (view.get(&path).await, rig.get_gitlab(&path).await);
        assert_eq!((ours.status, gitlab_s.status), (200, 200));
        assert_eq!(String::from_utf8_lossy(&ours.body), String::from_utf8_lossy(&gitlab_s.body));
        let whole: serde_json::Value = serde_json::from_slice(&ours.body).expect("JSON");
        for key in ["user", "duration", "started_at", "finished_at", "coverage", "detailed_status", "before_sha", "tag"]
        {
            assert!(whole.get(key).is_some(), "{key}");
        }
    }
    for project in rig.fake.with(|world| world.projects()) {
        let latest = format!("/api/v4/projects/{project}/pipelines/latest");
        assert_eq!(view.get(&latest).await.body, rig.get_gitlab(&latest).await.body);
        let list = format!("/api/v4/projects/{project}/pipelines");
        assert_eq!(view.get(&list).await.body, rig.get_gitlab(&list).await.body, "rows are as GitLab lists them");
    }
    view.close().await;
}

async fn what_was_cached_without_catches_up_for_one_call_each_in_full_passes(engine: Engine) {
    let (rig, ..) = rig(4, engine);
    assert!(rig.backfill(STORE).await.is_clean());
    let whole = rig.cache(STORE).await;
    rig.behind(STORE).await.lose_details().await;
    let gaps = rig.gaps(STORE).await;
    assert_eq!(gaps.iter().map(|gap| gap.kind).collect::<Vec<_>>(), ["detail"; 4]);
    let view = rig.view(STORE).await;
    let project = rig.fake.with(|world| world.projects()[0]);
    let row = view.get(&path(project, gaps[0].pipeline)).await;
    assert!(row.status == 200 && !String::from_utf8_lossy(&row.body).contains("before_sha"), "as lists have it");
    let told = view.get(&format!("/api/cistern/v1/projects/{project}/completeness")).await;
    let told: serde_json::Value = serde_json::from_slice(&told.body).expect("JSON");
    assert_eq!((&told["complete"], &told["details"]["missing"]), (&false.into(), &4.into()));
    view.close().await;

    let report = rig.pass(STORE, Extent::Due).await;
    assert_eq!((report.details, report.pipelines), (0, 0), "incremental passes leave them to full ones");
    let forecast = rig.forecast(STORE).await;
    rig.fake.reset_counters();
    let report = rig.backfill(STORE).await;
    let asked = rig.fake.requests();
    assert!(report.is_clean(), "{:?}", report.failures);
    assert_eq!((asked.of(Endpoint::Pipeline), asked.of(Endpoint::PipelineJobs), report.details), (4, 0, 4));
    assert_eq!((forecast.details, forecast.gitlab_calls), (4, asked.total));
    assert_eq!((rig.cache(STORE).await, rig.gaps(STORE).await), (whole, vec![]));
    rig.fake.reset_counters();
    assert!(rig.backfill(STORE).await.is_clean());
    assert_eq!(rig.fake.requests().of(Endpoint::Pipeline), 0);
}

async fn a_running_pipeline_is_asked_for_again_and_ends_whole(engine: Engine) {
    let (rig, project, _) = rig(1, engine);
    let (pipeline, job) = rig.fake.with(|world| {
        let pipeline = world.add_pipeline(project, PipelineSpec::default());
        let job = world.add_job(pipeline, JobSpec::new("unit"));
        world.start_job(job);
        (pipeline, job)
    });
    assert!(rig.backfill(STORE).await.is_clean());
    // The pass at its start asks again.
    let serving = rig.serve(STORE).await;
    let answers = async || {
        let ours = ask(serving.address(), "GET", &path(project, pipeline), &[]).await;
        (ours.body, rig.get_gitlab(&path(project, pipeline)).await.body)
    };
    let (ours, gitlab_s) = answers().await;
    assert_eq!(String::from_utf8_lossy(&ours), String::from_utf8_lossy(&gitlab_s));
    rig.fake.with(|world| {
        world.finish_job(job, "failed");
        world.archive_trace(job);
    });
    rig.fake.reset_counters();
    serving.deliver(&rig.fake.pipeline_event(pipeline).expect("an event")).await;
    serving.idle().await;
    let asked = rig.fake.requests();
    assert_eq!(
        (asked.of(Endpoint::Pipeline), asked.of(Endpoint::PipelineJobs)),
        (1, 1),
        "no call more than without it"
    );
    let (ours, gitlab_s) = answers().await;
    assert_eq!(String::from_utf8_lossy(&ours), String::from_utf8_lossy(&gitlab_s));
    serving.stop().await;
}

async fn what_gitlab_does_not_give_holds_no_job_up(engine: Engine) {
    for kind in [FaultKind::BrokenJson, FaultKind::ServerError] {
        let (rig, project, pipelines) = rig(1, engine);
        rig.fake.inject(Fault::new(kind).on(Endpoint::Pipeline));
        let report = rig.backfill(STORE).await;
        assert!(!report.is_clean());
        let cache = rig.cache(STORE).await;
        assert!(cache.jobs.values().all(|job| job.log == b"log\n"), "{cache:?}");
        let gaps = rig.gaps(STORE).await;
        assert_eq!(gaps.iter().map(|gap| gap.kind).collect::<Vec<_>>(), ["detail"]);
        rig.fake.clear_faults();
        assert!(rig.backfill(STORE).await.is_clean());
        assert_eq!(rig.gaps(STORE).await, vec![]);
        let view = rig.view(STORE).await;
        let path = path(project, pipelines[0]);
        assert_eq!(view.get(&path).await.body, rig.get_gitlab(&path).await.body);
        view.close().await;
    }
}

async fn what_is_refused_is_asked_for_again_and_had_once_it_is_given(engine: Engine) {
    let (rig, project, pipelines) = rig(3, engine);
    rig.fake.inject(Fault::new(FaultKind::Forbidden).on(Endpoint::Pipeline));
    let report = rig.backfill(STORE).await;
    assert!(report.is_clean(), "{:?}", report.failures);
    let view = rig.view(STORE).await;
    for pipeline in &pipelines {
        let row = view.pipeline(project, *pipeline).await;
        assert_eq!(row.detail.piece, Piece::Absent(Reason::Forbidden));
        assert_eq!(view.get(&path(project, *pipeline)).await.status, 200, "as lists have it");
    }
    view.close().await;
    assert_eq!(rig.gaps(STORE).await, vec![]);

    // A full pass asks for one of them, and once whether the project is shown.
    let forecast = rig.forecast(STORE).await;
    rig.fake.reset_counters();
    assert!(rig.backfill(STORE).await.is_clean());
    let asked = rig.fake.requests();
    assert_eq!((asked.of(Endpoint::Pipeline), asked.of(Endpoint::Project)), (1, 1));
    assert_eq!((forecast.details, forecast.gitlab_calls), (1, asked.total));
    rig.fake.clear_faults();
    rig.fake.reset_counters();
    assert!(rig.backfill(STORE).await.is_clean());
    assert_eq!(rig.fake.requests().of(Endpoint::Pipeline), 3);
    assert!(rig.backfill("fresh.db").await.is_clean());
    assert_eq!(rig.cache(STORE).await, rig.cache("fresh.db").await);
}

async fn a_reader_has_what_is_missing_fetched(engine: Engine) {
    let (rig, project, pipelines) = rig(1, engine);
    let rig = rig.set("api.read_through", "true");
    assert!(rig.backfill(STORE).await.is_clean());
    rig.behind(STORE).await.lose_details().await;
    let serving = rig.serve(STORE).await;
    let path = path(project, pipelines[0]);
    for source in ["miss", "hit"] {
        let ours = ask(serving.address(), "GET", &path, &[]).await;
        assert_eq!((ours.source(), &ours.body), (source, &rig.get_gitlab(&path).await.body));
    }
    serving.stop().await;
}
