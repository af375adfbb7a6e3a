//! What is too much: beyond `retention.size` the logs and archives of the oldest jobs go, and when there are none left, the
//! reports of the oldest pipelines.

use std::collections::VecDeque;

use super::Run;
use crate::domain::Timestamp;
use crate::store::{BlobKind, Error, KeptBlob};

/// Blobs read at a time.
const PAGE: u64 = 200;

/// The blobs of one kind, oldest first.
struct Oldest {
    kind: BlobKind,
    ahead: VecDeque<KeptBlob>,
    after: Option<u64>,
    ended: bool,
}

impl Run<'_> {
    /// Removes the oldest until the rest fits.
    pub(super) async fn too_much(&mut self) -> Result<(), Error> {
        let Some(limit) = self.retention.config.size else { return Ok(()) };
        // One look at all blobs, none of it by day.
        let usage = self.retention.store.usage(Timestamp::from_millis(i64::MAX)).await?;
        let stored: u64 = usage.iter().map(|usage| usage.stored).sum();
        // What a real run has removed by age is not among them any more.
        let mut left = if self.dry { stored.saturating_sub(self.report.removed_bytes()) } else { stored };
        let mut logs = Oldest::new(BlobKind::Log);
        let mut archives = Oldest::new(BlobKind::Archive);
        let mut reports = Oldest::new(BlobKind::Report);
        while left > limit {
            let (log, archive) = (self.peek(&mut logs).await?, self.peek(&mut archives).await?);
            let next = match (log, archive) {
                (Some(log), Some(archive)) if archive < log => &mut archives,
                (Some(_), _) => &mut logs,
                (None, Some(_)) => &mut archives,
                (None, None) => {
                    if self.peek(&mut reports).await?.is_none() {
                        break;
                    }
                    &mut reports
                }
            };
            let Some(blob) = next.ahead.pop_front() else { break };
            left = left.saturating_sub(blob.stored);
            self.remove(next.kind, vec![blob]).await?;
        }
        self.report.stored_bytes = Some(left);
        Ok(())
    }

    /// Returns whose the oldest blob of a kind is that was not removed yet.
    async fn peek(&self, oldest: &mut Oldest) -> Result<Option<u64>, Error> {
        while oldest.ahead.is_empty() && !oldest.ended {
            let page = self.retention.store.oldest_blobs(oldest.kind, oldest.after, PAGE).await?;
            oldest.ended = page.is_empty();
            oldest.after = page.last().map(|blob| blob.target).or(oldest.after);
            let counted = |blob: &KeptBlob| self.counted.contains(&(oldest.kind, blob.target));
            oldest.ahead.extend(page.into_iter().filter(|blob| !counted(blob)));
        }
        Ok(oldest.ahead.front().map(|blob| blob.target))
    }
}

impl Oldest {
    fn new(kind: BlobKind) -> Self {
        Self { kind, ahead: VecDeque::new(), after: None, ended: false }
    }
}
