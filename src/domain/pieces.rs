//! What is held of a job or pipeline beside its document, and why what is not held is not.

use serde::{Deserialize, Serialize};

use super::{JobId, Timestamp};

/// A stored blob. Ids are never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobId(pub i64);

/// Why something is not cached (law 12). All but `NotFinished` and `Failed` are final for the attempt; `Forbidden` is as far as
/// ordinary work goes, but GitLab is asked again whether it still holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The job has not ended.
    NotFinished,
    /// It ended without a log.
    NoLog,
    /// It ended without an archive; told to readers only, as nothing lacks that could be stored.
    NoArchive,
    /// Somebody erased it in GitLab; our copy went too.
    Erased,
    /// It expired in GitLab before we could fetch it; of a report also: what it would be made of was erased.
    Expired,
    /// Our token may not read it.
    Forbidden,
    /// It is larger than the configured limit.
    TooLarge,
    /// It was held and removed by our own retention.
    Pruned,
    /// Fetching it failed for good; the journal knows how often and why.
    Failed,
    /// Somebody told Cistern to forget it; told to readers only, as nothing of it is stored.
    Forgotten,
}

impl Reason {
    /// Every reason, in the order of the documentation.
    pub const ALL: [Self; 10] = [
        Self::NotFinished,
        Self::NoLog,
        Self::NoArchive,
        Self::Erased,
        Self::Expired,
        Self::Forbidden,
        Self::TooLarge,
        Self::Pruned,
        Self::Failed,
        Self::Forgotten,
    ];

    /// Returns the word that JSON, metrics and the store use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFinished => "not_finished",
            Self::NoLog => "no_log",
            Self::NoArchive => "no_archive",
            Self::Erased => "erased",
            Self::Expired => "expired",
            Self::Forbidden => "forbidden",
            Self::TooLarge => "too_large",
            Self::Pruned => "pruned",
            Self::Failed => "failed",
            Self::Forgotten => "forgotten",
        }
    }

    /// Returns the reason of a word, if it is one.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}

/// The state of one piece of a job or pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Piece {
    /// Nothing is known of it yet: a gap once the job ended.
    Missing,
    /// A running job's log as far as it went when a reader asked: served, but as good as missing once the job ended.
    Partial,
    /// Held and served, but it may still change: an unsettled log, a report whose counts differ.
    Live,
    /// Held and final.
    Whole,
    /// Not held, for this reason.
    Absent(Reason),
}

impl Piece {
    /// Returns whether GitLab refused it to the token, as far as is known.
    pub fn is_refused(self) -> bool {
        self == Self::Absent(Reason::Forbidden)
    }

    /// Returns whether no later look of the ordinary kind can improve it.
    pub fn is_final(self) -> bool {
        match self {
            Self::Missing | Self::Partial | Self::Live => false,
            Self::Whole => true,
            Self::Absent(reason) => !matches!(reason, Reason::NotFinished | Reason::Failed),
        }
    }

    /// Returns whether GitLab answers a reader of such a log with an empty body, not an error: it never had one, it is erased,
    /// or its job has not ended.
    pub fn reads_as_empty(self) -> bool {
        matches!(self, Self::Absent(Reason::NoLog | Reason::Erased | Reason::NotFinished))
    }

    /// Returns whether something lacks for which there is no reason, where a piece is expected (law 12).
    pub fn is_gap(self) -> bool {
        !self.is_final() && self != Self::Live
    }

    /// Returns whether there may be bytes of it.
    pub fn is_held(self) -> bool {
        matches!(self, Self::Partial | Self::Live | Self::Whole)
    }

    /// Returns the word that JSON and the store use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Partial => "partial",
            Self::Live => "live",
            Self::Whole => "whole",
            Self::Absent(reason) => reason.as_str(),
        }
    }

    /// Returns the piece of a stored word; an unknown one counts as missing, so that it is fetched again.
    pub fn from_word(word: &str) -> Self {
        match word {
            "partial" => Self::Partial,
            "live" => Self::Live,
            "whole" => Self::Whole,
            other => Reason::from_word(other).map_or(Self::Missing, Self::Absent),
        }
    }
}

/// Something worth telling about a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogNote {
    /// GitLab lists another size than it delivers, twice, 10 minutes apart.
    SizeMismatch,
    /// GitLab never archived it within a day of the job's end.
    NeverArchived,
    /// A day after the job's end GitLab lists a log and still answers with an empty one: a gap, not settled.
    ListedEmpty,
}

impl LogNote {
    /// Returns the word that JSON and the store use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SizeMismatch => "size_mismatch",
            Self::NeverArchived => "never_archived",
            Self::ListedEmpty => "listed_empty",
        }
    }

    /// Returns what is wrong where it is a gap, for people.
    pub fn problem(self) -> Option<&'static str> {
        match self {
            Self::ListedEmpty => Some("GitLab lists a log and answers with an empty one or 404, for a day or longer"),
            Self::SizeMismatch | Self::NeverArchived => None,
        }
    }

    /// Returns the note of a stored word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::SizeMismatch, Self::NeverArchived, Self::ListedEmpty].into_iter().find(|note| note.as_str() == word)
    }
}

