//! Turns a log into what readers asked for: byte for byte, plain text, or harmless HTML.
//!
//! Each line is one line in the end, however many entries it is of, with the stamp of the first. Plain text and HTML are valid
//! UTF-8. They show what a terminal would: `\r` goes back to the line's beginning and what follows takes the place of what was there, as progress bars want it; section markers vanish by
//! the same rule, and begin a line where something is before them. Control sequences other than colours, control characters but for tabs, and C1 characters are left out; what
//! is no UTF-8 becomes U+FFFD. In HTML characters that change the direction of text become U+FFFD too; every character is
//! escaped before anything else is written, at most one `<span>` is open, and none goes beyond its line.
//!
//! It holds 64 KiB of a line: of a longer one the beginning has been shown when its `\r` comes, which then is a space.

use super::escape::{Escapes, Token};
use super::splitter::LinePiece;
use super::style::Style;
use super::timestamps::{STAMP_BYTES, Timestamps};
use super::utf8::Utf8;

/// How much of a line can still be taken back.
const LINE_BYTES: usize = 64 * 1024;

/// What becomes of terminal control sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ansi {
    /// The log as its job wrote it, byte for byte.
    #[default]
    Keep,
    /// Text as a terminal would show it, without colours.
    Strip,
    /// The same as HTML, colours as classes (see [`stylesheet`](super::stylesheet)).
    Html,
}

/// Renders lines that come in pieces.
#[derive(Debug)]
pub struct Renderer {
    ansi: Ansi,
    timestamps: Timestamps,
    escapes: Escapes,
    screen: Screen,
    /// The line before ended without a line break.
    open: bool,
}

/// The current line as a terminal shows it.
#[derive(Debug)]
struct Screen {
    html: bool,
    utf8: Utf8,
    line: Vec<u8>,
    /// A stamp at the line's beginning, which nothing overwrites.
    floor: usize,
    /// The cursor is at the line's beginning.
    returned: bool,
    /// Some of the line has been shown.
    shown: bool,
    style: Style,
    /// The style of the span that is open.
    span: Option<Style>,
}

impl Renderer {
    /// Begins at a line's beginning.
    pub fn new(ansi: Ansi, timestamps: Timestamps) -> Self {
        let screen = Screen {
            html: ansi == Ansi::Html,
            utf8: Utf8::default(),
            line: Vec::new(),
            floor: 0,
            returned: false,
            shown: false,
            style: Style::default(),
            span: None,
        };
        Self { ansi, timestamps, escapes: Escapes::default(), screen, open: false }
    }

    /// Takes the next piece of a line and adds what can be shown of it.
    pub fn push(&mut self, piece: &LinePiece<'_>, out: &mut Vec<u8>) {
        let (stamp, text) = piece.text.split_at(if piece.stamped { STAMP_BYTES } else { 0 });
        if piece.first && std::mem::take(&mut self.open) && self.ansi != Ansi::Keep {
            out.push(b'\n');
        }
        match (self.timestamps, self.ansi) {
            (Timestamps::Strip, _) => {}
            (Timestamps::Keep, Ansi::Keep) => out.extend_from_slice(stamp),
            (Timestamps::Keep, _) => {
                self.screen.line.extend_from_slice(stamp);
                self.screen.floor = self.screen.line.len();
            }
        }
        self.text(text, out);
        if piece.last && piece.broken {
            self.text(b"\n", out);
        } else if piece.last {
            self.screen.end_line(out);
            self.open = true;
        }
    }

    fn text(&mut self, text: &[u8], out: &mut Vec<u8>) {
        if self.ansi == Ansi::Keep {
            return out.extend_from_slice(text);
        }
        let Self { escapes, screen, .. } = self;
        escapes.push(text, &mut |token| screen.token(token, out));
    }
}

impl Screen {
    fn token(&mut self, token: Token<'_>, out: &mut Vec<u8>) {
        match token {
            Token::Text(text) => {
                self.text(text);
                if self.line.len() >= LINE_BYTES {
                    out.append(&mut self.line);
                    (self.floor, self.shown) = (0, true);
                }
            }
            Token::Control(b'\n') => {
                self.end_line(out);
                out.push(b'\n');
            }
            Token::Control(b'\r') => {
                self.end_text();
                self.returned = true;
            }
            Token::Control(b'\t') => self.text(b"\t"),
            Token::Control(_) => self.end_text(),
            Token::Csi(parameters, b'm') => {
                self.end_text();
                self.style.apply(parameters);
            }
            // Erases from the cursor to the line's end, or the line.
            Token::Csi(parameters, b'K') => {
                self.end_text();
                if matches!(parameters, b"2") || (self.returned && matches!(parameters, b"" | b"0")) {
                    self.erase();
                }
            }
            Token::Csi(..) => self.end_text(),
        }
    }

    /// Adds what the line shows.
    fn end_line(&mut self, out: &mut Vec<u8>) {
        self.end_text();
        self.close_span();
        out.append(&mut self.line);
        (self.floor, self.returned, self.shown) = (0, false, false);
    }

    /// Takes back what the line shows.
    fn erase(&mut self) {
        if !self.shown {
            self.line.truncate(self.floor);
            self.span = None;
        }
    }

    fn text(&mut self, text: &[u8]) {
        if std::mem::take(&mut self.returned) {
            self.erase();
            if self.shown {
                self.line.push(b' ');
            }
        }
        let mut utf8 = std::mem::take(&mut self.utf8);
        utf8.push(text, &mut |text| self.show(text));
        self.utf8 = utf8;
    }

    /// Something else than text follows: half a character is none.
    fn end_text(&mut self) {
        let mut utf8 = std::mem::take(&mut self.utf8);
        utf8.end(&mut |text| self.show(text));
    }

    fn show(&mut self, text: &str) {
        if self.html && self.span.unwrap_or_default() != self.style {
            self.close_span();
            if !self.style.is_plain() {
                self.style.open(&mut self.line);
                self.span = Some(self.style);
            }
        }
        let mut plain = 0;
        for (at, character) in text.char_indices() {
            let shown = match character {
                // C1: what follows an 8-bit CSI or OSC is text, and harmless.
                '\u{80}'..='\u{9f}' => "",
                '&' if self.html => "&amp;",
                '<' if self.html => "&lt;",
                '>' if self.html => "&gt;",
                '"' if self.html => "&quot;",
                '\'' if self.html => "&#39;",
                '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
                    if self.html =>
                {
                    "\u{fffd}"
                }
                _ => continue,
            };
            self.line.extend_from_slice(&text.as_bytes()[plain..at]);
            self.line.extend_from_slice(shown.as_bytes());
            plain = at + character.len_utf8();
        }
        self.line.extend_from_slice(&text.as_bytes()[plain..]);
    }

    fn close_span(&mut self) {
        if self.span.take().is_some() {
            self.line.extend_from_slice(b"</span>");
        }
    }
}

#[cfg(test)]
mod tests;
