//! Parts of logs: each equals the same part of the whole, is found with and without an index, and costs only the chunks it is in.

mod whole;

use cistern::log::{
    Ansi, Format, Grep, GrepOptions, Indexer, LINE_PIECE_BYTES, LineSplitter, Part, Renderer, Request, Stamp,
    Timestamps,
};
use cistern::parts::{Error, LogReader};
use cistern::store::FRAME_BYTES;
use futures_util::TryStreamExt;

use super::*;
use whole::{Whole, logs};

/// Stores a log as ingest does.
async fn store_log(rig: &Rig, text: &[u8]) -> LogRecord {
    let mut indexer = Indexer::default();
    let mut frames = Vec::new();
    for raw in text.chunks(FRAME_BYTES) {
        indexer.push(raw);
        frames.push(zstd::bulk::compress(raw, 1).expect("compressed"));
    }
    let record = LogRecord {
        piece: Piece::Live,
        size: text.len() as u64,
        frames: frames.iter().map(|frame| frame.len() as u32).collect(),
        index: indexer.finish().encode(),
        ..LogRecord::missing()
    };
    rig.store.apply(vec![Change::Log { key: JOB, record, bytes: Some(frames.concat().into()) }]).await.expect("stored");
    rig.log().await
}

async fn read(rig: &Rig, record: &LogRecord, request: Request) -> Result<Vec<u8>, Error> {
    let reading = LogReader::new(&rig.store, record).read(request).await?;
    let size = reading.size();
    let pieces: Vec<Bytes> = reading.into_stream().try_collect().await?;
    let all = pieces.concat();
    assert!(size.is_none_or(|size| size == all.len() as u64), "{size:?} announced, {} given", all.len());
    Ok(all)
}

fn part(part: Part) -> Request {
    Request { part, ..Request::default() }
}

async fn any_part_of_a_log_equals_the_same_part_of_the_whole(engine: Engine) {
    for (name, text) in logs() {
        let rig = Rig::with_job(engine).await;
        let record = store_log(&rig, &text).await;
        let old = LogRecord { index: Box::default(), ..record.clone() };
        let whole = Whole::new(text);
        assert_eq!(LogReader::new(&rig.store, &record).lines().await.expect("counted"), whole.lines.len() as u64);
        assert!(read(&rig, &record, part(Part::Whole)).await.expect("read") == whole.text, "{name}");
        let mut random = fastrand::Rng::with_seed(7);
        for turn in 0..40 {
            let wanted = whole.any_part(&mut random);
            let record = if turn % 8 == 0 { &old } else { &record };
            let expected = whole.part(&wanted);
            assert!(read(&rig, record, part(wanted.clone())).await.expect("read") == expected, "{name}: {wanted:?}");
            if turn % 8 != 3 || expected.len() > 300_000 || matches!(wanted, Part::Bytes(_)) {
                continue;
            }
            // As text and HTML it is that of the part alone.
            for (ansi, timestamps) in [(Ansi::Strip, Timestamps::Strip), (Ansi::Html, Timestamps::Keep)] {
                let mut shown = Vec::new();
                let (mut renderer, mut splitter) = (Renderer::new(ansi, timestamps), LineSplitter::new());
                splitter.push(&expected, &mut |piece| renderer.push(&piece, &mut shown));
                splitter.finish(&mut |piece| renderer.push(&piece, &mut shown));
                let request = Request { ansi, timestamps, ..part(wanted.clone()) };
                assert!(read(&rig, record, request).await.expect("read") == shown, "{name}: {wanted:?}, {ansi:?}");
            }
        }
        rig.store.close().await.expect("closed");
    }
}

async fn lines_as_json_have_their_places_and_texts(engine: Engine) {
    for (name, text) in logs().into_iter().filter(|(name, _)| *name != "nothing but line breaks") {
        let rig = Rig::with_job(engine).await;
        let record = store_log(&rig, &text).await;
        let whole = Whole::new(text);
        let last = whole.lines.len() as u64;
        for wanted in [Part::Head(30), Part::Tail(30), Part::Lines(last / 2, last / 2 + 5)] {
            let lines = wanted.clone();
            let answer = read(&rig, &record, Request { format: Format::Json, ..part(wanted) }).await.expect("read");
            let answer = String::from_utf8(answer).expect("UTF-8");
            let mut texts: Vec<(usize, Vec<u8>)> = Vec::new();
            for object in answer.lines() {
                let object: serde_json::Value = serde_json::from_str(object).expect("JSON");
                let number = object["line"].as_u64().expect("a number") as usize;
                let text = object["text"].as_str().expect("a text").as_bytes();
                let offset = object["offset"].as_u64().expect("a place") as usize;
                if object.get("continued").is_none() {
                    assert_eq!(offset, whole.lines[number - 1].start, "{name}");
                    let stamp = Stamp::parse(whole.line(number)).map(|stamp| stamp.time);
                    assert_eq!(object.get("time").and_then(|time| time.as_str()), stamp, "{name}");
                    texts.push((number, text.to_vec()));
                } else {
                    texts.last_mut().expect("begun").1.extend_from_slice(text);
                }
            }
            let expected = whole.part(&lines);
            assert_eq!(texts.len(), Whole::new(expected).lines.len(), "{name}");
            for (number, text) in texts {
                let line = Stamp::strip(whole.line(number));
                assert!(text == String::from_utf8_lossy(line).as_bytes(), "{name}, line {number}");
            }
        }
    }
}

