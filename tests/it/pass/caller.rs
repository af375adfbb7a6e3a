//! `caller`: GitLab answers to the reader's own token.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn what_cistern_has_no_answer_to_gitlab_answers_to_the_reader_s_own_token() {
    let Place { rig, ours, other, .. } = judged().await;
    let serving = rig.serve(STORE).await;
    let paths = [
        format!("/projects/{ours}/repository/branches?per_page=2&search=x"),
        "/projects/group%2Fapp/repository/branches/feature%2F1".to_owned(),
        format!("/projects/{ours}/languages"),
        format!("/projects/{ours}/merge_requests/3"),
        format!("/projects/{ours}/merge_requests/99"),
        format!("/projects/{ours}/pipeline_schedules/1"),
        format!("/projects/{ours}/variables"),
        format!("/projects/{other}/languages"),
        "/projects/open%2Fsite/languages".to_owned(),
        "/groups/group".to_owned(),
        "/groups/none".to_owned(),
        "/nothing/of/the/kind".to_owned(),
    ];
    let mut statuses = std::collections::BTreeMap::new();
    for token in [OWNER, REPORTER, OUTSIDER, ""] {
        for path in &paths {
            let theirs = theirs(&rig, path, token).await;
            rig.fake.reset_counters();
            let passed = get_in_turn(&serving, path, token).await;
            assert_eq!((passed.status, passed.text()), (theirs.status, theirs.text()), "{token:?} {path}");
            assert_eq!(passed.source(), "passed", "{token:?} {path}");
            assert_eq!(passed.header("content-type"), theirs.header("content-type"));
            let heads = rig.fake.heads();
            let [head] = heads.as_slice() else { panic!("{heads:?}") };
            let line = format!("GET /api/v4{path} HTTP/1.1").replace(" HTTP/1.1", "");
            assert_eq!(head.lines().next(), Some(line.as_str()));
            assert_eq!(head.contains(&format!("private-token: {token}\n")), !token.is_empty(), "{head}");
            assert!(!head.contains(rig.fake.token()), "{head}");
            *statuses.entry(passed.status).or_insert(0) += 1;
        }
    }
    assert!([200, 403, 404].iter().all(|status| statuses.contains_key(status)), "worth comparing: {statuses:?}");
    let bearer = [("Authorization", format!("Bearer {OWNER}"))];
    let bearer: Vec<(&str, &str)> = bearer.iter().map(|(name, value)| (*name, value.as_str())).collect();
    rig.fake.reset_counters();
    assert_eq!(send(&serving, "GET", &paths[2], "", &bearer).await.status, 200);
    assert!(rig.fake.heads()[0].contains(&format!("authorization: Bearer {OWNER}\n")));
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_travels_as_it_was_sent_but_for_credentials() {
    let Place { rig, .. } = judged().await;
    let serving = rig.serve(STORE).await;
    let own = format!("private_token={OWNER}");
    for (path, expected) in [
        ("/projects/7/repository/files/src%2Fa%20b%23c%252Fd.rs/raw", ""),
        ("/projects/7/repository/files/%2Egitlab-ci%2Eyml", ""),
        ("/projects/7/repository/files/dev-disk-by%5Cx2dlabel", ""),
        ("/projects/7/repository/tags/v1.0..2;x", ""),
        ("/users/a.b@c:d", ""),
        ("/groups/", "/groups"),
        ("/groups?page=2&scope%5B%5D=a&scope[]=b", "/groups?page=2&scope%5B%5D=a&scope%5B%5D=b"),
        (&format!("/groups?{own}&a=1&access_token=y&job_token=z"), "/groups?a=1"),
        ("/groups?private_token%5B%5D=x&%5Bprivate_token%5D=y&+private_token=z&Private_Token=w", "/groups"),
        ("/groups?a=1;private_token=x", "/groups?a=1%3Bprivate_token%3Dx"),
        ("/groups?a=1%26private_token%3Dx%0d%0ab", "/groups?a=1%26private_token%3Dx%0D%0Ab"),
    ] {
        rig.fake.reset_counters();
        assert_eq!(get(&serving, path, OWNER).await.source(), "passed", "{path}");
        let expected = if expected.is_empty() { path } else { expected };
        let heads = rig.fake.heads();
        assert!(heads.iter().all(|head| head.starts_with(&format!("GET /api/v4{expected}\n"))), "{path}: {heads:?}");
        assert!(heads.len() == 1 && heads[0].contains(OWNER), "{path}: {heads:?}");
    }
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_lead_on_through_cistern() {
    for public_url in ["", "https://ci.example/cache"] {
        let Place { mut rig, .. } = judged().await;
        if !public_url.is_empty() {
            rig = rig.set("server.public_url", public_url);
        }
        let serving = rig.serve(STORE).await;
        let base = if public_url.is_empty() { format!("http://{}", serving.address()) } else { public_url.to_owned() };
        let asked = format!("{base}/api/v4/projects/group%2Fapp/repository/branches");
        let mut path = "/projects/group%2Fapp/repository/branches?per_page=20".to_owned();
        let mut names = Vec::new();
        loop {
            let page = get(&serving, &path, OWNER).await;
            assert_eq!((page.status, page.header("x-total"), page.header("x-per-page")), (200, "45", "20"));
            names.extend(page.json().as_array().expect("a page").iter().map(|row| row["name"].to_string()));
            let links = page.header("link").to_owned();
            assert!(!links.contains(rig.fake.url()), "{links}");
            let next = links.split(", ").find(|link| link.ends_with("rel=\"next\""));
            let Some(next) = next.and_then(|link| link.strip_prefix('<')?.split('>').next()) else { break };
            let query = next.strip_prefix(&asked).unwrap_or_else(|| panic!("{next} begins with {asked}"));
            path = format!("/projects/group%2Fapp/repository/branches{query}");
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 45);
        serving.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_reader_has_already_is_304_and_no_shared_cache_keeps_it() {
    let Place { rig, ours, .. } = judged().await;
    let serving = rig.serve(STORE).await;
    let path = format!("/projects/{ours}/languages");
    let first = get(&serving, &path, OWNER).await;
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with("W/\""), "{tag}");
    let again = send(&serving, "GET", &path, OWNER, &[("If-None-Match", &tag)]).await;
    assert_eq!(
        (again.status, again.header("etag"), again.source(), again.body.len()),
        (304, tag.as_str(), "passed", 0)
    );
    // Another reader's version is worth nothing to who may not have it.
    let stranger = send(&serving, "GET", &path, OUTSIDER, &[("If-None-Match", &tag)]).await;
    assert_eq!(stranger.status, 404);
    // What GitLab lets everybody's caches keep stands at an address here that not everybody may read.
    let raw = get(&serving, &format!("/projects/{ours}/repository/files/page.html/raw"), OWNER).await;
    for answer in [&first, &again, &stranger, &raw] {
        assert_eq!(answer.header("cache-control"), "private, no-cache");
        let vary = answer.header("vary");
        assert!(vary.contains("PRIVATE-TOKEN") && vary.contains("Authorization"), "{vary}");
    }
    assert_eq!(raw.header("last-modified"), "Fri, 20 Nov 2026 09:14:02 GMT");
    assert_eq!(raw.header("content-disposition"), "inline; filename=\"page.html\"");
    assert_eq!(raw.header("x-content-type-options"), "nosniff");
    assert!(raw.header("content-security-policy").starts_with("sandbox"));
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_has_the_facts_and_no_body() {
    let Place { rig, ours, .. } = judged().await;
    let serving = rig.serve(STORE).await;
    let path = format!("/projects/{ours}/repository/files/src%2Fmain.rs?ref=main");
    let whole = get(&serving, &path, OWNER).await;
    let head = send(&serving, "HEAD", &path, OWNER, &[]).await;
    assert_eq!((head.status, head.body.len(), head.source()), (200, 0, "passed"));
    assert_eq!(head.header("content-length"), whole.body.len().to_string());
    assert_eq!((head.header("x-gitlab-file-name"), head.header("x-gitlab-size")), ("src/main.rs", "26"));
    assert!(rig.fake.heads().iter().any(|head| head.starts_with("HEAD ")));
    assert_eq!(in_flight(&serving).await, 0);
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_within_the_api_is_followed_and_any_other_is_handed_on() {
    let Place { rig, ours, .. } = judged().await;
    let serving = rig.serve(STORE).await;
    let latest = get(&serving, &format!("/projects/{ours}/releases/permalink/latest"), OWNER).await;
    assert_eq!((latest.status, &latest.json()["tag_name"]), (200, &"v1".into()));
    let (home, port) = (rig.fake.url(), rig.fake.url().rsplit(':').next().unwrap_or_default());
    assert_eq!(get(&serving, &link(ours, &format!("{home}/api/v4/groups/group")), OWNER).await.status, 200);
    for place in [
        format!("{}/releases/bin?signature=x", rig.fake.storage_url()),
        format!("http://localhost:{port}/api/v4/groups/group"),
        format!("{home}/group/app/-/jobs/1"),
        format!("{home}/api/v4/internal/allowed"),
        format!("{home}/api/v4/groups/group?private_token={OUTSIDER}"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
    ] {
        rig.fake.reset_counters();
        let answer = get(&serving, &link(ours, &place), OWNER).await;
        assert_eq!((answer.status, answer.header("location"), answer.source()), (302, place.as_str(), "passed"));
        assert_eq!(rig.fake.heads().len(), 1, "{place}");
    }
    let signed = get(&serving, &link(ours, "http://user:secret@evil.example/"), OWNER).await;
    assert_eq!((signed.status, signed.header("location")), (302, ""));
    let round = get(&serving, &link(ours, "?"), OWNER).await;
    assert!(round.status == 502 && round.text().contains("redirects do not end"), "{}", round.text());
    rig.fake.with(|world| world.move_project(ours, "group/renamed"));
    let moved = get(&serving, "/projects/group%2Fapp/languages", OWNER).await;
    assert_eq!((moved.status, moved.source()), (200, "passed"));
    assert_eq!(rig.fake.requests().storage, 0, "this machine goes nowhere that an answer names");
    assert!(rig.fake.heads().iter().all(|head| head.contains(OWNER)));
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cached_costs_no_call_and_writes_are_405() {
    let Place { rig, ours, job, .. } = judged().await;
    let rig = rig.set("projects.exclude", "group/left-out");
    let serving = rig.serve(STORE).await;
    quiet(&rig).await;
    for path in
        [format!("/projects/{ours}/jobs/{job}/trace"), format!("/projects/{ours}/pipelines"), "/user".to_owned()]
    {
        let first = get(&serving, &path, OWNER).await;
        assert_eq!((first.status, first.source()), (200, "hit"), "{path}");
        rig.fake.reset_counters();
        assert_eq!(get(&serving, &path, OWNER).await.body, first.body);
        assert_eq!(rig.fake.requests().total, 0, "{path}");
    }
    // A project that is not cached is GitLab's, for those who may see it.
    let left_out = rig.fake.with(|world| world.add_project("group/left-out"));
    rig.fake.with(|world| world.set_role(left_out, REPORTER, 20));
    for path in [format!("/projects/{left_out}"), "/projects/group%2Fleft-out/pipelines".to_owned()] {
        let (theirs, passed) = (theirs(&rig, &path, REPORTER).await, get(&serving, &path, REPORTER).await);
        assert_eq!((passed.status, passed.text(), passed.source()), (200, theirs.text(), "passed"), "{path}");
        let hidden = get(&serving, &path, OUTSIDER).await;
        assert_eq!((hidden.status, hidden.source()), (404, ""), "{path}");
    }
    rig.fake.reset_counters();
    for (method, path) in [
        ("POST", format!("/projects/{ours}/repository/branches")),
        ("PUT", format!("/projects/{ours}/variables/x")),
        ("DELETE", "/groups/group".to_owned()),
        ("PATCH", format!("/projects/{ours}/jobs/{job}/trace")),
        ("POST", "/../graphql".to_owned()),
    ] {
        let answer = send(&serving, method, &path, OWNER, &[]).await;
        assert_eq!(answer.status, 405, "{method} {path}");
        assert!(answer.text().contains("Send writes, uploads and GraphQL to GitLab itself"), "{}", answer.text());
    }
    assert_eq!(ask(serving.address(), "POST", "/api/graphql", &[]).await.status, 405);
    assert_eq!(rig.fake.requests().total, 0);
    serving.stop().await;
}
