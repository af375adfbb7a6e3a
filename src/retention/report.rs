//! What a run removed, or would remove.

use serde::Serialize;

use crate::store::BlobKind;

/// What `prune --output json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether it only tells.
    pub dry_run: bool,
    /// Logs.
    pub logs: Part,
    /// Archives of artifacts.
    pub artifacts: Part,
    /// Test reports.
    pub reports: Part,
    /// Pipelines that went as a whole; the bytes are of the logs, archives and reports that went with them.
    pub documents: Part,
    /// How many bytes are stored now, or would be; only told with a limit.
    pub stored_bytes: Option<u64>,
    /// `retention.size`.
    pub size_limit: Option<u64>,
}

/// How much of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Part {
    /// How many.
    pub count: u64,
    /// How many bytes they took.
    pub bytes: u64,
}

impl Part {
    pub(super) fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }
}

impl Report {
    pub(super) fn new(dry_run: bool, size_limit: Option<u64>) -> Self {
        let none = Part::default();
        Self { dry_run, logs: none, artifacts: none, reports: none, documents: none, stored_bytes: None, size_limit }
    }

    pub(super) fn of(&mut self, kind: BlobKind) -> &mut Part {
        match kind {
            BlobKind::Log => &mut self.logs,
            BlobKind::Archive => &mut self.artifacts,
            BlobKind::Report => &mut self.reports,
        }
    }

    /// Returns its parts with their names.
    pub fn parts(&self) -> [(&'static str, Part); 4] {
        [("logs", self.logs), ("artifacts", self.artifacts), ("reports", self.reports), ("documents", self.documents)]
    }

    /// Returns whether there was nothing to remove.
    pub fn is_empty(&self) -> bool {
        self.parts().iter().all(|(_, part)| part.count == 0)
    }

    /// Returns how many bytes went.
    pub fn removed_bytes(&self) -> u64 {
        self.parts().iter().map(|(_, part)| part.bytes).sum()
    }
}
