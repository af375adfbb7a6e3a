//! One part of a file (RFC 9110, section 14).

use std::ops::Range;

use actix_web::http::header::{HeaderMap, RANGE};

/// Which part is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it: no range, several, or one that is not readable.
    Whole,
    /// These bytes.
    Part(Range<u64>),
    /// Bytes behind the end.
    Nothing,
}

impl Wanted {
    /// Reads the range of a request for a file of this size.
    pub(super) fn of(headers: &HeaderMap, size: u64) -> Self {
        let mut ranges = headers.get_all(RANGE);
        match (ranges.next().and_then(|value| value.to_str().ok()), ranges.next()) {
            (Some(range), None) => Self::parse(range, size),
            _ => Self::Whole,
        }
    }

    fn parse(text: &str, size: u64) -> Self {
        let Some((unit, range)) = text.trim().split_once('=') else { return Self::Whole };
        let Some((first, last)) = range.trim().split_once('-') else { return Self::Whole };
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // More digits than a size can have are a number beyond every end.
        let number = |text: &str| text.parse().unwrap_or(u64::MAX);
        if !unit.trim().eq_ignore_ascii_case("bytes") || (first.is_empty() && last.is_empty()) {
            return Self::Whole;
        }
        let (first, last) = (first.trim(), last.trim());
        match (digits(first), digits(last)) {
            (false, true) if first.is_empty() => match number(last) {
                0 => Self::Nothing,
                _ if size == 0 => Self::Nothing,
                length => Self::Part(size.saturating_sub(length)..size),
            },
            (true, false) if last.is_empty() => Self::within(number(first), size, size),
            (true, true) if number(first) <= number(last) => {
                Self::within(number(first), number(last).saturating_add(1), size)
            }
            _ => Self::Whole,
        }
    }

    fn within(first: u64, end: u64, size: u64) -> Self {
        if first < size { Self::Part(first..end.min(size)) } else { Self::Nothing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_cut_to_the_file_and_anything_else_is_ignored() {
        for (text, wanted) in [
            ("bytes=0-0", Wanted::Part(0..1)),
            ("bytes=0-99", Wanted::Part(0..10)),
            ("bytes=3-5", Wanted::Part(3..6)),
            ("Bytes = 9-", Wanted::Part(9..10)),
            ("bytes=-4", Wanted::Part(6..10)),
            ("bytes=-400", Wanted::Part(0..10)),
            ("bytes=5-99999999999999999999999", Wanted::Part(5..10)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=99999999999999999999999-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=5-3", Wanted::Whole),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=1", Wanted::Whole),
            ("lines=0-1", Wanted::Whole),
            ("", Wanted::Whole),
        ] {
            assert_eq!(Wanted::parse(text, 10), wanted, "{text}");
        }
        assert_eq!(Wanted::parse("bytes=-1", 0), Wanted::Nothing);
    }
}
