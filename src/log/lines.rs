//! Where the lines of a log are.
//!
//! An entry whose stamp says so goes on with a joined line, so that it begins none. A line break is a `\n` that no such entry
//! follows: it ends a joined line, and the next one begins after it. Of the lines that GitLab's page shows of joined lines (see
//! [`LineSplitter`](super::LineSplitter)) it is known how many are before each stretch.

use super::timestamps::{STAMP_BYTES, Stamp};

/// How many line breaks come before each stretch of a log, so that a line is found without reading what is before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LineIndex {
    /// Line breaks before each stretch.
    pub(super) before: Vec<u64>,
    /// Line breaks in all.
    pub(super) breaks: u64,
    /// Something follows the last line break.
    pub(super) open_end: bool,
    /// Lines shown of the joined lines before those that begin in each stretch.
    pub(super) shown_before: Vec<u64>,
    /// Lines shown in all.
    pub(super) shown: u64,
}

impl LineIndex {
    /// Returns how many lines are shown.
    pub fn lines(&self) -> u64 {
        self.shown
    }

    /// Returns how many joined lines there are.
    pub fn joined(&self) -> u64 {
        self.breaks + u64::from(self.open_end)
    }

    /// Returns a joined line at or before the one that a line is in, also before what shows nothing before that line, and how many
    /// lines are shown before it: the first that begins in the same stretch as the line before.
    pub fn before_line(&self, line: u64) -> (u64, u64) {
        self.first_of(self.shown_before.partition_point(|shown| shown + 1 < line))
    }

    /// Returns a joined line at or before another, and how many lines are shown before it: the first that begins in the same
    /// stretch.
    pub fn before_joined(&self, line: u64) -> (u64, u64) {
        self.first_of(self.before.partition_point(|before| before + 2 <= line))
    }

    /// Returns the first joined line that begins in the last of so many stretches, and how many lines are shown before it.
    fn first_of(&self, stretches: usize) -> (u64, u64) {
        match stretches.checked_sub(1) {
            Some(stretch) if stretch > 0 => (self.before[stretch] + 2, self.shown_before[stretch]),
            _ => (1, 0),
        }
    }

    /// Returns how many stretches it was made of.
    pub fn stretches(&self) -> usize {
        self.before.len()
    }

    /// Returns the last joined line that begins before a stretch, or with it.
    pub fn line_at(&self, stretch: usize) -> u64 {
        self.before.get(stretch).copied().unwrap_or(self.breaks) + 1
    }

    /// Returns where a joined line begins: the stretch and how many line breaks of that stretch come before it; line 1 begins at the
    /// very beginning. `None` when there is no such line.
    pub fn find(&self, line: u64) -> Option<(usize, u64)> {
        let breaks = line.checked_sub(1)?;
        if line > self.joined() {
            return None;
        }
        if breaks == 0 {
            return Some((0, 0));
        }
        // The stretch with the break that ends the line before.
        let stretch = self.before.partition_point(|before| *before < breaks).checked_sub(1)?;
        Some((stretch, breaks - self.before[stretch]))
    }
}

/// Returns where the line breaks of a stretch are. `after` is the beginning of what follows it: [`STAMP_BYTES`], or all of it.
pub fn line_breaks<'a>(stretch: &'a [u8], after: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    memchr::memchr_iter(b'\n', stretch).filter(move |at| {
        let follows = &stretch[at + 1..];
        if follows.len() >= STAMP_BYTES {
            return !Stamp::is_continuing(follows);
        }
        let mut entry = [0; STAMP_BYTES];
        let length = STAMP_BYTES.min(follows.len() + after.len());
        let joined = follows.iter().chain(after);
        entry.iter_mut().zip(joined).for_each(|(to, from)| *to = *from);
        !Stamp::is_continuing(&entry[..length])
    })
}

/// Makes a [`LineIndex`] of stretches and of the places where lines begin, which may be told later.
#[derive(Debug, Default)]
pub(super) struct LineIndexer {
    /// Where each stretch ends.
    ends: Vec<u64>,
    /// Line breaks within each stretch, but for the log's last byte.
    breaks: Vec<u64>,
    /// Lines shown before the first joined line that begins in each stretch, where one does.
    shown: Vec<Option<u64>>,
    /// The stretch of the last line break.
    at: usize,
    lines: u64,
    open_end: bool,
}

impl LineIndexer {
    /// Takes the next stretch, which is not empty.
    pub(super) fn push(&mut self, stretch: &[u8]) {
        self.ends.push(self.ends.last().unwrap_or(&0) + stretch.len() as u64);
        self.breaks.push(0);
        self.shown.push(None);
        self.open_end = stretch.last().is_some_and(|byte| *byte != b'\n');
    }

    /// Takes the beginning of the next joined line, and how many lines are shown before it.
    pub(super) fn begin(&mut self, offset: u64, shown: u64) {
        self.lines += 1;
        let Some(break_at) = offset.checked_sub(1) else { return };
        while self.ends.get(self.at).is_some_and(|end| *end <= break_at) {
            self.at += 1;
        }
        if let Some(breaks) = self.breaks.get_mut(self.at) {
            *breaks += 1;
            self.shown[self.at].get_or_insert(shown);
        }
    }

    /// Returns the index of the whole log, which shows so many lines.
    pub(super) fn finish(self, shown: u64) -> LineIndex {
        let before = self.breaks.iter().scan(0, |sum, breaks| Some(std::mem::replace(sum, *sum + breaks))).collect();
        let (breaks, open_end) = (self.lines - u64::from(self.open_end), self.open_end);
        let mut shown_before: Vec<u64> = Vec::with_capacity(self.shown.len());
        let mut next = shown;
        for first in self.shown.into_iter().rev() {
            next = first.unwrap_or(next);
            shown_before.push(next);
        }
        shown_before.reverse();
        if let Some(first) = shown_before.first_mut() {
            *first = 0;
        }
        LineIndex { before, breaks, open_end, shown_before, shown }
    }
}
