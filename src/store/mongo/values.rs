//! How numbers, times and bytes of the domain are written into BSON and read back.

use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, DateTime};

use crate::domain::Timestamp;

/// Returns a number as BSON holds it; GitLab's ids and our sizes end at 2^63 - 1.
pub(super) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Returns a stored number; what should never be negative counts as 0 when it is.
pub(super) fn natural(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// Returns a stored small number, at most `u32::MAX`.
pub(super) fn small(value: i64) -> u32 {
    u32::try_from(value.max(0)).unwrap_or(u32::MAX)
}

/// Returns a time as BSON holds it.
pub(super) fn date(time: Timestamp) -> DateTime {
    DateTime::from_millis(time.as_millis())
}

/// Returns a stored time.
pub(super) fn time(date: DateTime) -> Timestamp {
    Timestamp::from_millis(date.timestamp_millis())
}

/// Returns bytes as MongoDB holds them; none when there are none.
pub(super) fn some_bytes(bytes: &[u8]) -> Option<Binary> {
    (!bytes.is_empty()).then(|| Binary { subtype: BinarySubtype::Generic, bytes: bytes.into() })
}

/// Returns stored bytes.
pub(super) fn bytes(stored: Option<&Binary>) -> Box<[u8]> {
    stored.map(|binary| binary.bytes.clone().into()).unwrap_or_default()
}
