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
    let answers = futures_util::future::join_all(tokens.iter().map(|token| ours(&serving, &path, token))).await;
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
