//! Logs as runners of today write them: in entries with stamps, of several streams, cut after `\r` and at 8 KiB
//! (docs/gitlab.md). Whatever reads lines reads the joined ones, the same in every form.

use cistern::demo::fake::{JobSpec, Log, Options, PipelineSpec, World};
use cistern::domain::{JobId, ProjectId};
use serde_json::{Value, json};

use crate::rig::{Rig, Serving};

const STORE: &str = "cistern.db";

/// How a log is written.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    /// By an old runner, or one that is told so.
    Unstamped,
    /// By runners 18.7 to 19.0.
    CutMarkers,
    /// By later ones.
    WholeMarkers,
}

const FORMS: [(&str, Form); 4] = [
    ("18.6.0", Form::Unstamped),
    ("18.7.0", Form::CutMarkers),
    ("19.1.0", Form::WholeMarkers),
    ("19.5.2", Form::WholeMarkers),
];

/// A line of 100 kB with a word at its first cut.
fn json_line() -> String {
    let mut line = format!("{{\"rows\":\"{}\"}}", "0123456789".repeat(10_000));
    line.replace_range(8_189..8_195, "needle");
    line
}

/// Writes entries: a source, and the text after its mark. Without stamps what goes on is put where it belongs by hand.
fn written(version: &str, form: Form) -> Vec<u8> {
    let json = json_line();
    let marker = |text: &str, then: &str| match form {
        Form::CutMarkers => vec![format!("{text}\r"), format!("\x1b[0K{then}")],
        _ => vec![format!("{text}\r\x1b[0K"), then.to_owned()],
    };
    let title = |title: &str| format!("\x1b[0K\x1b[36;1m{title}\x1b[0;m\x1b[0;m");
    let mut lines: Vec<(&str, Vec<String>)> = vec![
        ("00O", vec![format!("\x1b[0KRunning with gitlab-runner {version}\x1b[0;m")]),
        ("00O", marker("section_start:1700000000:prepare_script", &title("Preparing environment"))),
        ("00O", vec!["Running on a host...".to_owned()]),
    ];
    let [end, begin] =
        [marker("section_end:1700000003:prepare_script", ""), marker("section_start:1700000003:step_script", "")];
    let both = [end[0].clone(), end[1].clone() + &begin[0], begin[1].clone() + &title("Executing")];
    lines.push(("00O", both.to_vec()));
    lines.push(("01O", vec!["\x1b[32;1m$ make test\x1b[0;m".to_owned()]));
    let states = (0..=20).map(|state| format!("{}%\r", state * 5));
    lines.push(("01O", states.chain([String::new()]).collect()));
    lines.push(("01E", vec!["warning: slow disk".to_owned()]));
    lines.push(("01E", vec!["src/a.c:3: error: expected ;".to_owned()]));
    let pieces = json.as_bytes().chunks(8 * 1024).map(|piece| String::from_utf8_lossy(piece).into_owned());
    lines.push(("01O", pieces.collect()));
    lines.push(("01O", vec!["done".to_owned()]));
    lines.push((
        "00O",
        marker("section_end:1700000012:step_script", "\x1b[31;1mERROR: Job failed: exit status 0xc0000005"),
    ));
    lines.push(("00O", vec!["\x1b[0;m".to_owned()]));
    if form == Form::Unstamped {
        return lines.iter().flat_map(|(_, parts)| (parts.concat() + "\n").into_bytes()).collect();
    }
    let entry = |source: &str, at: usize, text: &str| {
        format!("2026-11-20T10:00:00.{:06}Z {source}{}{text}\n", at, if at == 0 { ' ' } else { '+' })
    };
    let mut log = String::new();
    for (source, parts) in &lines {
        // What went to standard error was written while the progress bar went on.
        if parts.len() > 20 {
            continue;
        }
        if parts[0] == "warning: slow disk" {
            let bar = lines.iter().find(|(_, parts)| parts.len() > 20).map(|(_, parts)| parts).expect("a bar");
            bar[..10].iter().enumerate().for_each(|(at, state)| log += &entry("01O", at, state));
            log += &entry(source, 0, &parts[0]);
            bar[10..].iter().enumerate().for_each(|(at, state)| log += &entry("01O", at + 10, state));
            continue;
        }
        parts.iter().enumerate().for_each(|(at, part)| log += &entry(source, at, part));
    }
    log.into_bytes()
}

fn one_job(log: &[u8]) -> (Rig, ProjectId, JobId) {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let job = world.add_job(pipeline, JobSpec::new("unit").log(Log::bytes(log.to_vec())));
    world.start_job(job);
    world.finish_job(job, "failed");
    world.archive_trace(job);
    (Rig::with(world, Options::default()), project, job)
}

