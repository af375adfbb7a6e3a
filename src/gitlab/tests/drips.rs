//! Bodies that come a byte at a time, whatever their status.

use super::*;

#[tokio::test]
async fn a_body_that_drips_is_given_up() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 1000000\r\n\r\nxDRIP";
    let server = Server::start(move |_| head.to_vec()).await;
    let gitlab = server.gitlab();
    let error = whole(gitlab.trace(Class::Live, JOB).await.expect("a head")).await.expect_err("a drip");
    assert!(matches!(&error.kind, Kind::Unavailable(problem) if problem.contains("bytes took")), "{error}");
    assert_eq!(gitlab.in_flight(), 0);
}

#[tokio::test]
async fn a_refusal_that_drips_is_given_up_as_any_body_and_its_status_counts() {
    for (line, refused) in [("401 Unauthorized", "401"), ("403 Forbidden", "403")] {
        let head = format!("HTTP/1.1 {line}\r\ncontent-type: application/json\r\ncontent-length: 8000\r\n\r\n{{DRIP");
        let server = Server::start(move |_| head.clone().into_bytes()).await;
        let gitlab = server.gitlab();
        let owner = HookOwner::Project(PIPELINE.project);
        let both =
            async { [gitlab.job(Class::Live, JOB).await.map(drop), gitlab.test_hook(&owner, 1, Trigger::Job).await] };
        let answered = tokio::time::timeout(Duration::from_secs(20), both).await.expect("it drips for 13 minutes");
        for answer in answered {
            let error = answer.expect_err("a refusal");
            assert!(error.to_string().contains(refused), "{error}");
        }
        assert_eq!(gitlab.in_flight(), 0);
    }
}
