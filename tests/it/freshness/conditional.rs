//! Versions, codings, HEAD, other origins, and readers who go away.

use std::io::Read;
use std::time::Duration;

use cistern::demo::fake::{Archive, ArtifactDelivery, JobSpec, Junit, Log, Options, PipelineSpec, World};
use cistern::domain::Timestamp;
use flate2::read::GzDecoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Answer, ask, get};
use crate::rig::{Rig, Serving, eventually};

/// A Cistern that has everything of a pipeline with a log of `log_bytes`, a report and an archive; returns its paths.
async fn filled(log_bytes: usize) -> (Rig, Serving, Vec<String>) {
    // Of long ago, so that no second of it can have another version.
    let mut world = World::at(Timestamp::now().minus(Duration::from_secs(3600)));
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let archive = Archive::zip([("x", &[7; 50_000][..])]).expect("an archive");
    let log = match log_bytes {
        0..1024 => Log::bytes(vec![b'x'; log_bytes]),
        _ => Log::generated(log_bytes, 7, true),
    };
    // So many that one job's share is streamed, too.
    let tests = if log_bytes > 100_000 { 8000 } else { 400 };
    let spec = JobSpec::new("unit").log(log).junit(Junit::generated(tests, 3, 7)).archive(archive);
    let job = world.add_job(pipeline, spec);
    for number in 0..8 {
        let other = world.add_job(pipeline, JobSpec::new(&format!("lint {number}")));
        world.finish_job(other, "success");
    }
    world.finish_job(job, "success");
    world.archive_trace(job);
    let rig = Rig::with(world, Options { artifacts: ArtifactDelivery::Direct, ..Options::default() });
    let rig = rig.set("server.cors_origins", "https://dash.example.com");
    let serving = rig.serve(super::STORE).await;
    serving.idle().await;
    let base = format!("/api/v4/projects/{project}");
    let pipeline = format!("{base}/pipelines/{pipeline}");
    let own = format!("/api/cistern/v1/projects/{project}/jobs/{job}");
    let paths = vec![
        format!("{base}/jobs/{job}/trace"),
        format!("{base}/jobs/{job}/artifacts"),
        format!("{pipeline}/test_report"),
        base.clone(),
        format!("{base}/jobs/{job}"),
        format!("{pipeline}/test_report_summary"),
        pipeline.clone(),
        format!("{pipeline}/jobs"),
        format!("{base}/pipelines"),
        "/api/v4/projects".to_owned(),
        format!("{own}/log?bytes=0-"),
        format!("{own}/log?ansi=strip"),
        format!("{own}/test_report"),
        format!("{base}/jobs/{job}/artifacts/x"),
    ];
    (rig, serving, paths)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_a_version_already_is_told_so_in_every_coding() {
    let (_rig, serving, paths) = filled(700_000).await;
    for (number, path) in paths.iter().enumerate() {
        // A list may change while the time that it is of does not; a report and a part of a log are of now.
        let dated = !matches!(number, 2 | 5 | 7..=12);
        let mut tags = Vec::new();
        for coding in ["identity", "gzip", "zstd", "gzip, deflate, br, zstd"] {
            let answer = ask(serving.address(), "GET", path, &[("Accept-Encoding", coding)]).await;
            assert_eq!(answer.status, 200, "{path}");
            let (tag, date) = (answer.header("etag").to_owned(), answer.header("last-modified").to_owned());
            assert!(tag.starts_with('"') && tag.len() > 10 && date.ends_with("GMT"), "{path}: {}", answer.head);
            for condition in [("If-None-Match", tag.as_str()), ("If-Modified-Since", date.as_str())] {
                let known = ask(serving.address(), "GET", path, &[("Accept-Encoding", coding), condition]).await;
                if condition.0 == "If-Modified-Since" && !dated {
                    assert!(matches!(known.status, 200 | 304), "{path}: {}", known.head);
                    continue;
                }
                assert_eq!((known.status, known.body.len()), (304, 0), "{path} {condition:?}");
                assert_eq!(known.header("etag"), tag, "{path}");
                assert_eq!(known.header("cache-control"), "private, no-cache");
            }
            let other = ask(serving.address(), "GET", path, &[("If-None-Match", "\"0\"")]).await;
            assert_eq!(other.status, 200);
            tags.push((answer.header("content-encoding").to_owned(), tag));
        }
        tags.sort();
        tags.dedup();
        let codings = tags.iter().map(|(coding, _)| coding).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(codings.len(), tags.len(), "{path}: one version of each coding, {tags:?}");
        let distinct = tags.iter().map(|(_, tag)| tag).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(distinct.len(), tags.len(), "{path}: {tags:?}");
    }
    serving.stop().await;
}

fn decoded(answer: &Answer) -> Vec<u8> {
    match answer.header("content-encoding") {
        "" => answer.body.clone(),
        "gzip" => {
            let mut whole = Vec::new();
            GzDecoder::new(answer.body.as_slice()).read_to_end(&mut whole).expect("gzip");
            whole
        }
        "zstd" => zstd::stream::decode_all(answer.body.as_slice()).expect("zstd"),
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_coding_holds_the_same_and_head_tells_it_without_a_body() {
    let (_rig, serving, paths) = filled(700_000).await;
    for (number, path) in paths.iter().enumerate() {
        let plain = get(serving.address(), path).await;
        assert_eq!(plain.header("vary").split(',').next(), Some("Accept-Encoding"), "{}", plain.head);
        for coding in ["gzip", "zstd"] {
            let accept = [("Accept-Encoding", coding)];
            let answer = ask(serving.address(), "GET", path, &accept).await;
            assert!(decoded(&answer) == plain.body, "{path} {coding}");
            let head = ask(serving.address(), "HEAD", path, &accept).await;
            assert_eq!((head.status, head.body.len()), (answer.status, 0), "{path}");
            for name in
                ["etag", "content-encoding", "content-type", "content-length", "transfer-encoding", "x-cistern-cache"]
            {
                assert_eq!(head.header(name), answer.header(name), "{path} {name}");
            }
            assert_eq!(answer.header("x-content-type-options"), "nosniff");
            let smaller = answer.body.len() < plain.body.len() / 2;
            match (number, coding) {
                (0 | 2 | 10..=12, _) => {
                    assert!(smaller && answer.header("content-encoding") == coding, "{path} {coding}")
                }
                // An archive is compressed already.
                (1, _) => assert_eq!(answer.header("content-encoding"), "", "{path}"),
                (4 | 7, _) => assert!(
                    answer.body.len() < plain.body.len() && answer.header("content-encoding") == coding,
                    "{path}"
                ),
                _ => {}
            }
        }
    }
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_sent_as_the_reader_takes_it() {
    // A log that is sent in one piece, one that is streamed.
    for bytes in [20_000, 3_000_000] {
        let (_rig, serving, paths) = filled(bytes).await;
        let trace = async |method: &str, headers: &[(&str, &str)]| {
            let answer = ask(serving.address(), method, &paths[0], headers).await;
            (answer.header("content-encoding").to_owned(), answer)
        };
        let (_, plain) = trace("GET", &[]).await;
        assert_eq!(plain.body.len(), bytes);
        for (accepted, coding) in [
            ("gzip", "gzip"),
            ("gzip, deflate", "gzip"),
            ("gzip, deflate, br, zstd", "zstd"),
            ("gzip;q=0.5, zstd;q=0.5", "zstd"),
            ("gzip, zstd;q=0", "gzip"),
            ("identity;q=0, gzip;q=0.1", "gzip"),
            ("gzip;q=0, identity", ""),
            ("br", ""),
        ] {
            let (sent, answer) = trace("GET", &[("Accept-Encoding", accepted)]).await;
            assert_eq!(sent, coding, "{accepted}");
            assert!(decoded(&answer) == plain.body, "{accepted}");
            assert_eq!(answer.header("vary").split(',').next(), Some("Accept-Encoding"));
            assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
        }
        // Twice: what is small was kept.
        for _ in 0..2 {
            let (_, answer) = trace("GET", &[("Accept-Encoding", "gzip")]).await;
            let (_, head) = trace("HEAD", &[("Accept-Encoding", "gzip")]).await;
            let small = bytes < 64 * 1024;
            let length = if small { answer.body.len().to_string() } else { String::new() };
            assert_eq!((answer.header("content-length"), head.header("content-length")), (&*length, &*length));
            assert_eq!(head.header("transfer-encoding"), if small { "" } else { "chunked" });
        }
        // A part is of the plain log, whatever version the reader had.
        let (_, coded) = trace("GET", &[("Accept-Encoding", "gzip")]).await;
        let (gzip, range) = (("Accept-Encoding", "gzip"), ("Range", "bytes=5-14"));
        let (sent, part) = trace("GET", &[gzip, range]).await;
        assert_eq!((part.status, &*sent, part.body.as_slice()), (206, "", &plain.body[5..15]));
        let (sent, other) = trace("GET", &[gzip, range, ("If-Range", coded.header("etag"))]).await;
        assert_eq!(
            (other.status, &*sent, other.body.len()),
            (200, "", bytes),
            "of the coded version there are no parts"
        );
        serving.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tiny_log_is_not_compressed_for_a_reader() {
    let (_rig, serving, paths) = filled(900).await;
    for (coding, sent) in [("gzip", ""), ("zstd", "zstd")] {
        let answer = ask(serving.address(), "GET", &paths[0], &[("Accept-Encoding", coding)]).await;
        assert_eq!((answer.header("content-encoding"), decoded(&answer).len()), (sent, 900));
    }
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_pages_of_the_named_origins_may_read() {
    let (_rig, serving, paths) = filled(1000).await;
    let from = async |method: &str, origin: &str| {
        let asked = [("Origin", origin), ("Access-Control-Request-Method", "GET")];
        ask(serving.address(), method, &paths[4], &asked).await
    };
    let first = from("OPTIONS", "https://dash.example.com").await;
    assert_eq!((first.status, first.header("access-control-allow-methods")), (204, "GET, HEAD"));
    let answer = from("GET", "https://dash.example.com").await;
    assert_eq!(answer.header("access-control-allow-origin"), "https://dash.example.com");
    assert!(answer.header("access-control-expose-headers").contains("X-Cistern-Cache"));
    assert!(answer.header("access-control-allow-credentials").is_empty());
    for other in ["https://evil.example.com", "null", "https://dash.example.com.evil.example"] {
        assert_eq!(from("OPTIONS", other).await.status, 405);
        let answer = from("GET", other).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, ""), "{other}");
    }
    let missing = get(serving.address(), "/nothing").await;
    assert_eq!((missing.status, missing.header("x-content-type-options")), (404, "nosniff"));
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_who_go_away_leave_nothing_behind() {
    let (_rig, serving, paths) = filled(20_000_000).await;
    for _ in 0..20 {
        let mut stream = TcpStream::connect(serving.address()).await.expect("a connection");
        let request = format!("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", paths[0]);
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut some = [0; 10_000];
        stream.read_exact(&mut some).await.expect("a beginning");
    }
    let idle = async || {
        let metrics = serving.admin("/metrics").await;
        metrics.lines().any(|line| line == "cistern_store_in_flight 0")
    };
    eventually(idle).await;
    assert_eq!(get(serving.address(), &paths[0]).await.body.len(), 20_000_000);
    serving.stop().await;
}
