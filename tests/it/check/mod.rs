//! `cistern check` as a person uses it: every finding, and what to do about it.

mod database;

use std::time::Duration;

use cistern::demo::fake::{Archive, JobSpec, Links, Options, PipelineSpec, World};
use serde_json::Value;

use crate::process::{Process, Server};
use crate::rig::{Rig, SIGNING_TOKEN};

const MANAGER: &str = "glpat-manager-0123456789";

/// Returns the findings about one subject, each as `verdict: text`.
fn about<'a>(findings: &'a Value, subject: &str) -> Vec<String> {
    let of = |finding: &&'a Value| finding["subject"] == subject;
    let text = |finding: &Value| format!("{}: {}", finding["verdict"], finding["text"]).replace('"', "");
    findings.as_array().expect("an array").iter().filter(of).map(text).collect()
}

async fn check(rig: &Rig) -> (Value, i32) {
    let ended = Process::start(rig, "cistern.db", &["check", "--output", "json"]).ended().await;
    let shown = format!("{}{}", ended.stdout, ended.stderr);
    for secret in [MANAGER, SIGNING_TOKEN, rig.fake.token(), "panicked"] {
        assert!(!shown.contains(secret), "{secret} is in {shown}");
    }
    let findings = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("no JSON: {ended:?}"));
    (findings, ended.code.expect("an exit code"))
}