async fn text(serving: &Serving, path: &str) -> String {
    let answer = serving.get(path).await;
    let text = String::from_utf8(answer.body).expect("UTF-8");
    assert_eq!(answer.status, 200, "{path}: {text}");
    text
}

async fn objects(serving: &Serving, path: &str) -> Vec<Value> {
    text(serving, path).await.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_a_log_is_read_by_its_joined_lines() {
    for (version, form) in FORMS {
        let log = written(version, form);
        let (rig, project, job) = one_job(&log);
        assert!(rig.backfill(STORE).await.is_clean());
        let serving = rig.serve(STORE).await;
        let base = format!("/api/cistern/v1/projects/{project}/jobs/{job}/log");
        let bar: String = (0..=20).map(|state| format!("{}%\r", state * 5)).collect();
        let json = json_line();
        let shown = "ansi=strip&timestamps=strip";
        for (query, expected) in [
            (format!("tail=2&{shown}"), "done\nERROR: Job failed: exit status 0xc0000005\n\n".to_owned()),
            (format!("lines=6-8&{shown}"), "100%\nwarning: slow disk\nsrc/a.c:3: error: expected ;\n".to_owned()),
            ("lines=6-6&timestamps=strip".to_owned(), format!("{bar}\n")),
            (format!("lines=4-5&{shown}"), "Executing\n$ make test\n".to_owned()),
            (format!("head=2&{shown}"), format!("Running with gitlab-runner {version}\nPreparing environment\n")),
            (format!("section=prepare_script&{shown}"), "Preparing environment\nRunning on a host...\n".to_owned()),
            (
                "lines=5-6&ansi=html&timestamps=strip".to_owned(),
                "<span class=\"b fg2\">$ make test</span>\n100%\n".to_owned(),
            ),
            (format!("grep=^100%25$&{shown}"), "100%\n".to_owned()),
            ("grep=50%25&count=true".to_owned(), "0\n".to_owned()),
            ("grep=^Executing$&count=true".to_owned(), "1\n".to_owned()),
            ("grep=needle&count=true".to_owned(), "1\n".to_owned()),
            (format!("grep=needle&{shown}"), format!("{json}\n")),
            (
                format!("grep=error:%20expected&context=1&{shown}"),
                format!("warning: slow disk\nsrc/a.c:3: error: expected ;\n{json}\n"),
            ),
        ] {
            assert_eq!(text(&serving, &format!("{base}?{query}")).await, expected, "{version}: {query}");
        }
        let stripped = text(&serving, &format!("{base}?timestamps=strip")).await;
        assert!(stripped.as_bytes() == written(version, Form::Unstamped), "{version}");

        let sections = serving.json(&format!("{base}/sections")).await;
        assert_eq!(sections["lines"], json!(11), "{version}");
        let brief: Vec<Value> = sections["sections"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|section| json!([section["name"], section["first_line"], section["last_line"], section["seconds"]]))
            .collect();
        assert_eq!(brief, [json!(["prepare_script", 2, 3, 3]), json!(["step_script", 4, 10, 9])], "{version}");

        let errors = serving.json(&format!("{base}/errors")).await;
        assert_eq!(errors["command"], json!({ "line": 5, "text": "$ make test" }), "{version}");
        assert_eq!(errors["output"], json!([6, 10]));
        assert_eq!(errors["marks"], json!([{ "line": 8, "text": "src/a.c:3: error: expected ;" }]));
        let verdict = "ERROR: Job failed: exit status 0xc0000005";
        let expected = json!({ "line": 11, "text": verdict, "succeeded": false, "exit_code": 0xc000_0005_u32 });
        assert_eq!(errors["verdict"], expected);

        let all = objects(&serving, &format!("{base}?format=json&ansi=strip")).await;
        let brief: Vec<_> = all.iter().map(|line| (line["line"].as_u64(), line["section"].as_str())).collect();
        let section = |line| match line {
            2..=3 => Some("prepare_script"),
            4..=10 => Some("step_script"),
            _ => None,
        };
        assert_eq!(brief, (1..=11).map(|line| (Some(line), section(line))).collect::<Vec<_>>(), "{version}");
        assert_eq!(all[8]["text"], json, "{version}");
        let stream = (form != Form::Unstamped).then_some("stderr");
        assert_eq!((all[6]["stream"].as_str(), all[5]["text"].as_str()), (stream, Some("100%")));
        for line in &all {
            let offset = line["offset"].as_u64().expect("a place") as usize;
            assert!(offset == 0 || log[offset - 1] == b'\n', "{version}: {line}");
        }

        // Bytes are GitLab's.
        let trace = format!("/api/v4/projects/{project}/jobs/{job}/trace");
        assert!(serving.get(&trace).await.body == log, "{version}");
        assert!(serving.get(&base).await.body == log, "{version}");
        let part = crate::rig::ask(serving.address(), "GET", &trace, &[("Range", "bytes=100-399")]).await;
        assert_eq!((part.status, part.body.as_slice()), (206, &log[100..400]));
        assert_eq!(serving.get(&format!("{base}?bytes=100-399")).await.body, log[100..400]);
        let followed = text(&serving, &format!("{base}/follow")).await;
        let data = followed.lines().filter_map(|line| line.strip_prefix("data: "));
        let events: Vec<Value> = data.map(|data| serde_json::from_str(data).expect("JSON")).collect();
        let told: String = events.iter().filter_map(|event| event["text"].as_str()).collect();
        assert!(told.as_bytes() == log, "{version}");
        serving.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_those_of_gitlabs_page_and_numbered_as_there() {
    let marker = |word: &str, name: &str| format!("section_{word}:1700000000:{name}\r\x1b[0K");
    // GitLab's page shows no blank lines, and what a script wrote without a line break as a line of its own.
    let log = [
        "\x1b[0KRunning\n".to_owned(),
        marker("start", "step_script") + "\x1b[36;1mExecuting\x1b[0;m\n",
        "\x1b[32;1m$ make\x1b[0;m\n".to_owned(),
        "\n".to_owned(),
        "  \n".to_owned(),
        "\x1b[0m\r\n".to_owned(),
        "Compiling\r\x1b[K\n".to_owned(),
        "error: no line break after it".to_owned()
            + &marker("end", "step_script")
            + &marker("start", "cleanup")
            + "\x1b[36;1mCleaning\x1b[0;m\n",
        marker("end", "cleanup") + "\n",
        "\x1b[31;1mERROR: Job failed: exit code 1\n\x1b[0;m\n".to_owned(),
    ];
    let stamp = "2026-11-20T10:00:00.123456Z 00O ";
    let stamped: String = log.concat().split_inclusive('\n').map(|line| format!("{stamp}{line}")).collect();
    for log in [log.concat(), stamped] {
        let (rig, project, job) = one_job(log.as_bytes());
        assert!(rig.backfill(STORE).await.is_clean());
        let serving = rig.serve(STORE).await;
        let base = format!("/api/cistern/v1/projects/{project}/jobs/{job}/log");
        let page = ["Running", "Executing", "$ make", "  ", "error: no line break after it", "Cleaning"];
        let page = [&page[..], &["ERROR: Job failed: exit code 1"]].concat();
        let all = objects(&serving, &format!("{base}?format=json&ansi=strip")).await;
        let shown: Vec<_> = all.iter().map(|line| (line["line"].as_u64(), line["text"].as_str())).collect();
        assert_eq!(shown, (1..).zip(&page).map(|(number, text)| (Some(number), Some(*text))).collect::<Vec<_>>());
        let strip = "ansi=strip&timestamps=strip";
        for (number, line) in (1..).zip(&page) {
            let part = text(&serving, &format!("{base}?lines={number}-{number}&{strip}")).await;
            assert_eq!(part.trim_start_matches('\n').trim_end_matches('\n'), *line);
        }
        let whole = text(&serving, &format!("{base}?{strip}")).await;
        let blank =
            ["Running", "Executing", "$ make", "", "  ", "", "", "error: no line break after it", "Cleaning", ""];
        assert_eq!(whole.lines().collect::<Vec<_>>(), [&blank[..], &["ERROR: Job failed: exit code 1", ""]].concat());
        let found = objects(&serving, &format!("{base}?grep=no%20line%20break&format=json")).await;
        assert_eq!(found.iter().map(|line| line["line"].as_u64()).collect::<Vec<_>>(), [Some(5)]);
        assert_eq!(text(&serving, &format!("{base}?tail=1&{strip}")).await, "\nERROR: Job failed: exit code 1\n\n");
        let sections = serving.json(&format!("{base}/sections")).await;
        let [script, cleanup] = [0, 1].map(|at| &sections["sections"][at]);
        assert_eq!((&script["first_line"], &script["last_line"]), (&json!(2), &json!(5)));
        assert_eq!((&cleanup["first_line"], &cleanup["last_line"]), (&json!(6), &json!(6)));
        assert_eq!(serving.json(&format!("{base}/errors")).await["output"], json!([4, 5]));
        assert!(serving.get(&base).await.body == log.as_bytes(), "its bytes are GitLab's");
        serving.stop().await;
    }
}
