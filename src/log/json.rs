//! Lines as JSON, one object a line (NDJSON).

use serde::Serialize;

use super::Ansi;
use super::grep::Found;
use super::render::Renderer;
use super::sections::{Section, Sections};
use super::splitter::LinePiece;
use super::timestamps::{Stamp, Stream, Timestamps};

/// Writes each line as an object.
///
/// `line` (from 1), `offset` (in bytes), `text` (without the time stamp and the line's end), and where they apply: `section` (the
/// innermost), `time` and `stream` (`stdout`, `stderr`) of the stamp, `lossy` (its bytes are no UTF-8: what is not became U+FFFD),
/// `continued` (another object began this line: one of a long line has some 128 KiB), and of a search `match` and `cut` (the
/// line is longer than shown).
#[derive(Debug)]
pub struct JsonLines {
    sections: Walk,
    renderer: Renderer,
    text: Vec<u8>,
    offset: Option<u64>,
    lossy: bool,
    stamp: Option<(Box<str>, Stream)>,
}

/// The sections of lines that come in order.
#[derive(Debug)]
struct Walk {
    sections: Sections,
    next: usize,
    /// Places of the sections that the current line is in, outermost first.
    within: Vec<usize>,
}

#[derive(Serialize)]
struct Line<'a> {
    line: u64,
    offset: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    section: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<&'a str>,
    text: &'a str,
    #[serde(skip_serializing_if = "is_false")]
    lossy: bool,
    #[serde(skip_serializing_if = "is_false")]
    continued: bool,
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    matched: Option<bool>,
    #[serde(skip_serializing_if = "is_false")]
    cut: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

impl JsonLines {
    /// Begins at a line's beginning.
    pub fn new(sections: Sections, ansi: Ansi) -> Self {
        Self {
            sections: Walk { sections, next: 0, within: Vec::new() },
            renderer: Renderer::new(ansi, Timestamps::Strip),
            text: Vec::new(),
            offset: None,
            lossy: false,
            stamp: None,
        }
    }

    /// Takes the next piece of a line; one that shows nothing is no object.
    pub fn push(&mut self, piece: &LinePiece<'_>, out: &mut Vec<u8>) {
        if piece.shown {
            self.take(piece, piece.last, None, false, out);
        }
    }

    /// Takes a line that a search found.
    pub fn found(&mut self, found: &Found<'_>, out: &mut Vec<u8>) {
        let Found { number, offset, text, stamped, .. } = *found;
        let (first, last, broken) = (true, true, true);
        let piece = LinePiece { number, offset, text, stamped, first, last, broken, ..LinePiece::default() };
        self.take(&piece, true, Some(found.matched), found.cut, out);
    }

    fn take(&mut self, piece: &LinePiece<'_>, ends: bool, matched: Option<bool>, cut: bool, out: &mut Vec<u8>) {
        if piece.stamped {
            let stamp = Stamp::parse(piece.text);
            self.stamp = stamp.map(|stamp| (stamp.time.into(), stamp.stream));
        }
        let continued = !piece.first;
        let offset = *self.offset.get_or_insert(piece.offset);
        self.lossy |= std::str::from_utf8(piece.text).is_err();
        self.renderer.push(&LinePiece { last: ends, broken: true, ..*piece }, &mut self.text);
        if ends {
            self.text.pop();
        } else if self.text.is_empty() {
            return;
        }
        let section = self.sections.innermost(piece.number);
        let line = Line {
            line: piece.number,
            offset,
            section: section.map(|section| &*section.name),
            time: self.stamp.as_ref().map(|(time, _)| &**time),
            stream: self.stamp.as_ref().map(|(_, stream)| match stream {
                Stream::Out => "stdout",
                Stream::Err => "stderr",
            }),
            text: &String::from_utf8_lossy(&self.text),
            lossy: self.lossy,
            continued,
            matched,
            cut,
        };
        // Strings and numbers always can be written to memory.
        if serde_json::to_writer(&mut *out, &line).is_ok() {
            out.push(b'\n');
        }
        self.text.clear();
        (self.offset, self.lossy) = (None, false);
        if ends && piece.broken {
            self.stamp = None;
        }
    }
}

impl Walk {
    fn innermost(&mut self, line: u64) -> Option<&Section> {
        let all = &self.sections.all;
        while all.get(self.next).is_some_and(|section| section.first_line <= line) {
            self.within.push(self.next);
            self.next += 1;
        }
        self.within.retain(|place| all[*place].last_line >= line);
        self.within.last().map(|place| &all[*place])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Indexer, LINE_PIECE_BYTES, LineSplitter};

    fn lines(log: &[u8], ansi: Ansi) -> Vec<serde_json::Value> {
        let mut indexer = Indexer::default();
        indexer.push(log);
        let mut json = JsonLines::new(indexer.finish().sections, ansi);
        let (mut out, mut splitter) = (Vec::new(), LineSplitter::new());
        splitter.push(log, &mut |piece| json.push(&piece, &mut out));
        splitter.finish(&mut |piece| json.push(&piece, &mut out));
        let text = String::from_utf8(out).expect("UTF-8");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    #[test]
    fn a_line_has_its_number_place_section_time_and_text() {
        let log = b"first\n2026-11-20T10:00:00.123456Z 00E \x1b[0Ksection_start:1:a\r\x1b[0K\x1b[31mred\x1b[0m\nsection_end:2:a\r\x1b[0Kb\xffd\n";
        let expected = serde_json::json!([
            { "line": 1, "offset": 0, "text": "first" },
            { "line": 2, "offset": 6, "section": "a", "time": "2026-11-20T10:00:00.123456Z", "stream": "stderr", "text": "red" },
            { "line": 3, "offset": 77, "text": "b\u{fffd}d", "lossy": true },
        ]);
        assert_eq!(serde_json::Value::from(lines(log, Ansi::Strip)), expected);
        assert_eq!(lines(log, Ansi::Html)[1]["text"], "<span class=\"fg1\">red</span>");
        assert_eq!(lines(log, Ansi::Keep)[1]["text"], "\x1b[0Ksection_start:1:a\r\x1b[0K\x1b[31mred\x1b[0m");
    }

    #[test]
    fn a_long_line_is_several_objects_and_loses_nothing() {
        let long = "0123456789".repeat(LINE_PIECE_BYTES / 4);
        let log = format!("a\n{long}\nb");
        for ansi in [Ansi::Keep, Ansi::Strip] {
            let lines = lines(log.as_bytes(), ansi);
            let (first, last) = (lines.first().expect("a line"), lines.last().expect("a line"));
            assert_eq!((first["line"].as_u64(), last["line"].as_u64()), (Some(1), Some(3)));
            let pieces = &lines[1..lines.len() - 1];
            assert!(pieces.len() > 1 && pieces.iter().all(|piece| piece["line"] == 2));
            assert_eq!(pieces.iter().filter(|piece| piece.get("continued").is_none()).count(), 1);
            let joined: String = pieces.iter().filter_map(|piece| piece["text"].as_str()).collect();
            assert_eq!(joined, long);
        }
    }
}
