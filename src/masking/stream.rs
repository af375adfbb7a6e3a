//! Masking a text that comes in pieces of any size.

use std::sync::LazyLock;

use regex::bytes::Regex;

use super::{Ahead, LONGEST, MASK, Rules, shapes};

/// Bytes that are looked at together. The text is always cut at the same places, however it comes.
const STEP: usize = 64 * 1024;

/// Bytes before a place that an expression may look back at, for the start of a word.
const CONTEXT: usize = 8;

/// A key that has not ended after so many bytes was none.
const KEY_BYTES: usize = 16 * 1024;

/// The end of a private key.
static KEY_ENDS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(shapes::KEY_ENDS).ok());

/// How a private key begins.
const KEY_START: &[u8] = b"-----BEGIN ";

/// Masks one text.
#[derive(Debug)]
pub struct Masker {
    rules: Rules,
    /// Some bytes that were handed on already, and then those that wait.
    buffer: Vec<u8>,
    /// Where those that wait begin.
    at: usize,
    state: State,
    count: u64,
    ahead: Vec<Ahead>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Text,
    /// Within a private key, of which so many bytes were masked.
    Key(usize),
    /// Within a match that was too long.
    Word,
}

impl Masker {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules, buffer: Vec::new(), at: 0, state: State::Text, count: 0, ahead: Vec::new() }
    }

    /// Takes the next piece and hands on what is decided.
    pub fn push(&mut self, mut piece: &[u8], out: &mut Vec<u8>) {
        while !piece.is_empty() {
            let room = STEP + LONGEST - (self.buffer.len() - self.at).min(STEP + LONGEST - 1);
            let (now, later) = piece.split_at(piece.len().min(room));
            self.buffer.extend_from_slice(now);
            piece = later;
            if self.buffer.len() - self.at >= STEP + LONGEST {
                self.work(false, out);
            }
        }
    }

    /// Hands on the rest.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.work(true, out);
    }

    /// Returns how many secrets were replaced so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    fn work(&mut self, last: bool, out: &mut Vec<u8>) {
        self.ahead.clear();
        let mut going = true;
        while going {
            going = match self.state {
                State::Text => self.text(last, out),
                State::Key(masked) => self.key(masked, last),
                State::Word => self.word(),
            };
        }
        let handed_on = self.at.saturating_sub(CONTEXT);
        self.buffer.drain(..handed_on);
        self.at -= handed_on;
    }

    /// Looks for the next secret; false when more bytes are needed to go on.
    fn text(&mut self, last: bool, out: &mut Vec<u8>) -> bool {
        let len = self.buffer.len();
        // What begins behind this may go on in bytes that are not here yet.
        let sure = if last { len } else { len.saturating_sub(LONGEST).max(self.at) };
        let found = self.rules.find(&self.buffer, self.at, &mut self.ahead).filter(|(start, _)| *start < sure);
        let Some((start, end)) = found else {
            self.hand_on(sure, out);
            return false;
        };
        self.hand_on(start, out);
        out.extend_from_slice(MASK);
        self.count += 1;
        let is_key = self.buffer.get(start..).is_some_and(|rest| rest.starts_with(KEY_START));
        self.at = end;
        self.state = match is_key {
            true => State::Key(0),
            false if !last && end == len => State::Word,
            false => State::Text,
        };
        self.at < len
    }

    /// Drops a private key to its end.
    fn key(&mut self, masked: usize, last: bool) -> bool {
        let rest = self.buffer.get(self.at..).unwrap_or_default();
        let reach = rest.len().min(KEY_BYTES.saturating_sub(masked));
        let within = rest.get(..reach).unwrap_or_default();
        let end = KEY_ENDS.as_ref().and_then(|ends| ends.find(within)).map(|found| found.end());
        if let Some(end) = end {
            self.at += end;
            self.state = State::Text;
        } else if masked + reach >= KEY_BYTES || last {
            self.at += reach;
            self.state = State::Text;
        } else {
            // The line that ends it may be cut.
            let dropped = reach.saturating_sub(shapes::KEY_LINE_BYTES);
            self.at += dropped;
            self.state = State::Key(masked + dropped);
            return false;
        }
        self.at < self.buffer.len()
    }

    /// Drops what goes on without a blank.
    fn word(&mut self) -> bool {
        let rest = self.buffer.get(self.at..).unwrap_or_default();
        match rest.iter().position(u8::is_ascii_whitespace) {
            Some(blank) => {
                self.at += blank;
                self.state = State::Text;
                true
            }
            None => {
                self.at = self.buffer.len();
                false
            }
        }
    }

    fn hand_on(&mut self, to: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(self.buffer.get(self.at..to).unwrap_or_default());
        self.at = self.at.max(to);
    }
}
