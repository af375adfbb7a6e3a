//! Stores as earlier versions left them.

use cistern::domain::JobId;
use mongodb::bson::{Document, doc};

use super::Behind;

impl Behind {
    /// Lets a listed log be settled as none, as it was when GitLab answered with nothing twice.
    pub(crate) async fn take_log_for_none(&self, job: JobId) {
        let sql = format!(
            "UPDATE jobs SET log_piece = 'no_log', log_note = 'size_mismatch', log_blob = NULL, log_size = 0, open = 0
             WHERE id = {job}"
        );
        let none = doc! {
            "log.piece": "no_log", "log.note": "size_mismatch", "log.blob": null, "log.size": 0_i64, "open": 0_i64,
        };
        self.change(&sql, ("jobs", job.0), none).await;
    }

    /// Lets an archive that is listed past its expiry be taken for expired.
    pub(crate) async fn take_archive_for_expired(&self, job: JobId) {
        let sql = format!(
            "UPDATE jobs SET archived = 0, archive_piece = 'expired', archive_blob = NULL, open = 0 WHERE id = {job}"
        );
        let expired = doc! { "archived": false, "archive.piece": "expired", "archive.blob": null, "open": 0_i64 };
        self.change(&sql, ("jobs", job.0), expired).await;
    }

    /// Makes the store one of the version before listed pieces were believed.
    pub(crate) async fn make_older(&self) {
        match self {
            // Without what came later, which is made once.
            Self::File(_) => self.sql("DROP TABLE paths; DROP INDEX jobs_by_log_index; PRAGMA user_version = 10"),
            Self::Database(database) => {
                let meta = database.collection::<Document>("meta");
                meta.update_many(doc! {}, doc! { "$unset": { "mended": "" } }).await.expect("changed");
            }
        }
    }
}
