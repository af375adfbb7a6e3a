//! Entries: what a runner wrote with one stamp, or a line of a log without stamps.
//!
//! An entry ends with `\n` and only there. Whether it has a stamp shows in its first [`STAMP_BYTES`] bytes, which are held until
//! they are all there.

use super::timestamps::{STAMP_BYTES, Stamp, Stream};

/// Whose entry it is: the number and the type of its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Source(u16);

impl Source {
    /// How many there can be.
    pub(super) const COUNT: usize = 512;

    /// Returns its place among all.
    pub(super) fn place(self) -> usize {
        usize::from(self.0)
    }
}

/// How an entry begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Whose it is; `None` when it has no stamp.
    pub(super) source: Option<Source>,
    /// It goes on with a line of the same source.
    pub(super) continues: bool,
}

impl Head {
    fn of(entry: &[u8]) -> Self {
        let Some(stamp) = Stamp::parse(entry) else { return Self { source: None, continues: false } };
        let source = Source(u16::from(stamp.number) << 1 | u16::from(stamp.stream == Stream::Err));
        Self { source: Some(source), continues: stamp.continues }
    }
}

/// An entry, or a part of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct EntryPart<'a> {
    /// Where the part begins in the log.
    pub(super) offset: u64,
    /// The entry begins here. Its stamp, if it has one, is in the text.
    pub(super) head: Option<Head>,
    /// The part, without the line break.
    pub(super) text: &'a [u8],
    /// A line break follows.
    pub(super) ends: bool,
    /// It is known that what follows does not go on with a line. That may be so where it is not known.
    pub(super) alone: bool,
}

/// Cuts a log that comes in stretches into entries.
#[derive(Debug)]
pub(super) struct Entries {
    /// The beginning of an entry that is too short to tell what it is.
    held: Vec<u8>,
    /// Where the next byte is in the log.
    offset: u64,
    /// The next byte is of an entry that has begun.
    within: bool,
}

impl Entries {
    /// Begins at an entry's beginning, or `within` one.
    pub(super) fn new(offset: u64, within: bool) -> Self {
        Self { held: Vec::new(), offset, within }
    }

    /// Takes the next stretch and tells what is in it.
    pub(super) fn push(&mut self, mut input: &[u8], each: &mut impl FnMut(EntryPart<'_>)) {
        while !input.is_empty() {
            if !self.held.is_empty() {
                input = self.fill(input, each);
                continue;
            }
            let end = memchr::memchr(b'\n', input);
            let (text, rest) = input.split_at(end.unwrap_or(input.len()));
            if !self.within && end.is_none() && text.len() < STAMP_BYTES {
                return self.held.extend_from_slice(text);
            }
            let rest = &rest[usize::from(end.is_some())..];
            self.tell(text, end.is_some(), rest, each);
            input = rest;
        }
    }

    /// Tells what is held: nothing follows.
    pub(super) fn finish(mut self, each: &mut impl FnMut(EntryPart<'_>)) {
        if !self.held.is_empty() {
            let held = std::mem::take(&mut self.held);
            self.tell(&held, false, b"", each);
        }
    }

    /// Adds to what is held until it can be told; returns what is left.
    fn fill<'a>(&mut self, input: &'a [u8], each: &mut impl FnMut(EntryPart<'_>)) -> &'a [u8] {
        let window = &input[..input.len().min(STAMP_BYTES - self.held.len())];
        let end = memchr::memchr(b'\n', window);
        let (text, rest) = input.split_at(end.unwrap_or(window.len()));
        let rest = &rest[usize::from(end.is_some())..];
        self.held.extend_from_slice(text);
        if end.is_some() || self.held.len() == STAMP_BYTES {
            let mut held = std::mem::take(&mut self.held);
            self.tell(&held, end.is_some(), rest, each);
            held.clear();
            self.held = held;
        }
        rest
    }

    fn tell(&mut self, text: &[u8], ends: bool, rest: &[u8], each: &mut impl FnMut(EntryPart<'_>)) {
        let head = if self.within { None } else { Some(Head::of(text)) };
        let alone = ends && rest.len() >= STAMP_BYTES && !Stamp::is_continuing(rest);
        each(EntryPart { offset: self.offset, head, text, ends, alone });
        self.offset += text.len() as u64 + u64::from(ends);
        self.within = !ends;
    }
}