/// Returns what is left of a line when what comes after a `\r` takes the place of what was there.
fn last_state(line: &[u8]) -> Vec<u8> {
    let (mut shown, mut returned) = (Vec::new(), false);
    for byte in line {
        match byte {
            b'\r' => returned = true,
            ..0x20 | 0x7f => shown.push(*byte),
            _ => {
                if std::mem::take(&mut returned) {
                    shown.clear();
                }
                shown.push(*byte);
            }
        }
    }
    shown
}

async fn a_search_finds_what_a_search_of_the_whole_finds(engine: Engine) {
    for (name, text) in logs().into_iter().filter(|(name, _)| !name.contains("line break")) {
        let rig = Rig::with_job(engine).await;
        let record = store_log(&rig, &text).await;
        let whole = Whole::new(text);
        for pattern in ["line 8[0-9]{3}", "(?i)RED$", r"\d{3}%", "é", "x{5}|after|job", "^$"] {
            let grep = |count| {
                let options = GrepOptions { pattern: pattern.to_owned(), count, ..GrepOptions::default() };
                Some(Grep::new(options).expect("a pattern"))
            };
            let regex = regex::bytes::Regex::new(pattern).expect("a pattern");
            let mut expected = Vec::new();
            let mut matches = 0;
            for number in 1..=whole.lines.len() {
                let mut clean = Vec::new();
                // Without what a terminal obeys, which the renderer's own tests are about.
                let mut rest = Stamp::strip(whole.line(number));
                rest = rest.strip_suffix(b"\r").unwrap_or(rest);
                while let Some(at) = rest.windows(2).position(|two| two == b"\x1b[") {
                    clean.extend_from_slice(&rest[..at]);
                    let end = rest[at..].iter().skip(2).position(|byte| (0x40..0x7f).contains(byte)).expect("an end");
                    rest = &rest[at + 2 + end + 1..];
                }
                clean.extend_from_slice(rest);
                let clean = last_state(&clean);
                if regex.is_match(&clean) {
                    matches += 1;
                    let line = whole.line(number);
                    expected.extend_from_slice(&line[..line.len().min(LINE_PIECE_BYTES)]);
                    expected.push(b'\n');
                }
            }
            if name == "no UTF-8" && expected.len() > 100_000 {
                continue;
            }
            let found = read(&rig, &record, Request { grep: grep(false), ..Request::default() }).await.expect("read");
            let cut = whole.lines.iter().any(|line| line.text.len() > LINE_PIECE_BYTES);
            assert!(cut || found == expected, "{name}: {pattern}");
            let count = read(&rig, &record, Request { grep: grep(true), ..Request::default() }).await.expect("read");
            assert_eq!(String::from_utf8(count).expect("a number"), format!("{matches}\n"), "{name}: {pattern}");
        }
    }
}

async fn sections_and_errors_are_parts(engine: Engine) {
    let rig = Rig::with_job(engine).await;
    let filler = "a line of the build, as there are many\n".repeat(20_000);
    let log = format!(
        "Running\n\x1b[0Ksection_start:10:get_sources\r\x1b[0KGetting\n{filler}\x1b[0Ksection_end:15:get_sources\r\x1b[0K\
         \x1b[0Ksection_start:15:step_script[collapsed=true]\r\x1b[0KExecuting\n\x1b[32;1m$ make\x1b[0;m\n{filler}\
         error: it broke\n\x1b[0Ksection_end:99:step_script\r\x1b[0K\x1b[31;1mERROR: Job failed: exit code 2\n\x1b[0;m"
    );
    let record = store_log(&rig, log.as_bytes()).await;
    let old = LogRecord { index: Box::default(), ..record.clone() };
    for record in [record, old] {
        let sections = LogReader::new(&rig.store, &record).sections().await.expect("read").all;
        let brief: Vec<_> = sections.iter().map(|s| (&*s.name, s.first_line, s.last_line, s.seconds())).collect();
        let expected = [("get_sources", 2, 20_002, Some(5)), ("step_script", 20_003, 40_005, Some(84))];
        assert_eq!(brief, expected);
        let section = read(&rig, &record, part(Part::Section("step_script".into()))).await.expect("read");
        assert!(section.starts_with(b"\x1b[0Ksection_end:15:get_sources") && section.ends_with(b"error: it broke\n"));
        assert_eq!(section.iter().filter(|byte| **byte == b'\n').count(), 20_003);
        let missing = read(&rig, &record, part(Part::Section("deploy".into()))).await.expect_err("none");
        assert!(matches!(missing, Error::NoSection));

        let failure = LogReader::new(&rig.store, &record).failure().await.expect("read");
        assert_eq!(failure.verdict.and_then(|verdict| verdict.exit_code), Some(2));
        let errors = read(&rig, &record, Request { ansi: Ansi::Strip, ..part(Part::Errors) }).await.expect("read");
        let errors = String::from_utf8(errors).expect("UTF-8");
        let lines: Vec<&str> = errors.lines().collect();
        assert_eq!((lines[0], lines.len()), ("$ make", 502));
        assert_eq!(lines[lines.len() - 2..], ["error: it broke", "ERROR: Job failed: exit code 2"]);
    }
}

