//! Searching a log for lines, in time linear to the log whatever the pattern.
//!
//! What is searched of a line is its text without time stamp, control sequences and a `\r` at its end; what is shown is the line.
//! A line of more than 64 KiB is searched in windows of 64 KiB that overlap by 16 KiB, so that a match of more than 16 KiB in
//! it may be missed, and its first 64 KiB are shown. Memory is bounded by that and by the lines of context.

use std::borrow::Cow;
use std::collections::VecDeque;

use regex::bytes::{Regex, RegexBuilder};

use super::escape::{Escapes, Token, without_sequences};
use super::lines::LinePiece;
use super::timestamps::Stamp;

/// The longest pattern.
pub const MAX_PATTERN_BYTES: usize = 1024;

/// The most lines of context on each side: with 64 KiB each they hold 3 MiB.
pub const MAX_CONTEXT: usize = 50;

/// Bytes that a compiled pattern may take: in the worst case each byte of a log is held against all of it.
const PATTERN_BYTES: usize = 256 * 1024;

/// Bytes that it may remember while it searches.
const SEARCH_MEMORY: usize = 1 << 20;

/// How much of a long line is searched again with the next window.
const OVERLAP_BYTES: usize = 16 * 1024;

/// What to search for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GrepOptions {
    /// A regular expression in the syntax of the `regex` crate: no look-around, no back-references.
    pub pattern: String,
    /// Upper and lower case are the same.
    pub ignore_case: bool,
    /// Lines without a match are searched.
    pub invert: bool,
    /// Lines shown before each match; at most [`MAX_CONTEXT`].
    pub before: usize,
    /// Lines shown after each match; at most [`MAX_CONTEXT`].
    pub after: usize,
    /// Matches after which the search ends.
    pub limit: Option<u64>,
    /// Only how many there are is asked.
    pub count: bool,
}

/// A pattern that cannot be searched for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPattern {
    /// It is longer than [`MAX_PATTERN_BYTES`].
    #[error("the pattern is longer than {MAX_PATTERN_BYTES} bytes")]
    TooLong,
    /// It is not of the syntax.
    #[error("the pattern is no regular expression: {0}")]
    Syntax(String),
    /// Compiled, it takes too much memory.
    #[error("the pattern takes more than 256 KiB of memory: use smaller counts in {{…}}, or fewer alternatives")]
    TooLarge,
}

/// A search that can be begun.
#[derive(Debug, Clone)]
pub struct Grep {
    regex: Regex,
    options: GrepOptions,
}

impl Grep {
    /// Compiles a pattern.
    pub fn new(mut options: GrepOptions) -> Result<Self, BadPattern> {
        if options.pattern.len() > MAX_PATTERN_BYTES {
            return Err(BadPattern::TooLong);
        }
        options.before = options.before.min(MAX_CONTEXT);
        options.after = options.after.min(MAX_CONTEXT);
        let regex = RegexBuilder::new(&options.pattern)
            .case_insensitive(options.ignore_case)
            .size_limit(PATTERN_BYTES)
            .dfa_size_limit(SEARCH_MEMORY)
            .nest_limit(64)
            .build();
        match regex {
            Ok(regex) => Ok(Self { regex, options }),
            Err(regex::Error::CompiledTooBig(_)) => Err(BadPattern::TooLarge),
            // Its first lines draw the place; the last one says what is wrong.
            Err(error) => {
                let text = error.to_string();
                let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
                Err(BadPattern::Syntax(reason.to_owned()))
            }
        }
    }

    /// Returns what is searched for.
    pub fn options(&self) -> &GrepOptions {
        &self.options
    }
}

/// A line that a search shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found<'a> {
    /// Its number, from 1.
    pub number: u64,
    /// Where it begins in the log, in bytes.
    pub offset: u64,
    /// The line without its end.
    pub text: &'a [u8],
    /// It matches; the others are context.
    pub matched: bool,
    /// The line is longer than shown.
    pub cut: bool,
    /// Context was asked for, and lines were left out between the one shown before and this one.
    pub gap: bool,
}

/// One search of one log.
#[derive(Debug)]
pub struct Search {
    grep: Grep,
    matches: u64,
    /// Lines of context that are still to be shown.
    after: usize,
    /// The last lines that were not shown.
    before: VecDeque<Kept>,
    last_shown: Option<u64>,
    /// What is known of a line longer than a piece.
    long: Option<Long>,
}

