//! `prune` and retention: by age, by room, per project, and in the background.

use std::time::Duration;

use cistern::demo::fake::{Endpoint, Junit};
use cistern::domain::{Piece, Reason, Timestamp};

use super::*;
use crate::process::Server;
use crate::rig::{Engine, eventually};

const DAY: Duration = Duration::from_secs(86_400);
const PRUNED: Piece = Piece::Absent(Reason::Pruned);

/// Two pipelines of one project, one 200 days old and one of today, each of one job with log, archive and report.
struct Old {
    rig: Rig,
    project: ProjectId,
    pipelines: [PipelineId; 2],
    jobs: [JobId; 2],
}

fn old_and_young(engine: Engine) -> Old {
    let mut world = World::at(Timestamp::now().minus(DAY * 200));
    let project = world.add_project("group/app");
    let add = |world: &mut World| {
        let pipeline = world.add_pipeline(project, PipelineSpec::default());
        let archive = archive(*b" and some more bytes");
        let spec = JobSpec::new("unit").archive(archive).junit(Junit::generated(3, 1, 7));
        let job = world.add_job(pipeline, spec);
        finish(world, &vec![job]);
        (pipeline, job)
    };
    let old = add(&mut world);
    world.advance(DAY * 199);
    let young = add(&mut world);
    Old { rig: Rig::new(world).on(engine), project, pipelines: [old.0, young.0], jobs: [old.1, young.1] }
}

async fn pieces(rig: &Rig, project: ProjectId, job: JobId, pipeline: PipelineId) -> [Piece; 3] {
    let view = rig.view(STORE).await;
    let row = view.job(project, job).await;
    let report = view.pipeline(project, pipeline).await.report.piece;
    view.close().await;
    [row.log.piece, row.archive.piece, report]
}

async fn what_is_too_old_goes_with_its_reason_and_stays_away(engine: Engine) {
    let Old { rig, project, pipelines, jobs } = old_and_young(engine);
    assert_eq!(run(&rig, &["backfill"]).await.code, Some(0));
    assert!(run(&rig, &["prune"]).await.stderr.contains("everything is kept"));
    let before = rig.cache(STORE).await;
    let settings = ["retention.logs", "retention.artifacts", "retention.reports"];
    let rig = settings.into_iter().fold(rig, |rig, key| rig.set(key, "90d"));

    let would = json(&rig, 0, &["prune", "--dry-run"]).await;
    assert_eq!(rig.cache(STORE).await, before, "a dry run changes nothing");
    let did = json(&rig, 0, &["prune"]).await;
    for kind in ["logs", "artifacts", "reports"] {
        assert_eq!((&would[kind]["count"], &did[kind]), (&1.into(), &would[kind]), "{kind}");
    }
    assert_eq!((&would["dry_run"], &did["dry_run"]), (&true.into(), &false.into()));
    assert_eq!(would["stored_bytes"], did["stored_bytes"]);
    assert_eq!(json(&rig, 0, &["prune"]).await["logs"]["count"], 0);
    assert_eq!(pieces(&rig, project, jobs[0], pipelines[0]).await, [PRUNED; 3]);
    assert_eq!(pieces(&rig, project, jobs[1], pipelines[1]).await, [Piece::Whole; 3]);

    // No pass asks for it again, nobody calls it a gap, and readers learn why.
    rig.fake.reset_counters();
    assert_eq!(run(&rig, &["backfill"]).await.code, Some(0));
    assert_eq!(run(&rig, &["verify"]).await.code, Some(0));
    let asked = rig.fake.requests();
    assert_eq!((asked.of(Endpoint::Trace), asked.of(Endpoint::Artifacts), asked.of(Endpoint::TestReport)), (0, 0, 0));
    let server = Server::start(&rig, STORE).await;
    let path = |job: JobId, of: &str| format!("/api/v4/projects/{project}/jobs/{job}/{of}");
    let pruned = |status| (status, Some("pruned".to_owned()));
    assert_eq!(reason(server.address(), &path(jobs[0], "trace")), pruned(404));
    assert_eq!(reason(server.address(), &path(jobs[0], "artifacts")), pruned(404));
    assert_eq!(reason(server.address(), &path(jobs[1], "artifacts")), (200, None));

    // Its room comes back once its readers had their time.
    let behind = rig.behind(STORE).await;
    assert_eq!(behind.blobs().await, 6);
    behind.age_replaced_blobs().await;
    json(&rig, 0, &["prune"]).await;
    assert_eq!(behind.blobs().await, 3);
}

