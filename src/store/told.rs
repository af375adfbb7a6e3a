//! What readers are told of a job's log or archive that is not held (law 12): the HTTP interface and the command line alike.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::JobRow;
use crate::domain::{JobPhase, Piece, Reason};

impl JobRow {
    /// Returns why its log is not held. Nothing is missing from a job that has not ended, what GitLab deleted with its pipeline
    /// will not come, and what has no bytes is not held, whatever its slot says.
    pub fn log_absence(&self) -> Piece {
        self.absence(self.log.piece)
    }

    /// As [`Self::log_absence`], of its archive: nothing is missing from a job that made none.
    pub fn archive_absence(&self) -> Piece {
        match self.absence(self.archive.piece) {
            Piece::Missing | Piece::Absent(Reason::Expired)
                if self.archive.piece == Piece::Missing && !lists_archive(&self.document.text) =>
            {
                Piece::Absent(Reason::NoArchive)
            }
            piece => piece,
        }
    }

    fn absence(&self, piece: Piece) -> Piece {
        match piece {
            _ if self.gone && !piece.is_final() => Piece::Absent(Reason::Expired),
            Piece::Absent(_) => piece,
            _ if self.status.job_phase() != JobPhase::Ended => Piece::Absent(Reason::NotFinished),
            _ => Piece::Missing,
        }
    }
}

/// Returns whether a job's document lists an archive.
fn lists_archive(document: &str) -> bool {
    #[derive(Deserialize)]
    struct Listed {
        artifacts_file: Option<IgnoredAny>,
    }
    serde_json::from_str::<Listed>(document).is_ok_and(|job| job.artifacts_file.is_some())
}
