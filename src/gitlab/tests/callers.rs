//! Questions with a reader's credential: whose token is sent, and whom a refusal concerns.

use super::*;

const READER: &str = "glpat-reader";

fn reader() -> Credential {
    Credential::PrivateToken(READER.to_owned().into())
}

#[tokio::test]
async fn a_reader_s_token_is_sent_instead_of_ours_in_the_header_it_came_in() {
    let moved = "location: /git/api/v4/projects/7\r\n";
    let member = r#"{"id":7,"permissions":{"project_access":{"access_level":20},"group_access":null}}"#;
    let server = Server::start(move |path| match path {
        "/git/api/v4/projects/old%2fname" => status("301 Moved", moved, "moved"),
        _ => json("", member),
    })
    .await;
    let gitlab = server.gitlab();
    let standing = gitlab.standing_by_path(&reader(), "old/name").await.expect("a member");
    let permissions = r#"{"project_access":{"access_level":20},"group_access":null}"#;
    assert_eq!(standing, Standing { project: ProjectId(7), level: 20, permissions: Some(permissions.into()) });
    gitlab.standing(&Credential::Bearer(READER.to_owned().into()), ProjectId(7)).await.expect("a member");
    gitlab.standing(&Credential::Anonymous, ProjectId(7)).await.expect("a public project");
    let asked = server.asked();
    let [old, new, bearer, anonymous] = asked.as_slice() else { panic!("{asked:?}") };
    for request in [old, new] {
        assert!(request.contains(&format!("private-token: {READER}\r\n")), "{request}");
    }
    assert!(bearer.contains(&format!("authorization: bearer {READER}\r\n")) && !bearer.contains("private-token"));
    assert!(!anonymous.contains("private-token") && !anonymous.contains("authorization"));
    assert!(!asked.concat().contains(SECRET));
    assert!(!format!("{:?}", reader()).contains(READER));
}

#[tokio::test]
async fn a_redirect_to_storage_is_a_yes_that_is_not_followed() {
    let storage = Server::start(|_| status("200 OK", "", "PK")).await;
    let place = format!("http://localhost:{}/bucket/a.zip", storage.port);
    let home = Server::start(move |_| found(&place)).await;
    let gitlab = home.gitlab();
    gitlab.may_read_archive(&reader(), JOB).await.expect("a yes");
    assert!(storage.asked().is_empty());
    assert_eq!((gitlab.calls(), gitlab.storage_calls(), gitlab.in_flight()), (1, 0, 0));
}

#[tokio::test]
async fn what_gitlab_says_about_a_reader_s_token_stops_nobody_else() {
    let scope = r#"{"error":"insufficient_scope","error_description":"x"}"#;
    let head = "content-type: application/json\r\n";
    let server = Server::start(move |path| match path {
        "/git/api/v4/projects/1" => status("401 Unauthorized", head, r#"{"message":"401 Unauthorized"}"#),
        "/git/api/v4/projects/2" => status("403 Forbidden", head, scope),
        "/git/api/v4/projects/3" => status("429 Too Many", "content-type: text/plain\r\nretry-after: 60\r\n", "later"),
        "/git/api/v4/projects/5" => status("503 Away", "content-type: text/html\r\nretry-after: 60\r\n", "<html>"),
        "/git/api/v4/projects/6" => status("403 Forbidden", "content-type: text/html\r\n", "<html>"),
        "/git/api/v4/projects/4" => json("ratelimit-remaining: 0\r\nratelimit-reset: 9999999999\r\n", PROJECT),
        _ => json("", PROJECT),
    })
    .await;
    let gitlab = server.gitlab();
    let standing = async |id| gitlab.standing(&reader(), ProjectId(id)).await.map_err(|error| error.kind);
    assert!(matches!(standing(1).await, Err(Kind::TokenRefused(_))));
    assert!(matches!(standing(2).await, Err(Kind::Forbidden)), "GitLab says 403 of a scope that is too small");
    assert!(matches!(standing(3).await, Err(Kind::Throttled { everything: false, .. })));
    assert_eq!(standing(4).await.ok(), Some(Standing { project: ProjectId(7), level: 0, permissions: None }));
    for id in [5, 6].repeat(10) {
        assert!(matches!(standing(id).await, Err(Kind::Unavailable(_))));
    }
    assert_eq!((gitlab.circuit(), gitlab.window(), gitlab.is_up()), (Circuit::Closed, 2, None));
    assert!(gitlab.paused().is_none() && gitlab.token_refused().is_none());
    gitlab.project(Class::Backfill, ProjectId(7)).await.expect("our own token is as good as before");
    standing(7).await.expect("and so are readers'");
}

#[tokio::test]
async fn our_own_refused_token_does_not_stop_readers() {
    let head = "content-type: application/json\r\n";
    let server = Server::start(move |path| match path {
        "/git/api/v4/projects/1" => status("401 Unauthorized", head, r#"{"message":"401 Unauthorized"}"#),
        _ => json("", PROJECT),
    })
    .await;
    let gitlab = server.gitlab();
    gitlab.project(Class::Live, ProjectId(1)).await.expect_err("refused");
    gitlab.standing(&reader(), ProjectId(7)).await.expect("another token");
    assert!(gitlab.token_refused().is_some(), "a reader's token says nothing about ours");
    let error = gitlab.project(Class::Live, ProjectId(7)).await.expect_err("still refused");
    assert!(matches!(error.kind, Kind::TokenRefused(_)), "{error}");
}
