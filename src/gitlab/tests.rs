//! The client against a raw TCP server, which can do what no well-behaved one does.

use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use url::Url;

mod callers;
mod drips;
mod machine;
mod passing;

use super::*;
use crate::domain::{JobId, PipelineId};

const SECRET: &str = "glpat-canary";
const MANAGER: &str = "glpat-manager";
const JOB: JobKey = JobKey { project: ProjectId(7), job: JobId(42) };
const PIPELINE: PipelineKey = PipelineKey { project: ProjectId(7), pipeline: PipelineId(9) };
const PROJECT: &str = r#"{"id":7,"path_with_namespace":"a/b"}"#;

/// Answers every connection once and keeps what was asked.
struct Server {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Server {
    /// `answer` gets the request's path and returns all bytes of the answer; an unfinished one that ends in `STALL` is
    /// followed by silence instead of the connection's end, one that ends in `DRIP` by a byte every 100 ms.
    async fn start(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        let (seen, answer) = (Arc::clone(&asked), Arc::new(answer));
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&seen), Arc::clone(&answer)));
            }
        });
        Self { port, asked, _tasks: tasks }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn config(&self) -> Config {
        Config {
            url: Url::parse(&format!("http://127.0.0.1:{}/git/", self.port)).expect("a URL"),
            token: SECRET.to_owned().into(),
            hooks_token: Some(MANAGER.to_owned().into()),
            ca_file: None,
            plain_storage_hosts: Vec::new(),
            calls: 2,
            requests_per_minute: None,
        }
    }

    fn gitlab(&self) -> Gitlab {
        // Another test may have installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let quick = Duration::from_millis(300);
        let timeouts = Timeouts { idle: quick, head: quick, grace: quick, ..Timeouts::default() };
        Gitlab::with_timeouts(self.config(), timeouts).expect("a client")
    }
}

async fn serve<A: Fn(&str) -> Vec<u8>>(mut stream: TcpStream, seen: Arc<Mutex<Vec<String>>>, answer: Arc<A>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => return,
        }
    }
    let request = String::from_utf8_lossy(&request).to_ascii_lowercase();
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(request);
    let bytes = answer(&path);
    if let Some(part) = bytes.strip_suffix(b"DRIP") {
        let mut piece = part;
        while stream.write_all(piece).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
            piece = b"x";
        }
        return;
    }
    match bytes.strip_suffix(b"STALL") {
        Some(part) => {
            let _ = stream.write_all(part).await;
            std::future::pending::<()>().await;
        }
        None => {
            let _ = stream.write_all(&bytes).await;
        }
    }
}

fn json(head: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{head}content-length: {length}\r\n\r\n{body}").into()
}

fn status(line: &str, head: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {line}\r\n{head}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()).into()
}

fn found(location: &str) -> Vec<u8> {
    status("302 Found", &format!("location: {location}\r\n"), "")
}

