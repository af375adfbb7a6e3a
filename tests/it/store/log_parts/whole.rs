//! Logs as jobs write them, and their lines put together with all of them at hand.

use std::sync::LazyLock;

use cistern::log::{Part, Stamp};
use cistern::store::FRAME_BYTES;
use regex::bytes::Regex;

/// A whole log and its lines that show something.
pub(super) struct Whole {
    pub(super) text: Vec<u8>,
    pub(super) lines: Vec<Line>,
    /// Lines behind the last of them, which show nothing.
    rest: Vec<u8>,
}

/// Where a line begins, and what it is of: its entries without the stamps of all but the first.
pub(super) struct Line {
    pub(super) start: usize,
    pub(super) text: Vec<u8>,
    broken: bool,
    /// Lines before it that show nothing.
    before: Vec<u8>,
}

impl Line {
    /// Returns whether GitLab's page shows something of it: anything but control sequences behind the last `\r`.
    fn shows(&self) -> bool {
        let mut text = Stamp::strip(&self.text);
        while let (true, Some(rest)) = (self.broken, text.strip_suffix(b"\r")) {
            text = rest;
        }
        let state = text.rsplit(|byte| *byte == b'\r').next().unwrap_or_default();
        static SEQUENCE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\x1b\[[0-?]*[ -/]*[@-~]").expect("a pattern"));
        !SEQUENCE.replace_all(state, &b""[..]).is_empty()
    }

    fn write(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.before);
        into.extend_from_slice(&self.text);
        into.extend(self.broken.then_some(b'\n'));
    }
}

impl Whole {
    pub(super) fn new(text: Vec<u8>) -> Self {
        let mut begin = 0;
        let mut lines: Vec<Line> = Vec::new();
        let mut last = std::collections::HashMap::new();
        for entry in text.split_inclusive(|byte| *byte == b'\n') {
            let broken = entry.ends_with(b"\n");
            let content = entry.strip_suffix(b"\n").unwrap_or(entry);
            let stamp = Stamp::parse(entry);
            let source = stamp.map(|stamp| (stamp.number, stamp.stream as u8));
            let line = last.get(&source).copied().filter(|_| stamp.is_some_and(|stamp| stamp.continues));
            if let Some(line) = line.and_then(|at: usize| lines.get_mut(at)) {
                line.text.extend_from_slice(Stamp::strip(content));
                line.broken = broken;
            } else {
                last.insert(source, lines.len());
                lines.push(Line { start: begin, text: content.to_vec(), broken, before: Vec::new() });
            }
            begin += entry.len();
        }
        let (mut shown, mut before) = (Vec::new(), Vec::new());
        for line in lines {
            if line.shows() {
                shown.push(Line { before: std::mem::take(&mut before), ..line });
            } else {
                line.write(&mut before);
            }
        }
        Self { text, lines: shown, rest: before }
    }

    /// Returns lines, both included, from 1.
    fn lines(&self, first: u64, last: u64) -> Vec<u8> {
        let last = (last as usize).min(self.lines.len());
        let first = (first as usize).max(1);
        let lines = if first > last { &[][..] } else { &self.lines[first - 1..last] };
        let mut text = Vec::new();
        for line in lines {
            line.write(&mut text);
        }
        if first <= last && last == self.lines.len() {
            text.extend_from_slice(&self.rest);
        }
        text
    }

    pub(super) fn part(&self, part: &Part) -> Vec<u8> {
        let all = self.lines.len() as u64;
        match part {
            Part::Head(count) => self.lines(1, *count),
            Part::Tail(count) => self.lines((all + 1).saturating_sub(*count), all),
            Part::Lines(first, last) => self.lines(*first, *last),
            Part::Bytes(bytes) => {
                let end = (bytes.end as usize).min(self.text.len());
                self.text[(bytes.start as usize).min(end)..end].to_vec()
            }
            _ => self.text.clone(),
        }
    }

    /// Returns a line without its end.
    pub(super) fn line(&self, number: usize) -> &[u8] {
        &self.lines[number - 1].text
    }

    pub(super) fn any_part(&self, random: &mut fastrand::Rng) -> Part {
        let lines = self.lines.len() as u64 + 2;
        let size = self.text.len() as u64 + 2;
        let frame = FRAME_BYTES as u64;
        match random.u8(..7) {
            0 => Part::Head(random.u64(..lines)),
            1 => Part::Tail(random.u64(..lines)),
            2 => Part::Tail(random.u64(..lines.min(20))),
            3 => Part::Lines(random.u64(..lines), random.u64(..lines)),
            4 => {
                let first = random.u64(..lines);
                Part::Lines(first, first + random.u64(..20))
            }
            5 => Part::Bytes(random.u64(..size)..random.u64(..size)),
            // Where frames meet.
            _ => {
                let meet = random.u64(..size / frame + 1) * frame;
                Part::Bytes(meet.saturating_sub(random.u64(..3))..meet + random.u64(..3))
            }
        }
    }
}

/// A log of several streams whose entries go on, over several frames.
fn joined(random: &mut fastrand::Rng) -> Vec<u8> {
    let mut log = Vec::new();
    let mut begun = [false; 3];
    while log.len() < 3 * FRAME_BYTES {
        let source = random.usize(..3);
        let mark = if std::mem::take(&mut begun[source]) { '+' } else { ' ' };
        let name = ["00O", "01O", "01E"][source];
        log.extend(format!("2026-11-20T10:00:00.123456Z {name}{mark}").bytes());
        begun[source] = random.u8(..3) > 0;
        match random.u8(..10) {
            0 => log.extend(b"x".repeat(8 * 1024)),
            1..4 if begun[source] => log.extend(format!("{}%\r", random.u8(10..101)).bytes()),
            _ => log.extend(format!("line {} \x1b[31mred\x1b[0m é", random.u32(..)).bytes()),
        }
        log.push(b'\n');
    }
    log
}

const STAMP: &str = "2026-11-20T10:00:00.123456Z 00O ";

/// Logs as jobs write them, and as they should not.
pub(super) fn logs() -> Vec<(&'static str, Vec<u8>)> {
    let mut random = fastrand::Rng::with_seed(5);
    let progress = "\x1b[33m10%\x1b[0m\r\x1b[K50%\r100% größe\r\n\n\x1b[31;1mred\nstill red\x1b[0m\n".repeat(12_000);
    let stamped: String = (0..9_000).map(|n| format!("{STAMP}line {n} \x1b[32m✓\x1b[0m\nnot stamped {n}\n")).collect();
    let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(700_000).collect();
    let mut long = b"before\n".to_vec();
    long.extend("0123456789é\r".repeat(80_000).as_bytes());
    long.extend(b"\nafter, without an end");
    let breaks = b"\n".repeat(2 * FRAME_BYTES + 10);
    let joined = joined(&mut random);
    let fixture = include_bytes!("../../../../fixtures/rest/27-api-job-trace.raw.log");
    vec![
        ("an empty log", Vec::new()),
        ("one line without an end", b"no end".to_vec()),
        ("one line break", b"\n".to_vec()),
        ("exactly one frame", [vec![b'x'; FRAME_BYTES - 1], b"\n".to_vec()].concat()),
        ("one frame and a byte", vec![b'x'; FRAME_BYTES + 1]),
        ("progress and colours", progress.into_bytes()),
        ("time stamps", stamped.into_bytes()),
        ("joined entries", joined),
        ("no UTF-8", noise),
        ("a very long line", long),
        ("nothing but line breaks", breaks),
        ("a runner's log", fixture.to_vec()),
    ]
}
