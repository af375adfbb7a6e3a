//! Answering readers from the cache, beside a GitLab that takes its time for the same questions.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use cistern::demo::fake::{FakeGitlab, JobSpec, Log, Options, PipelineSpec, World};
use cistern::domain::{JobId, PipelineId, ProjectId};
use tempfile::TempDir;

use super::child::{self, Server};
use super::figure::{Aim, Figures};
use super::load::{Answers, Done, Load, Request};
use super::place::Place;

/// Connections that stay open.
const CONNECTIONS: usize = 64;

/// How long each call to GitLab takes.
const LATENCY: Duration = Duration::from_millis(80);

/// Bytes of each log.
const LOG_BYTES: usize = 20_000;

/// Pipelines, and jobs of each: as many distinct logs as their product.
const PIPELINES: usize = 100;
const JOBS: usize = 100;

/// What a cached log is to be read at least so many times a second, always the same one and one after the other, and how
/// long 99 of 100 reads of it may take, in milliseconds.
const LOG_PER_SECOND: f64 = 20_000.0;
const DISTINCT_LOGS_PER_SECOND: f64 = 12_000.0;
const LOG_P99_MILLIS: f64 = 10.0;

/// Sent before anything is counted.
const WARM_UP: usize = 500;

/// A token of the configuration, and one of a reporter of GitLab.
const STATIC_TOKEN: &str = "a-static-token-for-everything";
const REPORTER: &str = "glpat-reporter-9a8b7c6d";

/// How a reader makes himself known.
#[derive(Clone, Copy)]
struct Mode {
    name: &'static str,
    /// Settings of the server.
    settings: &'static [(&'static str, &'static str)],
    /// The token of each request.
    token: Option<&'static str>,
}

impl Mode {
    /// Returns the lines of each request's head.
    fn head(self) -> String {
        self.token.map(|token| format!("PRIVATE-TOKEN: {token}\r\n")).unwrap_or_default()
    }
}

const MODES: [Mode; 3] = [
    Mode { name: "open", settings: &[], token: None },
    Mode {
        name: "token",
        settings: &[("ACCESS_MODE", "token"), ("ACCESS_TOKENS", STATIC_TOKEN)],
        token: Some(STATIC_TOKEN),
    },
    // The verdict is there before anything is counted, and is not asked for again while it is.
    Mode {
        name: "gitlab",
        settings: &[("ACCESS_MODE", "gitlab"), ("ACCESS_POSITIVE_TTL", "1h")],
        token: Some(REPORTER),
    },
];

/// A cached job, its log, a list: with and without their version being known, one and very many.
pub(crate) fn measure(figures: &mut Figures) -> Result<(), Box<dyn Error>> {
    let filled = Filled::new()?;
    for mode in MODES {
        let server = Server::start_with(&filled.fake, &filled.store, mode.settings)?;
        let job = filled.job_path(filled.jobs[0]);
        let list = format!("/api/v4/projects/{}/pipelines/{}/jobs?per_page=100", filled.project, filled.pipeline);
        for question in [
            Question { what: "a job", path: job.clone(), number: 60_000, least: None },
            Question {
                what: "a log of 20 kB",
                path: format!("{job}/trace"),
                number: 60_000,
                least: Some(LOG_PER_SECOND),
            },
            Question { what: "a list of 100 jobs", path: list, number: 10_000, least: None },
        ] {
            filled.compare(figures, &server, mode, &question)?;
        }
        let paths: Vec<String> = filled.jobs.iter().map(|job| format!("{}/trace", filled.job_path(*job))).collect();
        let distinct = load(server.address, 200).run(requests(mode, &paths, "", 60_000))?;
        let name = format!("reads of 10,000 logs of 20 kB, one after the other, access.mode = {}", mode.name);
        figures.plain(&name, distinct.per_second(), "requests/s").aim(Aim::AtLeast(DISTINCT_LOGS_PER_SECOND));
        add_times(figures, &distinct, Some(LOG_P99_MILLIS));
        let name = format!("… peak memory of all these reads, access.mode = {}", mode.name);
        figures.plain(&name, server.usage().peak_mebibytes(), "MiB");
    }
    Ok(())
}

/// What is asked again and again.
struct Question {
    what: &'static str,
    path: String,
    number: usize,
    /// Answers a second that are aimed at.
    least: Option<f64>,
}

/// A store that holds everything of a made-up GitLab.
struct Filled {
    fake: FakeGitlab,
    store: String,
    project: ProjectId,
    pipeline: PipelineId,
    jobs: Vec<JobId>,
    _directory: TempDir,
}

