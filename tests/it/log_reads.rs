//! Parts of logs and files of archives as readers ask for them, over HTTP.

use std::io::Write;

use cistern::demo::fake::{Archive, JobSpec, Log, Options, PipelineSpec, World};
use cistern::domain::{JobId, ProjectId};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::rig::{Rig, Sent as Answer, ask};

const STORE: &str = "cistern.db";

const SCRIPT: &str = "\x1b[0Ksection_start:1763629451:step_script[collapsed=true]\r\x1b[0KExecuting\n\
                      \x1b[32;1m$ make test\x1b[0;m\n\
                      compiling <b>\n\
                      \x1b[31merror: no such file\x1b[0m\n\
                      \x1b[0Ksection_end:1763629503:step_script\r\x1b[0K\n\
                      \x1b[31;1mERROR: Job failed: exit code 2\n\x1b[0;m\n";

fn one_job(spec: JobSpec) -> (Rig, ProjectId, JobId) {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let job = world.add_job(pipeline, spec);
    world.start_job(job);
    world.finish_job(job, "failed");
    world.archive_trace(job);
    (Rig::with(world, Options::default()), project, job)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_takes_exactly_the_part_of_a_log_that_is_needed() {
    let lines: String = (1..=20_000).map(|line| format!("line {line} of a long log\n")).collect();
    let whole = format!("{lines}{SCRIPT}");
    let (rig, project, job) = one_job(JobSpec::new("unit").log(Log::bytes(whole.clone().into_bytes())));
    assert!(rig.backfill(STORE).await.is_clean());
    let serving = rig.serve(STORE).await;
    let base = format!("/api/cistern/v1/projects/{project}/jobs/{job}/log");
    let get = async |query: &str| ask(serving.address(), "GET", &format!("{base}{query}"), &[]).await;
    let count = whole.lines().count();
    // The last line shows nothing, and neither does the one with the section's end.
    let last = whole.split_inclusive('\n').skip(count - 5).collect::<String>();
    for (query, expected) in [
        ("", whole.clone()),
        ("?tail=3", last),
        ("?head=2", "line 1 of a long log\nline 2 of a long log\n".to_owned()),
        ("?lines=19999-20000", "line 19999 of a long log\nline 20000 of a long log\n".to_owned()),
        ("?bytes=5-9", whole[5..10].to_owned()),
        ("?grep=line%2012345%20", "line 12345 of a long log\n".to_owned()),
        ("?tail=6&grep=ERROR&ansi=strip", "ERROR: Job failed: exit code 2\n".to_owned()),
        ("?grep=nothing-at-all", String::new()),
    ] {
        let answer = get(query).await;
        assert_eq!((answer.status, answer.header("x-cistern-log")), (200, "settled"), "{query}");
        assert!(answer.text() == expected, "{query}: {:?}", answer.text().chars().take(200).collect::<String>());
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
        assert!(answer.header("content-security-policy").starts_with("sandbox"));
    }
    let section = get("?section=step_script&ansi=strip").await.text();
    assert!(section.contains("$ make test") && !section.contains("exit code"), "{section}");
    let errors = get("?errors=true&ansi=strip").await.text();
    assert!(
        errors.contains("$ make test") && errors.contains("exit code 2") && !errors.contains("line 7 "),
        "{errors}"
    );
    let html = get("?tail=6&ansi=html").await;
    assert_eq!(html.header("content-type"), "text/html; charset=utf-8");
    assert!(html.text().contains("&lt;b&gt;") && !html.text().contains("<b>"), "{}", html.text());
    let first = get("?head=1&format=json").await;
    assert_eq!((first.json()["line"].clone(), first.json()["offset"].clone()), (json!(1), json!(0)));

    let once = get("?tail=3").await;
    let tag = [("If-None-Match", once.header("etag"))];
    assert_eq!(ask(serving.address(), "GET", &format!("{base}?tail=3"), &tag).await.status, 304);
    assert_eq!(ask(serving.address(), "GET", &format!("{base}?tail=4"), &tag).await.status, 200, "another part");
    let head = ask(serving.address(), "HEAD", &format!("{base}?tail=3"), &[]).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    for (query, word) in [("?tail=x", "tail"), ("?grep=(", "grep"), ("?tail=1&head=1", "only one"), ("?tial=1", "tial")]
    {
        let answer = get(query).await;
        assert!(answer.status == 400 && answer.text().contains(word), "{query}: {}", answer.text());
    }
    assert_eq!(get("?section=no_such_section").await.status, 404);

    let sections = get("/sections").await.json();
    assert_eq!((sections["lines"].clone(), sections["truncated"].clone()), (json!(count - 2), json!(false)));
    let found = &sections["sections"][0];
    assert_eq!((found["name"].clone(), found["seconds"].clone()), (json!("step_script"), json!(52)));
    assert_eq!((found["first_line"].clone(), found["collapsed"].clone()), (json!(20_001), json!(true)));
    let errors = get("/errors").await.json();
    assert_eq!(errors["command"]["text"], "$ make test");
    assert_eq!(
        (errors["verdict"]["exit_code"].clone(), errors["verdict"]["succeeded"].clone()),
        (json!(2), json!(false))
    );
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_not_held_says_why() {
    let (rig, project, job) = one_job(JobSpec::new("unit").log(Log::bytes(b"gone\n".to_vec())));
    rig.fake.with(|world| world.erase_job(job));
    assert!(rig.backfill(STORE).await.is_clean());
    let serving = rig.serve(STORE).await;
    for part in ["log", "log/sections", "log/errors"] {
        let path = format!("/api/cistern/v1/projects/{project}/jobs/{job}/{part}");
        let answer = ask(serving.address(), "GET", &path, &[]).await;
        assert_eq!((answer.status, answer.header("x-cistern-reason")), (404, "erased"), "{part}");
    }
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_file_of_an_archive_is_read_without_the_rest_and_shown_without_harm() {
    let page = b"<html><script>steal()</script><img src=x.png></html>";
    let noise: Vec<u8> = (0..300_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    let files = [("coverage/index.html", &page[..]), ("coverage/deep/a b.txt", b"text"), ("noise.bin", &noise)];
    let archive = Archive::zip(files).expect("a zip");
    let (rig, project, job) = one_job(JobSpec::new("unit").archive(archive));
    assert!(rig.backfill(STORE).await.is_clean());
    let serving = rig.serve(STORE).await;
    let base = format!("/api/v4/projects/{project}/jobs/{job}/artifacts");
    let get = async |path: &str| ask(serving.address(), "GET", &format!("{base}{path}"), &[]).await;
    let html = get("/coverage/index.html").await;
    assert_eq!((html.status, html.body.as_slice()), (200, &page[..]));
    assert_eq!(html.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(html.header("x-content-type-options"), "nosniff");
    let policy = html.header("content-security-policy");
    assert!(policy.starts_with("sandbox;") && !policy.contains("allow-") && !policy.contains("script-src"), "{policy}");
    assert_eq!(get("/coverage/deep/a%20b.txt").await.body, b"text");
    assert_eq!(get("/noise.bin").await.body, noise);
    let part = ask(serving.address(), "GET", &format!("{base}/noise.bin"), &[("Range", "bytes=1000-1999")]).await;
    assert_eq!((part.status, part.header("content-range")), (206, "bytes 1000-1999/300000"));
    assert_eq!(part.body, noise[1000..2000]);
    let tag = [("If-None-Match", html.header("etag"))];
    assert_eq!(ask(serving.address(), "GET", &format!("{base}/coverage/index.html"), &tag).await.status, 304);
    for path in ["/coverage", "/coverage/none.txt", "/..%2f..%2fetc%2fpasswd", "/noise.bin/x"] {
        let answer = get(path).await;
        assert!(answer.status == 404 && answer.text().contains("no such file"), "{path}: {}", answer.text());
    }

    let names = |answer: &Answer| -> Vec<String> {
        let rows = answer.json();
        rows.as_array().expect("a list").iter().map(|row| row["path"].as_str().expect("a path").to_owned()).collect()
    };
    assert_eq!(names(&get("/tree").await), ["coverage/", "noise.bin"]);
    assert_eq!(names(&get("/tree?path=coverage").await), ["coverage/deep/", "coverage/index.html"]);
    let all = get("/tree?recursive=true&per_page=2&page=2").await;
    assert_eq!((names(&all).len(), all.header("x-total")), (2, "5"));
    assert_eq!(get("/tree?path=none").await.status, 404);
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_file_is_refused_by_its_name() {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    writer.start_file("secret.txt", zip::write::SimpleFileOptions::default()).expect("begun");
    writer.write_all(b"secret").expect("written");
    let mut zip = writer.finish().expect("a zip").into_inner();
    // The flag of encryption, in the file's own header and in the directory's.
    zip[6] |= 1;
    let directory = zip.windows(4).position(|window| window == b"PK\x01\x02").expect("a directory");
    zip[directory + 8] |= 1;
    let (rig, project, job) = one_job(JobSpec::new("unit").archive(Archive::bytes(zip)));
    assert!(rig.backfill(STORE).await.is_clean());
    let serving = rig.serve(STORE).await;
    let path = format!("/api/v4/projects/{project}/jobs/{job}/artifacts/secret.txt");
    let answer = ask(serving.address(), "GET", &path, &[]).await;
    assert_eq!((answer.status, answer.header("x-cistern-reason")), (415, "encrypted"));
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_log_is_followed_to_its_end_by_one_question_however_many_follow() {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let job = world.add_job(pipeline, JobSpec::new("unit").log(Log::bytes(Vec::new())));
    world.start_job(job);
    world.append_log(job, b"begin\n");
    let rig = Rig::with(world, Options::default()).set("api.read_through", "true");
    let serving = rig.serve(STORE).await;
    let address = serving.address();
    let path = format!("/api/cistern/v1/projects/{project}/jobs/{job}/log/follow");
    let followers: Vec<_> = (0..5)
        .map(|_| {
            let path = path.clone();
            tokio::spawn(async move { ask(address, "GET", &path, &[]).await })
        })
        .collect();
    let view_path = format!("/api/v4/projects/{project}/jobs/{job}/trace");
    crate::rig::eventually(async || ask(address, "GET", &view_path, &[]).await.body == b"begin\n").await;
    // It goes on, but not for who asks for the head only.
    assert_eq!(ask(address, "HEAD", &path, &[]).await.header("content-type"), "text/event-stream");
    rig.fake.with(|world| {
        world.append_log(job, b"end\n");
        world.finish_job(job, "success");
        world.archive_trace(job);
    });
    serving.deliver(&rig.fake.job_event(job).expect("an event")).await;
    for follower in followers {
        let answer = follower.await.expect("followed");
        assert_eq!((answer.status, answer.header("content-type")), (200, "text/event-stream"));
        let text = answer.text();
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        let events: Vec<Value> = data.map(|data| serde_json::from_str(data).expect("JSON")).collect();
        let log: String = events.iter().filter_map(|event| event["text"].as_str()).collect();
        assert_eq!(log, "begin\nend\n", "{text}");
        assert_eq!(events.last().expect("an end")["status"], "success", "{text}");
        assert!(text.contains("event: end") && text.contains("id: 10\n"), "{text}");
    }
    let traces = rig.fake.requests().of(cistern::demo::fake::Endpoint::Trace);
    assert!(traces <= 6, "{traces} questions for a log that five followed");
    let rest = ask(address, "GET", &path, &[("Last-Event-ID", "6")]).await.text();
    assert!(rest.contains("\"text\":\"end\\n\"") && !rest.contains("begin"), "{rest}");
    serving.stop().await;
}

/// HTTP/1.0 has no chunks: an answer whose length is not known beforehand ends with its connection.
#[tokio::test(flavor = "multi_thread")]
async fn old_clients_get_the_bytes_alone() {
    let (rig, project, job) = one_job(JobSpec::new("unit").log(Log::bytes(SCRIPT.repeat(2000).into_bytes())));
    assert!(rig.backfill(STORE).await.is_clean());
    let serving = rig.serve(STORE).await;
    let own = format!("/api/cistern/v1/projects/{project}/jobs/{job}/log?ansi=strip");
    for path in [own, format!("/api/v4/projects/{project}/jobs/{job}/trace")] {
        let expected = ask(serving.address(), "GET", &path, &[]).await.body;
        let mut stream = TcpStream::connect(serving.address()).await.expect("a connection");
        let head = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("an answer");
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head") + 4;
        let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
        assert!(!head.contains("transfer-encoding") && !head.contains("content-encoding"), "{head}");
        assert!(answer[end..] == expected, "{path}");
    }
    serving.stop().await;
}
