//! How fresh answers are, what they cost GitLab, and what HTTP promises about them.

mod conditional;
mod listings;
mod misses;
mod parts;
mod running;
mod unreachable;

use std::net::SocketAddr;

use cistern::demo::fake::{JobSpec, Log, Options, PipelineSpec, World};
use cistern::domain::{JobId, PipelineId, ProjectId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::rig::{PATIENCE, Rig};

const STORE: &str = "cistern.db";

/// An answer with its headers.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    /// Returns a header, or an empty text.
    fn header(&self, name: &str) -> &str {
        let named = |line: &&str| line.split(':').next().is_some_and(|found| found.eq_ignore_ascii_case(name));
        self.head.lines().find(named).and_then(|line| line.split_once(':')).map_or("", |(_, value)| value.trim())
    }

    fn source(&self) -> &str {
        self.header("x-cistern-cache")
    }

    fn age(&self) -> u64 {
        self.header("age").parse().expect("an age")
    }
}

/// Asks and reads the answer to the end of the connection.
async fn ask(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("received");
        answer
    };
    let answer = tokio::time::timeout(PATIENCE, exchange).await.expect("an answer in time");
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8(answer[..end].to_vec()).expect("text");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answer { status, head, body: answer[end + 4..].to_vec() }
}

async fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, "GET", path, &[]).await
}

/// Asks the same many times at once.
async fn get_at_once(address: SocketAddr, path: &str, readers: usize) -> Vec<Answer> {
    futures_util::future::join_all((0..readers).map(|_| get(address, path))).await
}

/// A GitLab with one project, and a Cistern that reads through.
fn reading_through(options: Options) -> (Rig, ProjectId) {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let rig = Rig::with(world, options).set("api.read_through", "true");
    (rig, project)
}

/// Adds a job that nobody announces.
fn add_job(rig: &Rig, project: ProjectId, spec: JobSpec, status: &str) -> (PipelineId, JobId) {
    rig.fake.with(|world| {
        let pipeline = world.add_pipeline(project, PipelineSpec::default());
        let job = world.add_job(pipeline, spec);
        world.start_job(job);
        if status != "running" {
            world.finish_job(job, status);
            world.archive_trace(job);
        }
        (pipeline, job)
    })
}

fn job_with_log(text: &str) -> JobSpec {
    JobSpec::new("unit").log(Log::bytes(text.as_bytes().to_vec()))
}

fn job_path(project: ProjectId, job: JobId) -> String {
    format!("/api/v4/projects/{project}/jobs/{job}")
}
