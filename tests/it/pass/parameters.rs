//! Parameters that GitLab has and Cistern has not.

use super::*;

/// What only GitLab can answer, with the reader's own token.
const GITLAB_S: [&str; 9] = [
    "/projects?membership=true&order_by=id",
    "/projects?owned=true",
    "/projects?starred=true",
    "/projects?statistics=true",
    "/projects?with_custom_attributes=true",
    "/projects?min_access_level=30",
    "/projects?topic_id=1",
    "/projects?order_by=star_count",
    "/groups/group/projects?with_security_reports=true",
];

#[tokio::test(flavor = "multi_thread")]
async fn parameters_of_gitlab_are_passed_on_for_whom_it_judges() {
    let Place { rig, .. } = judged().await;
    let serving = rig.serve(STORE).await;
    for token in [OWNER, OUTSIDER] {
        for path in
            GITLAB_S.iter().chain(&["/projects/group%2Fapp?statistics=true", "/projects/group%2Fapp?license=true"])
        {
            let (theirs, passed) = (theirs(&rig, path, token).await, get(&serving, path, token).await);
            assert_eq!((passed.status, passed.text()), (theirs.status, theirs.text()), "{token} {path}");
            assert_eq!(passed.source(), "passed", "{token} {path}");
            assert_eq!(passed.header("x-total"), theirs.header("x-total"), "{token} {path}");
        }
    }
    // Membership is the reader's own, not that of the service's token.
    let ids = |answer: &Sent| answer.json().as_array().expect("a list").len();
    assert_eq!(ids(&get(&serving, "/projects?membership=true", OUTSIDER).await), 0);
    assert_eq!(ids(&get(&serving, "/projects?membership=true", OWNER).await), 1);
    serving.stop().await;
    let rig = rig.set("api.pass_through", "off");
    let serving = rig.serve(STORE).await;
    for path in GITLAB_S.iter().filter(|path| !path.contains("statistics") && !path.contains("attributes")) {
        let refused = get(&serving, path, OWNER).await;
        assert_eq!(refused.status, 400, "{path}");
        assert!(refused.text().contains("does not support the parameter"), "{}", refused.text());
    }
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_cache_can_answer_it_answers() {
    let Place { rig, ours, other, public, .. } = place().await;
    rig.fake.with(|world| {
        world.set_topics(ours, &["rust", "ci"]);
        world.set_topics(other, &["ci"]);
    });
    assert!(rig.backfill(STORE).await.is_clean());
    let serving = rig.serve(STORE).await;
    quiet(&rig).await;
    let all = [ours, other, public];
    for (query, expected) in [
        ("owned=false", &all[..]),
        ("starred=false&imported=0&with_security_reports=&include_hidden=no", &all),
        ("statistics=true&with_custom_attributes=true", &all),
        ("membership=true", &all),
        ("min_access_level=20", &all),
        ("with_issues_enabled=true&with_merge_requests_enabled=true", &all),
        ("search_namespaces=true", &all),
        ("search=secret", &[]),
        ("search=secret&search_namespaces=true", &[other]),
        ("topic=ci", &[ours, other]),
        ("topic=rust,%20ci", &[ours]),
        ("topic=none", &[]),
    ] {
        let answer = get(&serving, &format!("/projects?order_by=id&sort=asc&{query}"), "").await;
        assert_eq!((answer.status, answer.source()), (200, "hit"), "{query}");
        let mut expected: Vec<u64> = expected.iter().map(|id| id.0).collect();
        expected.sort_unstable();
        let ids: Vec<u64> =
            answer.json().as_array().expect("a list").iter().filter_map(|row| row["id"].as_u64()).collect();
        assert_eq!(ids, expected, "{query}");
        assert_eq!(answer.header("x-total"), expected.len().to_string(), "{query}");
    }
    for query in
        ["owned=true", "min_access_level=30", "topic_id=1", "order_by=similarity", "with_programming_language=Rust"]
    {
        let refused = get(&serving, &format!("/projects?{query}"), "").await;
        assert!(refused.status == 400 && refused.text().contains("does not support"), "{query}: {}", refused.text());
    }
    for query in ["owned=maybe", "min_access_level=17", "min_access_level=high"] {
        let invalid = get(&serving, &format!("/projects?{query}"), "").await;
        assert!(invalid.status == 400 && invalid.json()["error"].is_string(), "{query}: {}", invalid.text());
    }
    assert_eq!(rig.fake.requests().total, 0);
    serving.stop().await;
}
