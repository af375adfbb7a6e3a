//! Why something cannot be used, and since when.

use serde::Serialize;

use super::Timestamp;

/// An outage that goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outage {
    /// When the first operation failed.
    pub since: Timestamp,
    /// What the last one met, without a path, a host or a secret.
    pub why: String,
}
