//! Readers that hold connections: many, many requests at once, and answers that are not taken.

use std::io::ErrorKind::WouldBlock;
use std::time::Duration;

use cistern::demo::fake::{JobSpec, Log, Options, PipelineSpec, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

use crate::process::Server;
use crate::rig::{Rig, ask, eventually, eventually_by};

const STORE: &str = "cistern.db";
const PATIENCE: Duration = Duration::from_secs(30);

/// Opens a connection that takes little without being read.
async fn narrow(address: std::net::SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    socket.connect(address).await.expect("a connection")
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_whose_answers_nobody_reads_are_not_read_and_their_connections_cut() {
    let rig = Rig::new(World::new()).set("server.stall_timeout", "3s");
    let server = Server::start(&rig, STORE).await;
    let requests = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100_000);
    let before = server.process.peak_kib().expect("it runs");
    let mut connections = Vec::new();
    for _ in 0..30 {
        let mut connection = narrow(server.address()).await;
        // Until nothing is taken any more, or it is cut.
        let _ = timeout(Duration::from_secs(1), connection.write_all(requests.as_bytes())).await;
        connections.push(connection);
    }
    let grown = (server.process.peak_kib().expect("it runs") - before) / 1024;
    assert!(grown <= 45, "{grown} MiB for 30 connections");
    let is_cut = |connection: &TcpStream| connection.try_write(b"GET").is_err_and(|it| it.kind() != WouldBlock);
    eventually(async || connections.iter().all(is_cut)).await;
    assert_eq!(server.get("/livez").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_in_order_as_long_as_they_are_taken() {
    let rig = Rig::new(World::new());
    let serving = rig.serve(STORE).await;
    let connection = TcpStream::connect(serving.address()).await.expect("a connection");
    let (mut answers, mut requests) = connection.into_split();
    let sending = tokio::spawn(async move {
        for _ in 0..3000 {
            let two = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\nGET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n";
            requests.write_all(two).await.expect("sent");
        }
        let last = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        requests.write_all(last).await.expect("sent");
        requests
    });
    let mut text = Vec::new();
    timeout(PATIENCE, answers.read_to_end(&mut text)).await.expect("all answers").expect("received");
    let text = String::from_utf8_lossy(&text);
    let statuses: Vec<&str> = text.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(statuses.len(), 6001);
    assert!(statuses.iter().step_by(2).all(|status| *status == "200"));
    assert!(statuses.iter().skip(1).step_by(2).all(|status| *status == "404"));
    drop(sending.await);
    // A body of blank lines is a body.
    let blank = "\r\n".repeat(2000);
    let answer = serving.post("/webhooks/gitlab", &[], blank.as_bytes()).await;
    assert_eq!(answer.status, 401);
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_bounded_for_each_address_and_in_all() {
    for (setting, message) in [("server.connections_per_address", "of one address"), ("server.connections", "in all")] {
        let rig = Rig::new(World::new()).set(setting, "3");
        let serving = rig.serve(STORE).await;
        let mut held = Vec::new();
        for _ in 0..3 {
            let mut connection = TcpStream::connect(serving.address()).await.expect("a connection");
            connection.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
            assert!(connection.read(&mut [0; 64]).await.expect("an answer") > 0);
            held.push(connection);
        }
        let mut more = TcpStream::connect(serving.address()).await.expect("a connection");
        let end = timeout(PATIENCE, more.read(&mut [0; 64])).await.expect("an end");
        assert!(matches!(end, Ok(0) | Err(_)), "{message}: {end:?}");
        held.pop();
        let healthy = async || {
            let Ok(mut connection) = TcpStream::connect(serving.address()).await else { return false };
            let sent = connection.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
            sent.is_ok() && connection.read(&mut [0; 64]).await.is_ok_and(|read| read > 0)
        };
        eventually(healthy).await;
        drop(held);
        serving.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_are_bounded_and_cut_when_they_do_not_read() {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let job = world.add_job(pipeline, JobSpec::new("unit").log(Log::bytes(Vec::new())));
    world.start_job(job);
    world.append_log(job, b"begin\n");
    let rig = Rig::with(world, Options::default()).set("api.read_through", "true");
    let rig = rig.set("server.stall_timeout", "2s");
    let serving = rig.serve(STORE).await;
    let address = serving.address();
    let trace = format!("/api/v4/projects/{project}/jobs/{job}/trace");
    eventually(async || ask(address, "GET", &trace, &[]).await.body == b"begin\n").await;
    let path = format!("/api/cistern/v1/projects/{project}/jobs/{job}/log/follow");
    let follow = async || {
        let mut connection = narrow(address).await;
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        connection.write_all(request.as_bytes()).await.expect("sent");
        let mut head = [0; 12];
        connection.read_exact(&mut head).await.expect("a head");
        (connection, String::from_utf8_lossy(&head).into_owned())
    };
    let mut followers = Vec::new();
    for _ in 0..64 {
        let (connection, head) = follow().await;
        assert_eq!(head, "HTTP/1.1 200");
        followers.push(connection);
    }
    let refused = ask(address, "GET", &path, &[]).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "1"), "{}", refused.text());
    assert!(refused.text().contains("too many logs are followed"), "{}", refused.text());
    // A token of its own has places of its own, and one that went leaves its place.
    followers.pop();
    let next = async || {
        let (connection, head) = follow().await;
        drop(connection);
        head == "HTTP/1.1 200"
    };
    eventually(next).await;

    while followers.len() < 64 {
        let (connection, head) = follow().await;
        if head == "HTTP/1.1 200" {
            followers.push(connection);
        }
    }
    // None of them reads: the log grows by more than the sockets hold, and all are cut.
    rig.fake.with(|world| world.append_log(job, &b"some line of a log\n".repeat(1_000_000)));
    eventually_by(Instant::now() + Duration::from_secs(90), next).await;
    serving.stop().await;
}
