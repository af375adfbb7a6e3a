//! Where a job went wrong: its last command, what that wrote, and what the runner made of it.
//!
//! A runner echoes each command as `$ …` in bold green within the section `step_script` (`build_script` before 13), and says
//! `ERROR: Job failed: exit code 1` or `Job succeeded` at the end. Whoever writes scripts can write the same: what is found is a
//! help to read, and nothing is decided by it.

use std::ops::Range;

use regex::bytes::Regex;
use serde::Serialize;

use super::escape::shown;
use super::index::Index;
use super::splitter::LinePiece;
use super::timestamps::STAMP_BYTES;

/// How many of the last lines of a command's output are shown.
pub const OUTPUT_LINES: u64 = 500;

/// How many lines before those are shown because they look like errors.
const MARKS: usize = 20;

/// How much of a line is quoted.
const QUOTE_BYTES: usize = 1024;

/// Words that lines with errors have, in what compilers, test runners, shells and package managers write.
const MARK: &str = r"(?x-u)
    (?i: \b(error|errors|fatal|panic|panicked|exception|segmentation\ fault|traceback)\b ) | (?i: \bfail(ed|ure|ures)?\b )
    | (?i: command\ not\ found | no\ such\ file | permission\ denied | undefined\ reference | out\ of\ memory | cannot\ find )
    | npm\ ERR! | ^E\  | \bFAIL\b | Caused\ by:";

const SCRIPTS: [&str; 2] = ["step_script", "build_script"];

/// A line in few words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Quote {
    /// Its number, from 1.
    pub line: u64,
    /// Its text without stamp and control sequences, at most 1 KiB.
    pub text: Box<str>,
}

/// What the runner made of the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Where and how it says so.
    #[serde(flatten)]
    pub quote: Quote,
    /// The job succeeded.
    pub succeeded: bool,
    /// The exit code it names.
    pub exit_code: Option<i64>,
}

/// Where a job went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Failure {
    /// The last command of the job's script; `None` when none is echoed, or the job succeeded.
    pub command: Option<Quote>,
    /// The lines that it wrote: first and last.
    pub output: Option<(u64, u64)>,
    /// The first lines of the output that look like errors, at most 20.
    pub marks: Vec<Quote>,
    /// What the runner says.
    pub verdict: Option<Verdict>,
}

impl Failure {
    /// Returns the lines to show, in order: the command, marked lines, the last [`OUTPUT_LINES`] of the output, the verdict.
    pub fn lines(&self) -> Vec<Range<u64>> {
        let mut lines: Vec<Range<u64>> = Vec::new();
        let mut add = |first: u64, last: u64| match lines.last_mut() {
            Some(before) if first <= before.end => before.end = before.end.max(last + 1),
            _ => lines.push(first..last + 1),
        };
        if let Some(command) = &self.command {
            add(command.line, command.line);
        }
        if let Some((first, last)) = self.output {
            let tail = first.max((last + 1).saturating_sub(OUTPUT_LINES));
            self.marks.iter().filter(|mark| mark.line < tail).for_each(|mark| add(mark.line, mark.line));
            add(tail, last);
        }
        if let Some(verdict) = &self.verdict {
            add(verdict.quote.line, verdict.quote.line);
        }
        lines
    }
}

/// Finds where a job went wrong, in one reading of its log from [`starts_at`](Self::starts_at) to the end.
#[derive(Debug)]
pub struct FailureFinder {
    /// The lines of the script, if there are sections.
    script: Option<(u64, u64)>,
    mark: Option<Regex>,
    /// The script has ended, as far as a log without sections tells.
    ended: bool,
    /// The last command was echoed in a runner's colours.
    coloured: bool,
    last_line: u64,
    found: Failure,
}

impl FailureFinder {
    /// Begins with what is known of the log.
    pub fn new(index: &Index) -> Self {
        let script = index.sections.all.iter().rfind(|section| SCRIPTS.contains(&&*section.name));
        Self {
            script: script.map(|section| (section.first_line, section.last_line)),
            mark: Regex::new(MARK).ok(),
            ended: false,
            coloured: false,
            last_line: 0,
            found: Failure::default(),
        }
    }

    /// Returns the first line that has to be read.
    pub fn starts_at(&self) -> u64 {
        self.script.map_or(1, |(first, _)| first)
    }

    /// Takes the next piece of a line.
    pub fn push(&mut self, piece: &LinePiece<'_>) {
        if !piece.first || !piece.shown {
            return;
        }
        self.last_line = piece.number;
        let raw = &piece.text[if piece.stamped { STAMP_BYTES } else { 0 }..];
        let shown = shown(raw);
        let text = &*shown;
        let in_script = self.script.is_none_or(|(_, last)| piece.number <= last) && !self.ended;
        if self.script.is_none() && text.starts_with(b"Running after") {
            self.ended = true;
        } else if in_script && text.starts_with(b"$ ") {
            self.command(piece.number, text, memchr::memmem::find(raw, b"\x1b[32;1m$ ").is_some());
        } else if self.verdict(piece.number, text) {
        } else if in_script
            && self.found.marks.len() < MARKS
            && self.mark.as_ref().is_some_and(|mark| mark.is_match(text))
        {
            self.found.marks.push(quote(piece.number, text));
        }
    }

    /// Returns what was found.
    pub fn finish(self) -> Failure {
        let mut found = self.found;
        if found.verdict.as_ref().is_some_and(|verdict| verdict.succeeded) {
            return Failure { verdict: found.verdict, ..Failure::default() };
        }
        if let Some(command) = &found.command {
            let before_verdict = found.verdict.as_ref().map(|verdict| verdict.quote.line.saturating_sub(1));
            let last = self.script.map(|(_, last)| last).or(before_verdict).unwrap_or(self.last_line);
            found.output = (last > command.line).then_some((command.line + 1, last));
        }
        found
    }

    fn command(&mut self, line: u64, text: &[u8], coloured: bool) {
        // A script may print what looks like one, but hardly ever in those colours.
        if coloured || !self.coloured {
            self.coloured |= coloured;
            self.found.command = Some(quote(line, text));
            self.found.marks.clear();
        }
    }

    fn verdict(&mut self, line: u64, text: &[u8]) -> bool {
        let failed = text.starts_with(b"ERROR: Job failed");
        let succeeded = text == b"Job succeeded";
        if failed || succeeded {
            let exit_code = if failed { exit_code(text) } else { None };
            self.found.verdict = Some(Verdict { quote: quote(line, text), succeeded, exit_code });
        }
        failed || succeeded
    }
}

fn quote(line: u64, text: &[u8]) -> Quote {
    let text = String::from_utf8_lossy(&text[..text.len().min(QUOTE_BYTES)]);
    let text: String = text.chars().filter(|character| !character.is_control() || *character == '\t').collect();
    Quote { line, text: text.into() }
}

/// Reads the number after `exit code` or `exit status`. Those of Windows may be negative, or hexadecimal, as `0xc0000005`.
fn exit_code(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let (_, after) = text.split_once("exit code ").or_else(|| text.split_once("exit status "))?;
    let word = after.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').next()?;
    match word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16).ok().filter(|_| !digits.is_empty()).map(i64::from),
        None => word.parse().ok(),
    }
}

#[cfg(test)]
mod tests;
