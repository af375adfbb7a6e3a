//! How much, how long and how many: an answer that does not end, readers who stall, and everybody else meanwhile.

use std::time::Duration;

use cistern::demo::fake::{Fault, FaultKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::rig::{PATIENCE, eventually};

/// Asks and returns the connection, from which nothing was read yet.
async fn begin(serving: &Serving, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(serving.address()).await.expect("a connection");
    let request = format!("GET /api/v4{path} HTTP/1.1\r\nHost: x\r\nPRIVATE-TOKEN: {OWNER}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_answer_ends_at_the_limit_and_is_never_taken_for_whole() {
    let Place { rig, ours, .. } = judged().await;
    let rig = rig.set("limits.artifact_size", "4MiB");
    let serving = rig.serve(STORE).await;
    let path = format!("/projects/{ours}/languages");
    rig.fake.inject(Fault::new(FaultKind::Endless).on(Endpoint::Beside).times(1));
    let mut stream = begin(&serving, &path).await;
    let mut received = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut received)).await.expect("an end");
    assert!(ended.is_err() || !received.ends_with(b"0\r\n\r\n"), "no last chunk");
    let blanks = received.iter().filter(|byte| **byte == b' ').count();
    assert!((1024 * 1024..5 * 1024 * 1024).contains(&blanks), "{blanks} bytes");
    eventually(async || in_flight(&serving).await == 0 && rig.fake.in_flight() == 0).await;
    // What says beforehand that it is too large does not begin.
    let rig = rig.set("limits.artifact_size", "100");
    serving.stop().await;
    let serving = rig.serve(STORE).await;
    let branches = get(&serving, &format!("/projects/{ours}/repository/branches"), OWNER).await;
    assert_eq!(branches.status, 502);
    assert!(branches.text().contains("larger than limits.artifact_size"), "{}", branches.text());
    assert_eq!((get(&serving, &path, OWNER).await.status, in_flight(&serving).await), (200, 0));
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_who_leave_free_the_permit_and_slow_ones_take_a_quarter_at_most() {
    let Place { rig, ours, job, .. } = judged().await;
    let rig = rig.set("limits.api_calls", "8").set("access.positive_ttl", "0");
    let serving = rig.serve(STORE).await;
    let path = format!("/projects/{ours}/languages");
    let endless = Fault::new(FaultKind::Drip { piece_bytes: 1, pause: Duration::from_secs(1) });
    rig.fake.inject(endless.on(Endpoint::Beside));
    let mut readers = Vec::new();
    for _ in 0..6 {
        readers.push(begin(&serving, &path).await);
    }
    eventually(async || rig.fake.requests().of(Endpoint::Beside) == 2 && in_flight(&serving).await == 2).await;
    // Others are asked about and answered as ever.
    let trace = format!("/projects/{ours}/jobs/{job}/trace");
    for _ in 0..20 {
        assert_eq!(get(&serving, &trace, OWNER).await.status, 200);
    }
    assert_eq!(rig.fake.requests().of(Endpoint::Beside), 2);
    drop(readers);
    eventually(async || in_flight(&serving).await == 0).await;
    rig.fake.clear_faults();
    assert_eq!(get(&serving, &path, OWNER).await.status, 200);
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_is_never_taken_for_whole_and_none_is_503() {
    let Place { rig, ours, .. } = judged().await;
    let serving = rig.serve(STORE).await;
    let path = format!("/projects/{ours}/repository/branches?per_page=100");
    let whole = get(&serving, &path, OWNER).await;
    assert_eq!(whole.header("content-length"), whole.body.len().to_string());
    rig.fake.inject(Fault::new(FaultKind::Truncated { percent: 50 }).on(Endpoint::Beside).times(1));
    let mut stream = begin(&serving, &path).await;
    let mut received = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut received)).await.expect("an end");
    assert!(ended.is_err() || received.len() < whole.body.len(), "{} bytes", received.len());
    rig.fake.inject(Fault::new(FaultKind::CloseBeforeHead).on(Endpoint::Beside).times(1));
    let away = get(&serving, &path, OWNER).await;
    assert_eq!((away.status, away.header("retry-after")), (503, "5"), "{}", away.text());
    rig.fake.inject(Fault::new(FaultKind::HtmlStatus(502)).on(Endpoint::Beside).times(1));
    let page = get(&serving, &path, OWNER).await;
    assert_eq!((page.status, page.header("content-type"), page.source()), (502, "text/html", "passed"));
    eventually(async || in_flight(&serving).await == 0).await;
    serving.stop().await;
}
