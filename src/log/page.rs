//! The lines of a log as GitLab's page shows and numbers them.
//!
//! A line that shows nothing has no number: a blank one, or one of which the last `\r` took everything back. A section's marker
//! begins a line where something is shown before it, so that what a script wrote without a line break at its end stands by
//! itself and is not taken back by the marker's `\r` (GitLab's source: `Gitlab::Ci::Ansi2json::V2::Converter`, and
//! `logLinesParser` of its page). An end that closes no section begins a line too, which is not so there.

use std::ops::Range;

use memchr::memmem;

use super::escape::without_sequences;
use super::sections::{Marker, Parsed, WORD};
use super::splitter::{JoinedLines, Joins, LinePiece};
use super::timestamps::STAMP_BYTES;

/// Cuts a text that comes in stretches into the lines of GitLab's page, the same whatever the stretches are.
#[derive(Debug, Default)]
pub struct LineSplitter {
    joined: JoinedLines,
    page: PageLines,
}

impl LineSplitter {
    /// Begins at the beginning of a log.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins with a joined line, or `within` one. What goes on with lines before it goes on with none.
    pub fn from(line: u64, offset: u64, within: bool) -> Self {
        Self { joined: JoinedLines::from(line, offset, within), page: PageLines::default() }
    }

    /// Tells what is in these joined lines only; `shown` lines are before them.
    pub fn in_joined(mut self, lines: Range<u64>, shown: u64) -> Self {
        self.joined = self.joined.only(lines);
        self.page.number = shown + 1;
        self
    }

    /// Tells these lines only.
    pub fn only(mut self, lines: Range<u64>) -> Self {
        self.page.wanted = lines;
        self
    }

    /// Holds no more than is needed for a log whose [`Joins::reach`] is known.
    pub fn reaching(mut self, reach: u64) -> Self {
        self.joined = self.joined.reaching(reach);
        self
    }

    /// Takes the next stretch and tells the lines that end in it.
    pub fn push(&mut self, input: &[u8], each: &mut impl FnMut(LinePiece<'_>)) {
        let Self { joined, page } = self;
        joined.push(input, &mut |piece| page.push(&piece, each));
    }

    /// Tells what is left, and returns how many lines were shown, with those before it began.
    pub fn finish(self, each: &mut impl FnMut(LinePiece<'_>)) -> u64 {
        let Self { joined, mut page } = self;
        let _: Joins = joined.finish(&mut |piece| page.push(&piece, each));
        page.shown()
    }

    /// Returns whether every line that is wanted was told.
    pub fn is_done(&self) -> bool {
        self.page.number >= self.page.wanted.end
    }
}

/// Cuts joined lines into those of GitLab's page. It holds less than 1 KiB of text.
#[derive(Debug)]
pub(super) struct PageLines {
    word: memmem::Finder<'static>,
    /// The number of the next line that shows something.
    number: u64,
    wanted: Range<u64>,
    /// A piece of the line with that number was told.
    begun: bool,
    /// What may be the beginning of a marker, and where it is in the log.
    held: Vec<u8>,
    held_at: u64,
}

impl Default for PageLines {
    fn default() -> Self {
        let word = memmem::Finder::new(WORD);
        Self { word, number: 1, wanted: 0..u64::MAX, begun: false, held: Vec::new(), held_at: 0 }
    }
}

impl PageLines {
    /// Returns how many lines were shown.
    pub(super) fn shown(&self) -> u64 {
        self.number - 1
    }

    /// Takes the next piece of a joined line.
    pub(super) fn push(&mut self, piece: &LinePiece<'_>, each: &mut impl FnMut(LinePiece<'_>)) {
        if self.held.is_empty() {
            return self.cut(piece, each);
        }
        let mut text = std::mem::take(&mut self.held);
        text.extend_from_slice(piece.text);
        self.cut(&LinePiece { text: &text, offset: self.held_at, stamped: false, ..*piece }, each);
    }

    /// Cuts a piece at the markers in it. Of a line that goes on the end is held that may be the beginning of one.
    fn cut(&mut self, piece: &LinePiece<'_>, each: &mut impl FnMut(LinePiece<'_>)) {
        let text = piece.text;
        let (mut begin, mut from, mut marked) = (0, 0, false);
        while let Some(found) = self.word.find(&text[from..]) {
            let at = from + found;
            match Marker::parse(&text[at..]) {
                Parsed::Marker(marker) => {
                    if self.begun || shows(without_stamp(&part(piece, begin..at)), false) {
                        self.tell(LinePiece { last: true, broken: false, marked, ..part(piece, begin..at) }, each);
                        begin = at;
                    }
                    (from, marked) = (at + marker.length, true);
                }
                Parsed::Unfinished if !piece.last => return self.hold(piece, begin, at, marked, each),
                Parsed::Unfinished | Parsed::Other => from = at + WORD.len(),
            }
        }
        if piece.last {
            return self.tell(LinePiece { marked, ..part(piece, begin..text.len()) }, each);
        }
        // The word itself may have been cut.
        let cut = (from.max((text.len() + 1).saturating_sub(WORD.len()))..text.len())
            .find(|at| WORD.starts_with(&text[*at..]))
            .unwrap_or(text.len());
        self.hold(piece, begin, cut, marked, each);
    }

    /// Tells a piece up to a place and holds the rest.
    fn hold(
        &mut self,
        piece: &LinePiece<'_>,
        begin: usize,
        at: usize,
        marked: bool,
        each: &mut impl FnMut(LinePiece<'_>),
    ) {
        let rest = part(piece, at..piece.text.len());
        self.held.extend_from_slice(rest.text);
        self.held_at = rest.offset;
        self.tell(LinePiece { marked, ..part(piece, begin..at) }, each);
    }

    fn tell(&mut self, piece: LinePiece<'_>, each: &mut impl FnMut(LinePiece<'_>)) {
        let shown = self.begun || !piece.last || shows(without_stamp(&piece), piece.broken);
        if self.wanted.contains(&self.number) {
            each(LinePiece { number: self.number, first: !self.begun, shown, ..piece });
        }
        self.begun = !piece.last;
        self.number += u64::from(piece.last && shown);
    }
}

/// Returns a part of a piece.
fn part<'a>(piece: &LinePiece<'a>, range: Range<usize>) -> LinePiece<'a> {
    let offset = piece.offset + if piece.joined { 0 } else { range.start as u64 };
    LinePiece { offset, text: &piece.text[range.clone()], stamped: piece.stamped && range.start == 0, ..*piece }
}

fn without_stamp<'a>(piece: &LinePiece<'a>) -> &'a [u8] {
    &piece.text[if piece.stamped { STAMP_BYTES } else { 0 }..]
}

/// Returns whether GitLab's page shows something of a line: anything but control sequences behind its last `\r`; those right
/// before a line break are part of it.
fn shows(text: &[u8], broken: bool) -> bool {
    if memchr::memchr2(0x1b, b'\r', text).is_none() {
        return !text.is_empty();
    }
    let end = if broken { text.iter().rposition(|byte| *byte != b'\r').map_or(0, |at| at + 1) } else { text.len() };
    let last = memchr::memrchr(b'\r', &text[..end]).map_or(0, |at| at + 1);
    !without_sequences(&text[last..end]).is_empty()
}

#[cfg(test)]
mod tests;