fn has(findings: &[String], verdict: &str, words: &str) -> bool {
    findings.iter().any(|finding| finding.starts_with(verdict) && finding.contains(words))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_setup_is_told_in_full() {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let archive = Archive::zip([("out.txt", &b"out"[..])]).expect("a zip");
    let job = world.add_job(pipeline, JobSpec::new("unit").archive(archive));
    world.finish_job(job, "success");
    let options = Options { hooks_token: Some(MANAGER.to_owned()), ..Options::default() };
    let rig = Rig::with(world, options).set("gitlab.hooks_token", MANAGER);
    let server = Server::start(&rig, "cistern.db").await;
    let rig = rig.set("server.public_url", &format!("http://{}", server.address()));
    let (findings, code) = check(&rig).await;
    assert_eq!(code, 0, "{findings}");
    assert!(has(&about(&findings, "hooks"), "warning", "run cistern hooks ensure"), "{findings}");
    for verb in ["ensure", "test"] {
        assert_eq!(Process::start(&rig, "cistern.db", &["hooks", verb]).ended().await.code, Some(0));
    }
    let (findings, code) = check(&rig).await;
    assert_eq!(code, 0, "{findings}");
    for (subject, words) in [
        ("configuration", "every setting is good"),
        ("gitlab", "GitLab 19.6.0-ee answers"),
        ("gitlab", "1 projects 1 are to be cached"),
        ("clock", "same time"),
        ("token", "gitlab.token has scope read_api"),
        ("token", "gitlab.token does not expire"),
        ("token", "gitlab.hooks_token has scope api"),
        ("roles", "Reporter in 1 projects"),
        ("hooks", "1 projects have a webhook, enabled, signed"),
        ("hooks", "last deliveries of 1 webhooks arrived"),
        ("storage", "archives come from GitLab's storage at http://localhost:"),
        ("store", "is a store of Cistern (schema version"),
        ("store", "free on"),
    ] {
        assert!(has(&about(&findings, subject), "fine", words), "{words}: {findings}");
    }
    assert!(
        findings.to_string().contains("to be durable") || findings.to_string().contains("by the majority"),
        "{findings}"
    );
    assert!(!findings.to_string().contains("problem"), "{findings}");
    let text = Process::start(&rig, "cistern.db", &["check"]).ended().await.stdout;
    assert!(text.lines().all(|line| line.starts_with(['✓', '!', '?'])), "{text}");
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_wrong_is_told_with_what_to_do() {
    let mut world = World::new();
    let [low, high, right] = ["group/low", "group/high", "group/right"].map(|path| world.add_project(path));
    world.set_bot_role(low, 10);
    world.set_bot_role(high, 40);
    world.advance(Duration::from_secs(20));
    let tomorrow = cistern::domain::Timestamp::now().plus(Duration::from_secs(86_400)).to_string();
    let options = Options {
        hooks_token: Some(MANAGER.to_owned()),
        expires_at: Some(tomorrow[..10].to_owned()),
        version: "16.11.0".to_owned(),
        scopes: vec!["api".to_owned()],
        ..Options::default()
    };
    let rig =
        Rig::with(world, options).set("gitlab.hooks_token", MANAGER).set("server.public_url", "http://127.0.0.1:9");
    let hook = rig.fake.with(|world| {
        let hook = world.add_hook(right, "http://127.0.0.1:9/webhooks/gitlab");
        world.set_hook_failures(hook, 40);
        world.set_hooks_role(low, 30);
        hook
    });
    let (findings, code) = check(&rig).await;
    assert_eq!(code, 1, "{findings}");
    for (subject, verdict, words) in [
        ("gitlab", "warning", "upgrade it"),
        ("clock", "warning", "behind GitLab's: let NTP set both"),
        ("token", "warning", "read_api is enough"),
        ("token", "warning", "gitlab.token ends on"),
        ("token", "warning", "gitlab.hooks_token ends on"),
        ("roles", "problem", "below Reporter in group/low"),
        ("roles", "warning", "above Reporter in group/high"),
        ("hooks", "problem", "GitLab disabled it"),
        ("hooks", "warning", "no webhook of group/high was found"),
        ("hooks", "warning", "is no Maintainer here"),
    ] {
        assert!(has(&about(&findings, subject), verdict, words), "{words}: {findings}");
    }
    rig.fake.with(|world| world.set_hook_failures(hook, 0));
    assert_eq!(
        Process::start(&rig, "cistern.db", &["hooks", "test", "--project", "group/right"]).ended().await.code,
        Some(1)
    );
    let rig = rig.set("gitlab.hooks_token", "");
    let (findings, _) = check(&rig).await;
    assert!(has(&about(&findings, "hooks"), "unknown", "unknown without gitlab.hooks_token"), "{findings}");
    let rig = rig.set("projects.include", "elsewhere/**");
    assert!(has(&about(&check(&rig).await.0, "gitlab"), "warning", "none is to be cached"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gitlab_that_is_away_or_refuses_the_token_leaves_the_rest_looked_at() {
    let rig = Rig::new(World::new()).set("gitlab.token", "glpat-of-no-use");
    let (findings, code) = check(&rig).await;
    assert!(code == 1 && has(&about(&findings, "gitlab"), "problem", "refuses the token"), "{findings}");
    assert!(!about(&findings, "store").is_empty() && !findings.to_string().contains("of-no-use"), "{findings}");
    let rig = rig.set("gitlab.url", "http://127.0.0.1:1");
    let (findings, code) = check(&rig).await;
    assert!(code == 1 && has(&about(&findings, "gitlab"), "problem", "cannot connect"), "{findings}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warning_alone_ends_with_0_and_the_help_says_so() {
    let mut world = World::new();
    world.add_project("group/app");
    let rig = Rig::new(world).set("webhook.signing_tokens", "");
    let (findings, code) = check(&rig).await;
    assert!(has(&about(&findings, "configuration"), "warning", "every webhook is refused"), "{findings}");
    assert_eq!(code, 0, "{findings}");
    let help = Process::start(&rig, "cistern.db", &["check", "--help"]).ended().await;
    assert!(help.stdout.contains("(✗) keeps something from working and ends with 1; warnings (!)"), "{}", help.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn links_to_another_address_than_gitlab_url_are_explained_and_harm_nothing() {
    let mut world = World::new();
    for number in 0..101 {
        world.add_project(&format!("group/app{number}"));
    }
    let links = Links::At("https://gitlab.example".to_owned());
    let rig = Rig::with(world, Options { links, ..Options::default() });
    let (findings, code) = check(&rig).await;
    let told = about(&findings, "gitlab");
    assert!(has(&told, "fine", "GitLab calls itself https://gitlab.example:443 (its external_url)"), "{findings}");
    assert!(has(&told, "fine", "of the token's 101 projects 101 are to be cached") && code == 0, "{findings}");
}
