//! `api.*`: how readers' misses are answered.

use std::time::Duration;

use super::keys::{API_MAX_AGE, API_READ_THROUGH};
use super::reader::Reader;

/// The oldest answer that may be accepted: longer, and nobody would notice that reading through is on.
const LONGEST: Duration = Duration::from_secs(86_400);

/// How readers' misses are answered (design, section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Api {
    /// `api.read_through`: what is not cached, not settled or too old is fetched.
    pub read_through: bool,
    /// `api.max_age`: how old an answer about something unfinished may be.
    pub max_age: Duration,
}

impl Api {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let read_through = reader.switch(&API_READ_THROUGH);
        let max_age = reader.duration(&API_MAX_AGE, Duration::ZERO..=LONGEST);
        Some(Self { read_through: read_through?, max_age: max_age? })
    }
}