async fn what_is_too_old_is_not_even_fetched(engine: Engine) {
    let Old { rig, project, pipelines, jobs } = old_and_young(engine);
    let rules = "group/other:logs=1d,group/**:artifacts=forever";
    let rig = rig.set("retention.logs", "90d").set("retention.artifacts", "90d").set("retention.projects", rules);
    assert_eq!(run(&rig, &["backfill"]).await.code, Some(0));
    let asked = rig.fake.requests();
    assert_eq!((asked.of(Endpoint::Trace), asked.of(Endpoint::Artifacts)), (1, 2), "archives are kept here");
    assert_eq!(pieces(&rig, project, jobs[0], pipelines[0]).await, [PRUNED, Piece::Whole, Piece::Whole]);
    assert_eq!(run(&rig, &["verify"]).await.code, Some(0));
    assert_eq!(json(&rig, 0, &["prune"]).await["artifacts"]["count"], 0);
}

async fn beyond_its_room_the_oldest_jobs_go(engine: Engine) {
    let mut world = World::new();
    let (project, pipeline, _) = finished(&mut world, "group/app", 0);
    let noise = |seed: u32| (0..100_000_u32).map(move |i| ((i + seed).wrapping_mul(2_654_435_761) >> 13) as u8);
    let jobs: Vec<JobId> = (0..4)
        .map(|number| world.add_job(pipeline, JobSpec::new(&format!("job {number}")).archive(archive(noise(number)))))
        .collect();
    finish(&mut world, &jobs);
    let rig = Rig::new(world).on(engine);
    assert_eq!(run(&rig, &["backfill"]).await.code, Some(0));
    let rig = rig.set("retention.size", "250KiB");
    let would = json(&rig, 0, &["prune", "--dry-run"]).await;
    let did = json(&rig, 0, &["prune"]).await;
    assert_eq!((&would["artifacts"], &would["stored_bytes"]), (&did["artifacts"], &did["stored_bytes"]));
    assert_eq!(did["size_limit"], 250 * 1024);
    assert!(did["stored_bytes"].as_u64() <= Some(250 * 1024), "{did}");
    let view = rig.view(STORE).await;
    let mut kept = Vec::new();
    for job in &jobs {
        kept.push(view.job(project, *job).await.archive.piece);
    }
    view.close().await;
    assert_eq!(kept, [PRUNED, PRUNED, Piece::Whole, Piece::Whole]);
}

async fn pipelines_that_are_too_old_go_as_a_whole(engine: Engine) {
    let Old { rig, jobs, .. } = old_and_young(engine);
    assert_eq!(run(&rig, &["backfill"]).await.code, Some(0));
    let refused = Process::start_with(&rig, STORE, &["prune"], &[("CISTERN_RETENTION_DOCUMENTS", "90d")]).ended().await;
    assert_eq!(refused.code, Some(2), "each full pass would fetch them again");
    assert!(
        refused.stderr.contains("retention.documents") && refused.stderr.contains("reconcile.since"),
        "{refused:?}"
    );

    let rig = rig.set("reconcile.since", "60d").set("retention.documents", "90d");
    let would = json(&rig, 0, &["prune", "--dry-run"]).await;
    let did = json(&rig, 0, &["prune"]).await;
    assert_eq!((&would["documents"]["count"], &did["documents"]["count"]), (&1.into(), &1.into()));
    assert_eq!(run(&rig, &["backfill"]).await.code, Some(0));
    let cache = rig.cache(STORE).await;
    assert_eq!(cache.jobs.keys().map(|key| key.job).collect::<Vec<_>>(), [jobs[1]]);
    assert_eq!(rig.behind(STORE).await.blobs().await, 3);
}

async fn a_serve_prunes_by_itself_and_counts_it(engine: Engine) {
    let Old { rig, project, jobs, .. } = old_and_young(engine);
    assert_eq!(run(&rig, &["backfill"]).await.code, Some(0));
    let rig = rig.set("retention.logs", "90d");
    let server = Server::start(&rig, STORE).await;
    eventually(async || server.metrics().await.contains("cistern_pruned_total{kind=\"logs\"} 1")).await;
    let path = format!("/api/v4/projects/{project}/jobs/{}/trace", jobs[0]);
    assert_eq!(reason(server.address(), &path), (404, Some("pruned".to_owned())));
    assert_eq!(json(&rig, 0, &["prune"]).await["logs"]["count"], 0);
}

on_both! {
    what_is_too_old_goes_with_its_reason_and_stays_away;
    what_is_too_old_is_not_even_fetched;
    beyond_its_room_the_oldest_jobs_go;
    pipelines_that_are_too_old_go_as_a_whole;
    a_serve_prunes_by_itself_and_counts_it;
}
