//! The modes that do not ask GitLab, and where tokens are looked for.

use super::*;
use crate::rig::{SIGNING_TOKEN, ask};

const ALL: &str = "a-static-token-for-everything";
const SOME: &str = "a-static-token-for-one-group";

async fn send(serving: &Serving, path: &str, headers: &[(&str, &str)]) -> u16 {
    let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    loopback::send(serving.address(), "GET", path, &headers, b"").await.expect("an answer").status
}

async fn static_tokens_read_what_they_are_for(engine: Engine) {
    let mut world = World::new();
    let (inside, outside) =
        (add(&mut world, "inside", Visibility::Private, true), add(&mut world, "outside", Visibility::Public, true));
    world.move_project(outside.project, "other/outside");
    let rig = Rig::new(world)
        .on(engine)
        .set("access.mode", "token")
        .set("access.tokens", &format!("{ALL},{SOME}=group/**;999"));
    assert!(rig.backfill("cistern.db").await.is_clean());
    let serving = rig.serve("cistern.db").await;
    rig.fake.reset_counters();
    for (token, inside_status, outside_status) in [(ALL, 200, 200), (SOME, 200, 404), ("", 401, 401)] {
        for (place, path, status) in
            [(&inside, "group%2Finside", inside_status), (&outside, "other%2Foutside", outside_status)]
        {
            for route in place.routes(path).into_iter().chain(place.routes(&place.project.to_string())) {
                assert_eq!(ours(&serving, &route, token).await.status, status, "{token:?} {route}");
            }
        }
    }
    let list = |token| ours(&serving, "/projects?order_by=id&sort=asc", token);
    assert_eq!(ids(&list(ALL).await), BTreeSet::from([inside.project.0, outside.project.0]));
    assert_eq!(ids(&list(SOME).await), BTreeSet::from([inside.project.0]));
    assert_eq!(list("wrong").await.status, 401);
    assert_eq!(rig.fake.requests().total, 0, "GitLab is not asked");

    let path = format!("/api/v4/projects/{}", inside.project);
    let query = |query: &str| format!("{path}?{query}");
    let bearer = format!("Bearer {ALL}");
    for (path, headers, status) in [
        (path.clone(), &[("Authorization", bearer.as_str())][..], 200),
        (query(&format!("private_token={ALL}")), &[], 200),
        (query(&format!("access_token={ALL}")), &[], 200),
        (query("private_token=wrong"), &[("PRIVATE-TOKEN", ALL)], 401),
        (path.clone(), &[("JOB-TOKEN", ALL)], 200),
        (query(&format!("job_token={ALL}")), &[], 200),
        (path.clone(), &[("JOB-TOKEN", "wrong")], 401),
        (path.clone(), &[("JOB-TOKEN", ALL), ("PRIVATE-TOKEN", "wrong")], 401),
        (path.clone(), &[("PRIVATE-TOKEN", ALL), ("PRIVATE-TOKEN", ALL)], 401),
        (path.clone(), &[("PRIVATE-TOKEN", ALL), ("X-Forwarded-For", "10.0.0.1"), ("Via", "1.1 proxy")], 200),
    ] {
        assert_eq!(send(&serving, &path, headers).await, status, "{path} {headers:?}");
    }
    for path in ["/livez", "/readyz"] {
        assert_eq!(send(&serving, path, &[]).await, 200, "{path}");
    }
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_static_tokens_are_429_beyond_ten_a_second() {
    let rig = Rig::new(World::new()).set("access.mode", "token").set("access.tokens", ALL);
    let serving = rig.serve("cistern.db").await;
    let began = std::time::Instant::now();
    let guesses = futures_util::future::join_all((0..40).map(|_| ours(&serving, "/projects", "wrong"))).await;
    let seconds = began.elapsed().as_secs() + 1;
    let refused = guesses.iter().filter(|answer| answer.status == 401).count() as u64;
    assert!(refused <= 10 * seconds && guesses.iter().all(|answer| matches!(answer.status, 401 | 429)));
    assert_eq!(ours(&serving, "/projects", ALL).await.status, 200);
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn open_is_for_this_machine_unless_the_network_may_read() {
    let rig = Rig::new(World::new());
    let proxied = [("X-Forwarded-For", "10.0.0.1")];
    let serving = rig.serve("cistern.db").await;
    for (path, headers, status) in [
        ("/api/v4/projects", &[][..], 200),
        ("/api/v4/projects", &proxied, 403),
        ("/api/v4/nothing-here", &proxied, 403),
        ("/livez", &proxied, 200),
    ] {
        assert_eq!(send(&serving, path, headers).await, status, "{path} {headers:?}");
    }
    let webhook = loopback::send(serving.address(), "POST", "/webhooks/gitlab", &[], b"{}").await.expect("an answer");
    assert_eq!(webhook.status, 401, "{SIGNING_TOKEN} is the webhook's own business");
    serving.stop().await;
    let rig = rig.set("access.allow_open_network", "true");
    let serving = rig.serve("other.db").await;
    assert_eq!(send(&serving, "/api/v4/projects", &proxied).await, 200);
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gitlab_s_readers_are_pages_without_totals() {
    let Instance { rig, places } = instance(Engine::chosen()).await;
    let serving = rig.serve("cistern.db").await;
    let mut found = Vec::new();
    for page in 1.. {
        let answer = ours(&serving, &format!("/projects?order_by=id&sort=asc&per_page=3&page={page}"), OUTSIDER).await;
        assert_eq!(answer.status, 200);
        let rows = ids(&answer);
        if rows.is_empty() {
            break;
        }
        assert!(rows.len() <= 3);
        found.extend(rows);
    }
    let visible: Vec<u64> = places[..5].iter().map(|place| place.project.0).collect();
    assert_eq!(found, visible);
    serving.stop().await;
}

on_both! {
    static_tokens_read_what_they_are_for;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_warns_of_a_token_that_reads_more_than_it_needs() {
    let Instance { rig, .. } = instance(Engine::chosen()).await;
    let check = async |rig: &Rig| crate::process::Process::start(rig, "cistern.db", &["check"]).ended().await;
    let ended = check(&rig).await;
    assert!(ended.code == Some(0) && !ended.stdout.contains("above Reporter"), "{ended:?}");
    let rig = rig.set("gitlab.token", OWNER);
    let ended = check(&rig).await;
    assert!(ended.code == Some(0) && ended.stdout.contains("above Reporter"), "{ended:?}");
    assert!(!format!("{ended:?}").contains(OWNER), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_role_in_a_project_sees_no_more_of_it_than_gitlab_shows() {
    let Instance { rig, places } = instance(Engine::chosen()).await;
    let serving = rig.serve("cistern.db").await;
    let keys =
        |value: &serde_json::Value| value.as_object().expect("a project").keys().cloned().collect::<BTreeSet<_>>();
    let parsed = |answer: &Answer| serde_json::from_slice::<serde_json::Value>(&answer.body).expect("JSON");
    let (one, list) = (format!("/projects/{}", places[0].project), "/projects?order_by=id&sort=asc".to_owned());
    for (token, shared) in [(OWNER, true), (REPORTER, true), (GUEST, false), (OUTSIDER, false), ("", false)] {
        let project = parsed(&ours(&serving, &one, token).await);
        let listed = parsed(&ours(&serving, &list, token).await)[0].clone();
        assert_eq!(project, listed, "{token:?}");
        assert_eq!(project.to_string().contains("secret/partners"), shared, "{token:?}");
        assert_eq!(project["permissions"], parsed(&theirs(&rig, &one, token).await)["permissions"], "{token:?}");
        if token.is_empty() {
            assert_eq!(keys(&project), keys(&parsed(&theirs(&rig, &one, token).await)));
        }
    }
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_listener_of_this_machine_answers_to_its_own_names_only() {
    let rig = Rig::new(World::new());
    let serving = rig.serve("cistern.db").await;
    let address = serving.admin_address();
    for path in ["/status", "/metrics"] {
        assert_eq!(ask(address, "GET", path, &[]).await.status, 200, "{path}");
        // As a web page that had its own name resolved to 127.0.0.1; a second `Host` is no request at all.
        let refused = ask(address, "GET", &format!("http://evil.example{path}"), &[]).await;
        assert!(refused.status == 403 && refused.text().contains("server.admin_listen"), "{path}: {}", refused.text());
        assert_eq!(ask(address, "GET", path, &[("Host", "evil.example")]).await.status, 400);
    }
    serving.stop().await;
    let rig = rig.set("server.admin_listen", "0.0.0.0:0");
    let serving = rig.serve("cistern.db").await;
    let local = std::net::SocketAddr::from(([127, 0, 0, 1], serving.admin_address().port()));
    assert_eq!(ask(local, "GET", "http://prometheus.example/metrics", &[]).await.status, 200);
    serving.stop().await;
}
