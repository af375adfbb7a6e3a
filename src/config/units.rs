//! Texts with units: durations and sizes.
//!
//! A bare number is a size in bytes but never a duration: nobody should have to guess whether `30` means seconds.

use std::time::Duration;

/// Why a text is not what its setting needs, and how to write it instead. Never quotes the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; {fix}")]
pub struct Unfit {
    /// What is wrong with it.
    pub problem: String,
    /// How to write it.
    pub fix: String,
}

impl Unfit {
    pub(super) fn new(problem: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { problem: problem.into(), fix: fix.into() }
    }
}

/// The longest duration that is accepted: ten years.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 86_400);

/// Parses `90s`, `10m`, `24h`, `7d`, `50ms`, `1h30m` or `0`.
pub fn parse_duration(text: &str) -> Result<Duration, Unfit> {
    let unfit = |problem: &str| Unfit::new(problem, "write a whole number and ms, s, m, h or d, such as 90s or 10m");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let (mut rest, mut total) = (text, Duration::ZERO);
    loop {
        let (number, tail) = split_number(rest).ok_or_else(|| unfit("not a duration"))?;
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, next) = tail.split_at(letters);
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "" if next.is_empty() => return Err(unfit("a duration without a unit")),
            _ => return Err(unfit("not a duration")),
        };
        let part = Duration::from_millis(number.checked_mul(millis).ok_or_else(|| unfit("longer than ten years"))?);
        total = total.saturating_add(part);
        if total > LONGEST {
            return Err(unfit("longer than ten years"));
        }
        if next.is_empty() {
            return Ok(total);
        }
        rest = next;
    }
}

/// Parses `1048576`, `64KiB`, `100MiB` or `1GiB` into bytes.
pub fn parse_size(text: &str) -> Result<u64, Unfit> {
    let unfit = |problem: &str| Unfit::new(problem, "write a whole number of bytes, or with KiB, MiB or GiB: 100MiB");
    let (number, unit) = split_number(text).ok_or_else(|| unfit("not a size"))?;
    let factor: u64 = match unit.trim_start() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(unfit("not a size")),
    };
    number.checked_mul(factor).filter(|bytes| i64::try_from(*bytes).is_ok()).ok_or_else(|| unfit("too large"))
}

/// Splits digits from what follows; `None` without digits or with more than a `u64` holds.
fn split_number(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    number.parse().ok().map(|number| (number, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        let read = |text: &str| parse_duration(text).map(|duration| duration.as_millis());
        assert_eq!(read("50ms"), Ok(50));
        assert_eq!(read("30s"), Ok(30_000));
        assert_eq!(read("10m"), Ok(600_000));
        assert_eq!(read("1h30m"), Ok(5_400_000));
        assert_eq!(read("7d"), Ok(604_800_000));
        assert_eq!(read("0"), Ok(0));
        for bad in
            ["", "30", "s", "1.5h", "-1s", "1w", "10 m", "99999999999999999999s", "18446744073709551615d", "9999d"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_duration("30").map_err(|unfit| unfit.problem), Err("a duration without a unit".to_owned()));
    }

    #[test]
    fn sizes_are_bytes_or_powers_of_1024() {
        assert_eq!(parse_size("1"), Ok(1));
        assert_eq!(parse_size("64 KiB"), Ok(65_536));
        assert_eq!(parse_size("100MiB"), Ok(104_857_600));
        assert_eq!(parse_size("1GiB"), Ok(1 << 30));
        for bad in ["", "MiB", "1MB", "1.5GiB", "-1", "99999999999GiB", "9223372036854775808"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
