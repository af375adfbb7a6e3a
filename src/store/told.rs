//! What readers are told of a job's log or archive that is not held (law 12): the HTTP interface and the command line alike.

use super::JobRow;
use crate::domain::{ArchiveFile, Attempt, Job, JobPhase, Junit, Piece, Reason};

impl JobRow {
    /// Returns whether it had ended and what its document told of its JUnit, for [`Junit::of`].
    pub fn told_of_junit(&self) -> (bool, Junit) {
        (self.status.job_phase() == JobPhase::Ended, self.junit)
    }

    /// Returns what its pipeline's report depends on of it.
    pub fn attempt(&self) -> Attempt {
        Attempt {
            id: self.key.job,
            name: self.name.clone(),
            phase: self.status.job_phase(),
            junit: self.junit,
            listed: self.read_document().is_some_and(|job| job.junit),
        }
    }

    /// Reads its document, as far as it can be read.
    pub fn read_document(&self) -> Option<Job> {
        Job::from_document(self.key.project, self.document.clone()).ok()
    }

    /// Returns why its log is not held. Nothing is missing from a job that has not ended, what GitLab deleted with its pipeline
    /// will not come, and what has no bytes is not held, whatever its slot says.
    pub fn log_absence(&self) -> Piece {
        self.absence(self.log.told())
    }

    /// As [`Self::log_absence`], of its archive: nothing is missing from a job that made none.
    pub fn archive_absence(&self) -> Piece {
        match self.absence(self.archive.piece) {
            Piece::Missing | Piece::Absent(Reason::Expired)
                if self.archive.piece == Piece::Missing && ArchiveFile::listed_in(&self.document.text).is_none() =>
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
