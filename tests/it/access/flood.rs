//! Many unknown tokens.

use cistern::demo::fake::Endpoint;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn unknown_tokens_beyond_ten_a_second_are_429_and_cost_gitlab_nothing() {
    let Instance { rig, places } = instance(Engine::chosen()).await;
    let serving = rig.serve("cistern.db").await;
    let private = &places[5];
    assert_eq!(ours(&serving, &private.trace(), GUEST).await.status, 200, "a token that is known from now on");
    rig.fake.reset_counters();
    let tokens: Vec<String> = (0..60).map(|number| format!("glpat-guessed-{number}")).collect();
    let path = private.trace();
    let began = std::time::Instant::now();
    let answers = futures_util::future::join_all(tokens.iter().map(|token| get(serving.address(), &path, token))).await;
    let seconds = began.elapsed().as_secs() + 1;
    let count = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!(count(401) + count(429), 60);
    assert!(count(401) as u64 <= 10 * seconds && count(401) > 0, "{} in {seconds} s", count(401));
    assert_eq!(rig.fake.requests().of(Endpoint::Project), count(401) as u64);
    let refused = answers.iter().find(|answer| answer.status == 429).expect("one too many");
    assert!(String::from_utf8_lossy(&refused.body).contains("429 Too Many Requests"));
    assert_eq!(ours(&serving, &path, GUEST).await.status, 200, "known tokens go on");
    assert_eq!(ours(&serving, &places[3].trace(), GUEST).await.status, 200, "also where they were not yet");
    serving.stop().await;
}

/// Otherwise whoever has no token could tell by the status which private projects are cached.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_learns_by_being_too_many_what_is_cached() {
    let Instance { rig, places } = instance(Engine::chosen()).await;
    let serving = rig.serve("cistern.db").await;
    let address = serving.address();
    let hidden =
        places.iter().filter(|place| !matches!(place.project, project if project == places[8].project)).skip(3);
    let mut held_back = false;
    for (number, place) in hidden.enumerate() {
        for name in [place.path.replace('/', "%2F"), place.project.to_string()] {
            let junk = (0..30).map(|other| format!("/projects/none%2F{number}-{name}-{other}"));
            futures_util::future::join_all(junk.map(|path| async move { get(address, &path, "").await })).await;
            let status = get(address, &format!("/projects/{name}"), "").await.status;
            assert!(matches!(status, 404 | 429), "{name}: {status}");
            held_back |= status == 429;
        }
    }
    assert!(held_back, "what is cached is held back like everything else");
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_project_can_be_called_costs_nothing() {
    let Instance { rig, .. } = instance(Engine::chosen()).await;
    let serving = rig.serve("cistern.db").await;
    assert_eq!(ours(&serving, "/projects", GUEST).await.status, 200);
    rig.fake.reset_counters();
    let long = "a".repeat(5000);
    for path in [long.clone(), format!("group%2F{long}"), "word".to_owned()] {
        for (token, status) in [(GUEST, 404), ("", 404)] {
            assert_eq!(ours(&serving, &format!("/projects/{path}"), token).await.status, status);
        }
    }
    assert_eq!(rig.fake.requests().of(Endpoint::Project), 0);
    assert_eq!(ours(&serving, &format!("/projects/{long}"), UNKNOWN).await.status, 401);
    serving.stop().await;
}