async fn whole(mut body: Body) -> Result<Vec<u8>, Error> {
    let mut all = Vec::new();
    while let Some(piece) = body.chunk().await? {
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

#[tokio::test]
async fn an_archive_is_fetched_from_its_storage_without_the_token_under_one_permit() {
    let storage = Server::start(|_| status("200 OK", "", "PK")).await;
    let place = format!("http://localhost:{}/bucket/a.zip?signature=s3cr3t", storage.port);
    let home = Server::start(move |_| found(&place)).await;
    let gitlab = home.gitlab();
    let mut body = gitlab.archive(Class::Live, JOB).await.expect("an archive");
    assert_eq!((gitlab.calls(), gitlab.storage_calls()), (1, 1));
    assert_eq!((gitlab.in_flight(), body.announced()), (1, Some(2)));
    assert!(!format!("{body:?}{gitlab:?}").contains("s3cr3t"));
    assert_eq!(body.chunk().await.expect("a piece").as_deref(), Some(&b"PK"[..]));
    assert!(body.chunk().await.expect("the end").is_none());
    assert_eq!(gitlab.in_flight(), 0, "the end gives the permit back");
    let (asked, moved) = (home.asked().concat(), storage.asked().concat());
    assert!(asked.starts_with("get /git/api/v4/projects/7/jobs/42/artifacts http/1.1\r\n"));
    assert!(asked.contains(&format!("private-token: {SECRET}\r\n")) && asked.contains("user-agent: cistern/"));
    for header in ["private-token", "authorization", "cookie", "referer", SECRET] {
        assert!(!moved.contains(header), "{header} reached the storage");
    }
    assert!(moved.contains("accept-encoding: identity\r\n"));
}

#[tokio::test]
async fn a_chain_that_left_never_gets_the_token_back_and_a_loop_ends() {
    // The storage sends everyone to the place named after the question mark.
    let storage = Server::start(|path| found(path.split_once('?').map_or("/", |(_, place)| place))).await;
    let elsewhere = format!("http://localhost:{}/", storage.port);
    let own_port = Arc::new(AtomicU16::new(0));
    let known = Arc::clone(&own_port);
    let home = Server::start(move |path| match path {
        "/home" => status("200 OK", "", "x"),
        "/git/api/v4/projects/7/jobs/42/artifacts" => {
            found(&format!("{elsewhere}?http://127.0.0.1:{}/home", known.load(Ordering::Relaxed)))
        }
        _ => found(&format!("{elsewhere}?/x?/x?/x?/x?/x?/x?/x")),
    })
    .await;
    own_port.store(home.port, Ordering::Relaxed);
    let gitlab = home.gitlab();
    let body = gitlab.archive(Class::Live, JOB).await.expect("followed");
    assert_eq!(whole(body).await.expect("whole"), b"x");
    let returned = home.asked().last().cloned().unwrap_or_default();
    assert!(returned.starts_with("get /home ") && !returned.contains(SECRET), "{returned}");

    let sent = || gitlab.calls() + gitlab.storage_calls();
    let before = sent();
    let error = gitlab.archive(Class::Live, JobKey { job: JobId(43), ..JOB }).await.expect_err("a loop");
    assert!(matches!(error.kind, Kind::Redirect("there are too many")), "{error}");
    assert_eq!((sent() - before, gitlab.in_flight()), (6, 0));
}

#[tokio::test]
async fn a_body_that_is_cut_or_stalls_is_an_error_and_no_error_names_an_address() {
    let gzip = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-encoding: gzip\r\nconnection: close\r\n\r\n\x1f\x8b\x08\0\0\0";
    let cuts: [&[u8]; 6] = [
        b"STALL",
        b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 10\r\n\r\nhalfSTALL",
        gzip,
        b"HTTP/1.1 200 OK\r\ncontent-le",
    ];
    for (number, cut) in cuts.into_iter().enumerate() {
        let server = Server::start(move |_| cut.to_vec()).await;
        let gitlab = server.gitlab();
        let outcome = match gitlab.trace(Class::Live, JOB).await {
            Ok(body) => whole(body).await,
            Err(error) => Err(error),
        };
        let error = outcome.expect_err("no whole body");
        assert!(matches!(error.kind, Kind::Unavailable(_)), "cut {number}: {error}");
        let text = format!("{error} {error:?}");
        assert!(!text.contains("http://") && !text.contains("127.0.0.1") && !text.contains(SECRET), "{text}");
        assert!(text.contains("read log of job 42"));
        assert_eq!(gitlab.in_flight(), 0);
    }
    let server = Server::start(|_| json("", "[1")).await;
    let error = server.gitlab().jobs(Class::Live, PIPELINE, None).await.expect_err("cut JSON");
    assert!(matches!(error.kind, Kind::Unavailable(_)), "{error}");
}

#[tokio::test]
async fn a_gzip_body_without_its_whole_trailer_is_an_error() {
    // `whole`, as gzip packs it: the last eight bytes are its checksum and length.
    let packed =
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff\x2b\xcf\xc8\xcf\x49\x05\x00\x4f\x29\x59\xc4\x05\x00\x00\x00";
    for missing in [0, 1, 4, 8] {
        let head =
            b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-encoding: gzip\r\nconnection: close\r\n\r\n";
        let answer = [&head[..], &packed[..packed.len() - missing]].concat();
        let server = Server::start(move |_| answer.clone()).await;
        let read = whole(server.gitlab().trace(Class::Live, JOB).await.expect("a head")).await;
        match missing {
            0 => assert_eq!(read.expect("whole"), b"whole"),
            _ => assert!(matches!(read.expect_err("cut").kind, Kind::Unavailable(_)), "{missing} bytes are missing"),
        }
    }
}

#[tokio::test]
async fn a_dropped_body_gives_its_permit_back() {
    let stalled = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalfSTALL";
    let server = Server::start(|_| stalled.to_vec()).await;
    let gitlab = server.gitlab();
    let body = gitlab.trace(Class::Live, JOB).await.expect("a body");
    assert_eq!(gitlab.in_flight(), 1);
    drop(body);
    assert_eq!(gitlab.in_flight(), 0);
}

#[tokio::test]
async fn a_refused_token_stops_everything_without_further_calls() {
    let body = r#"{"error":"invalid_token","error_description":"Token was revoked. ..."}"#;
    let server = Server::start(move |_| status("401 Unauthorized", "content-type: application/json\r\n", body)).await;
    let gitlab = server.gitlab();
    for _ in 0..3 {
        let error = gitlab.job(Class::Live, JOB).await.expect_err("refused");
        assert!(matches!(error.kind, Kind::TokenRefused("it was revoked")), "{error}");
    }
    assert_eq!(gitlab.calls(), 1);
    assert_eq!(gitlab.paused().map(|(_, why)| why), Some("it was revoked"));
}

#[tokio::test]
async fn a_throttle_stops_its_endpoint_or_everyone() {
    let server = Server::start(|path| {
        if path.ends_with("/jobs/42") {
            status("429 Too Many Requests", "content-type: text/plain\r\nretry-after: 30\r\n", "Retry later")
        } else if path.contains("/jobs?") {
            status("429 Too Many Requests", "content-type: application/json\r\n", r#"{"message":{"error":"x"}}"#)
        } else {
            json("", PROJECT)
        }
    })
    .await;
    let gitlab = server.gitlab();
    for _ in 0..2 {
        let error = gitlab.jobs(Class::Live, PIPELINE, None).await.expect_err("throttled");
        assert!(matches!(error.kind, Kind::Throttled { everything: false, .. }), "{error}");
    }
    assert_eq!((gitlab.calls(), gitlab.paused()), (1, None));
    gitlab.project(Class::Backfill, ProjectId(7)).await.expect("another endpoint");
    let error = gitlab.job(Class::Live, JOB).await.expect_err("throttled");
    assert!(matches!(error.kind, Kind::Throttled { everything: true, .. }), "{error}");
    let error = gitlab.project(Class::Live, ProjectId(7)).await.expect_err("everyone waits");
    assert!(matches!(error.kind, Kind::Throttled { everything: true, .. }), "{error}");
    assert_eq!(gitlab.calls(), 3);
    assert!(gitlab.paused().is_some());
}

#[tokio::test]
async fn an_odd_row_is_counted_and_the_rest_kept_and_a_next_page_is_not_looked_for_elsewhere() {
    let server = Server::start(|_| {
        let page = format!(r#"[{PROJECT},{{"id":"odd"}},{PROJECT}]"#);
        json("date: Fri, 20 Nov 2026 09:14:02 GMT\r\n", &page)
    })
    .await;
    let gitlab = server.gitlab();
    let page = gitlab.projects(Class::Backfill, None).await.expect("a page");
    assert_eq!((page.rows.len(), page.received, page.malformed, page.next), (2, 3, 1, None));
    assert_eq!(Some(page.as_of), Timestamp::parse("2026-11-20T09:14:02Z"));

    let link = format!("link: <http://127.0.0.1:{}/x?id_after=7&private_token=y>; rel=\"next\"\r\n", server.port);
    let first = Server::start(move |path| if path.contains("id_after") { json("", "[]") } else { json(&link, "[]") });
    let first = first.await;
    let gitlab = first.gitlab();
    let page = gitlab.projects(Class::Backfill, None).await.expect("a page");
    assert_eq!(page.links_lead_to, Some(format!("http://127.0.0.1:{}", server.port).into()));
    assert_eq!(gitlab.projects(Class::Backfill, page.next.as_ref()).await.expect("the last page").next, None);
    let asked = first.asked().pop().unwrap_or_default();
    let question = "membership=true&order_by=id&sort=asc&pagination=keyset&per_page=100";
    assert!(asked.starts_with(&format!("get /git/api/v4/projects?{question}&id_after=7 ")), "{asked}");
    assert_eq!(server.asked().len(), 1, "nothing is asked there");
}

#[tokio::test]
async fn what_is_not_gitlabs_json_is_not_taken_for_it() {
    let html = "content-type: text/html\r\n";
    let server = Server::start(move |path| match path {
        "/git/api/v4/projects/1" => status("200 OK", html, "<html>Sign in</html>"),
        "/git/api/v4/projects/2" => status("302 Found", "location: /users/sign_in\r\n", ""),
        "/users/sign_in" => status("200 OK", html, "<html>Sign in</html>"),
        "/git/api/v4/projects/3" => status("502 Bad Gateway", html, "<html></html>"),
        "/git/api/v4/projects/4" => json("", r#"{"id":4}"#),
        "/git/api/v4/projects/5" => found("http://localhost:1/api/v4/projects/5"),
        "/git/api/v4/projects/old%2fname" => status("301 Moved", "location: /git/api/v4/projects/7\r\n", "moved"),
        "/git/api/v4/projects/7" => json("", PROJECT),
        _ => status("404 Not Found", "content-type: application/json\r\n", r#"{"message":"404 Not found"}"#),
    })
    .await;
    let gitlab = server.gitlab();
    for id in 1..=3 {
        let error = gitlab.project(Class::Live, ProjectId(id)).await.expect_err("no project");
        assert!(matches!(error.kind, Kind::Unavailable(_)), "{error}");
    }
    let error = gitlab.project(Class::Live, ProjectId(4)).await.expect_err("a field is missing");
    assert!(matches!(error.kind, Kind::Malformed(_)), "{error}");
    let error = gitlab.project(Class::Live, ProjectId(5)).await.expect_err("another origin");
    assert!(matches!(error.kind, Kind::Redirect(_)), "{error}");
    let error = gitlab.project(Class::Live, ProjectId(6)).await.expect_err("not there");
    assert!(matches!(error.kind, Kind::NotFound), "{error}");
    let moved = gitlab.project_by_path(Class::Live, "old/name").await.expect("moved");
    assert_eq!(moved.id, ProjectId(7));
    for path in ["..", ".", "", "7"] {
        let error = gitlab.project_by_path(Class::Live, path).await.expect_err("no path of a project");
        assert!(matches!(error.kind, Kind::NotFound), "{error}");
    }
    assert_eq!(gitlab.in_flight(), 0);
}

#[tokio::test]
async fn an_order_goes_to_gitlab_once_and_with_its_own_token() {
    let elsewhere = Server::start(|_| status("201 Created", "content-type: application/json\r\n", "{}")).await;
    let place = format!("http://localhost:{}/api/v4/projects/1/hooks", elsewhere.port);
    let server = Server::start(move |path| match path {
        "/git/api/v4/projects/1/hooks" => status("307 Temporary Redirect", &format!("location: {place}\r\n"), ""),
        "/git/api/v4/projects/2/hooks" => b"HTTP/1.1 201 Created\r\nSTALL".to_vec(),
        "/git/api/v4/projects/3/hooks" => {
            let said = r#"{"message":{"url":["is blocked"],"token":"t0ken"}}"#;
            status("422 Unprocessable", "content-type: application/json\r\n", said)
        }
        "/git/api/v4/projects/4/hooks" => status("401 Unauthorized", "content-type: application/json\r\n", "{}"),
        _ => json("", r#"{"id":7,"url":"u"}"#),
    })
    .await;
    let gitlab = server.gitlab();
    let order = async |id| {
        let wish = HookWish { token: Some("t0ken".into()), ..HookWish::default() };
        gitlab.create_hook(&HookOwner::Project(ProjectId(id)), wish).await.expect_err("not carried out")
    };
    assert!(matches!(order(1).await.kind, Kind::Redirect(_)));
    assert!(matches!(order(2).await.kind, Kind::Unavailable(_)));
    let refused = order(3).await.to_string();
    assert!(refused.contains("is blocked") && !refused.contains("t0ken"), "{refused}");
    assert!(matches!(order(4).await.kind, Kind::HooksTokenRefused(_)));
    assert!(gitlab.token_refused().is_none(), "it stops nobody else");
    let group = HookOwner::Group("a/b".into());
    assert_eq!(gitlab.update_hook(&group, 7, HookWish::default()).await.expect("changed").id, 7);
    let asked = server.asked();
    assert_eq!((asked.len(), elsewhere.asked().len()), (5, 0), "each was sent once, and none elsewhere");
    assert!(asked[4].starts_with("put /git/api/v4/groups/a%2fb/hooks/7 "), "{}", asked[4]);
    assert!(asked.iter().all(|asked| asked.contains(&format!("private-token: {MANAGER}\r\n"))));
    let unset = Gitlab::new(Config { hooks_token: None, ..server.config() }).expect("a client");
    let refused = unset.create_hook(&group, HookWish::default()).await.expect_err("no token");
    assert!(matches!(refused.kind, Kind::HooksTokenRefused("it is not set")));
    assert_eq!(server.asked().len(), 5, "nothing was sent");
}