impl Filled {
    fn new() -> Result<Self, Box<dyn Error>> {
        let directory = TempDir::new()?;
        let mut world = World::new();
        let project = world.add_project("group/app");
        world.add_user(REPORTER);
        world.set_role(project, REPORTER, 20);
        let mut jobs = Vec::new();
        let mut last = None;
        for number in 0..PIPELINES {
            let pipeline = world.add_pipeline(project, PipelineSpec::default());
            for part in 0..JOBS {
                let log = Log::generated(LOG_BYTES, (number * JOBS + part) as u64, true);
                let job = world.add_job(pipeline, JobSpec::new(&format!("unit {part}/{JOBS}")).log(log));
                world.start_job(job);
                world.finish_job(job, "success");
                world.archive_trace(job);
                jobs.push(job);
            }
            last = Some(pipeline);
        }
        let pipeline = last.ok_or("there is a pipeline")?;
        let store = Place::File.url(directory.path(), "cistern.db");
        let fake = FakeGitlab::start(world, Options { latency: LATENCY, ..Options::default() })?;
        child::backfill(&fake, &store, &["--limits-api-calls", "200"])?;
        Ok(Self { fake, store, project, pipeline, jobs, _directory: directory })
    }

    fn job_path(&self, job: JobId) -> String {
        format!("/api/v4/projects/{}/jobs/{job}", self.project)
    }

    /// Measures reads of one path, the same with its version known, and the same at GitLab.
    fn compare(
        &self,
        figures: &mut Figures,
        server: &Server,
        mode: Mode,
        question: &Question,
    ) -> Result<(), Box<dyn Error>> {
        let Question { what, path, number, least } = question;
        let paths = [path.clone()];
        load(server.address, 200).run(requests(mode, &paths, "", WARM_UP))?;
        let gitlab = self.fake.url().trim_start_matches("http://").parse()?;
        let token = format!("PRIVATE-TOKEN: {}\r\n", self.fake.token());
        let theirs = load(gitlab, 200).run(requests(MODES[0], &paths, &token, 10 * CONNECTIONS))?;
        let before = server.usage();
        let ours = load(server.address, 200).run(requests(mode, &paths, "", *number))?;
        let cpu = server.usage().cpu_seconds - before.cpu_seconds;
        let name = format!("reads of {what}, cached, {CONNECTIONS} connections, access.mode = {}", mode.name);
        let ideal = "the same at a GitLab that takes 80 ms for each call";
        let figure = figures.against(&name, ours.per_second(), "requests/s", theirs.per_second(), ideal);
        if let Some(least) = least {
            figure.aim(Aim::AtLeast(*least));
        }
        add_times(figures, &ours, least.map(|_| LOG_P99_MILLIS));
        figures.plain("… processor time", cpu * 1e6 / *number as f64, "µs/request");
        let known = format!("If-None-Match: {}\r\n", tag_of(server.address, mode, path)?);
        let unchanged = load(server.address, 304).run(requests(mode, &paths, &known, *number))?;
        figures.plain("… whose version is known (304)", unchanged.per_second(), "requests/s");
        add_times(figures, &unchanged, None);
        Ok(())
    }
}

fn add_times(figures: &mut Figures, done: &Done, most: Option<f64>) {
    figures.plain("… p50", done.part_millis(50), "ms");
    let p99 = figures.plain("… p99", done.p99_millis(), "ms");
    if let Some(most) = most {
        p99.aim(Aim::AtMost(most));
    }
}

fn load(address: SocketAddr, status: u16) -> Load {
    Load { address, connections: CONNECTIONS, answers: Answers::of(status) }
}

fn requests(mode: Mode, paths: &[String], more: &str, number: usize) -> Vec<Request> {
    let heads: Vec<Vec<u8>> = paths
        .iter()
        .map(|path| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{}{more}\r\n", mode.head()).into())
        .collect();
    heads.iter().cycle().take(number).map(|head| Request::new(head.clone(), Vec::new())).collect()
}

/// Returns the version of an answer.
fn tag_of(address: SocketAddr, mode: Mode, path: &str) -> Result<String, Box<dyn Error>> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address)?;
    write!(stream, "HEAD {path} HTTP/1.0\r\nHost: localhost\r\n{}\r\n", mode.head())?;
    let mut head = String::new();
    stream.read_to_string(&mut head)?;
    let tag = head.lines().find_map(|line| line.strip_prefix("etag: "));
    Ok(tag.ok_or("an answer has a version")?.to_owned())
}
