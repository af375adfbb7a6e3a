//! Parts of what is large: some lines and a section of a log of 100 MB, a search through it, one file of an archive of 1 GiB.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{Cursor, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use cistern::demo::fake::{Archive, FakeGitlab, JobSpec, Log, Options, PipelineSpec, World};
use tempfile::TempDir;
use zip::write::{SimpleFileOptions, ZipWriter};

use super::child::{self, Server};
use super::figure::{Aim, Figures, median};
use super::load::{Answers, Load, Request};
use super::place::Place;

const LOG_BYTES: usize = 100_000_000;

/// The archive's large file; with the small one it stays below the limit of 1 GiB.
const LARGE_BYTES: usize = 1_000 << 20;
const SMALL_BYTES: usize = 20_000;

/// Connections that stay open, and requests of each kind.
const CONNECTIONS: usize = 4;
const REQUESTS: usize = 2_000;

/// Reads of the whole log in each way; the median counts.
const READS: usize = 5;

/// In the store of one machine.
pub(crate) fn in_a_file(figures: &mut Figures) -> Result<(), Box<dyn Error>> {
    measure(figures, Place::File)
}

/// In the shared store.
pub(crate) fn in_a_database(figures: &mut Figures) -> Result<(), Box<dyn Error>> {
    measure(figures, Place::Database)
}

fn measure(figures: &mut Figures, place: Place) -> Result<(), Box<dyn Error>> {
    let directory = TempDir::new()?;
    let mut world = World::new();
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let job = world.add_job(pipeline, JobSpec::new("large").log(Log::bytes(log(LOG_BYTES))).archive(archive()?));
    world.start_job(job);
    world.finish_job(job, "success");
    world.archive_trace(job);
    let fake = FakeGitlab::start(world, Options::default())?;
    let store = place.url(directory.path(), "cistern.db");
    let fetched = child::backfill(&fake, &store, &[])?;
    let suffix = place.suffix();
    let caching = format!("peak memory while a log of 100 MB and an archive of 1 GiB are cached{suffix}");
    figures.plain(&caching, fetched.usage.peak_mebibytes(), "MiB");
    let server = Server::start(&fake, &store)?;
    let own = format!("/api/cistern/v1/projects/{project}/jobs/{job}/log");
    let file = format!("/api/v4/projects/{project}/jobs/{job}/artifacts/report/small.txt");
    let tail_p99_millis = if place == Place::File { 3.0 } else { 5.0 };
    for (what, path, most) in [
        ("the last 100 lines of a log of 100 MB", format!("{own}?tail=100"), Some(tail_p99_millis)),
        ("a section of it", format!("{own}?section=deploy"), None),
        ("a file of 20 kB of an archive of 1 GiB", file, None),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let requests = (0..REQUESTS).map(|_| Request::new(request.clone().into(), Vec::new())).collect();
        let load = Load { address: server.address, connections: CONNECTIONS, answers: Answers::of(200) };
        let done = load.run(requests)?;
        figures.plain(&format!("{what}{suffix}: p50"), done.part_millis(50), "ms");
        let p99 = figures.plain("… p99", done.p99_millis(), "ms");
        if let Some(most) = most {
            p99.aim(Aim::AtMost(most));
        }
    }
    let trace = format!("/api/v4/projects/{project}/jobs/{job}/trace");
    for (what, path, coding) in [
        ("a search through a log of 100 MB", format!("{own}?grep=no-such-word-[0-9]%2B$"), "identity"),
        ("the whole log to who takes zstd, as it is stored", trace.clone(), "zstd"),
        ("… to who takes gzip, compressed while it is sent", trace.clone(), "gzip"),
        ("… to who takes neither", trace, "identity"),
    ] {
        let mut rates = Vec::new();
        for _ in 0..READS {
            let begun = Instant::now();
            read(server.address, &path, coding)?;
            rates.push(LOG_BYTES as f64 / 1e6 / begun.elapsed().as_secs_f64());
        }
        figures.plain(&format!("{what}{suffix}"), median(rates), "MB/s");
    }
    figures.plain("… peak memory of all these reads", server.usage().peak_mebibytes(), "MiB");
    Ok(())
}

/// A log of plausible lines with a section near its end.
pub(crate) fn log(bytes: usize) -> Vec<u8> {
    let mut text = String::with_capacity(bytes + 256);
    let mut line = 0;
    while text.len() < bytes - 100_000 {
        line += 1;
        let _ = writeln!(
            text,
            "2026-11-24T10:00:00.{:06}Z 00O [{line:>8}] compiling module_{} … ok",
            line % 1_000_000,
            line % 977
        );
    }
    text.push_str("\x1b[0Ksection_start:1794925649:deploy\r\x1b[0Kdeploy\n");
    for line in 0..500 {
        let _ = writeln!(text, "uploading part {line} of 500");
    }
    text.push_str("\x1b[0Ksection_end:1794925650:deploy\r\x1b[0K\nJob succeeded\n");
    text.into_bytes()
}

/// A zip with one large file that is stored and a small one that is deflated.
pub(crate) fn archive() -> Result<Archive, Box<dyn Error>> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::with_capacity(LARGE_BYTES + (1 << 20))));
    writer.start_file("image.bin", SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored))?;
    let mut random = fastrand::Rng::with_seed(7);
    let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(1 << 20).collect();
    for _ in 0..LARGE_BYTES >> 20 {
        writer.write_all(&noise)?;
    }
    writer.start_file("report/small.txt", SimpleFileOptions::default())?;
    let small: String = (0..).map(|line| format!("test {line} passed\n")).take(SMALL_BYTES / 16).collect();
    writer.write_all(small.as_bytes())?;
    Ok(Archive::bytes(writer.finish()?.into_inner()))
}

/// Asks once and reads the answer to its end.
fn read(address: SocketAddr, path: &str, coding: &str) -> Result<(), Box<dyn Error>> {
    let mut stream = TcpStream::connect(address)?;
    let head =
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: {coding}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if answer.starts_with(b"HTTP/1.1 200") { Ok(()) } else { Err("a read was refused".into()) }
}