async fn a_part_costs_only_the_chunks_that_it_is_in(engine: Engine) {
    let rig = Rig::with_job(engine).await;
    let mut random = fastrand::Rng::with_seed(3);
    // Nothing to compress: 10 MiB in more than 30 chunks.
    let log: Vec<u8> = std::iter::repeat_with(|| random.alphanumeric() as u8)
        .take(10 << 20)
        .enumerate()
        .map(|(at, byte)| if at % 100 == 99 { b'\n' } else { byte })
        .collect();
    let record = store_log(&rig, &log).await;
    let chunks = async || {
        let mut registry = prometheus_client::registry::Registry::default();
        rig.store.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("encoded");
        let count = text.lines().find_map(|line| line.strip_prefix("store_seconds_count{operation=\"chunk\"} "));
        count.map_or(0, |count| count.parse::<u64>().expect("a number"))
    };
    let grep = GrepOptions { pattern: "a".to_owned(), limit: Some(3), ..GrepOptions::default() };
    for (request, most) in [
        (part(Part::Tail(100)), 4),
        (part(Part::Head(100)), 4),
        (part(Part::Lines(50_000, 50_100)), 6),
        (part(Part::Bytes(5_000_000..5_000_100)), 2),
        (Request { grep: Some(Grep::new(grep).expect("a pattern")), ..Request::default() }, 2),
    ] {
        let before = chunks().await;
        read(&rig, &record, request.clone()).await.expect("read");
        let cost = chunks().await - before;
        assert!((1..=most).contains(&cost), "{:?} cost {cost} chunks", request.part);
    }
    // A reader that goes costs what it took.
    let before = chunks().await;
    let mut stream =
        Box::pin(LogReader::new(&rig.store, &record).read(Request::default()).await.expect("read").into_stream());
    stream.try_next().await.expect("read").expect("a piece");
    drop(stream);
    assert!(chunks().await - before <= 2);
}

async fn what_is_damaged_or_gone_is_said(engine: Engine) {
    let rig = Rig::with_job(engine).await;
    let log: String = (0..200_000_u64).map(|n| format!("{}\n", n * n * n)).collect();
    let record = store_log(&rig, log.as_bytes()).await;
    let problem = async |record: LogRecord| {
        read(&rig, &record, part(Part::Whole)).await.map(|all| all.len()).expect_err("damaged").to_string()
    };
    let gone = LogRecord { blob: Some(BlobId(12_345)), ..record.clone() };
    assert_eq!(problem(gone).await, "it is not held any more");
    let mut other = record.clone();
    other.frames.swap(0, 3);
    assert!(problem(other).await.contains("damaged"));
    let mut fewer = record.clone();
    fewer.frames.pop();
    assert!(problem(fewer).await.contains("fewer frames"));
    let longer = LogRecord { size: record.size + 1, ..record.clone() };
    assert!(problem(longer).await.contains("another length"));
    // An index that is not of this log does no harm: it is made again, or its place is not there.
    let damaged = LogRecord { index: record.index[..record.index.len() - 1].into(), ..record.clone() };
    assert_eq!(LogReader::new(&rig.store, &damaged).lines().await.expect("counted"), 200_000);
    let absent = LogRecord::missing();
    assert_eq!(read(&rig, &absent, part(Part::Tail(10))).await.expect("nothing"), b"");
}

on_both! {
    any_part_of_a_log_equals_the_same_part_of_the_whole;
    lines_as_json_have_their_places_and_texts;
    a_search_finds_what_a_search_of_the_whole_finds;
    sections_and_errors_are_parts;
    a_part_costs_only_the_chunks_that_it_is_in;
    what_is_damaged_or_gone_is_said;
}
