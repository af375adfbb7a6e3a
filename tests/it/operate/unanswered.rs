//! `verify` and `backfill --dry-run` where GitLab does not answer about one thing: the rest is looked at, and it is listed.

use cistern::demo::fake::{Endpoint, Fault, FaultKind};

use super::*;
use crate::rig::Engine;

/// What GitLab may answer about one thing, and how that is told.
const ANSWERS: [(FaultKind, &str); 4] = [
    (FaultKind::Forbidden, "403"),
    (FaultKind::NotFound, "404"),
    (FaultKind::ServerError, "500"),
    (FaultKind::MalformedRow, "not readable"),
];

/// Three cached projects, each with one pipeline; a fourth was added since.
fn world() -> (World, Vec<(ProjectId, PipelineId, JobId)>) {
    let mut world = World::new();
    let made = (0..3)
        .map(|number| {
            let (project, pipeline, jobs) = finished(&mut world, &format!("group/app-{number}"), 1);
            (project, pipeline, jobs[0])
        })
        .collect();
    (world, made)
}

fn ids(row: &Value) -> (Option<u64>, Option<u64>, &str, &str) {
    let word = |key: &str| row[key].as_str().unwrap_or_else(|| panic!("no {key} in {row}"));
    (row["project"].as_u64(), row["pipeline"].as_u64(), word("kind"), word("state"))
}

async fn verify_goes_past_what_gitlab_does_not_answer_about_and_lists_it(engine: Engine) {
    let (world, made) = world();
    let rig = Rig::new(world).on(engine).set("schedule.scale", "0.001");
    assert_eq!(run(&rig, &["backfill"]).await.code, Some(0));
    let (project, pipeline, _) = made[0];
    let (lost_in, lost_of, lost) = made[2];
    rig.behind(STORE).await.lose_log(lost).await;
    let gap = (Some(lost_in.0), Some(lost_of.0), "log", "missing");
    for (kind, told) in ANSWERS {
        let malformed = matches!(kind, FaultKind::MalformedRow);
        for (endpoint, unknown) in [
            (Endpoint::Pipelines, (Some(project.0), None, if malformed { "pipelines" } else { "project" }, "unknown")),
            (
                Endpoint::PipelineJobs,
                (Some(project.0), Some(pipeline.0), if malformed { "jobs" } else { "pipeline" }, "unknown"),
            ),
        ] {
            rig.fake.clear_faults();
            rig.fake.inject(Fault::new(kind.clone()).on(endpoint).project(project.0));
            let rows = json(&rig, 1, &["verify"]).await;
            let rows = rows.as_array().expect("a list");
            assert_eq!(rows.iter().map(ids).collect::<Vec<_>>(), [gap, unknown], "{endpoint:?} {told}");
            let problem = rows[1]["problem"].as_str().expect("a reason");
            assert!(problem.contains(told), "{endpoint:?} {told}: {problem}");

            let text = run(&rig, &["verify"]).await;
            let line = text.stdout.lines().find(|line| line.contains("unknown")).expect("a line");
            assert!(line.contains(&format!("project {project}")) && line.contains(told), "{line}");
            assert!(text.stdout.contains("1 gaps\n1 could not be compared"), "{}", text.stdout);
            assert_eq!(text.code, Some(1));
        }
    }
    rig.fake.clear_faults();
    rig.behind(STORE).await.lose_listing(lost_of).await;
    assert_eq!(run(&rig, &["backfill"]).await.code, Some(0));
    assert_eq!(json(&rig, 0, &["verify"]).await, Value::Array(Vec::new()));
}

