//! Derived facts: found by their version through an index of it, and written beside the bytes that they are of.

use deadpool_sqlite::rusqlite::{self, params};

use super::Sqlite;
use super::columns::{self, integer, natural};
use super::writer::Urgency;
use crate::domain::{BlobId, JobId, JobKey, ProjectId};
use crate::store::metrics::Operation;
use crate::store::{Error, Outdated, OutdatedPlace};

impl Sqlite {
    pub(in crate::store) async fn outdated_logs(
        &self,
        version: u8,
        after: Option<OutdatedPlace>,
        limit: u64,
    ) -> Result<Outdated, Error> {
        self.read(Operation("outdated_logs", "find outdated indexes of logs"), move |connection| {
            // No index at all begins with nothing, which comes before every version.
            let begins = |version: u8| if version == 0 { Vec::new() } else { vec![version] };
            let (from, job) = after.map_or((Vec::new(), -1), |place| (begins(place.version), integer(place.job)));
            let found: Vec<(JobKey, OutdatedPlace)> = connection
                .prepare_cached(
                    "SELECT substr(log_index, 1, 1), id, project FROM jobs INDEXED BY jobs_by_log_index
                     WHERE log_blob IS NOT NULL AND substr(log_index, 1, 1) < ?1
                         AND (substr(log_index, 1, 1), id) > (?2, ?3)
                     ORDER BY substr(log_index, 1, 1), id LIMIT ?4",
                )?
                .query_map(params![[version], from, job, integer(limit)], |row| {
                    let version = row.get::<_, Vec<u8>>(0)?.first().copied().unwrap_or(0);
                    let job = natural(row.get(1)?);
                    let key = JobKey { project: ProjectId(natural(row.get(2)?)), job: JobId(job) };
                    Ok((key, OutdatedPlace { version, job }))
                })?
                .collect::<rusqlite::Result<_>>()?;
            let next = found.last().map(|(_, place)| *place).filter(|_| found.len() as u64 >= limit);
            Ok(Outdated { logs: found.into_iter().map(|(key, _)| key).collect(), next })
        })
        .await
    }

    pub(in crate::store) async fn save_log_index(
        &self,
        key: JobKey,
        blob: BlobId,
        index: Box<[u8]>,
    ) -> Result<bool, Error> {
        let operation = Operation("save_log_index", "save a log's index");
        self.write(operation, Urgency::Bulk, index.len(), move |connection| {
            let (project, id) = columns::job(key);
            let changed = connection
                .prepare_cached("UPDATE jobs SET log_index = ?4 WHERE project = ?1 AND id = ?2 AND log_blob = ?3")?
                .execute(params![project, id, blob.0, index])?;
            Ok(changed == 1)
        })
        .await
    }
}
