//! Lines: where they begin, and a log cut into them with bounded memory.

use super::utf8::whole_characters;

/// A longer line comes in pieces of at most this many bytes.
pub const LINE_PIECE_BYTES: usize = 64 * 1024;

/// How many line breaks come before each stretch of a log, so that a line is found without reading what is before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LineIndex {
    /// Line breaks before each stretch.
    pub(super) before: Vec<u64>,
    /// Line breaks in all.
    pub(super) breaks: u64,
    /// Something follows the last line break.
    pub(super) open_end: bool,
}

impl LineIndex {
    /// Takes the next stretch, which is not empty.
    pub fn push(&mut self, stretch: &[u8]) {
        self.before.push(self.breaks);
        self.breaks += memchr::memchr_iter(b'\n', stretch).count() as u64;
        self.open_end = stretch.last().is_some_and(|byte| *byte != b'\n');
    }

    /// Returns how many lines there are.
    pub fn lines(&self) -> u64 {
        self.breaks + u64::from(self.open_end)
    }

    /// Returns how many stretches it was made of.
    pub fn stretches(&self) -> usize {
        self.before.len()
    }

    /// Returns the line that a stretch begins in; it may have begun before.
    pub fn line_at(&self, stretch: usize) -> u64 {
        self.before.get(stretch).copied().unwrap_or(self.breaks) + 1
    }

