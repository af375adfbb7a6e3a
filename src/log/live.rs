//! A log while it grows, for people: entries that go on with a line are put behind it as they come.
//!
//! Nothing is held back but the line break at the end, until it is known whether an entry goes on there; so that a terminal shows
//! each state of a progress bar at once. A line that another one has come behind cannot be gone on with: what does begins anew.

use super::entries::{Entries, EntryPart, Source};
use super::escape::{Escapes, Token};
use super::timestamps::{STAMP_BYTES, Timestamps};

/// Puts the entries of a growing log together.
#[derive(Debug)]
pub struct LiveLines {
    entries: Entries,
    shape: Shape,
}

#[derive(Debug)]
struct Shape {
    timestamps: Timestamps,
    /// Whether control sequences stay.
    coloured: bool,
    /// Finds those that have to go, wherever what came is cut.
    escapes: Escapes,
    /// Whose the last line is.
    last: Option<Source>,
    /// It has ended, unless something goes on with it.
    ended: bool,
}

impl LiveLines {
    /// Begins at the beginning of a log; with `coloured` control sequences stay.
    pub fn new(timestamps: Timestamps, coloured: bool) -> Self {
        let shape = Shape { timestamps, coloured, escapes: Escapes::default(), last: None, ended: false };
        Self { entries: Entries::new(0, false), shape }
    }

    /// Takes what the log grew by, and adds what is to be shown.
    pub fn push(&mut self, text: &[u8], out: &mut Vec<u8>) {
        let Self { entries, shape } = self;
        entries.push(text, &mut |part| shape.take(part, out));
    }

    /// Adds what is left.
    pub fn finish(self, out: &mut Vec<u8>) {
        let Self { entries, mut shape } = self;
        entries.finish(&mut |part| shape.take(part, out));
        shape.end(out);
    }
}

impl Shape {
    fn take(&mut self, part: EntryPart<'_>, out: &mut Vec<u8>) {
        let mut text = part.text;
        if let Some(head) = part.head {
            let goes_on = head.continues && head.source == self.last;
            if !goes_on {
                self.end(out);
            }
            if head.source.is_some() && (goes_on || self.timestamps == Timestamps::Strip) {
                text = text.get(STAMP_BYTES..).unwrap_or_default();
            }
            (self.last, self.ended) = (head.source, false);
        }
        if self.coloured {
            out.extend_from_slice(text);
        } else {
            self.escapes.push(text, &mut |token| match token {
                Token::Text(text) => out.extend_from_slice(text),
                Token::Control(byte) => out.push(byte),
                Token::Csi(..) => {}
            });
        }
        self.ended = part.ends;
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.ended) {
            out.push(b'\n');
        }
        // No sequence goes beyond its line.
        self.escapes = Escapes::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(timestamps: Timestamps, coloured: bool, log: &str, piece: usize) -> String {
        let (mut lines, mut out) = (LiveLines::new(timestamps, coloured), Vec::new());
        log.as_bytes().chunks(piece).for_each(|part| lines.push(part, &mut out));
        lines.finish(&mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn what_goes_on_is_put_behind_the_line_unless_another_came_between() {
        let stamp = "2026-11-20T10:00:00.123456Z";
        let log = format!(
            "{stamp} 01O 10%\r\n{stamp} 01O+20%\r\n{stamp} 01E \x1b[31mno\x1b[0m\n{stamp} 01O+30%\r\n{stamp} 01O+\n{stamp} 00O end"
        );
        for piece in [1, 7, 1000] {
            let kept = shown(Timestamps::Strip, true, &log, piece);
            assert_eq!(kept, "10%\r20%\r\n\x1b[31mno\x1b[0m\n30%\r\nend");
            assert_eq!(shown(Timestamps::Strip, false, &log, piece), "10%\r20%\r\nno\n30%\r\nend");
            let stamped = shown(Timestamps::Keep, true, &log, piece);
            assert!(stamped.starts_with(&format!("{stamp} 01O 10%\r20%\r\n{stamp} 01E ")), "{stamped}");
        }
        let plain = "a\r\n\nb\nlast";
        assert_eq!(shown(Timestamps::Strip, true, plain, 2), plain);
    }

    #[test]
    fn the_last_line_is_shown_at_once() {
        let (mut lines, mut out) = (LiveLines::new(Timestamps::Keep, true), Vec::new());
        lines.push(b"Waiting ...\n", &mut out);
        assert_eq!(out, b"Waiting ...");
    }
}
