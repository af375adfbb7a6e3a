//! The time that a runner writes before each entry of a log (contract, section 5.6).
//!
//! Runners with `FF_TIMESTAMPS`, the default since 18.7, begin each entry with `2026-11-20T10:00:00.123456Z 00O `: the time in
//! UTC with microseconds, the stream's number in two hexadecimal digits, `O` or `E` for standard output or error, and a space, or
//! `+` when the entry goes on where the last one of the same stream and type ended. That is what GitLab's own viewer takes for a
//! stamp; anything else is text of the line.

/// How long a stamp is.
pub const STAMP_BYTES: usize = 32;

/// How long the time in it is.
const TIME_BYTES: usize = 27;

/// The least and the greatest byte at each place of a stamp; of the last four more is asked.
const FIRST: &[u8; STAMP_BYTES] = b"0000-00-00T00:00:00.000000Z 00E ";
const LAST: &[u8; STAMP_BYTES] = b"9999-99-99T99:99:99.999999Z ffO+";

/// What becomes of the stamps.
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

/// The stamp of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp<'a> {
    /// When, as written: RFC 3339 in UTC with microseconds.
    pub time: &'a str,
    /// The number of the stream: 0 is the runner's own.
    pub number: u8,
    /// Where to.
    pub stream: Stream,
    /// The entry goes on with the line of the last one of the same number and stream.
    pub continues: bool,
}

impl<'a> Stamp<'a> {
    /// Reads the stamp of an entry, if it has one.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let head = line.first_chunk::<STAMP_BYTES>()?;
        // All at once, which is several times faster than one by one.
        let fits = head
            .iter()
            .zip(FIRST)
            .zip(LAST)
            .fold(true, |fits, ((byte, first), last)| fits & (byte >= first) & (byte <= last));
        let [.., high, low, stream, goes_on] = *head;
        let (number, true) = (digit(high).zip(digit(low)), fits) else { return None };
        let (high, low) = number?;
        Some(Self {
            time: std::str::from_utf8(&head[..TIME_BYTES]).ok()?,
            number: high << 4 | low,
            stream: match stream {
                b'O' => Stream::Out,
                b'E' => Stream::Err,
                _ => return None,
            },
            continues: match goes_on {
                b'+' => true,
                b' ' => false,
                _ => return None,
            },
        })
    }

    /// Returns whether an entry is one that goes on with a line.
    pub(super) fn is_continuing(entry: &[u8]) -> bool {
        entry.get(STAMP_BYTES - 1) == Some(&b'+') && Stamp::parse(entry).is_some()
    }

    /// Returns an entry without its stamp.
    pub fn strip(line: &[u8]) -> &[u8] {
        if Stamp::parse(line).is_some() { &line[STAMP_BYTES..] } else { line }
    }
}

/// Reads a hexadecimal digit as a runner writes it.
fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_shape_is_a_stamp() {
        let line = b"2026-11-20T10:00:00.123456Z 0aE+go on";
        let stamp = Stamp::parse(line).expect("a stamp");
        assert_eq!((stamp.time, stamp.number), ("2026-11-20T10:00:00.123456Z", 10));
        assert_eq!((stamp.stream, stamp.continues), (Stream::Err, true));
        assert_eq!(Stamp::strip(line), b"go on");
        for other in [
            &b"2026-11-20T10:00:00.123456Z 00O"[..],
            b"2026-11-20T10:00:00.123456Z 00X text",
            b"2026-11-20 10:00:00.123456Z 00O text",
            b"2026-11-20T10:00:00.123456Z 0AO text",
            b"2026-11-20T10:00:00.123456Z 0:O text",
            b"2026-11-20T10:00:00.123456Z 00O*text",
            b"2026-11-20T10:00:00,123456Z 00O text",
            b"",
        ] {
            assert_eq!(Stamp::parse(other), None);
            assert_eq!(Stamp::strip(other), other);
        }
    }
}
