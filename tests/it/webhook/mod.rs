//! `POST /webhooks/gitlab` on the running service: every answer of the design's section 2, and what must never show.

mod floods;
mod limits;
mod measured;
mod outcomes;
mod samples;
mod secrets;
mod verification;

use std::net::SocketAddr;

use cistern::demo::fake::{Delivery, JobSpec, PipelineSpec, World};
use cistern::domain::{JobId, PipelineId, ProjectId};
use cistern::loopback::Answer;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::rig::Rig;

const PATH: &str = "/webhooks/gitlab";

/// Returns an answer's status and outcome word.
fn verdict(answer: &Answer) -> (u16, String) {
    (answer.status, crate::process::outcome(answer))
}

fn said(status: u16, outcome: &str) -> (u16, String) {
    (status, outcome.to_owned())
}

/// A world with one project, one pipeline that runs, and in it one job that runs.
fn running() -> (World, ProjectId, PipelineId, JobId) {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let job = world.add_job(pipeline, JobSpec::new("unit"));
    world.start_job(job);
    (world, project, pipeline, job)
}

fn finish(rig: &Rig, job: JobId) {
    rig.fake.with(|world| {
        world.finish_job(job, "success");
        world.archive_trace(job);
    });
}

fn headers(delivery: &Delivery) -> Vec<(String, String)> {
    delivery.headers().into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A delivery of the job's event with this body instead of its own.
fn with_body(body: impl Into<bytes::Bytes>) -> Delivery {
    Delivery::new("Job Hook", body).signed_with(crate::rig::SIGNING_TOKEN)
}

/// One connection, to send pieces of a request as no polite client would.
struct Raw(TcpStream);

impl Raw {
    /// Sends a request's head; `more` are header lines beside those of the delivery.
    async fn send_head(address: SocketAddr, delivery: &Delivery, more: &[&str]) -> Self {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        let mut head = format!("POST {PATH} HTTP/1.1\r\nHost: {address}\r\n");
        for (name, value) in delivery.headers() {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        for line in more {
            head.push_str(&format!("{line}\r\n"));
        }
        head.push_str("Connection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("sent");
        Self(stream)
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("sent");
    }

    /// Closes the sending half: the body ends here, whatever its announced length.
    async fn end(&mut self) {
        self.0.shutdown().await.expect("closed");
    }

    /// Returns whether the service asks for the body.
    async fn goes_on(&mut self) -> bool {
        let mut answer = [0; 25];
        self.0.read_exact(&mut answer).await.expect("an answer");
        &answer == b"HTTP/1.1 100 Continue\r\n\r\n"
    }

    /// Returns the status and outcome of the answer.
    async fn answer(mut self) -> (u16, String) {
        let mut answer = Vec::new();
        // What was sent in vain may break the connection once the answer is there.
        let _ = self.0.read_to_end(&mut answer).await;
        let text = String::from_utf8_lossy(&answer);
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let json: Value = serde_json::from_str(body).expect("JSON");
        (status, json["outcome"].as_str().expect("an outcome").to_owned())
    }
}
