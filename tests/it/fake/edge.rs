//! HTTP by hand, so that no client hides what the fake sends, and a small world to ask about.

use std::collections::BTreeMap;

use cistern::demo::fake::{Archive, Case, FakeGitlab, JobSpec, Junit, Log, Options, PipelineSpec, World};
use cistern::domain::{JobId, PipelineId, ProjectId};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// An answer read by hand.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// Sends one request with these headers and reads until the connection closes.
pub(crate) async fn send(base: &str, target: &str, headers: &str) -> Reply {
    let address = base.strip_prefix("http://").expect("a plain address");
    let mut stream = TcpStream::connect(address).await.expect("the fake listens");
    let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.expect("a request");
    let mut raw = Vec::new();
    stream.read_to_end(&mut raw).await.expect("an answer");
    let Some(end) = raw.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Reply { status: 0, headers: BTreeMap::new(), body: raw };
    };
    let head = String::from_utf8_lossy(&raw[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    Reply { status: status.expect("a status"), headers, body: raw[end + 4..].to_vec() }
}

/// Asks GitLab's API with the good token.
pub(crate) async fn get(fake: &FakeGitlab, path: &str) -> Reply {
    send(fake.url(), &format!("/api/v4{path}"), &format!("PRIVATE-TOKEN: {}\r\n", fake.token())).await
}

/// A project with one ended pipeline: a failed job with everything, a skipped one, a child.
pub(crate) struct Small {
    pub(crate) fake: FakeGitlab,
    pub(crate) project: ProjectId,
    pub(crate) pipeline: PipelineId,
    pub(crate) child: PipelineId,
    pub(crate) job: JobId,
}

pub(crate) fn small(options: Options) -> Small {
    let mut world = World::new();
    let project = world.add_project("harbour/core/tide-ledger");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let case = |name: &str, status: &str| Case {
        name: name.to_owned(),
        classname: "spec.slack".to_owned(),
        status: status.to_owned(),
        seconds: 0.5,
        system_output: serde_json::json!({"message": "pending ticket 77", "type": "Note"}),
    };
    let archive = Archive::zip([("reports/junit.xml", b"<x/>".as_slice()), ("a.txt", b"hello")]).expect("a zip");
    let full = JobSpec::new("rspec 3/4")
        .junit(Junit::cases(vec![case("one", "failed"), case("two", "success")]))
        .archive(archive)
        .log(Log::bytes("line one\nline two\n"));
    let job = world.add_job(pipeline, full);
    let skipped = world.add_job(pipeline, JobSpec::new("publish").stage("deploy"));
    world.start_job(job);
    world.finish_job(job, "failed");
    world.archive_trace(job);
    world.set_job_status(skipped, "skipped");
    let child = world.add_child_pipeline(pipeline, "child: contracts", PipelineSpec::default());
    let verify = world.add_job(child, JobSpec::new("verify"));
    world.finish_job(verify, "success");
    let fake = FakeGitlab::start(world, options).expect("a fake GitLab");
    Small { fake, project, pipeline, child, job }
}
