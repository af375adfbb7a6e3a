//! The time that a runner writes before each line (contract, section 5.6).
//!
//! Runners with `FF_TIMESTAMPS` begin each line with `2026-11-20T10:00:00.123456Z 00O `: the time in UTC with microseconds, the
//! stream's number in two hexadecimal digits, `O` or `E` for standard output or error, and a space, or `+` when the line goes on
//! with the one before. That is what GitLab's own viewer takes for a prefix; anything else is text of the line.

/// How long a prefix is.
pub const STAMP_BYTES: usize = 32;

/// How long the time in it is.
const TIME_BYTES: usize = 27;

/// What becomes of the prefixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Timestamps {
    /// They stay.
    #[default]
    Keep,
    /// They are left out.
    Strip,
}

/// Where a line was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// The prefix of one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp<'a> {
    /// When, as written: RFC 3339 in UTC with microseconds.
    pub time: &'a str,
    /// Where to.
    pub stream: Stream,
    /// The line goes on with the one before it.
    pub continues: bool,
}

impl<'a> Stamp<'a> {
    /// Reads the prefix of a line, if it has one.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        const SHAPE: &[u8; STAMP_BYTES] = b"dddd-dd-ddTdd:dd:dd.ddddddZ hhS+";
        let head = line.get(..STAMP_BYTES)?;
        let fits = |(byte, shape): (&u8, &u8)| match shape {
            b'd' => byte.is_ascii_digit(),
            b'h' => byte.is_ascii_digit() || (b'a'..=b'f').contains(byte),
            b'S' => matches!(byte, b'O' | b'E'),
            b'+' => matches!(byte, b'+' | b' '),
            exact => byte == exact,
        };
        if !head.iter().zip(SHAPE).all(fits) {
            return None;
        }
        Some(Self {
            time: std::str::from_utf8(&head[..TIME_BYTES]).ok()?,
            stream: if head[STAMP_BYTES - 2] == b'E' { Stream::Err } else { Stream::Out },
            continues: head[STAMP_BYTES - 1] == b'+',
        })
    }

    /// Returns a line without its prefix.
    pub fn strip(line: &[u8]) -> &[u8] {
        if Stamp::parse(line).is_some() { &line[STAMP_BYTES..] } else { line }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_shape_is_a_prefix() {
        let line = b"2026-11-20T10:00:00.123456Z 0aE+go on";
        let stamp = Stamp::parse(line).expect("a prefix");
        assert_eq!((stamp.time, stamp.stream, stamp.continues), ("2026-11-20T10:00:00.123456Z", Stream::Err, true));
        assert_eq!(Stamp::strip(line), b"go on");
        for other in [
            &b"2026-11-20T10:00:00.123456Z 00O"[..],
            b"2026-11-20T10:00:00.123456Z 00X text",
            b"2026-11-20 10:00:00.123456Z 00O text",
            b"2026-11-20T10:00:00.123456Z 0AO text",
            b"",
        ] {
            assert_eq!(Stamp::parse(other), None);
            assert_eq!(Stamp::strip(other), other);
        }
    }
}
