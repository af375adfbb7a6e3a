//! Projects whose CI or repository is switched off: told once, no failure, and swept in full when it is on again.

use cistern::demo::fake::{Endpoint, Fault, FaultKind, World};
use cistern::domain::ProjectId;
use cistern::reconcile::Extent;
use serde_json::Value;

use super::{done, world};
use crate::process::{Ended, Process};
use crate::rig::{Engine, Rig, on_both};

const STORE: &str = "cistern.db";

/// Switches it off (`true`) or on.
type Switch = fn(&mut World, ProjectId, bool);

/// Every way by which GitLab shows that there is nothing to be had: by the document, or by a 403 alone.
const WAYS: [(&str, Switch, bool); 3] = [
    ("CI", |world, project, off| world.set_ci_disabled(project, off), true),
    ("the repository", |world, project, off| world.set_repository_disabled(project, off), true),
    ("the token's role", |world, project, off| world.set_bot_role(project, if off { 10 } else { 20 }), false),
];

async fn backfill(rig: &Rig) -> (Ended, Value) {
    let ended = Process::start(rig, STORE, &["backfill", "--output", "json"]).ended().await;
    let summary = serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    (ended, summary)
}

/// Returns how often it was told that a project has no CI, and that it has.
fn told(ended: &Ended, project: ProjectId) -> (usize, usize) {
    let of_it = |words: &str| {
        let lines = ended.stderr.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let lines = lines.filter(|line| line["project.id"] == project.0);
        lines.filter(|line| line["message"].as_str().is_some_and(|text| text.contains(words))).count()
    };
    (of_it("CI or repository is"), of_it("CI is on again"))
}

async fn a_project_without_ci_is_told_once_and_fails_nothing_until_it_is_on_again(engine: Engine) {
    for (way, switch, by_document) in WAYS {
        let mut world = world();
        let (project, other) = (world.add_project("group/app"), world.add_project("group/lib"));
        done(&mut world, project);
        done(&mut world, other);
        let rig = Rig::new(world).on(engine);
        let (ended, summary) = backfill(&rig).await;
        assert_eq!((ended.code, &summary["pass"]["without_ci"]), (Some(0), &0.into()), "{way}");
        let behind = rig.behind(STORE).await;
        let watermark = behind.watermark(project).await.expect("a watermark");

        rig.fake.with(|world| {
            switch(world, project, true);
            done(world, other);
        });
        for run in 0..3 {
            rig.fake.reset_counters();
            let (ended, summary) = backfill(&rig).await;
            assert_eq!(ended.code, Some(0), "{way}: {ended:?}");
            assert_eq!(told(&ended, project), (usize::from(run == 0), 0), "{way}, run {run}: {}", ended.stderr);
            let pass = &summary["pass"];
            assert_eq!(
                (&pass["without_ci"], &pass["projects"], &pass["projects_failed"]),
                (&1.into(), &1.into(), &0.into())
            );
            assert_eq!(pass["failures"], Value::Array(Vec::new()), "{way}");
            if run > 0 {
                // By the document nothing is asked; else one listing, and whether the project is there.
                let asked = (rig.fake.requests().of(Endpoint::Pipelines), rig.fake.requests().of(Endpoint::Project));
                assert_eq!(asked, if by_document { (2, 0) } else { (3, 1) }, "{way}");
            }
        }
        assert_eq!(behind.watermark(project).await, Some(watermark), "{way}");

        let text = Process::start(&rig, STORE, &["backfill"]).ended().await;
        assert!(text.code == Some(0) && text.stdout.contains("1 projects have no CI"), "{way}: {text:?}");
        let verified = Process::start(&rig, STORE, &["verify"]).ended().await;
        assert!(verified.stdout.starts_with("0 gaps\n1 projects have no CI"), "{way}: {verified:?}");
        assert_eq!(verified.code, Some(0), "{way}");
        let dry = Process::start(&rig, STORE, &["backfill", "--dry-run", "--output", "json"]).ended().await;
        let forecast: Value = serde_json::from_str(&dry.stdout).expect("JSON");
        assert_eq!(
            (dry.code, &forecast["without_ci"], &forecast["projects"]),
            (Some(0), &1.into(), &1.into()),
            "{way}"
        );

        // While it was off something changed that GitLab dates before the watermark.
        rig.fake.with(|world| {
            done(world, project);
            switch(world, project, false);
        });
        behind.set_watermark(project, watermark + 3_600_000).await;
        let report = rig.pass(STORE, Extent::Due).await;
        assert!(report.is_clean() && report.without_ci == 0, "{way}: {:?}", report.failures);
        assert_eq!(rig.cache(STORE).await.jobs.len(), 4, "{way}: it was not swept in full");
        let (ended, _) = backfill(&rig).await;
        assert_eq!((ended.code, told(&ended, project)), (Some(0), (0, 0)), "{way}: that was told by the pass before");
        rig.fake.with(|world| switch(world, project, true));
        assert_eq!(told(&backfill(&rig).await.0, project), (1, 0), "{way}: it is news again");
    }
}

async fn a_project_without_ci_is_shown_to_who_asks(engine: Engine) {
    let mut world = world();
    let project = world.add_project("group/app");
    done(&mut world, project);
    let rig = Rig::new(world).on(engine);
    rig.backfill(STORE).await;
    rig.fake.with(|world| world.set_repository_disabled(project, true));
    let serving = crate::process::Server::start(&rig, STORE).await;
    serving.until_swept().await;
    let standing = serving.status().await["reconcile"]["standings"]["projects"][0].take();
    assert_eq!(standing["project"], project.0);
    let since = standing["without_ci_since"].as_str().expect("a time").to_owned();
    let path = format!("/api/cistern/v1/projects/{project}/completeness");
    let answer: Value = serde_json::from_slice(&serving.get(&path).await.body).expect("JSON");
    assert_eq!(answer["without_ci_since"], since, "{answer}");
}

async fn where_the_project_itself_is_refused_it_has_failed(engine: Engine) {
    let mut world = world();
    let project = world.add_project("group/app");
    done(&mut world, project);
    let rig = Rig::new(world).on(engine).set("schedule.scale", "0.001");
    rig.fake.inject(Fault::new(FaultKind::Forbidden).on(Endpoint::Pipelines));
    rig.fake.inject(Fault::new(FaultKind::ServerError).on(Endpoint::Project));
    let report = rig.backfill(STORE).await;
    assert_eq!((report.projects_failed, report.without_ci), (1, 0), "{:?}", report.failures);
    rig.fake.clear_faults();
    assert!(rig.backfill(STORE).await.is_clean());
    assert_eq!(rig.gaps(STORE).await, []);
}

on_both! {
    a_project_without_ci_is_told_once_and_fails_nothing_until_it_is_on_again;
    a_project_without_ci_is_shown_to_who_asks;
    where_the_project_itself_is_refused_it_has_failed;
}
