//! A load generator: requests made beforehand, sent over connections that stay open, each as soon as the one before it on
//! its connection was answered.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

type Trouble = Box<dyn Error + Send + Sync>;

/// A request, complete.
pub(crate) struct Request {
    head: Vec<u8>,
    /// Parts of the body, which many requests may share.
    body: Vec<&'static [u8]>,
}

impl Request {
    pub(crate) fn new(head: Vec<u8>, body: Vec<&'static [u8]>) -> Self {
        Self { head, body }
    }
}

/// Where requests go.
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) connections: usize,
    /// How the body of every answer begins, if that matters; an answer that is no success ends the load either way.
    pub(crate) expected: Option<&'static str>,
    /// The status of every answer, if one kind of success is not as good as another.
    pub(crate) status: Option<u16>,
}

/// How it went.
pub(crate) struct Done {
    elapsed: Duration,
    /// How long each answer took, shortest first.
    latencies: Vec<Duration>,
}

impl Done {
    pub(crate) fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// Returns what 99 of 100 answers took at most, in milliseconds.
    pub(crate) fn p99_millis(&self) -> f64 {
        self.part_millis(99)
    }

    /// Returns what so many of 100 answers took at most, in milliseconds.
    pub(crate) fn part_millis(&self, percent: usize) -> f64 {
        let at = self.latencies.len() * percent / 100;
        self.latencies.get(at).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1000.0)
    }
}

impl Load {
    /// Sends all requests; fails at the first answer that is not as expected.
    pub(crate) fn run(self, requests: Vec<Request>) -> Result<Done, Box<dyn Error>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.send_all(requests)).map_err(|trouble| trouble.to_string().into())
    }

    async fn send_all(self, requests: Vec<Request>) -> Result<Done, Trouble> {
        let requests: &'static [Request] = Vec::leak(requests);
        let next: &'static AtomicUsize = Box::leak(Box::default());
        let mut streams = Vec::new();
        for _ in 0..self.connections {
            let stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            streams.push(stream);
        }
        let began = Instant::now();
        let mut connections = JoinSet::new();
        for stream in streams {
            connections.spawn(converse(stream, requests, next, (self.expected, self.status)));
        }
        let mut latencies = Vec::with_capacity(requests.len());
        while let Some(ended) = connections.join_next().await {
            latencies.extend(ended??);
        }
        let elapsed = began.elapsed();
        latencies.sort_unstable();
        Ok(Done { elapsed, latencies })
    }
}

async fn converse(
    mut stream: TcpStream,
    requests: &'static [Request],
    next: &'static AtomicUsize,
    (expected, wanted): (Option<&'static str>, Option<u16>),
) -> Result<Vec<Duration>, Trouble> {
    let mut latencies = Vec::new();
    let (mut out, mut answer) = (Vec::new(), Vec::new());
    while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
        out.clear();
        out.extend_from_slice(&request.head);
        request.body.iter().for_each(|part| out.extend_from_slice(part));
        let began = Instant::now();
        stream.write_all(&out).await?;
        let (status, body) = read_answer(&mut stream, &mut answer).await?;
        latencies.push(began.elapsed());
        let as_expected = expected.is_none_or(|expected| body.starts_with(expected.as_bytes()));
        let succeeded = wanted.map_or((200..300).contains(&status), |wanted| wanted == status);
        if !succeeded || !as_expected {
            return Err(format!("answered {status}: {}", String::from_utf8_lossy(body)).into());
        }
    }
    Ok(latencies)
}

/// Reads one answer with an announced length; returns its status and body.
async fn read_answer<'a>(stream: &mut TcpStream, answer: &'a mut Vec<u8>) -> Result<(u16, &'a [u8]), Trouble> {
    answer.clear();
    let (status, body, end) = loop {
        more(stream, answer).await?;
        if let Some(head) = answer.windows(4).position(|window| window == b"\r\n\r\n") {
            let (status, length) = head_of(std::str::from_utf8(answer.get(..head).unwrap_or_default())?)?;
            break (status, head + 4, head + 4 + length);
        }
    };
    while answer.len() < end {
        more(stream, answer).await?;
    }
    Ok((status, answer.get(body..end).unwrap_or_default()))
}

async fn more(stream: &mut TcpStream, answer: &mut Vec<u8>) -> Result<(), Trouble> {
    match stream.read_buf(answer).await? {
        0 => Err("the connection ended".into()),
        _ => Ok(()),
    }
}

/// Returns the status and the length of the body.
fn head_of(head: &str) -> Result<(u16, usize), Trouble> {
    let status = head.split(' ').nth(1).ok_or("no status")?.parse()?;
    let announced = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    // What the reader has already is not sent again, nor is its length.
    let length = if status == 304 { Some(0) } else { announced };
    Ok((status, length.ok_or("no length")?))
}