#[derive(Debug)]
struct Kept {
    number: u64,
    offset: u64,
    text: Vec<u8>,
    cut: bool,
}

#[derive(Debug)]
struct Long {
    kept: Kept,
    escapes: Escapes,
    window: Vec<u8>,
    later: bool,
    matched: bool,
}

impl Search {
    /// Begins a search.
    pub fn new(grep: Grep) -> Self {
        Self { grep, matches: 0, after: 0, before: VecDeque::new(), last_shown: None, long: None }
    }

    /// Returns whether nothing more will be found.
    pub fn is_done(&self) -> bool {
        self.is_full() && (self.after == 0 || self.grep.options.count)
    }

    /// Returns how many lines were found.
    pub fn matches(&self) -> u64 {
        self.matches
    }

    /// Takes the next piece of a line and shows what is found.
    pub fn push(&mut self, piece: &LinePiece<'_>, each: &mut impl FnMut(Found<'_>)) {
        if self.is_done() {
            return;
        }
        if piece.first && piece.last {
            let matched = self.grep.regex.is_match(&searched(piece.text));
            self.line((piece.number, piece.offset, piece.text, false), matched, each);
            return;
        }
        let mut long = match self.long.take() {
            Some(long) if !piece.first => long,
            _ => Long::new(piece),
        };
        let text = if piece.first { Stamp::strip(piece.text) } else { piece.text };
        long.look(&self.grep.regex, text, piece.last);
        if piece.last {
            let Kept { number, offset, text, cut } = &long.kept;
            self.line((*number, *offset, text, *cut), long.matched, each);
        } else {
            self.long = Some(long);
        }
    }

    fn is_full(&self) -> bool {
        self.grep.options.limit.is_some_and(|limit| self.matches >= limit)
    }

    fn line(&mut self, line: (u64, u64, &[u8], bool), matched: bool, each: &mut impl FnMut(Found<'_>)) {
        let matched = matched != self.grep.options.invert && !self.is_full();
        self.matches += u64::from(matched);
        if self.grep.options.count {
            return;
        }
        if matched {
            for kept in std::mem::take(&mut self.before) {
                self.show((kept.number, kept.offset, &kept.text, kept.cut), false, each);
            }
            self.show(line, true, each);
            self.after = self.grep.options.after;
        } else if self.after > 0 {
            self.show(line, false, each);
            self.after -= 1;
        } else if self.grep.options.before > 0 {
            if self.before.len() == self.grep.options.before {
                self.before.pop_front();
            }
            let (number, offset, text, cut) = line;
            self.before.push_back(Kept { number, offset, text: text.to_vec(), cut });
        }
    }

    fn show(&mut self, line: (u64, u64, &[u8], bool), matched: bool, each: &mut impl FnMut(Found<'_>)) {
        let (number, offset, text, cut) = line;
        let in_context = self.grep.options.before + self.grep.options.after > 0;
        let gap = in_context && self.last_shown.is_some_and(|last| last + 1 != number);
        self.last_shown = Some(number);
        each(Found { number, offset, text, matched, cut, gap });
    }
}

impl Long {
    fn new(piece: &LinePiece<'_>) -> Self {
        let kept = Kept { number: piece.number, offset: piece.offset, text: piece.text.to_vec(), cut: true };
        Self { kept, escapes: Escapes::default(), window: Vec::new(), later: false, matched: false }
    }

    /// Searches the next window.
    fn look(&mut self, regex: &Regex, text: &[u8], last: bool) {
        if self.matched {
            return;
        }
        let window = &mut self.window;
        self.escapes.push(text, &mut |token| match token {
            Token::Text(text) => window.extend_from_slice(text),
            Token::Control(byte) => window.push(byte),
            Token::Csi(..) => {}
        });
        if last && window.last() == Some(&b'\r') {
            window.pop();
        }
        // A byte before the place where it begins keeps `^` from matching there.
        let begin = usize::from(self.later && !window.is_empty());
        let found = regex.shortest_match_at(window, begin);
        // What is found only at the window's end may be no match once the line goes on; the next window has it, too.
        self.matched = found.is_some_and(|end| last || end < window.len());
        window.drain(..window.len().saturating_sub(OVERLAP_BYTES));
        self.later = true;
    }
}

/// Returns what is searched of a line.
fn searched(line: &[u8]) -> Cow<'_, [u8]> {
    let line = Stamp::strip(line);
    without_sequences(line.strip_suffix(b"\r").unwrap_or(line))
}

#[cfg(test)]
mod tests;
