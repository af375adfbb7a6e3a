//! Cuts some suites out of a test report while it streams by, however large it is.
//!
//! Guarantees: a suite comes out byte for byte as GitLab wrote it; no more than the start of one suite is held, until its
//! name is known. GitLab writes the name first (contract, section 5.8).

use std::collections::HashSet;

/// How much of a suite may come before its name.
const BEFORE_NAME: usize = 64 * 1024;

/// The report is not what GitLab writes.
#[derive(Debug, thiserror::Error)]
#[error("the stored report has a suite without a name at its start")]
pub(super) struct Nameless;

/// Where in the report the next byte is.
pub(super) struct Cut {
    wanted: HashSet<String>,
    /// Brackets and braces that are open.
    depth: u32,
    text: Text,
    /// The last text that ended at the depth where it matters.
    last: Vec<u8>,
    /// That text is a key whose value is to come.
    is_key: bool,
    place: Place,
    /// A suite was let through.
    any: bool,
}

/// Whether the next byte is part of a text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Text {
    Outside,
    Inside,
    Escaped,
}

/// Which part of the report the next byte is in.
enum Place {
    /// Beside the suites.
    Beside,
    /// Between two suites.
    Between,
    /// At the start of a suite whose name is not known yet.
    Start(Vec<u8>),
    /// In a suite that is wanted.
    Wanted,
    /// In a suite that is not.
    Unwanted,
}

impl Cut {
    /// Cuts out the suites of these names.
    pub(super) fn new(wanted: impl IntoIterator<Item = String>) -> Self {
        Self {
            wanted: wanted.into_iter().collect(),
            depth: 0,
            text: Text::Outside,
            last: Vec::new(),
            is_key: false,
            place: Place::Beside,
            any: false,
        }
    }

    /// Takes the next bytes of the report and adds what is wanted of them to `out`, suites with commas between them.
    pub(super) fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Nameless> {
        for byte in bytes {
            self.take(*byte, out);
            match &mut self.place {
                Place::Start(start) if start.len() > BEFORE_NAME => return Err(Nameless),
                _ => {}
            }
        }
        Ok(())
    }

    fn take(&mut self, byte: u8, out: &mut Vec<u8>) {
        if matches!(self.place, Place::Between) && byte == b'{' {
            self.place = Place::Start(Vec::new());
            self.is_key = false;
        }
        match &mut self.place {
            Place::Start(start) => start.push(byte),
            Place::Wanted => out.push(byte),
            _ => {}
        }
        match (self.text, byte) {
            (Text::Inside, b'\\') => {
                self.keep(byte);
                self.text = Text::Escaped;
            }
            (Text::Inside, b'"') => {
                self.text = Text::Outside;
                self.ended(out);
            }
            (Text::Inside, _) => self.keep(byte),
            (Text::Escaped, _) => {
                self.keep(byte);
                self.text = Text::Inside;
            }
            (Text::Outside, b'"') => {
                self.text = Text::Inside;
                if !self.is_key {
                    self.last.clear();
                } else if self.matters() {
                    self.last.push(b'=');
                }
            }
            (Text::Outside, b':') => self.is_key = self.matters(),
            (Text::Outside, b',') if self.matters() => self.is_key = false,
            (Text::Outside, b'{' | b'[') => self.open(byte),
            (Text::Outside, b'}' | b']') => self.close(),
            (Text::Outside, _) => {}
        }
    }

    /// Returns whether keys of this depth are looked at: those of the report and those of a suite.
    fn matters(&self) -> bool {
        match self.place {
            Place::Beside => self.depth == 1,
            Place::Start(_) => self.depth == 3,
            _ => false,
        }
    }

    fn keep(&mut self, byte: u8) {
        if self.matters() && self.last.len() <= BEFORE_NAME {
            self.last.push(byte);
        }
    }

    /// A text has ended: if it is the suite's name, it decides.
    fn ended(&mut self, out: &mut Vec<u8>) {
        if !self.matters() || !self.is_key {
            return;
        }
        let name = self.last.strip_prefix(b"name=");
        let Some(name) = name.and_then(|name| std::str::from_utf8(name).ok()) else { return };
        let name: Option<String> = serde_json::from_str(&format!("\"{name}\"")).ok();
        let wanted = name.is_some_and(|name| self.wanted.contains(&name));
        if let Place::Start(start) = std::mem::replace(&mut self.place, Place::Unwanted)
            && wanted
        {
            if self.any {
                out.push(b',');
            }
            out.extend_from_slice(&start);
            self.any = true;
            self.place = Place::Wanted;
        }
    }

    fn open(&mut self, byte: u8) {
        let suites =
            matches!(self.place, Place::Beside) && self.depth == 1 && self.is_key && self.last == b"test_suites";
        if suites && byte == b'[' {
            self.place = Place::Between;
        }
        self.depth += 1;
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        match (&self.place, self.depth) {
            (Place::Start(_) | Place::Wanted | Place::Unwanted, 2) => self.place = Place::Between,
            (Place::Between, 1) => {
                self.place = Place::Beside;
                self.is_key = false;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn cut(report: &str, wanted: &[&str], piece: usize) -> Vec<Value> {
        let mut cut = Cut::new(wanted.iter().map(|name| (*name).to_owned()));
        let mut out = b"[".to_vec();
        for piece in report.as_bytes().chunks(piece) {
            cut.feed(piece, &mut out).expect("suites with names");
        }
        out.push(b']');
        serde_json::from_slice(&out).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&out)))
    }

    #[test]
    fn suites_are_cut_out_whole_wherever_the_pieces_end() {
        let suite = |name: &str, output: Value| {
            json!({ "name": name, "total_count": 1, "suite_error": null,
                    "test_cases": [{ "name": "unit", "system_output": output, "nested": { "name": "unit" } }] })
        };
        let suites = [
            suite("unit", json!("brackets ]}[{ and \"quotes\" \\")),
            suite("größe \"x\"", json!({ "name": "unit" })),
            suite("", json!(["a", { "test_suites": [{ "name": "unit" }] }])),
            suite("unit 2", Value::Null),
        ];
        let before = json!({ "note": "test_suites", "list": [{ "name": "unit" }], "total_count": 4 });
        let mut report = before;
        report["test_suites"] = json!(suites);
        report["after"] = json!([{ "name": "unit" }]);
        for text in [report.to_string(), serde_json::to_string_pretty(&report).expect("JSON")] {
            for piece in [1, 3, 1000] {
                assert_eq!(cut(&text, &["unit"], piece), [suites[0].clone()]);
                assert_eq!(cut(&text, &["unit 2", "größe \"x\"", ""], piece), suites[1..]);
                assert_eq!(cut(&text, &["none"], piece), [] as [Value; 0]);
            }
        }
        assert_eq!(cut(r#"{"test_suites":[]}"#, &["unit"], 1), [] as [Value; 0]);
        assert_eq!(cut(r#"{"test_suites":[{"name":null,"x":"name"},{"a":1,"name":"unit"}]}"#, &["unit"], 1).len(), 1);
        assert_eq!(cut(r#"{"test_suites":[{"name":null,"x":"unit"}]}"#, &["unit"], 1), [] as [Value; 0]);
    }

    #[test]
    fn a_suite_that_hides_its_name_is_refused_before_it_fills_memory() {
        let mut cut = Cut::new(["unit".to_owned()]);
        let report = format!(r#"{{"test_suites":[{{"cases":[{}]}}]}}"#, "1,".repeat(BEFORE_NAME));
        let mut out = Vec::new();
        assert!(cut.feed(report.as_bytes(), &mut out).is_err());
    }
}
