//! How much the database takes, and how much its disk has left.

use mongodb::bson::{Bson, Document, doc};

use super::Mongo;
use super::reach::Collections;
use super::trouble::Trouble;
use crate::store::metrics::Operation;
use crate::store::{Error, Space};

const SPACE: Operation = Operation("space", "read how much space is left");

impl Mongo {
    pub(in crate::store) async fn space(&self) -> Result<Space, Error> {
        let space = self.read(SPACE, |collections| async move { space(&collections).await }).await?;
        self.inner.metrics.room(space);
        Ok(space)
    }
}

/// Asks the database. Not every server tells about its disk.
pub(super) async fn space(collections: &Collections) -> Result<Space, Trouble> {
    let stats = collections.database.run_command(doc! { "dbStats": 1 }).await?;
    let used = number(&stats, "totalSize").or_else(|| number(&stats, "storageSize")).unwrap_or(0);
    // A database that does not exist yet has a disk of no size.
    let free = number(&stats, "fsTotalSize").filter(|total| *total > 0).zip(number(&stats, "fsUsedSize"));
    Ok(Space { used, free: free.map(|(total, used)| total.saturating_sub(used)) })
}

/// The server writes whole numbers as any kind of number.
fn number(stats: &Document, name: &str) -> Option<u64> {
    match stats.get(name)? {
        Bson::Double(number) if *number >= 0.0 => Some(*number as u64),
        Bson::Int32(number) => u64::try_from(*number).ok(),
        Bson::Int64(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}