/// What is held of a job's log (design, section 4.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// Missing, live, settled (`Whole`), or absent with a reason.
    pub piece: Piece,
    /// The stored frames; `None` when nothing is held or the log is empty.
    pub blob: Option<BlobId>,
    /// Its size in bytes, uncompressed, as readers get it.
    pub size: u64,
    /// How many bytes GitLab delivered, where that is another number because secrets were masked.
    pub fetched: Option<u64>,
    /// The compressed length of each frame, in order; every frame but the last holds [`crate::store::FRAME_BYTES`].
    pub frames: Vec<u32>,
    /// Where its lines and sections are, as [`crate::log::Index`] encodes it; empty when that was not found out.
    pub index: Box<[u8]>,
    /// How many times it was looked at.
    pub looks: u32,
    /// When it was first looked at; the later looks are counted from here.
    pub first_look: Option<Timestamp>,
    /// When the last look began.
    pub last_look: Option<Timestamp>,
    /// GitLab listed another size than it delivered, first at this time.
    pub mismatch_since: Option<Timestamp>,
    /// Why it counts as settled although GitLab did not confirm it, or as a gap although it was looked at.
    pub note: Option<LogNote>,
}

impl LogRecord {
    /// Returns whether a document of the job that GitLab wrote at this time is good for another look: a later look needs one that
    /// is newer than the look before.
    pub fn may_be_looked_at(&self, document: Timestamp) -> bool {
        self.last_look.is_none_or(|look| document > look)
    }

    /// Returns how many bytes GitLab delivered: what its listing and later looks are held against.
    pub fn delivered(&self) -> u64 {
        self.fetched.unwrap_or(self.size)
    }

    /// Returns what readers are told of it: what GitLab lists and does not deliver has failed, although it may still come.
    pub fn told(&self) -> Piece {
        match self.note {
            Some(LogNote::ListedEmpty) if self.blob.is_none() => Piece::Absent(Reason::Failed),
            _ => self.piece,
        }
    }

    /// Returns the record of a log that nobody looked at yet.
    pub fn missing() -> Self {
        Self {
            piece: Piece::Missing,
            blob: None,
            size: 0,
            fetched: None,
            frames: Vec::new(),
            index: Box::default(),
            looks: 0,
            first_look: None,
            last_look: None,
            mismatch_since: None,
            note: None,
        }
    }
}

/// What is held of a job's archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveRecord {
    /// Missing, whole, or absent with a reason.
    pub piece: Piece,
    /// The stored bytes.
    pub blob: Option<BlobId>,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: Option<[u8; 32]>,
    /// Where its directory is, as [`crate::archive::Location`] encodes it; empty when that was not found out.
    pub index: Box<[u8]>,
}

impl ArchiveRecord {
    /// Returns the record of an archive that nobody fetched yet.
    pub fn missing() -> Self {
        Self { piece: Piece::Missing, blob: None, size: 0, sha256: None, index: Box::default() }
    }
}

/// What is held of a pipeline's test report and of its summary: two pieces, each kept for itself (design, section 4.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportRecord {
    /// The report: missing, live (to be asked again), whole, or absent with a reason.
    pub piece: Piece,
    /// The stored report, GitLab's JSON as one zstd frame.
    pub blob: Option<BlobId>,
    /// The size of the report in bytes, uncompressed.
    pub size: u64,
    /// The summary, likewise. It outlives the files that the report is made of.
    pub summary_piece: Piece,
    /// GitLab's summary of the report, as it answered it; `None` also where it is whole and says that there is nothing.
    pub summary: Option<Box<str>>,
    /// How many test cases the report holds.
    pub total_count: u64,
    /// The latest attempts that delivered JUnit or may have, sorted: another set means another report.
    pub build_ids: Vec<JobId>,
    /// How many times it was asked for with this set.
    pub looks: u32,
    /// When it was last asked for.
    pub last_look: Option<Timestamp>,
}

impl ReportRecord {
    /// Returns the record of a pipeline that has no report, for this reason or, where the piece is whole, because its jobs
    /// delivered none.
    pub fn none(piece: Piece, build_ids: Vec<JobId>) -> Self {
        Self { piece, summary_piece: piece, build_ids, ..Self::missing() }
    }

    /// Returns the record of a report that nobody fetched yet.
    pub fn missing() -> Self {
        Self {
            piece: Piece::Missing,
            blob: None,
            size: 0,
            summary_piece: Piece::Missing,
            summary: None,
            total_count: 0,
            build_ids: Vec::new(),
            looks: 0,
            last_look: None,
        }
    }
}
