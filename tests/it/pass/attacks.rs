//! What nobody gets by pass-through: another's data, our token, another place, another's cookies.

use cistern::demo::fake::{Fault, FaultKind};

use super::*;

/// Of the reader's headers, what GitLab is sent; the rest is our own client's.
const UP: [&str; 6] = ["accept", "accept-encoding", "host", "if-none-match", "private-token", "user-agent"];

/// What may come back.
const DOWN: [&str; 15] = [
    "cache-control",
    "content-length",
    "content-security-policy",
    "content-type",
    "date",
    "etag",
    "link",
    "server",
    "transfer-encoding",
    "vary",
    "x-cistern-cache",
    "x-content-type-options",
    "connection",
    "x-page",
    "x-total",
];

#[tokio::test(flavor = "multi_thread")]
async fn no_header_travels_that_is_not_listed() {
    let Place { rig, ours, .. } = judged().await;
    let serving = rig.serve(STORE).await;
    let path = format!("/projects/{ours}/repository/branches?private_token={OWNER}&per_page=100&Private_Token=x");
    let sent = [
        ("Cookie", "_gitlab_session=stolen"),
        ("X-Forwarded-For", "10.0.0.1"),
        ("X-Forwarded-Host", "evil.example"),
        ("Forwarded", "for=10.0.0.1"),
        ("Via", "1.1 proxy"),
        ("Upgrade", "websocket"),
        ("TE", "trailers"),
        ("Proxy-Authorization", "Basic eDp5"),
        ("Gitlab-Shared-Secret", "x"),
        ("Gitlab-Workhorse-Api-Request", "x"),
        ("JOB-TOKEN", "x"),
        ("Sudo", "root"),
        ("Range", "bytes=0-3"),
        ("Content-Length", "0"),
        ("X-HTTP-Method-Override", "DELETE"),
        ("Authorization", "Bearer another"),
        ("If-None-Match", "\"none\""),
    ];
    let answer = send(&serving, "GET", &path, "", &sent).await;
    assert_eq!((answer.status, answer.source()), (200, "passed"), "{}", answer.text());
    let heads = rig.fake.heads();
    let [head] = heads.as_slice() else { panic!("{heads:?}") };
    assert_eq!(
        head.lines().next(),
        Some(format!("GET /api/v4/projects/{ours}/repository/branches?per_page=100").as_str())
    );
    for line in head.lines().skip(1) {
        assert!(UP.contains(&line.split(':').next().unwrap_or_default()), "{line}");
    }
    assert!(
        head.contains(&format!("private-token: {OWNER}\n"))
            && head.contains(&format!("host: {}", &rig.fake.url()[7..]))
    );
    for line in answer.head.lines().skip(1) {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        assert!(
            DOWN.contains(&name.as_str())
                || name.starts_with("x-page")
                || name.starts_with("x-p")
                || name.starts_with("x-next")
                || name.starts_with("x-total"),
            "{line}"
        );
    }
    assert!(!answer.head.contains(OWNER), "{}", answer.head);
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_leads_out_of_the_api_or_to_another_host() {
    let Place { rig, .. } = judged().await;
    let serving = rig.serve(STORE).await;
    assert_eq!(get(&serving, "/groups/group", OWNER).await.status, 200, "the token is known from now on");
    rig.fake.reset_counters();
    let token = [("PRIVATE-TOKEN", OWNER)];
    let tricks = "/groups/./x /groups/.. /groups/../../../admin /a// /%2E%2e%2fadmin /a%2F..%2F..%2Fb /%25252525252e/x \
        /a%5C..%5Cb /\\..\\x /@evil.example\\ /a%250d%250ab /a%7f /a% /a%2 /a\"b /{x} /a|b /a[b] /INTERNAL /internal;x \
        /%2finternal/x /%c0%ae%c0%ae/x /..%3fx/y /..%23/y /a%ff";
    let long = ["/groups/".to_owned() + &"a".repeat(9000), "/groups?a=".to_owned() + &"x".repeat(9000)];
    let tricks: Vec<String> =
        tricks.split(' ').chain(long.iter().map(String::as_str)).map(|path| format!("/api/v4{path}")).collect();
    for path in [
        "/api/v4/../admin",
        "/api/v4/%2e%2e/admin",
        "/api/v4/.%2E/admin",
        "/api/v4/groups/..%2f..%2f..%2fadmin",
        "/api/v4/groups/%252e%252e/%252e%252e/admin",
        "/api/v4/groups/%25252e%25252e/x",
        "/api/v4/groups/..%5c..%5cadmin",
        "/api/v4/..;/admin",
        "/api/v4/groups/..;x=y/admin",
        "/api/v4//evil.example/groups",
        "/api/v4/groups//group",
        "//evil.example/api/v4/groups/group",
        "/api/v4/@evil.example/x",
        "/api/v4/groups/a%0d%0aX-Evil:%201",
        "/api/v4/groups/a%00",
        "/api/v4/groups/a%zz",
        "/api/v4/internal/allowed",
        "/api/v4/%69nternal/check",
        "/%61pi/v4/groups/group/x/../..",
        "/api/v4",
        "/api/v4/",
        "/api/v5/groups",
        "/-/metrics",
        "/users/sign_in",
    ]
    .into_iter()
    .chain(tricks.iter().map(String::as_str))
    {
        let answer = ask(serving.address(), "GET", path, &token).await;
        let passed = path == "/api/v4/@evil.example/x";
        assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.status);
        assert_eq!(answer.source() == "passed", passed, "{path}");
        let heads = rig.fake.heads();
        assert!(heads.iter().all(|head| passed && head.starts_with(&format!("GET {path}\n"))), "{path}: {heads:?}");
        assert!(
            passed || answer.status == 400 || answer.text().contains("/openapi.json lists all of it"),
            "{path}: {}",
            answer.text()
        );
        rig.fake.reset_counters();
    }
    // The whole address in the line of the request says nothing about where it goes.
    for path in ["http://evil.example/api/v4/groups/group", "http://evil.example:1@127.0.0.1/api/v4/groups/group"] {
        let answer = ask(serving.address(), "GET", path, &token).await;
        assert!(matches!(answer.status, 200 | 400), "{path}: {}", answer.status);
        assert!(rig.fake.heads().iter().all(|head| head.starts_with("GET /api/v4/groups/group\n")));
    }
    // What is reflected cannot break out of its line.
    let path = "/projects/group%2Fapp/repository/branches?x=%0d%0aSet-Cookie:%20evil=1&per_page=1";
    let answer = get(&serving, path, OWNER).await;
    assert_eq!((answer.status, answer.header("set-cookie")), (200, ""), "{}", answer.head);
    assert!(answer.header("link").contains("%0D%0ASet-Cookie"), "{}", answer.head);
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_passed_for_a_token_that_gitlab_refused() {
    let Place { rig, ours, .. } = judged().await;
    let serving = rig.serve(STORE).await;
    let path = format!("/projects/{ours}/languages");
    quiet(&rig).await;
    for _ in 0..5 {
        let answer = get(&serving, &path, REVOKED).await;
        assert_eq!((answer.status, answer.source()), (401, ""));
    }
    assert_eq!((rig.fake.heads().len(), rig.fake.requests().of(Endpoint::User)), (0, 1), "asked about once");
    assert_eq!(send(&serving, "GET", &path, "", &[("JOB-TOKEN", "x")]).await.status, 401);
    let guesses = (0..40).map(|number| {
        let (serving, path) = (&serving, &path);
        async move { get(serving, path, &format!("glpat-guess-{number}")).await.status }
    });
    let began = std::time::Instant::now();
    let statuses = futures_util::future::join_all(guesses).await;
    let seconds = began.elapsed().as_secs() as usize + 1;
    assert!(statuses.iter().all(|status| matches!(status, 401 | 429)));
    assert!(statuses.iter().filter(|status| **status == 401).count() <= 10 * seconds);
    assert_eq!(rig.fake.heads().len(), 0);
    // Nobody in particular asks as seldom.
    let crowd = (0..40).map(|_| get(&serving, "/projects/open%2Fsite/languages", ""));
    let statuses: Vec<u16> = futures_util::future::join_all(crowd).await.iter().map(|answer| answer.status).collect();
    assert!(statuses.contains(&429) && statuses.iter().all(|status| matches!(status, 200 | 429)), "{statuses:?}");
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ends_reads_nothing_more_as_soon_as_gitlab_says_so() {
    let Place { rig, ours, job, .. } = judged().await;
    let rig = rig.set("access.positive_ttl", "1h");
    let serving = rig.serve(STORE).await;
    quiet(&rig).await;
    let (path, trace) = (format!("/projects/{ours}/languages"), format!("/projects/{ours}/jobs/{job}/trace"));
    assert_eq!((get(&serving, &path, OWNER).await.status, get(&serving, &trace, OWNER).await.status), (200, 200));
    rig.fake.with(|world| world.set_token(OWNER, TokenState::Revoked));
    assert_eq!(get(&serving, &trace, OWNER).await.status, 200, "nobody has asked yet");
    assert_eq!(get(&serving, &path, OWNER).await.status, 401, "GitLab's own word");
    rig.fake.reset_counters();
    assert_eq!((get(&serving, &trace, OWNER).await.status, get(&serving, &path, OWNER).await.status), (401, 401));
    assert_eq!(rig.fake.requests().total, 0);
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_token_that_one_question_refuses_stays_good() {
    let Place { rig, ours, job, .. } = judged().await;
    let serving = rig.serve(STORE).await;
    let (path, trace) = (format!("/projects/{ours}/languages"), format!("/projects/{ours}/jobs/{job}/trace"));
    rig.fake.inject(Fault::new(FaultKind::Unauthorized).on(Endpoint::Beside).times(30));
    for _ in 0..15 {
        assert_eq!(get(&serving, &path, OWNER).await.status, 401);
    }
    assert_eq!(
        (get(&serving, &trace, OWNER).await.status, get(&serving, "/projects", REPORTER).await.status),
        (200, 200)
    );
    rig.fake.clear_faults();
    // What fails for one reader is no outage for the others.
    for (kind, status) in [
        (FaultKind::ServerError, 500),
        (FaultKind::HtmlStatus(502), 502),
        (FaultKind::CloseBeforeHead, 503),
        (FaultKind::Forbidden, 403),
        (FaultKind::Throttled { retry_after_secs: 60 }, 429),
    ] {
        rig.fake.inject(Fault::new(kind).on(Endpoint::Beside));
        for _ in 0..15 {
            let answer = get(&serving, &path, OWNER).await;
            assert_eq!(answer.status, status);
            assert!(status != 429 || answer.header("retry-after") == "60");
        }
        rig.fake.clear_faults();
    }
    assert_eq!(get(&serving, &path, REPORTER).await.status, 200);
    let status = serving.admin("/status").await;
    assert!(status.contains("\"closed\"") && !status.contains("refused"), "{status}");
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_can_be_switched_off_and_is_off_where_gitlab_judges_nobody() {
    for (place, settings) in [(judged().await, &[("api.pass_through", "off")][..]), (place().await, &[])] {
        let rig = settings.iter().fold(place.rig, |rig, (key, value)| rig.set(key, value));
        let serving = rig.serve(STORE).await;
        for token in [OWNER, ""] {
            let answer = get(&serving, "/projects/group%2Fapp/languages", token).await;
            assert_eq!(answer.status, 404);
            assert!(answer.text().contains("Cistern has no such path"), "{}", answer.text());
        }
        assert_eq!(rig.fake.requests().of(Endpoint::Beside), 0);
        serving.stop().await;
    }
}
