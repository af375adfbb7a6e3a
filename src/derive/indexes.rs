//! Indexes of logs: where their lines and sections are.

use crate::domain::{JobKey, LogRecord};
use crate::log::INDEX_VERSION;
use crate::parts::{self, LogReader};
use crate::store::{Error, Store};

/// Keys read at a time.
const PAGE: u64 = 200;

/// Makes outdated ones again; returns how many.
pub(super) async fn make(store: &Store) -> Result<u64, Error> {
    let (mut made, mut after) = (0, None);
    loop {
        let page = store.outdated_logs(INDEX_VERSION, after, PAGE).await?;
        for key in page.logs {
            made += u64::from(make_one(store, key).await?);
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(made),
        }
    }
}

/// Makes one again; false when its log cannot be read, or was replaced meanwhile.
async fn make_one(store: &Store, key: JobKey) -> Result<bool, Error> {
    let Some(row) = store.job(key).await? else { return Ok(false) };
    let Some(blob) = row.log.blob else { return Ok(false) };
    let without = LogRecord { index: Box::default(), ..row.log };
    match LogReader::new(store, &without).index().await {
        Ok(index) => store.save_log_index(key, blob, index.encode()).await,
        Err(parts::Error::Store(error)) => Err(error),
        Err(error) => {
            tracing::debug!(project = %key.project, job = %key.job, %error, "a log's index cannot be made again");
            Ok(false)
        }
    }
}
