//! Searching a log for lines, in time linear to the log whatever the pattern.
//!
//! What is searched of a line is what it shows in the end: its text without time stamp and control sequences, and without what a
//! `\r` took back, as earlier states of a progress bar and markers of sections. What is told is the line.
//! A line of more than 128 KiB is searched in windows of 128 KiB that overlap by 16 KiB, so that a match of more than 16 KiB in
//! it may be missed, and its first 128 KiB are shown. Memory is bounded by that and by the lines of context.

use std::collections::VecDeque;

use regex::bytes::{Regex, RegexBuilder};

use super::escape::{Shown, shown};
use super::splitter::LinePiece;
use super::timestamps::STAMP_BYTES;

/// The longest pattern.
pub const MAX_PATTERN_BYTES: usize = 1024;

/// The most lines of context on each side: with 128 KiB each they hold 6 MiB.
pub const MAX_CONTEXT: usize = 50;

/// Bytes that a compiled pattern may take: in the worst case each byte of a log is held against all of it.
const PATTERN_BYTES: usize = 256 * 1024;

/// Bytes that the pattern of a light search may take: it needs 50 ms for 128 KiB at worst.
const LIGHT_BYTES: usize = 4 * 1024;

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
    light: bool,
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
        let mut builder = RegexBuilder::new(&options.pattern);
        builder.case_insensitive(options.ignore_case).dfa_size_limit(SEARCH_MEMORY).nest_limit(64);
        if let Ok(regex) = builder.size_limit(LIGHT_BYTES).build() {
            return Ok(Self { regex, light: true, options });
        }
        match builder.size_limit(PATTERN_BYTES).build() {
            Ok(regex) => Ok(Self { regex, light: false, options }),
            Err(regex::Error::CompiledTooBig(_)) => Err(BadPattern::TooLarge),
            // Its first lines draw the place; the last one says what is wrong.
            Err(error) => {
                let text = error.to_string();
                let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
                Err(BadPattern::Syntax(reason.to_owned()))
            }
        }
    }

    /// Returns whether the pattern is so small, as words are, that no text makes its search slow.
    pub fn is_light(&self) -> bool {
        self.light
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
    /// It begins with a stamp.
    pub stamped: bool,
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

/// A line to be shown, perhaps.
#[derive(Debug, Clone, Copy)]
struct Candidate<'a> {
    number: u64,
    offset: u64,
    text: &'a [u8],
    stamped: bool,
    cut: bool,
}

#[derive(Debug)]
struct Kept {
    number: u64,
    offset: u64,
    text: Vec<u8>,
    stamped: bool,
    cut: bool,
}

#[derive(Debug)]
struct Long {
    kept: Kept,
    shown: Shown,
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

    /// Takes the next piece of a line and shows what is found; a line that shows nothing is none.
    pub fn push(&mut self, piece: &LinePiece<'_>, each: &mut impl FnMut(Found<'_>)) {
        if self.is_done() || !piece.shown {
            return;
        }
        if piece.first && piece.last {
            let matched = self.grep.regex.is_match(&shown(without_stamp(piece)));
            let LinePiece { number, offset, text, stamped, .. } = *piece;
            self.line(Candidate { number, offset, text, stamped, cut: false }, matched, each);
            return;
        }
        let mut long = match self.long.take() {
            Some(long) if !piece.first => long,
            _ => Long::new(piece),
        };
        long.look(&self.grep.regex, without_stamp(piece), piece.last);
        if piece.last {
            self.line(long.kept.candidate(), long.matched, each);
        } else {
            self.long = Some(long);
        }
    }

    fn is_full(&self) -> bool {
        self.grep.options.limit.is_some_and(|limit| self.matches >= limit)
    }

    fn line(&mut self, line: Candidate<'_>, matched: bool, each: &mut impl FnMut(Found<'_>)) {
        let matched = matched != self.grep.options.invert && !self.is_full();
        self.matches += u64::from(matched);
        if self.grep.options.count {
            return;
        }
        if matched {
            for kept in std::mem::take(&mut self.before) {
                self.show(kept.candidate(), false, each);
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
            self.before.push_back(Kept::new(line));
        }
    }

    fn show(&mut self, line: Candidate<'_>, matched: bool, each: &mut impl FnMut(Found<'_>)) {
        let Candidate { number, offset, text, stamped, cut } = line;
        let in_context = self.grep.options.before + self.grep.options.after > 0;
        let gap = in_context && self.last_shown.is_some_and(|last| last + 1 != number);
        self.last_shown = Some(number);
        each(Found { number, offset, text, stamped, matched, cut, gap });
    }
}

impl Kept {
    fn new(line: Candidate<'_>) -> Self {
        let Candidate { number, offset, text, stamped, cut } = line;
        Self { number, offset, text: text.to_vec(), stamped, cut }
    }

    fn candidate(&self) -> Candidate<'_> {
        let Self { number, offset, text, stamped, cut } = self;
        Candidate { number: *number, offset: *offset, text, stamped: *stamped, cut: *cut }
    }
}

impl Long {
    fn new(piece: &LinePiece<'_>) -> Self {
        let LinePiece { number, offset, text, stamped, .. } = *piece;
        let kept = Kept::new(Candidate { number, offset, text, stamped, cut: true });
        Self { kept, shown: Shown::default(), window: Vec::new(), later: false, matched: false }
    }

    /// Searches the next window.
    fn look(&mut self, regex: &Regex, text: &[u8], last: bool) {
        let window = &mut self.window;
        if self.shown.push(text, window) {
            (self.later, self.matched) = (false, false);
        }
        // A byte before the place where it begins keeps `^` from matching there.
        let begin = usize::from(self.later && !window.is_empty());
        let found = regex.shortest_match_at(window, begin);
        // What is found only at the window's end may be no match once the line goes on; the next window has it, too.
        self.matched |= found.is_some_and(|end| last || end < window.len());
        window.drain(..window.len().saturating_sub(OVERLAP_BYTES));
        self.later = true;
    }
}

fn without_stamp<'a>(piece: &LinePiece<'a>) -> &'a [u8] {
    &piece.text[if piece.stamped { STAMP_BYTES } else { 0 }..]
}

#[cfg(test)]
mod tests;
