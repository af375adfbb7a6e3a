//! What cannot run says so in a sentence, with an exit code that programs understand, and quickly gives up.

use cistern::demo::fake::{ArtifactDelivery, Endpoint, Fault, FaultKind, Options, PipelineSpec, World};

use super::{Ended, Process, Server};
use crate::rig::{Engine, Rig};

async fn run(rig: &Rig, arguments: &[&str]) -> Ended {
    let ended = Process::start(rig, "cistern.db", arguments).ended().await;
    assert_eq!(ended.stdout, "", "only answers belong on stdout");
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    ended
}

#[tokio::test(flavor = "multi_thread")]
async fn all_mistakes_of_a_configuration_are_told_at_once() {
    let rig = Rig::new(World::new())
        .set("gitlab.url", "gitlab.example.com")
        .set("store.url", "postgres://elsewhere")
        .set("server.listen", "0.0.0.0:8080")
        .set("limits.jobs", "many")
        .set("webhook.signing_tokens", "whsec_s3cret");
    for verb in ["serve", "backfill", "verify"] {
        let ended = run(&rig, &[verb]).await;
        assert_eq!(ended.code, Some(2), "{ended:?}");
        for key in ["GITLAB_URL", "STORE_URL", "access.mode", "LIMITS_JOBS", "WEBHOOK_SIGNING_TOKENS"] {
            assert!(ended.stderr.contains(key), "{key} is not in: {}", ended.stderr);
        }
        assert!(!ended.stderr.contains("s3cret"), "{}", ended.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_errors_exit_with_2_and_help_with_0() {
    let rig = Rig::new(World::new());
    for arguments in [&["fly"][..], &["backfill", "--since", "soon"], &["serve", "--limits-job", "1"], &[]] {
        assert_eq!(run(&rig, arguments).await.code, Some(2), "{arguments:?}");
    }
    let help = Process::start(&rig, "cistern.db", &["--help"]).ended().await;
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
    assert!(help.stdout.contains("backfill"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gitlab_that_cannot_be_reached_is_told_with_exit_code_3() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let rig = Rig::new(World::new()).set("gitlab.url", &format!("http://{closed}")).set("schedule.scale", "0.001");
    for arguments in [&["backfill"][..], &["backfill", "--dry-run"], &["verify"]] {
        let ended = run(&rig, arguments).await;
        assert_eq!(ended.code, Some(3), "{ended:?}");
        let last = ended.stderr.lines().last().unwrap_or_default();
        assert!(last.starts_with("cistern: ") && last.contains("cannot connect"), "{}", ended.stderr);
        let advice = last.contains(&format!("(asked at http://{closed}/)")) && last.contains("gitlab.url is right");
        assert!(advice, "{}", ended.stderr);
        let warnings: Vec<&str> = ended.stderr.lines().filter(|line| line.contains("cannot reach GitLab")).collect();
        assert!(warnings.len() == 1 && warnings[0].contains(&format!("http://{closed}")), "{}", ended.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_is_told_with_exit_code_3_after_very_few_calls() {
    let mut world = World::new();
    for number in 0..5 {
        let project = world.add_project(&format!("group/app-{number}"));
        world.add_pipeline(project, PipelineSpec::default());
    }
    let rig = Rig::new(world).set("gitlab.token", "glpat-not-the-one-s3cret");
    for arguments in [&["backfill"][..], &["backfill", "--dry-run"], &["verify"]] {
        rig.fake.reset_counters();
        let ended = run(&rig, arguments).await;
        assert_eq!(ended.code, Some(3), "{ended:?}");
        assert!(ended.stderr.contains("token") && !ended.stderr.contains("s3cret"), "{}", ended.stderr);
        assert!(rig.fake.requests().total <= 2, "{:?}", rig.fake.requests());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_refused_midway_ends_the_backfill_without_hammering() {
    let mut world = World::new();
    for number in 0..5 {
        let project = world.add_project(&format!("group/app-{number}"));
        for _ in 0..10 {
            world.add_pipeline(project, PipelineSpec::default());
        }
    }
    let rig = Rig::new(world).set("limits.api_calls", "4");
    rig.fake.inject(Fault::new(FaultKind::Unauthorized).on(Endpoint::PipelineJobs));
    let ended = run(&rig, &["backfill"]).await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stderr.contains("token"), "{}", ended.stderr);
    assert!(rig.fake.requests().of(Endpoint::PipelineJobs) <= 8, "{:?}", rig.fake.requests());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_revoked_midway_is_confirmed_by_one_question_and_told_once() {
    // What the storage refuses tells nothing of the token: without hops there every refusal is one of the token.
    let options = Options { artifacts: ArtifactDelivery::Direct, ..Options::default() };
    let rig = Rig::with(World::demo(2, 10, 10, 3), options).set("limits.api_calls", "4");
    const GOOD: u32 = 40;
    rig.fake.inject(Fault::new(FaultKind::Unauthorized).skip(GOOD));
    let ended = run(&rig, &["backfill"]).await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let requests = rig.fake.requests();
    let refused = requests.total + requests.storage - u64::from(GOOD);
    assert!((2..=5).contains(&refused), "{refused}: those in flight and one more");
    assert_eq!(ended.stderr.matches("GitLab refuses the token: nothing is asked").count(), 1, "{}", ended.stderr);
    assert_eq!(ended.stderr.matches("that it took a moment ago").count(), 1, "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_not_ours_not_whole_or_of_a_newer_version_exits_with_3() {
    let rig = Rig::new(World::new()).on(Engine::Sqlite);
    let path = rig.directory.path().join("cistern.db");
    std::fs::write(&path, "a shopping list".repeat(100)).expect("written");
    let mut seen = vec![run(&rig, &["backfill"]).await, run(&rig, &["serve"]).await];

    std::fs::remove_file(&path).expect("removed");
    assert_eq!(Process::start(&rig, "cistern.db", &["backfill"]).ended().await.code, Some(0));
    let whole = std::fs::read(&path).expect("read");
    std::fs::write(&path, &whole[..whole.len() / 2]).expect("cut");
    seen.push(run(&rig, &["serve"]).await);
    std::fs::write(&path, &whole).expect("written");
    let newer = deadpool_sqlite::rusqlite::Connection::open(&path).expect("opened");
    newer.pragma_update(None, "user_version", 99).expect("changed");
    drop(newer);
    seen.push(run(&rig, &["verify"]).await);

    let sentences = ["not a database", "not a database", "damaged", "newer"];
    for (ended, sentence) in seen.iter().zip(sentences) {
        assert_eq!(ended.code, Some(3), "{ended:?}");
        assert!(ended.stderr.contains(sentence), "{sentence}: {}", ended.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let rig = Rig::new(World::new()).set("server.listen", &address);
    let ended = run(&rig, &["serve"]).await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stderr.contains(&address), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn healthcheck_exits_with_0_when_it_is_answered_and_with_3_when_nobody_listens() {
    let rig = Rig::new(World::new());
    let server = Server::start(&rig, "cistern.db").await;
    let check = |url: String| {
        let rig = &rig;
        async move { run(rig, &["healthcheck", "--url", &url]).await }
    };
    let address = server.address();
    assert_eq!(check(format!("http://{address}/readyz")).await.code, Some(0));
    assert_eq!(check(format!("http://{address}/nothing")).await.code, Some(1));
    drop(server);
    let ended = check(format!("http://{address}/readyz")).await;
    assert_eq!(ended.code, Some(3));
    assert!(ended.stderr.contains("does not answer"), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_written_is_named_with_what_to_do() {
    let rig = Rig::new(World::new()).on(Engine::Sqlite);
    let path = rig.directory.path().join("cistern.db");
    std::fs::create_dir(rig.directory.path().join("cistern.db.lock")).expect("made");
    let ended = run(&rig, &["serve"]).await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let told =
        ended.stderr.contains("cistern.db.lock cannot be opened for writing") && ended.stderr.contains("run this as");
    assert!(told, "{}", ended.stderr);

    // A file cannot be made where the directory is gone.
    std::os::unix::fs::symlink(rig.directory.path().join("gone/cistern.db"), &path).expect("made");
    let ended = run(&rig, &["backfill"]).await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let told =
        ended.stderr.contains("cistern.db cannot be opened for writing, which SQLite needs to do even to read it");
    assert!(told, "{}", ended.stderr);
}
