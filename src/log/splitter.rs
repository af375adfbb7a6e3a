//! The entries of a log put together, with bounded memory.
//!
//! A joined line is an entry and all that go on with it: an entry with `+` continues the last line of its own stream and type,
//! without a line break or a stamp between, also when lines of others have begun meanwhile. Lines are told in the order in which
//! they begin. GitLab's page joins such an entry with whatever stands before it, of which stream that ever is.
//!
//! Lines behind one that may still go on are held. So that this is bounded, a line goes on for [`JOIN_BYTES`] and [`JOIN_LINES`]
//! at most after others have begun. What comes later, and an entry whose line is not there, goes on with the last line, as on
//! GitLab's page; its `\r` are spaces then, so that it takes nothing back of a line that is not its own.

use std::collections::VecDeque;
use std::ops::Range;

use super::entries::{Entries, EntryPart, Head, Source};
use super::timestamps::STAMP_BYTES;
use super::utf8::whole_characters;

/// A longer line comes in pieces of at most this many bytes.
pub const LINE_PIECE_BYTES: usize = 128 * 1024;

/// How many bytes after its beginning a line may go on when others have begun meanwhile.
pub const JOIN_BYTES: u64 = 256 * 1024;

/// How many others may have begun then.
pub const JOIN_LINES: u64 = 4_096;

/// A line, or a piece of a long one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinePiece<'a> {
    /// The line's number, from 1: of joined lines all are counted, of those that GitLab's page shows what shows something.
    pub number: u64,
    /// Where the piece begins in the log, in bytes. What a marker begins within several entries has the place of the first.
    pub offset: u64,
    /// The piece, without the line's end. The first one begins with the line's stamp, if it has one; those of entries that go on
    /// with it are left out.
    pub text: &'a [u8],
    /// Whether the text begins with a stamp.
    pub stamped: bool,
    /// Whether the line begins here.
    pub first: bool,
    /// Whether the line ends here.
    pub last: bool,
    /// Whether it ends with a line break, and not with the log, or because a section's marker begins another line.
    pub broken: bool,
    /// Whether it is of several entries, so that places in it are not those in the log.
    pub joined: bool,
    /// Whether the line shows something and has a number; one that does not has the number of the next that does. Of a line in
    /// pieces that is taken for granted.
    pub shown: bool,
    /// Whether a section's marker is in it.
    pub marked: bool,
}

/// How the entries of a log go on with lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Joins {
    /// Some do.
    pub any: bool,
    /// How many bytes after its beginning a line went on when others had begun meanwhile; at most [`JOIN_BYTES`]. With that
    /// much before it and after it, a line is read as with the whole log.
    pub reach: u64,
}

/// Cuts a text that comes in stretches into joined lines, the same whatever the stretches are.
#[derive(Debug)]
pub(super) struct JoinedLines {
    entries: Entries,
    joiner: Joiner,
}

impl JoinedLines {
    /// Begins at the beginning of a log.
    pub(super) fn new() -> Self {
        Self::from(1, 0, false)
    }

    /// Begins with a line, or `within` one. What goes on with lines before it goes on with none.
    pub(super) fn from(number: u64, offset: u64, within: bool) -> Self {
        let joiner = Joiner {
            last: number.saturating_sub(1),
            wanted: 0..u64::MAX,
            window: JOIN_BYTES,
            begun: false,
            ended: false,
            cut: within.then_some(number),
            lines: VecDeque::new(),
            sources: Vec::new(),
            target: None,
            joins: Joins::default(),
            spare: Vec::new(),
        };
        Self { entries: Entries::new(offset, within), joiner }
    }

    /// Tells these lines only.
    pub(super) fn only(mut self, lines: Range<u64>) -> Self {
        self.joiner.wanted = lines;
        self
    }

    /// Holds no more than is needed for a log whose [`Joins::reach`] is known.
    pub(super) fn reaching(mut self, reach: u64) -> Self {
        self.joiner.window = reach.min(JOIN_BYTES);
        self
    }

