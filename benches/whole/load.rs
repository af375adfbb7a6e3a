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
    /// What answers them.
    pub(crate) answers: Answers,
}

/// Which answers are good; any other ends the load.
#[derive(Clone, Copy, Default)]
pub(crate) struct Answers {
    /// How their body begins, if that matters.
    pub(crate) expected: Option<&'static str>,
    /// How it may begin instead: these are counted apart.
    pub(crate) instead: Option<&'static str>,
    /// Their status, if one kind of success is not as good as another.
    pub(crate) status: Option<u16>,
}

impl Answers {
    /// Those with this status.
    pub(crate) fn of(status: u16) -> Self {
        Self { status: Some(status), ..Self::default() }
    }
}

/// How it went.
pub(crate) struct Done {
    elapsed: Duration,
    /// How long each answer took, shortest first.
    latencies: Vec<Duration>,
    /// Answers that began otherwise.
    pub(crate) others: usize,
}

impl Done {
    /// Returns how many answers a second began as expected.
    pub(crate) fn per_second(&self) -> f64 {
        (self.latencies.len() - self.others) as f64 / self.elapsed.as_secs_f64()
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
            connections.spawn(converse(stream, requests, next, self.answers));
        }
        let (mut latencies, mut others) = (Vec::with_capacity(requests.len()), 0);
        while let Some(ended) = connections.join_next().await {
            let (of_one, others_of_one) = ended??;
            latencies.extend(of_one);
            others += others_of_one;
        }
        let elapsed = began.elapsed();
        latencies.sort_unstable();
        Ok(Done { elapsed, latencies, others })
    }
}

async fn converse(
    mut stream: TcpStream,
    requests: &'static [Request],
    next: &'static AtomicUsize,
    answers: Answers,
) -> Result<(Vec<Duration>, usize), Trouble> {
    let (mut latencies, mut others) = (Vec::new(), 0);
    let (mut out, mut answer) = (Vec::new(), Vec::new());
    while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
        out.clear();
        out.extend_from_slice(&request.head);
        request.body.iter().for_each(|part| out.extend_from_slice(part));
        let began = Instant::now();
        stream.write_all(&out).await?;
        let (status, body) = read_answer(&mut stream, &mut answer).await?;
        latencies.push(began.elapsed());
        let begins = |with: &str| body.starts_with(with.as_bytes());
        let succeeded = answers.status.map_or((200..300).contains(&status), |wanted| wanted == status);
        match succeeded && answers.expected.is_none_or(begins) {
            true => {}
            false if succeeded && answers.instead.is_some_and(begins) => others += 1,
            false => return Err(format!("answered {status}: {}", String::from_utf8_lossy(body)).into()),
        }
    }
    Ok((latencies, others))
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