async fn a_sample_goes_past_what_gitlab_does_not_answer_about_and_lists_it(engine: Engine) {
    let (world, made) = world();
    let rig = Rig::new(world).on(engine).set("schedule.scale", "0.001");
    assert_eq!(run(&rig, &["backfill"]).await.code, Some(0));
    let (project, pipeline, job) = made[0];
    for (kind, told) in [(FaultKind::Forbidden, "403"), (FaultKind::ServerError, "500")] {
        rig.fake.clear_faults();
        rig.fake.inject(Fault::new(kind).on(Endpoint::Trace).subject(job.0));
        let sample = json(&rig, 1, &["verify", "--sample", "10"]).await["sample"].take();
        assert_eq!((&sample["jobs"], &sample["compared"]), (&3.into(), &2.into()), "{sample}");
        let skipped = sample["skipped"].as_array().expect("a list");
        assert_eq!(
            skipped.iter().map(ids).collect::<Vec<_>>(),
            [(Some(project.0), Some(pipeline.0), "log", "unknown")]
        );
        assert_eq!(skipped[0]["job"], job.0);
        assert!(skipped[0]["problem"].as_str().is_some_and(|problem| problem.contains(told)), "{sample}");
        let text = run(&rig, &["verify", "--sample", "10"]).await;
        assert!(text.code == Some(1) && text.stdout.contains(&format!("job {job}: log unknown")), "{text:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_goes_past_what_gitlab_does_not_answer_about_and_lists_it() {
    let (world, made) = world();
    let rig = Rig::new(world).set("schedule.scale", "0.001");
    let (project, pipeline, _) = made[0];
    for (kind, told) in ANSWERS {
        let malformed = matches!(kind, FaultKind::MalformedRow);
        for (endpoint, pipeline) in [(Endpoint::Pipelines, None), (Endpoint::PipelineJobs, Some(pipeline.0))] {
            rig.fake.clear_faults();
            rig.fake.inject(Fault::new(kind.clone()).on(endpoint).project(project.0));
            let refused = (told, pipeline) == ("403", None);
            let code = if refused { 0 } else { 1 };
            let forecast = json(&rig, code, &["backfill", "--dry-run"]).await;
            let logs = if malformed { 3 } else { 2 };
            assert_eq!(forecast["logs"], logs, "{endpoint:?} {told}: {forecast}");
            let skipped = forecast["skipped"].as_array().expect("a list");
            if refused {
                // The backfill takes it for one whose CI is off.
                assert_eq!((skipped.len(), &forecast["without_ci"]), (0, &1.into()), "{forecast}");
                continue;
            }
            assert_eq!(skipped.len(), 1, "{forecast}");
            assert_eq!((&skipped[0]["project"], skipped[0]["pipeline"].as_u64()), (&project.0.into(), pipeline));
            assert!(skipped[0]["problem"].as_str().is_some_and(|problem| problem.contains(told)), "{forecast}");
            let text = run(&rig, &["backfill", "--dry-run"]).await;
            assert_eq!(text.code, Some(1));
            let line = text.stdout.lines().find(|line| line.contains("not counted")).expect("a line");
            assert!(line.contains(&format!("project {project}")) && line.contains(told), "{line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_project_that_cannot_be_read_is_listed_by_verify_and_the_dry_run() {
    let (world, _) = world();
    let rig = Rig::new(world).set("projects.include", "group/app-0,group/gone");
    let forecast = json(&rig, 1, &["backfill", "--dry-run"]).await;
    assert_eq!((&forecast["projects"], &forecast["skipped"][0]["path"]), (&1.into(), &"group/gone".into()));
    run(&rig, &["backfill"]).await;
    let rows = json(&rig, 1, &["verify"]).await;
    assert_eq!((rows.as_array().map(Vec::len), &rows[0]["path"]), (Some(1), &"group/gone".into()), "{rows}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_that_was_deleted_since_it_was_listed_is_no_gap_and_compared() {
    let (world, made) = world();
    let rig = Rig::new(world);
    assert_eq!(run(&rig, &["backfill"]).await.code, Some(0));
    let (_, pipeline, _) = made[0];
    // Both are asked about it after the listing; GitLab has it no longer by then.
    rig.fake.inject(Fault::new(FaultKind::NotFound).on(Endpoint::PipelineJobs).subject(pipeline.0));
    rig.fake.inject(Fault::new(FaultKind::NotFound).on(Endpoint::Pipeline).subject(pipeline.0));
    assert_eq!(json(&rig, 0, &["verify"]).await, Value::Array(Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_concerns_everything_ends_them_early() {
    let (world, made) = world();
    let rig = Rig::new(world).set("schedule.scale", "0.001");
    assert_eq!(run(&rig, &["backfill"]).await.code, Some(0));
    let (project, ..) = made[0];
    rig.fake.inject(Fault::new(FaultKind::Unauthorized).on(Endpoint::Pipelines).project(project.0));
    for arguments in [&["verify"][..], &["backfill", "--dry-run"]] {
        let ended = run(&rig, arguments).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(3), ""), "{ended:?}");
        assert!(ended.stderr.contains("refuses the token"), "{ended:?}");
    }
    // The list of projects is there, and then GitLab is away altogether.
    rig.fake.clear_faults();
    rig.fake.inject(Fault::new(FaultKind::CloseBeforeHead).on(Endpoint::Pipelines));
    rig.fake.inject(Fault::new(FaultKind::CloseBeforeHead).on(Endpoint::Project));
    for number in 3..12 {
        rig.fake.with(|world| finished(world, &format!("group/app-{number}"), 1));
    }
    let ended = run(&rig, &["verify"]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(3), ""), "{ended:?}");
}

on_both! {
    verify_goes_past_what_gitlab_does_not_answer_about_and_lists_it;
    a_sample_goes_past_what_gitlab_does_not_answer_about_and_lists_it;
}