    /// Returns where a line begins: the stretch and how many line breaks of that stretch come before it; line 1 begins at the
    /// very beginning. `None` when there is no such line.
    pub fn find(&self, line: u64) -> Option<(usize, u64)> {
        let breaks = line.checked_sub(1)?;
        if line > self.lines() {
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

/// A line, or a piece of a long one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinePiece<'a> {
    /// The line's number, from 1.
    pub number: u64,
    /// Where the piece begins in the log, in bytes.
    pub offset: u64,
    /// The piece, without the line's end.
    pub text: &'a [u8],
    /// Whether the line begins here.
    pub first: bool,
    /// Whether the line ends here.
    pub last: bool,
}

/// Cuts a text that comes in stretches into lines. It holds [`LINE_PIECE_BYTES`] at most, and cuts at the same places whatever
/// the stretches are.
#[derive(Debug)]
pub struct LineSplitter {
    held: Vec<u8>,
    number: u64,
    offset: u64,
    first: bool,
}

impl LineSplitter {
    /// Begins at a line's beginning, or within it where nothing more is known.
    pub fn new(number: u64, offset: u64) -> Self {
        Self { held: Vec::new(), number, offset, first: true }
    }

    /// Takes the next stretch and tells the lines that end in it.
    pub fn push(&mut self, mut input: &[u8], each: &mut impl FnMut(LinePiece<'_>)) {
        // One byte more than a piece tells whether the line goes on.
        const ROOM: usize = LINE_PIECE_BYTES + 1;
        while !input.is_empty() {
            let window = &input[..input.len().min(ROOM - self.held.len())];
            let end = memchr::memchr(b'\n', window);
            let (taken, rest) = input.split_at(end.unwrap_or(window.len()));
            if self.held.is_empty() && (end.is_some() || taken.len() == ROOM) {
                let used = self.tell(taken, end.is_some(), each);
                input = &input[used + usize::from(end.is_some())..];
                continue;
            }
            self.held.extend_from_slice(taken);
            input = &rest[usize::from(end.is_some())..];
            if end.is_some() || self.held.len() == ROOM {
                let mut held = std::mem::take(&mut self.held);
                let used = self.tell(&held, end.is_some(), each);
                held.drain(..used);
                self.held = held;
            }
        }
    }

    /// Tells what follows the last line break.
    pub fn finish(mut self, each: &mut impl FnMut(LinePiece<'_>)) {
        if !self.held.is_empty() {
            let held = std::mem::take(&mut self.held);
            self.tell(&held, true, each);
        }
    }

    /// Tells a piece; returns how much of the text it has.
    fn tell(&mut self, text: &[u8], last: bool, each: &mut impl FnMut(LinePiece<'_>)) -> usize {
        let last = last && text.len() <= LINE_PIECE_BYTES;
        let used = if last { text.len() } else { whole_characters(&text[..LINE_PIECE_BYTES]) };
        each(LinePiece { number: self.number, offset: self.offset, text: &text[..used], first: self.first, last });
        self.offset += used as u64 + u64::from(last);
        self.number += u64::from(last);
        self.first = last;
        used
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Owned = (u64, u64, Vec<u8>, bool, bool);

    fn split(text: &[u8], stretch: usize) -> Vec<Owned> {
        let mut pieces = Vec::new();
        let mut each = |piece: LinePiece<'_>| {
            pieces.push((piece.number, piece.offset, piece.text.to_vec(), piece.first, piece.last))
        };
        let mut splitter = LineSplitter::new(1, 0);
        text.chunks(stretch).for_each(|part| splitter.push(part, &mut each));
        splitter.finish(&mut each);
        pieces
    }

    #[test]
    fn a_long_line_comes_in_bounded_pieces_that_cut_no_character() {
        let mut text = "é".repeat(LINE_PIECE_BYTES).into_bytes();
        text.insert(0, b'x');
        text.extend(b"\nend");
        let pieces = split(&text, 1000);
        assert_eq!(pieces, split(&text, text.len()), "wherever the stretches end");
        assert!(pieces.iter().all(|piece| piece.2.len() <= LINE_PIECE_BYTES && std::str::from_utf8(&piece.2).is_ok()));
        let (line, end) = pieces.split_at(pieces.len() - 1);
        let joined: Vec<u8> = line.iter().flat_map(|piece| piece.2.clone()).collect();
        assert_eq!(joined, text[..text.len() - 4]);
        assert_eq!((line.first().expect("a piece").3, line.last().expect("a piece").4), (true, true));
        assert_eq!(end, [(2, text.len() as u64 - 3, b"end".to_vec(), true, true)]);
    }

    #[test]
    fn a_line_of_exactly_one_piece_is_one_piece() {
        for length in [LINE_PIECE_BYTES - 1, LINE_PIECE_BYTES, LINE_PIECE_BYTES + 1] {
            for end in [&b"\n"[..], b""] {
                let text = [vec![b'x'; length], end.to_vec()].concat();
                let pieces = split(&text, 7_000);
                assert_eq!(pieces.len(), length.div_ceil(LINE_PIECE_BYTES), "{length}");
                assert!(pieces.last().expect("a piece").4);
            }
        }
    }

    proptest! {
        #[test]
        fn lines_are_those_of_the_whole_and_the_index_finds_them(
            text in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..200),
            stretch in 1usize..40,
        ) {
            let mut expected = Vec::new();
            let mut offset = 0;
            for (number, line) in (1..).zip(text.split_inclusive(|byte| *byte == b'\n')) {
                let content = line.strip_suffix(b"\n").unwrap_or(line);
                expected.push((number, offset, content.to_vec(), true, true));
                offset += line.len() as u64;
            }
            prop_assert_eq!(split(&text, stretch), expected.clone());

            let mut index = LineIndex::default();
            text.chunks(stretch).for_each(|part| index.push(part));
            prop_assert_eq!(index.lines(), expected.len() as u64);
            prop_assert_eq!(index.find(0), None);
            prop_assert_eq!(index.find(index.lines() + 1), None);
            for (number, offset, ..) in expected {
                let (at, breaks) = index.find(number).expect("a line");
                let part = &text[at * stretch..];
                let inside = match breaks.checked_sub(1) {
                    Some(nth) => part.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(nth as usize).expect("a break").0 + 1,
                    None => 0,
                };
                prop_assert_eq!((at * stretch + inside) as u64, offset);
                prop_assert!(inside <= stretch);
            }
        }
    }
}
