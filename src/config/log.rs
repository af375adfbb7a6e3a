//! `log.*`: how much is logged, and in what form.

use super::keys::{LOG_FORMAT, LOG_LEVEL};
use super::reader::{Reader, one_of};
use super::surroundings::NO_COLOR;
use super::units::Unfit;
use crate::telemetry::Format;

/// The levels, from silence to everything.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// How much is logged, and in what form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// `log.format`; `None`: text on a terminal, else JSON.
    pub format: Option<Format>,
    /// `log.level`: a level, or `target=level` pairs with commas between.
    pub level: String,
    /// Whether colours are welcome on a terminal: `NO_COLOR` is unset or empty.
    pub color: bool,
}

impl Log {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let format = reader.optional(&LOG_FORMAT, |text| match text {
            "text" => Ok(Format::Text),
            "json" => Ok(Format::Json),
            _ => Err(one_of(&["text", "json"])),
        });
        let level = reader.required(&LOG_LEVEL, parse_level);
        Some(Self { format: format?, level: level?, color: !reader.has_variable(NO_COLOR) })
    }
}

fn parse_level(text: &str) -> Result<String, Unfit> {
    let is_target =
        |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_:".contains(&byte));
    let known = text.split(',').all(|part| match part.trim().split_once('=') {
        Some((target, level)) => is_target(target) && LEVELS.contains(&level),
        None => LEVELS.contains(&part.trim()),
    });
    match known {
        true => Ok(text.to_owned()),
        false => Err(Unfit::new(
            "not a level",
            format!("write {}, or pairs such as cistern::gitlab=debug", LEVELS.join(", ")),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_level_is_not_taken_for_a_target() {
        for good in ["info", "off", "cistern::gitlab=debug", "info,cistern::store=trace, actix_web=warn"] {
            assert!(parse_level(good).is_ok(), "{good}");
        }
        for bad in ["inof", "INFO!", "debug,,", "cistern=loud", "=info", "a b=info"] {
            assert!(parse_level(bad).is_err(), "{bad}");
        }
    }
}
