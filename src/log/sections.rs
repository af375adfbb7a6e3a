//! The sections that a runner marks in its log.
//!
//! `section_start:<unix seconds>:<name>[<options>]\r ESC[0K` begins one and `section_end:<unix seconds>:<name>\r ESC[0K` ends it
//! (contract, section 5.6); what of that shape a script prints counts as well, as it does for GitLab. Of a log with stamps runners
//! up to 19.0 write what follows the `\r` as an entry of its own; in the joined line both forms are the same. A marker may stand
//! behind a time stamp and other sequences, and several may share a line; a line with something to show ends before one. An end
//! closes the innermost open section of its name; one that closes nothing is passed over; what is never closed ends with the log.
//! A section begins with the first line that shows something behind its marker, and may have none.

use memchr::memmem;

use super::splitter::LinePiece;

/// Sections kept of one log.
pub const MAX_SECTIONS: usize = 1_000;

/// The longest name of a section; a longer one is no marker.
pub const MAX_NAME_BYTES: usize = 128;

/// How deeply sections may be nested; deeper ones are left out.
pub const MAX_DEPTH: usize = 32;

/// The longest list of options.
const MAX_OPTIONS_BYTES: usize = 256;

pub(super) const WORD: &[u8] = b"section_";
const TAIL: &[u8] = b"\r\x1b[0K";

/// A part of a log with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Its name: ASCII letters, digits, `_`, `.` and `-`.
    pub name: Box<str>,
    /// When it began, in Unix seconds, as the log says.
    pub started: u64,
    /// When it ended; `None` when the log does not say.
    pub ended: Option<u64>,
    /// How many sections it is within.
    pub depth: u32,
    /// The line with its beginning.
    pub first_line: u64,
    /// Its last line; the one before its first when it has none.
    pub last_line: u64,
    /// A viewer shows only its first line until asked.
    pub collapsed: bool,
}

impl Section {
    /// Returns how long it took in seconds; 0 when the log has it end before it began.
    pub fn seconds(&self) -> Option<u64> {
        self.ended.map(|ended| ended.saturating_sub(self.started))
    }
}

/// The sections of a log, in the order of their beginnings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sections {
    /// The sections.
    pub all: Vec<Section>,
    /// There were more, or deeper ones, than are kept.
    pub truncated: bool,
}

impl Sections {
    /// Returns the first section of a name.
    pub fn find(&self, name: &str) -> Option<&Section> {
        self.all.iter().find(|section| &*section.name == name)
    }
}

/// Finds the sections of a log whose lines come in pieces.
#[derive(Debug, Default)]
pub struct SectionScanner {
    found: Sections,
    /// Places of open sections in `found`, outermost first.
    open: Vec<usize>,
    /// How many lines were shown.
    lines: u64,
}

/// A section's beginning or end.
pub(super) struct Marker {
    begins: bool,
    at: u64,
    name: Box<str>,
    collapsed: bool,
    /// How long it is.
    pub(super) length: usize,
}

/// What a text that begins with [`WORD`] is.
pub(super) enum Parsed {
    Marker(Marker),
    Other,
    /// More is needed to tell.
    Unfinished,
}

impl SectionScanner {
    /// Takes the next piece of a line.
    pub fn push(&mut self, piece: &LinePiece<'_>) {
        self.lines = piece.number - u64::from(!piece.shown);
        let mut rest = if piece.marked { piece.text } else { b"" };
        while let Some(at) = memmem::find(rest, WORD) {
            rest = &rest[at..];
            rest = match Marker::parse(rest) {
                Parsed::Marker(marker) => {
                    let after = &rest[marker.length..];
                    self.take(marker, piece.number);
                    after
                }
                Parsed::Unfinished | Parsed::Other => &rest[WORD.len()..],
            };
        }
    }

    /// Returns the sections of the whole log.
    pub fn finish(mut self) -> Sections {
        for open in std::mem::take(&mut self.open) {
            self.found.all[open].last_line = self.lines;
        }
        self.found
    }

    fn take(&mut self, marker: Marker, line: u64) {
        if marker.begins {
            if self.found.all.len() == MAX_SECTIONS || self.open.len() == MAX_DEPTH {
                self.found.truncated = true;
                return;
            }
            self.open.push(self.found.all.len());
            self.found.all.push(Section {
                name: marker.name,
                started: marker.at,
                ended: None,
                depth: u32::try_from(self.open.len() - 1).unwrap_or(u32::MAX),
                first_line: line,
                last_line: line - 1,
                collapsed: marker.collapsed,
            });
        } else if let Some(place) = self.open.iter().rposition(|open| self.found.all[*open].name == marker.name) {
            let section = &mut self.found.all[self.open.remove(place)];
            section.ended = Some(marker.at);
            section.last_line = line - 1;
        }
    }
}

impl Marker {
    /// Reads a marker at the beginning of a text that begins with [`WORD`].
    pub(super) fn parse(text: &[u8]) -> Parsed {
        let mut rest = &text[WORD.len()..];
        let begins = match take(&mut rest, b"start:") {
            Some(true) => true,
            None => return Parsed::Unfinished,
            Some(false) => match take(&mut rest, b"end:") {
                Some(true) => false,
                None => return Parsed::Unfinished,
                Some(false) => return Parsed::Other,
            },
        };
        // 12 digits reach the year 33658.
        let Some(digits) = span(&mut rest, 12, |byte| byte.is_ascii_digit()) else { return unfinished(rest) };
        let at = digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
        match take(&mut rest, b":") {
            Some(true) => {}
            Some(false) => return Parsed::Other,
            None => return Parsed::Unfinished,
        }
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        let Some(name) = span(&mut rest, MAX_NAME_BYTES, is_name) else { return unfinished(rest) };
        let mut options: &[u8] = b"";
        if take(&mut rest, b"[") == Some(true) {
            let is_option = |byte: u8| byte >= b' ' && byte != b']' && byte < 0x7f;
            options = span(&mut rest, MAX_OPTIONS_BYTES, is_option).unwrap_or_default();
            match take(&mut rest, b"]") {
                Some(true) => {}
                Some(false) => return Parsed::Other,
                None => return Parsed::Unfinished,
            }
        }
        match take(&mut rest, TAIL) {
            Some(true) => {}
            Some(false) => return Parsed::Other,
            None => return Parsed::Unfinished,
        }
        let collapsed = options.split(|byte| *byte == b',').any(|option| option.trim_ascii() == b"collapsed=true");
        let name = String::from_utf8_lossy(name).into();
        Parsed::Marker(Self { begins, at, name, collapsed, length: text.len() - rest.len() })
    }
}

/// Takes a word off a text: whether it begins with it, `None` when it is too short to tell.
fn take(rest: &mut &[u8], word: &[u8]) -> Option<bool> {
    if let Some(after) = rest.strip_prefix(word) {
        *rest = after;
        return Some(true);
    }
    if word.starts_with(rest) { None } else { Some(false) }
}

/// Takes at least one and at most `most` bytes off a text; `None` when there is none or the text ends before they do.
fn span<'a>(rest: &mut &'a [u8], most: usize, fits: impl Fn(u8) -> bool) -> Option<&'a [u8]> {
    let length = rest.iter().take(most).take_while(|byte| fits(**byte)).count();
    if length == 0 {
        return None;
    }
    let (taken, after) = rest.split_at(length);
    *rest = after;
    Some(taken)
}

/// Nothing more was there to read, or something else.
fn unfinished(rest: &[u8]) -> Parsed {
    if rest.is_empty() { Parsed::Unfinished } else { Parsed::Other }
}

#[cfg(test)]
mod tests;
