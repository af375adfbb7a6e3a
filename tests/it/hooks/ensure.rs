//! `ensure`, `list` and `test`.

use cistern::demo::fake::{Endpoint, Fault, FaultKind};
use serde_json::json;

use super::{column, hooks, options, run, serving, world};
use crate::rig::SIGNING_TOKEN;

#[tokio::test(flavor = "multi_thread")]
async fn every_project_gets_a_hook_that_works_and_a_second_run_changes_nothing() {
    let (world, projects, job) = world();
    let (rig, server) = serving(world, options()).await;

    let (planned, code) = hooks(&rig, &["ensure", "--dry-run"]).await;
    assert_eq!((column(&planned, "outcome"), code), (json!(["created", "created"]), 0), "{planned}");
    assert!(projects.iter().all(|project| rig.fake.with(|world| world.hooks_of(*project)).is_empty()));
    let (listed, code) = hooks(&rig, &["list"]).await;
    assert_eq!((&listed[0]["hook"], code), (&json!(null), 1), "{listed}");

    let (ensured, code) = hooks(&rig, &["ensure"]).await;
    assert_eq!((column(&ensured, "outcome"), code), (json!(["created", "created"]), 0), "{ensured}");
    assert_eq!(column(&ensured, "place"), json!(["group/app", "group/sub/lib"]));
    for project in projects {
        let hook = rig.fake.with(|world| world.hooks_of(project))[0];
        assert_eq!(rig.fake.with(|world| world.hook_tokens(hook)), (Some(SIGNING_TOKEN.to_owned()), None));
    }
    let (again, code) = hooks(&rig, &["ensure"]).await;
    assert_eq!((column(&again, "outcome"), code), (json!(["unchanged", "unchanged"]), 0), "{again}");
    let (listed, code) = hooks(&rig, &["list"]).await;
    assert_eq!((column(&listed, "state"), code), (json!(["executable", "executable"]), 0), "{listed}");
    assert_eq!((column(&listed, "current"), column(&listed, "job_events")), (json!([true, true]), json!([true, true])));

    for event in ["pipeline", "job"] {
        let (tested, code) = hooks(&rig, &["test", "--project", "group/app", "--event", event]).await;
        assert_eq!(code, 0, "{tested}");
        assert_eq!((&tested[0]["status"], &tested[0]["arrived"]), (&json!(202), &json!(true)), "{tested}");
    }
    rig.fake.fire(job).await;
    let hook = rig.fake.with(|world| world.hooks_of(projects[0]))[0];
    assert_eq!(rig.fake.with(|world| world.deliveries_of(hook)), (3, 0));
    let shown = run(&rig, &["list"]).await.stdout;
    assert!(shown.contains("✓ group/app: webhook ") && shown.contains("signed with the first token"), "{shown}");
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_changed_is_repaired_and_a_disabled_hook_enabled() {
    let (mut world, [app, lib], _) = world();
    let url = "http://127.0.0.1:1/webhooks/gitlab";
    let foreign = world.add_hook(app, url);
    let (rig, server) = serving(world, options()).await;
    let url = format!("http://{}/webhooks/gitlab", server.address());
    let (spoiled, disabled) = rig.fake.with(|world| {
        let (spoiled, disabled) = (world.add_hook(app, &url), world.add_hook(lib, &url));
        world.spoil_hook(spoiled);
        world.set_hook_tokens(disabled, Some(SIGNING_TOKEN), None);
        world.set_hook_failures(disabled, 40);
        (spoiled, disabled)
    });
    let (listed, code) = hooks(&rig, &["list"]).await;
    assert_eq!((column(&listed, "state"), code), (json!(["executable", "disabled"]), 1), "{listed}");
    let text = listed.to_string();
    assert!(text.contains("custom template") && text.contains("has no signing token"), "{text}");

    let (ensured, code) = hooks(&rig, &["ensure"]).await;
    assert_eq!((column(&ensured, "outcome"), code), (json!(["updated", "updated"]), 0), "{ensured}");
    assert_eq!(column(&ensured, "hook"), json!([spoiled, disabled]));
    assert_eq!(ensured[0]["changes"].as_array().map(Vec::len), Some(4), "{ensured}");
    assert!(ensured[1].to_string().contains("enabled again"), "{ensured}");
    assert_eq!(hooks(&rig, &["list"]).await.1, 0);
    assert_eq!(rig.fake.with(|world| world.hook_tokens(foreign)), (None, None), "another receiver's hook is not ours");

    let twin = rig.fake.with(|world| world.add_hook(app, &url));
    let (ensured, _) = hooks(&rig, &["ensure", "--project", "group/app"]).await;
    assert!(ensured[0]["notes"].to_string().contains(&format!("webhook {twin} has the same URL")), "{ensured}");
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_groups_hook_covers_its_projects() {
    let (world, _, job) = world();
    let (rig, server) = serving(world, options()).await;
    let (ensured, code) = hooks(&rig, &["ensure", "--group", "group"]).await;
    assert_eq!((column(&ensured, "place"), code), (json!(["group group"]), 0), "{ensured}");
    let (ensured, code) = hooks(&rig, &["ensure"]).await;
    assert_eq!((column(&ensured, "outcome"), code), (json!(["unchanged", "unchanged"]), 0), "{ensured}");
    let (listed, code) = hooks(&rig, &["list"]).await;
    assert_eq!((column(&listed, "covered_by"), code), (json!(["group", "group"]), 0), "{listed}");
    let (tested, code) = hooks(&rig, &["test", "--group", "group"]).await;
    assert_eq!((&tested[0]["status"], code), (&json!(202), 0), "{tested}");
    rig.fake.fire(job).await;
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_says_why_and_the_rest_is_done() {
    let (mut world, [app, _], _) = world();
    world.set_hooks_role(app, 30);
    let (rig, server) = serving(world, super::Options { premium: false, ..options() }).await;
    let (ensured, code) = hooks(&rig, &["ensure"]).await;
    assert_eq!((column(&ensured, "outcome"), code), (json!(["failed", "created"]), 1), "{ensured}");
    assert!(ensured[0]["problem"].to_string().contains("Maintainer"), "{ensured}");
    let (ensured, code) = hooks(&rig, &["ensure", "--group", "group"]).await;
    assert!(code == 1 && ensured[0]["problem"].to_string().contains("Premium"), "{ensured}");
    let ended = run(&rig, &["ensure", "--project", "group/nothing"]).await;
    assert!(ended.code == Some(1) && ended.stderr.contains("no project group/nothing"), "{ended:?}");
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_not_answered_is_not_given_again() {
    let (world, ..) = world();
    let (rig, server) = serving(world, options()).await;
    rig.fake.inject(Fault::new(FaultKind::CloseBeforeHead).on(Endpoint::Hooks).skip(1).times(1));
    // The groups are looked at before the order is given.
    rig.fake.reset_counters();
    let ended = run(&rig, &["ensure", "--group", "group"]).await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stderr.contains("create a webhook of group group"), "{ended:?}");
    assert_eq!(rig.fake.requests().of(Endpoint::Hooks), 2);
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_means_it_says_which_settings_are_needed() {
    let (world, ..) = world();
    let rig = crate::rig::Rig::with(world, options());
    let ended = run(&rig, &["ensure"]).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    for key in ["gitlab.hooks_token", "server.public_url"] {
        assert!(ended.stderr.contains(key), "{ended:?}");
    }
    let rig = rig.set("server.public_url", "http://127.0.0.1:9").set("gitlab.hooks_token", "glpat-of-no-use");
    let ended = run(&rig, &["ensure"]).await;
    assert!(ended.code == Some(3) && ended.stderr.contains("hooks_token"), "{ended:?}");
    assert!(!ended.stderr.contains("glpat-of-no-use"), "{ended:?}");
    let reader = rig.fake.token().to_owned();
    let ended = Box::pin(
        crate::process::Process::start(&rig.set("gitlab.hooks_token", &reader), "c.db", &["hooks", "ensure"]).ended(),
    )
    .await;
    assert!(ended.code == Some(1) && ended.stdout.contains("Maintainer"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_reads_needs_no_secret_of_the_webhooks() {
    let (world, ..) = world();
    let rig = crate::rig::Rig::with(world, options())
        .set("gitlab.hooks_token", super::MANAGER)
        .set("server.public_url", "http://127.0.0.1:9")
        .set("webhook.signing_tokens", "");
    let listed = run(&rig, &["list"]).await;
    assert!(listed.code == Some(1) && listed.stdout.contains("group/app: "), "{listed:?}");
    let failed = run(&rig, &["failed"]).await;
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(0), ""), "{failed:?}");
    let ensured = run(&rig, &["ensure"]).await;
    assert!(ensured.code == Some(2) && ensured.stderr.contains("SIGNING_TOKENS"), "{ensured:?}");
}
