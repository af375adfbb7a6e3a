//! Stores as earlier versions left them.

use cistern::domain::{JobId, PipelineId};
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

    /// Lets the report of a pipeline be GitLab's zeros, as it was told of one whose files had expired.
    pub(crate) async fn take_report_for_zeros(&self, pipeline: PipelineId) {
        let sql = format!(
            "UPDATE pipelines SET report_piece = 'whole', report_builds = '[]', report_summary = NULL, open = 0
             WHERE id = {pipeline}"
        );
        let zeros = doc! {
            "report.piece": "whole", "report.builds": [], "report.summary": null, "junit": false, "open": 0_i64,
        };
        self.change(&sql, ("pipelines", pipeline.0), zeros).await;
    }

    /// Lets a report be held without its summary.
    pub(crate) async fn lose_summary(&self, pipeline: PipelineId) {
        let sql = format!("UPDATE pipelines SET report_summary = NULL, open = 0 WHERE id = {pipeline}");
        let lost = doc! { "report.summary": null, "open": 0_i64 };
        self.change(&sql, ("pipelines", pipeline.0), lost).await;
    }

    /// Lets every pipeline be cached without its own document, as a version did that did not ask for it.
    pub(crate) async fn lose_details(&self) {
        match self {
            // As the migration leaves them.
            Self::File(_) => self.sql(
                "DELETE FROM details; UPDATE pipelines SET detail_piece = 'missing'; UPDATE pipelines SET open = open | 8",
            ),
            Self::Database(database) => {
                let changes =
                    [("pipelines", doc! { "$unset": "detail" }), ("meta", doc! { "$set": { "mended": 1_i64 } })];
                for (name, change) in changes {
                    database.collection::<Document>(name).update_many(doc! {}, vec![change]).await.expect("changed");
                }
            }
        }
    }

    /// Makes the store one of the version before listed pieces were believed, as it is once this version has opened it.
    pub(crate) async fn make_older(&self) {
        match self {
            Self::File(_) => {
                const MENDING: &str = include_str!("../../../src/store/sqlite/migrations/0011_pieces.sql");
                self.sql(
                    "DROP INDEX pipelines_refused;
                     UPDATE jobs SET junit = 0 WHERE junit_hidden = 1; ALTER TABLE jobs DROP COLUMN junit_hidden;
                     ALTER TABLE pipelines DROP COLUMN summary_piece",
                );
                // As the next start does it, whatever migrations came later.
                self.sql(MENDING);
                self.sql(
                    "CREATE INDEX pipelines_refused ON pipelines (project, refused_at, id)
                     WHERE report_piece = 'forbidden' OR summary_piece = 'forbidden'",
                );
            }
            Self::Database(database) => {
                for (name, change) in [
                    ("jobs", doc! { "$set": { "junit": { "$and": ["$junit", { "$ne": ["$junit_hidden", true] }] } } }),
                    ("jobs", doc! { "$unset": "junit_hidden" }),
                    ("pipelines", doc! { "$unset": "report.summary_piece" }),
                    ("meta", doc! { "$unset": "mended" }),
                ] {
                    database.collection::<Document>(name).update_many(doc! {}, vec![change]).await.expect("changed");
                }
            }
        }
    }
}