    /// Takes the next stretch and tells the lines that end in it.
    pub(super) fn push(&mut self, input: &[u8], each: &mut impl FnMut(LinePiece<'_>)) {
        let Self { entries, joiner } = self;
        entries.push(input, &mut |part| joiner.take(part, each));
    }

    /// Tells what is left, and returns how entries went on with lines.
    pub(super) fn finish(self, each: &mut impl FnMut(LinePiece<'_>)) -> Joins {
        let Self { entries, mut joiner } = self;
        entries.finish(&mut |part| joiner.take(part, each));
        while joiner.tell_first(each) {}
        joiner.joins
    }
}

impl Default for JoinedLines {
    fn default() -> Self {
        Self::new()
    }
}

/// Puts entries together.
#[derive(Debug)]
struct Joiner {
    /// The number of the last line that has begun.
    last: u64,
    /// The lines that are told.
    wanted: Range<u64>,
    window: u64,
    /// A line has begun.
    begun: bool,
    /// What was read ends with a line break.
    ended: bool,
    /// The line whose beginning was not there, so that it is not known whose it is.
    cut: Option<u64>,
    /// Lines that are not told, in order: the first may go on, the others wait for it.
    lines: VecDeque<Line>,
    /// The last line of each source.
    sources: Vec<Option<Last>>,
    /// The line of the entry that is being read, and whether that is its own.
    target: Option<(u64, bool)>,
    joins: Joins,
    /// Memory of lines that were told.
    spare: Vec<Vec<u8>>,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    number: u64,
    offset: u64,
}

/// A line that is not told to its end.
#[derive(Debug)]
struct Line {
    number: u64,
    /// Where it begins in the log.
    begins: u64,
    source: Option<Source>,
    text: Vec<u8>,
    /// Where a piece ends in the text, and where the next one begins in the log.
    cuts: VecDeque<(usize, u64)>,
    /// Where the text begins in the log.
    offset: u64,
    /// Where the last entry of it ends in the log.
    end: u64,
    first: bool,
    /// It is of several entries.
    joined: bool,
}

impl Joiner {
    fn take(&mut self, part: EntryPart<'_>, each: &mut impl FnMut(LinePiece<'_>)) {
        let (mut text, mut offset) = (part.text, part.offset);
        match part.head {
            Some(Head { source: Some(source), continues: true }) if self.begun => {
                text = text.get(STAMP_BYTES..).unwrap_or_default();
                offset += STAMP_BYTES as u64;
                self.target = Some(self.line_of(source, part.offset));
                self.settle(part.offset, each);
            }
            None if self.begun => {}
            head => {
                let source = head.and_then(|head| head.source);
                self.begin(source, part.offset);
                self.settle(part.offset, each);
                let settled = part.alone && (source.is_none() || self.window == 0);
                if settled && self.lines.is_empty() && text.len() <= LINE_PIECE_BYTES {
                    let (number, stamped) = (self.last, source.is_some());
                    self.target = None;
                    if self.wanted.contains(&number) {
                        let (first, last, broken) = (true, true, true);
                        each(LinePiece { number, offset, text, stamped, first, last, broken, ..LinePiece::default() });
                    }
                    return;
                }
                let text = self.spare.pop().unwrap_or_default();
                self.lines.push_back(Line::new(self.last, part.offset, source, text));
            }
        }
        self.ended = part.ends;
        self.add(text, offset, part.ends, each);
        // Nothing goes on with the last line when something else follows, unless it may come later.
        if part.alone && self.lines.len() == 1 && self.is_settled(part.offset, true) {
            self.tell_first(each);
        }
    }

    /// Returns the line that an entry goes on with, and whether it is of the same source.
    fn line_of(&mut self, source: Source, at: u64) -> (u64, bool) {
        self.joins.any = true;
        let last = self.sources.get(source.place()).copied().flatten();
        match last {
            Some(line) if line.number == self.last => (line.number, true),
            Some(line) if at - line.offset <= self.window && self.last - line.number <= JOIN_LINES => {
                self.joins.reach = self.joins.reach.max(at - line.offset);
                (line.number, true)
            }
            _ => (self.last, self.cut == Some(self.last)),
        }
    }

    fn begin(&mut self, source: Option<Source>, offset: u64) {
        self.last += 1;
        self.begun = true;
        self.target = Some((self.last, true));
        if let Some(source) = source {
            if self.sources.is_empty() {
                self.sources.resize(Source::COUNT, None);
            }
            self.sources[source.place()] = Some(Last { number: self.last, offset });
        }
    }

    /// Adds text to the line of the current entry.
    fn add(&mut self, mut text: &[u8], mut offset: u64, ends: bool, each: &mut impl FnMut(LinePiece<'_>)) {
        let Some((number, own)) = self.target else { return };
        let wanted = self.wanted.contains(&number);
        loop {
            let (now, later) = text.split_at(text.len().min(LINE_PIECE_BYTES));
            let place = self.lines.front().and_then(|front| number.checked_sub(front.number));
            let line = place.and_then(|place| self.lines.get_mut(usize::try_from(place).ok()?));
            if let Some(line) = line
                && wanted
            {
                line.add(now, offset, own);
            }
            (text, offset) = (later, offset + now.len() as u64);
            if place == Some(0) {
                self.tell_cuts(each);
            }
            if text.is_empty() && ends {
                self.target = None;
            }
            self.settle(offset, each);
            if text.is_empty() {
                return;
            }
        }
    }

    /// Tells the first lines as far as nothing from `now` on can go on with them.
    fn settle(&mut self, now: u64, each: &mut impl FnMut(LinePiece<'_>)) {
        while self.is_settled(now, false) {
            self.tell_first(each);
        }
    }

    /// Returns whether nothing can go on with the first line; `alone`: what comes next does not go on with the last one.
    fn is_settled(&self, now: u64, alone: bool) -> bool {
        let Some(first) = self.lines.front() else { return false };
        let is_read = self.target.is_some_and(|(number, _)| number == first.number);
        if is_read || (first.number == self.last && !alone) {
            return false;
        }
        let Some(source) = first.source else { return true };
        let last = self.sources.get(source.place()).copied().flatten();
        last.is_none_or(|last| last.number != first.number)
            || (first.number == self.last && self.window == 0)
            || (first.number != self.last
                && (now.saturating_sub(first.begins) > self.window || self.last - first.number > JOIN_LINES))
    }

    /// Tells the whole pieces of the first line.
    fn tell_cuts(&mut self, each: &mut impl FnMut(LinePiece<'_>)) {
        if let Some(line) = self.lines.front_mut() {
            line.tell_cuts(each);
        }
    }

    /// Tells the first line to its end; returns whether there was one.
    fn tell_first(&mut self, each: &mut impl FnMut(LinePiece<'_>)) -> bool {
        const SPARE: usize = 8;
        const SPARE_BYTES: usize = 16 * 1024;
        let Some(mut line) = self.lines.pop_front() else { return false };
        if self.wanted.contains(&line.number) {
            line.tell_cuts(each);
            // What broke the last one off may be in a line that goes on.
            let broken = line.number != self.last || self.ended;
            each(LinePiece { broken, ..line.piece(&line.text, true) });
        }
        self.tell_cuts(each);
        if self.spare.len() < SPARE && line.text.capacity() <= SPARE_BYTES {
            line.text.clear();
            self.spare.push(line.text);
        }
        true
    }
}

impl Line {
    fn new(number: u64, begins: u64, source: Option<Source>, text: Vec<u8>) -> Self {
        let (cuts, offset, end) = (VecDeque::new(), begins, begins);
        Self { number, begins, source, text, cuts, offset, end, first: true, joined: false }
    }

    /// Adds text; what is not its own takes nothing back.
    fn add(&mut self, mut text: &[u8], mut offset: u64, own: bool) {
        // One byte more than a piece tells whether the line goes on.
        const ROOM: usize = LINE_PIECE_BYTES + 1;
        self.joined |= offset != self.end;
        while !text.is_empty() {
            let begin = self.cuts.back().map_or(0, |(end, _)| *end);
            let (now, later) = text.split_at(text.len().min(ROOM - (self.text.len() - begin)));
            if own {
                self.text.extend_from_slice(now);
            } else {
                self.text.extend(now.iter().map(|byte| if *byte == b'\r' { b' ' } else { *byte }));
            }
            (text, offset) = (later, offset + now.len() as u64);
            if self.text.len() - begin == ROOM {
                let used = whole_characters(&self.text[begin..begin + LINE_PIECE_BYTES]);
                // Some of what is left may be of the entry before.
                let left = ROOM - used;
                let next = match left.checked_sub(now.len()) {
                    None | Some(0) => offset - left as u64,
                    Some(earlier) => self.end.saturating_sub(earlier as u64),
                };
                self.cuts.push_back((begin + used, next));
            }
            self.end = offset;
        }
    }

    /// Tells the pieces that are whole.
    fn tell_cuts(&mut self, each: &mut impl FnMut(LinePiece<'_>)) {
        let mut told = 0;
        while let Some((end, next)) = self.cuts.pop_front() {
            each(self.piece(&self.text[told..end], false));
            (self.first, self.offset, told) = (false, next, end);
        }
        self.text.drain(..told);
    }

    fn piece<'a>(&self, text: &'a [u8], last: bool) -> LinePiece<'a> {
        let stamped = self.first && self.source.is_some();
        let (number, offset, first, joined) = (self.number, self.offset, self.first, self.joined);
        LinePiece { number, offset, text, stamped, first, last, joined, ..LinePiece::default() }
    }
}

#[cfg(test)]
mod tests;
