//! `service`: our token answers, below the projects that the reader may read, what is listed.

use cistern::demo::fake::{Fault, FaultKind};

use super::*;
use crate::process::Process;

const ALL: &str = "a-static-token-for-everything";
const SOME: &str = "a-static-token-for-one-group";

/// Where static tokens read, and our own token may do more than it should.
async fn opened() -> Place {
    let Place { rig, ours, other, public, job } = place().await;
    let rig = rig
        .set("access.mode", "token")
        .set("access.tokens", &format!("{ALL},{SOME}=group/**"))
        .set("api.pass_through", "service");
    with_roles(&rig, &[(ours, 40), (other, 40), (public, 40)]).await;
    Place { rig, ours, other, public, job }
}

/// Gives our own token roles, and has a pass learn of them.
async fn with_roles(rig: &Rig, roles: &[(ProjectId, u8)]) {
    rig.fake.with(|world| roles.iter().for_each(|(project, role)| world.set_bot_role(*project, *role)));
    assert!(rig.backfill(STORE).await.is_clean());
    rig.fake.reset_counters();
}

#[tokio::test(flavor = "multi_thread")]
async fn our_token_answers_below_the_projects_that_the_reader_may_read() {
    let Place { rig, ours, other, .. } = opened().await;
    let serving = rig.serve(STORE).await;
    let names = [ours.to_string(), "group%2Fapp".to_owned(), "Group%2FApp".to_owned()];
    for name in &names[..2] {
        for path in [
            "repository/branches?per_page=2&id=9&id[]=9&[id]=9",
            "languages",
            "merge_requests/3",
            "pipeline_schedules",
            "releases?order_by=released_at",
            "releases/permalink/latest",
        ] {
            rig.fake.reset_counters();
            let passed = get(&serving, &format!("/projects/{name}/{path}"), SOME).await;
            let theirs =
                theirs(&rig, &format!("/projects/{ours}/{path}").replace("permalink/latest", "v1"), rig.fake.token())
                    .await;
            assert_eq!((passed.status, passed.text(), passed.source()), (200, theirs.text(), "passed"), "{path}");
            // By its number: a name may lead elsewhere by now.
            let head = rig.fake.heads()[0].clone();
            assert!(head.starts_with(&format!("GET /api/v4/projects/{ours}/")) && !head.contains("id=9"), "{head}");
            assert!(head.contains(&format!("private-token: {}\n", rig.fake.token())) && !head.contains(SOME), "{head}");
        }
    }
    rig.fake.reset_counters();
    for (token, name, status) in
        [(SOME, &other.to_string(), 404), (SOME, &"secret%2Fvault".to_owned(), 404), (ALL, &other.to_string(), 200)]
    {
        assert_eq!(get(&serving, &format!("/projects/{name}/languages"), token).await.status, status, "{token} {name}");
    }
    assert_eq!(rig.fake.requests().of(Endpoint::Beside), 1);
    for token in ["wrong", "", OWNER, rig.fake.token()] {
        assert_eq!(get(&serving, &format!("/projects/{ours}/languages"), token).await.status, 401, "{token}");
    }
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_listed_is_closed_whatever_our_token_may() {
    let Place { rig, ours, other, job, .. } = opened().await;
    let secret = theirs(&rig, &format!("/projects/{ours}/variables"), rig.fake.token()).await;
    assert!(secret.text().contains("variable-secret"), "our token may");
    let serving = rig.serve(STORE).await;
    rig.fake.reset_counters();
    let below = "variables variables/ variables/x %76ariables pipeline_schedules/1 hooks triggers members/all issues \
        merge_requests/3/notes merge_requests/3%2fnotes merge_requests/3/closes_issues deployments/1%252fx repository \
        search?scope=blobs&search=x ci/lint pipelines/9/variables deploy_keys secure_files terraform/state/x languages/x \
        Languages export/download /repository/branches languages?sudo[]=root languages?[sudo]=root languages?SUDO=root \
        repository/compare?FROM_PROJECT_ID=8 repository/compare?[from_project_id]=8";
    for path in below.split(' ') {
        let answer = get(&serving, &format!("/projects/{ours}/{path}"), ALL).await;
        assert_eq!((answer.status, answer.source()), (404, ""), "{path}: {}", answer.text());
    }
    for path in [
        format!("/projects/{ours}/jobs/{job}/trace/"),
        "/projects/a%ff/languages".to_owned(),
        format!("/projects/{ours}/repository/../variables"),
        format!("/projects/{ours}/repository/%2e%2e/variables"),
        format!("/projects/{ours}/repository/..%2f..%2f{other}%2flanguages"),
        format!("/projects/{ours}/repository/..;/variables"),
        format!("/projects/{ours}/repository/%252e%252e/variables"),
        format!("/projects/{ours}/repository/compare?from=a&to=b&from_project_id={other}"),
        format!("/projects/{ours}/languages?sudo=root"),
        "/projects/99999/languages".to_owned(),
        "/groups/group/variables".to_owned(),
        "/search?scope=projects&search=x".to_owned(),
        "/personal_access_tokens".to_owned(),
        "/admin/ci/variables".to_owned(),
        "/user/keys".to_owned(),
    ] {
        let answer = get(&serving, &path, ALL).await;
        assert_eq!((answer.status, answer.source()), (404, ""), "{path}: {}", answer.text());
        assert!(!answer.text().contains("secret"), "{path}");
    }
    // Nor where a redirect leads that somebody wrote into the project.
    for place in [
        format!("projects/{ours}/variables"),
        format!("projects/{ours}/pipeline_schedules/1"),
        format!("projects/{ours}/languages?sudo=root"),
        format!("projects/{ours}/languages?private_token=x"),
        format!("projects/{ours}/repository/compare?from=a&to=b&from_project_id={other}"),
        format!("projects/{other}/languages"),
        "user".to_owned(),
    ] {
        rig.fake.reset_counters();
        let place = format!("{}/api/v4/{place}", rig.fake.url());
        let answer = get(&serving, &link(ours, &place), ALL).await;
        assert_eq!((answer.status, answer.header("location"), answer.body.len()), (302, place.as_str(), 0));
        assert_eq!(rig.fake.heads().len(), 1, "{place}");
    }
    rig.fake.reset_counters();
    for (path, status) in
        [("/projects?owned=true", 400), ("/projects/group%2Fapp/pipelines?username=x", 200), ("/user", 200)]
    {
        assert_eq!(get(&serving, path, ALL).await.status, status, "{path}");
    }
    assert_eq!(rig.fake.heads(), Vec::<String>::new());
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let path = format!("/projects/{ours}/repository/branches");
        assert_eq!(send(&serving, method, &path, ALL, &[]).await.status, 405);
    }
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gitlab_keeps_from_reporters_is_gitlab_s_to_refuse_while_our_token_is_one() {
    let Place { rig, ours, other, .. } = opened().await;
    with_roles(&rig, &[(ours, 20)]).await;
    let serving = rig.serve(STORE).await;
    let schedule = format!("/projects/{ours}/pipeline_schedules/1");
    for path in [format!("/projects/{ours}/variables"), schedule] {
        let theirs = theirs(&rig, &path, rig.fake.token()).await;
        let passed = get(&serving, &path, SOME).await;
        assert_eq!((passed.status, passed.text(), passed.source()), (theirs.status, theirs.text(), "passed"), "{path}");
        assert!(!passed.text().contains("secret"), "{path}: {}", passed.text());
    }
    for closed in ["variables/a%2fb", "variables/a.b", "members/../hooks", "hooks", "pipeline_schedules/1/x", "issues"]
    {
        let answer = get(&serving, &format!("/projects/{ours}/{closed}"), SOME).await;
        assert_eq!((answer.status, answer.source()), (404, ""), "{closed}");
    }
    // In another project it may do more.
    let answer = get(&serving, &format!("/projects/{other}/variables"), ALL).await;
    assert_eq!((answer.status, answer.source()), (404, ""));
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_that_is_not_cached_is_closed_and_so_is_a_refused_token_of_ours() {
    let Place { rig, ours, .. } = opened().await;
    let left_out = rig.fake.with(|world| world.add_project("group/left-out"));
    let rig = rig.set("projects.exclude", "group/left-out").set("api.read_through", "true");
    let serving = rig.serve(STORE).await;
    rig.fake.reset_counters();
    for name in [left_out.to_string(), "group%2Fleft-out".to_owned()] {
        assert_eq!(get(&serving, &format!("/projects/{name}/languages"), ALL).await.status, 404, "{name}");
    }
    assert_eq!(rig.fake.requests().of(Endpoint::Beside), 0);
    // That GitLab refuses one question to our token says nothing about it, and nothing about the reader's.
    rig.fake.inject(Fault::new(FaultKind::Unauthorized).on(Endpoint::Beside).times(20));
    for _ in 0..20 {
        assert_eq!(get(&serving, &format!("/projects/{ours}/languages"), ALL).await.status, 503);
    }
    let path = format!("/projects/{ours}/languages");
    assert_eq!(get(&serving, &path, ALL).await.status, 200);
    assert!(!serving.admin("/status").await.contains("refused"));
    // Our token's own limit is obeyed, by passed questions alone.
    rig.fake.inject(Fault::new(FaultKind::ApplicationThrottled).on(Endpoint::Beside).times(1));
    rig.fake.reset_counters();
    assert_eq!((get(&serving, &path, ALL).await.status, get(&serving, &path, ALL).await.status), (429, 503));
    assert_eq!(rig.fake.heads().len(), 1);
    assert!(serving.admin("/status").await.contains("\"paused\":null"));
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_what_it_opens_and_an_open_listener_on_this_machine_may_have_it() {
    let Place { rig, .. } = place().await;
    let rig = rig.set("api.pass_through", "service");
    let ended = Process::start(&rig, STORE, &["check"]).ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(
        ended.stdout.contains("api.pass_through = service") && ended.stdout.contains("source code"),
        "{}",
        ended.stdout
    );
    let serving = rig.serve(STORE).await;
    assert_eq!(get(&serving, "/projects/secret%2Fvault/languages", "").await.status, 200);
    let proxied =
        send(&serving, "GET", "/projects/secret%2Fvault/languages", "", &[("X-Forwarded-For", "10.0.0.1")]).await;
    assert_eq!(proxied.status, 403);
    serving.stop().await;
}
