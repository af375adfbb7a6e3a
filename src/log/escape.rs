//! Terminal control sequences (ECMA-48) as tokens, piece by piece.
//!
//! A sequence never goes beyond its line and never holds more than a few bytes: what is longer or broken is dropped as far as
//! it looked like a sequence, so that an `ESC ]` which nobody ends cannot hide the rest of a log.

/// Parameters kept of one sequence; of a longer one only the end is found.
const PARAMETER_BYTES: usize = 128;

/// A part of a log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// Anything that is neither of the others; valid UTF-8 or not.
    Text(&'a [u8]),
    /// A control character: `\n`, `\r`, `\t`, NUL, …
    Control(u8),
    /// A control sequence with its parameters; empty when there were too many.
    Csi(&'a [u8], u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Ground,
    /// After `ESC`.
    Escape,
    /// Within `ESC [`.
    Csi,
    /// Within `ESC ]`, `ESC P`, `ESC X`, `ESC ^` or `ESC _`, which end with `BEL` or `ESC \`.
    Text,
    /// After an `ESC` within those.
    TextEscape,
}

/// Finds sequences in a text that comes in pieces.
#[derive(Debug, Default)]
pub(super) struct Escapes {
    state: State,
    parameters: Vec<u8>,
    overlong: bool,
}

impl Escapes {
    /// Takes a piece and tells its tokens.
    pub(super) fn push(&mut self, input: &[u8], each: &mut impl FnMut(Token<'_>)) {
        let mut at = 0;
        while at < input.len() {
            if self.state == State::Ground {
                let plain = input[at..].iter().position(|byte| *byte < 0x20 || *byte == 0x7f);
                let end = plain.map_or(input.len(), |length| at + length);
                if end > at {
                    each(Token::Text(&input[at..end]));
                }
                at = end;
            }
            if let Some(byte) = input.get(at) {
                self.byte(*byte, each);
                at += 1;
            }
        }
    }

    fn byte(&mut self, byte: u8, each: &mut impl FnMut(Token<'_>)) {
        match (self.state, byte) {
            // No sequence goes beyond its line.
            (_, b'\n') => {
                self.state = State::Ground;
                each(Token::Control(b'\n'));
            }
            (State::Text, 0x1b) => self.state = State::TextEscape,
            (State::Text, 0x07) | (State::TextEscape, b'\\') => self.state = State::Ground,
            (State::Text, _) => {}
            // Any other ESC ends the text and begins something else.
            (State::TextEscape, _) => self.escape(byte),
            (_, 0x1b) => self.state = State::Escape,
            (State::Ground, _) => each(Token::Control(byte)),
            (State::Escape, _) => self.escape(byte),
            (State::Csi, 0x20..=0x3f) => {
                self.overlong |= self.parameters.len() == PARAMETER_BYTES;
                if !self.overlong {
                    self.parameters.push(byte);
                }
            }
            (State::Csi, 0x40..=0x7e) => {
                self.state = State::Ground;
                each(Token::Csi(
                    if self.overlong { b"" } else { &self.parameters },
                    if self.overlong { 0 } else { byte },
                ));
            }
            // Broken: what follows is text again.
            (State::Csi, _) => {
                self.state = State::Ground;
                let text = [byte];
                each(if byte < 0x20 || byte == 0x7f { Token::Control(byte) } else { Token::Text(&text) });
            }
        }
    }

    /// Takes the byte after `ESC`.
    fn escape(&mut self, byte: u8) {
        self.state = match byte {
            b'[' => {
                self.parameters.clear();
                self.overlong = false;
                State::Csi
            }
            b']' | b'P' | b'X' | b'^' | b'_' => State::Text,
            0x1b => State::Escape,
            // Intermediate bytes, as in `ESC ( B`: one more follows.
            0x20..=0x2f => State::Escape,
            _ => State::Ground,
        };
    }
}

/// Leaves of a line that comes in pieces what it shows in the end: no control sequences, and nothing that a `\r` took back.
#[derive(Debug, Default)]
pub(super) struct Shown {
    escapes: Escapes,
    /// The cursor is at the line's beginning.
    returned: bool,
}

impl Shown {
    /// Takes a piece, adds what it shows to what is shown, or puts it in its place; returns whether something was taken back.
    pub(super) fn push(&mut self, text: &[u8], shown: &mut Vec<u8>) -> bool {
        let Self { escapes, returned } = self;
        let mut taken_back = false;
        let mut take_back = |shown: &mut Vec<u8>| {
            taken_back = true;
            shown.clear();
        };
        escapes.push(text, &mut |token| match token {
            Token::Text(text) => {
                if std::mem::take(returned) {
                    take_back(shown);
                }
                shown.extend_from_slice(text);
            }
            Token::Control(b'\r') => *returned = true,
            Token::Control(byte) => shown.push(byte),
            Token::Csi(parameters, b'K') if parameters == b"2" || (*returned && matches!(parameters, b"" | b"0")) => {
                take_back(shown);
            }
            Token::Csi(..) => {}
        });
        taken_back
    }
}

/// Returns what a line, without its stamp, shows in the end.
pub(super) fn shown(line: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if memchr::memchr2(0x1b, b'\r', line).is_none() {
        return line.into();
    }
    let mut text = Vec::with_capacity(line.len());
    Shown::default().push(line, &mut text);
    text.into()
}

/// Returns a text without its control sequences, with everything else, control characters too, as it is.
pub(super) fn without_sequences(text: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    if memchr::memchr(0x1b, text).is_none() {
        return text.into();
    }
    let mut clean = Vec::with_capacity(text.len());
    Escapes::default().push(text, &mut |token| match token {
        Token::Text(text) => clean.extend_from_slice(text),
        Token::Control(byte) => clean.push(byte),
        Token::Csi(..) => {}
    });
    clean.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_go_and_text_stays() {
        for (raw, clean) in [
            (&b"\x1b[32;1m$ make\x1b[0;m"[..], &b"$ make"[..]),
            (b"a\x1b]0;title\x07b", b"ab"),
            (b"a\x1b]8;;http://x\x1b\\b\x1b]8;;\x1b\\c", b"abc"),
            (b"a\x1bPq#0;2\x1b\\b", b"ab"),
            (b"a\x1b(Bb", b"ab"),
            (b"a\x1b]52;c;never ended\nnext", b"a\nnext"),
            (b"a\x1b[12\nb", b"a\nb"),
            (b"a\x1b[1\xffb", b"a\xffb"),
            (b"a\x1b", b"a"),
            (b"tab\tand\rreturn", b"tab\tand\rreturn"),
        ] {
            assert_eq!(without_sequences(raw).as_ref(), clean, "{raw:?}");
        }
    }

    #[test]
    fn of_a_line_the_last_state_is_shown() {
        for (raw, text) in [
            (&b"10%\r50%\r100%"[..], &b"100%"[..]),
            (b"10%\r", b"10%"),
            (b"10%\r\x1b[K", b""),
            (b"10%\r\x1b[0;32m20%\x1b[0m", b"20%"),
            (b"gone\x1b[2Kkept", b"kept"),
            (b"not gone\x1b[K", b"not gone"),
            (b"section_end:1:a\r\x1b[0Ksection_start:1:b\r\x1b[0K\x1b[36;1mTitle\x1b[0;m", b"Title"),
            (b"plain", b"plain"),
        ] {
            assert_eq!(shown(raw).as_ref(), text, "{raw:?}");
        }
    }

    #[test]
    fn a_sequence_with_endless_parameters_is_dropped_and_not_kept() {
        let mut raw = b"a\x1b[".to_vec();
        raw.extend(b"1;".repeat(10_000));
        raw.extend(b"mb");
        assert_eq!(without_sequences(&raw).as_ref(), b"ab");
    }
}
