//! What a reader asks of a log, read from names and values: a query's or a command line's.

use super::Ansi;
use super::grep::{Grep, GrepOptions, MAX_CONTEXT};
use super::part::Part;
use super::timestamps::Timestamps;

/// What a reader asks of a log.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Which part.
    pub part: Part,
    /// Only lines of it that match.
    pub grep: Option<Grep>,
    /// What becomes of control sequences.
    pub ansi: Ansi,
    /// What becomes of time stamps.
    pub timestamps: Timestamps,
    /// In what form.
    pub format: Format,
}

/// In what form a log is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// As text, or as HTML with [`Ansi::Html`].
    #[default]
    Text,
    /// As one JSON object a line.
    Json,
}

/// A parameter that means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct BadRequest {
    /// Which one.
    pub key: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

impl Request {
    /// Reads the parameters: at most one of `head=N`, `tail=N`, `lines=A-B`, `bytes=A-B` (both ends included, `A-` to the end),
    /// `section=NAME`, `errors=true`; `grep=PATTERN` with `ignore_case`, `invert`, `count` (`true` or `false`), `context`, `before`,
    /// `after`, `limit`; `ansi=keep|strip|html`, `timestamps=keep|strip`, `format=text|json`.
    pub fn parse<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, BadRequest> {
        let mut request = Self::default();
        let mut part: Option<Part> = None;
        let mut grep = GrepOptions::default();
        let (mut searches, mut about_search) = (false, None);
        for (key, value) in parameters {
            let bad = |problem: &str| BadRequest { key: key.to_owned(), problem: problem.to_owned() };
            let number = || value.parse::<u64>().map_err(|_| bad("not a whole number, as in 100"));
            let flag = || match value {
                "true" | "1" | "" => Ok(true),
                "false" | "0" => Ok(false),
                _ => Err(bad("neither true nor false")),
            };
            let context = || match number()? {
                lines if lines <= MAX_CONTEXT as u64 => Ok(lines as usize),
                _ => Err(bad(&format!("more than {MAX_CONTEXT} lines"))),
            };
            let asked = match key {
                "head" => Some(Part::Head(number()?)),
                "tail" => Some(Part::Tail(number()?)),
                "lines" => match range(value) {
                    Some((first, last)) if first > 0 => Some(Part::Lines(first, last)),
                    _ => return Err(bad("not a range of lines, as in 1-100 or 50-")),
                },
                "bytes" => {
                    let (first, last) =
                        range(value).ok_or_else(|| bad("not a range of bytes, as in 0-1023 or 1024-"))?;
                    Some(Part::Bytes(first..last.saturating_add(1)))
                }
                "section" => Some(Part::Section(value.into())),
                "errors" => flag()?.then_some(Part::Errors),
                _ => None,
            };
            if asked.is_some() && part.is_some() {
                return Err(bad("only one of head, tail, lines, bytes, section and errors can be asked"));
            }
            part = part.or(asked);
            if matches!(key, "ignore_case" | "invert" | "context" | "before" | "after" | "limit" | "count") {
                about_search = Some(key);
            }
            match key {
                "head" | "tail" | "lines" | "bytes" | "section" | "errors" => {}
                "grep" => (grep.pattern, searches) = (value.to_owned(), true),
                "ignore_case" => grep.ignore_case = flag()?,
                "invert" => grep.invert = flag()?,
                "count" => grep.count = flag()?,
                "context" => (grep.before, grep.after) = (context()?, context()?),
                "before" => grep.before = context()?,
                "after" => grep.after = context()?,
                "limit" => grep.limit = Some(number()?),
                "ansi" => {
                    request.ansi = match value {
                        "keep" => Ansi::Keep,
                        "strip" => Ansi::Strip,
                        "html" => Ansi::Html,
                        _ => return Err(bad("not keep, strip or html")),
                    }
                }
                "timestamps" => {
                    request.timestamps = match value {
                        "keep" => Timestamps::Keep,
                        "strip" => Timestamps::Strip,
                        _ => return Err(bad("not keep or strip")),
                    }
                }
                "format" => {
                    request.format = match value {
                        "text" => Format::Text,
                        "json" => Format::Json,
                        _ => return Err(bad("not text or json")),
                    }
                }
                _ => return Err(bad("no such parameter")),
            }
        }
        request.part = part.unwrap_or_default();
        if searches {
            let bad = |error: super::BadPattern| BadRequest { key: "grep".to_owned(), problem: error.to_string() };
            request.grep = Some(Grep::new(grep).map_err(bad)?);
        } else if let Some(key) = about_search {
            let problem = "means nothing without grep".to_owned();
            return Err(BadRequest { key: key.to_owned(), problem });
        }
        Ok(request)
    }
}

/// Reads `a-b` or `a-`, both ends included.
fn range(text: &str) -> Option<(u64, u64)> {
    let (first, last) = text.split_once('-')?;
    let last = if last.is_empty() { u64::MAX } else { last.parse().ok()? };
    let first = first.parse().ok()?;
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read() {
        let request = Request::parse([("lines", "3-7"), ("ansi", "html"), ("timestamps", "strip"), ("format", "json")]);
        let request = request.expect("good");
        assert_eq!((request.part, request.ansi, request.format), (Part::Lines(3, 7), Ansi::Html, Format::Json));
        assert_eq!(request.timestamps, Timestamps::Strip);
        for (key, value, part) in [
            ("tail", "10", Part::Tail(10)),
            ("bytes", "0-9", Part::Bytes(0..10)),
            ("bytes", "5-", Part::Bytes(5..u64::MAX)),
            ("lines", "5-", Part::Lines(5, u64::MAX)),
            ("section", "step_script", Part::Section("step_script".into())),
            ("errors", "true", Part::Errors),
            ("errors", "false", Part::Whole),
        ] {
            assert_eq!(Request::parse([(key, value)]).expect("good").part, part, "{key}={value}");
        }
        let request =
            Request::parse([("grep", "a|b"), ("context", "2"), ("after", "5"), ("limit", "9"), ("count", "")]);
        let grep = request.expect("good").grep.expect("a search");
        let options = grep.options();
        assert_eq!((options.before, options.after, options.limit, options.count), (2, 5, Some(9), true));
    }

    #[test]
    fn a_mistake_names_its_parameter() {
        for (parameters, problem) in [
            (&[("tail", "-1")][..], "tail: not a whole number, as in 100"),
            (&[("lines", "0-3")], "lines: not a range of lines, as in 1-100 or 50-"),
            (&[("lines", "7-3")], "lines: not a range of lines, as in 1-100 or 50-"),
            (&[("bytes", "x")], "bytes: not a range of bytes, as in 0-1023 or 1024-"),
            (
                &[("tail", "1"), ("head", "1")],
                "head: only one of head, tail, lines, bytes, section and errors can be asked",
            ),
            (&[("grep", "(")], "grep: the pattern is no regular expression: unclosed group"),
            (&[("context", "2")], "context: means nothing without grep"),
            (&[("grep", "a"), ("context", "51")], "context: more than 50 lines"),
            (&[("ansi", "raw")], "ansi: not keep, strip or html"),
            (&[("tial", "1")], "tial: no such parameter"),
        ] {
            assert_eq!(Request::parse(parameters.iter().copied()).expect_err("bad").to_string(), problem);
        }
    }
}
