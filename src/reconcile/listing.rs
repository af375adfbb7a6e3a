//! Reading a pipeline listing to its end while its rows move (design, section 4.3).
//!
//! Guarantees that a listing without an end, which only something between GitLab and us can make, ends as an error after what it showed
//! was read.

use std::collections::HashSet;

use crate::domain::{Pipeline, PipelineId, PipelineSource, ProjectId, Timestamp};
use crate::gitlab::{Class, Error, Gitlab, Kind, Listing};

/// Rows of one page of GitLab.
const PAGE: usize = 100;

/// Full pages without a row that is new, one after the other: where a question starts at a row that was read, there may be one.
const BARREN_PAGES: u32 = 3;

/// Pages of one question: a million rows that were updated at one time.
const MOST_PAGES: u32 = 10_000;

/// A walk through one of the two listings of a project, oldest update first.
pub(super) struct Walk<'a> {
    gitlab: &'a Gitlab,
    project: ProjectId,
    source: PipelineSource,
    /// Where the next question starts.
    after: Timestamp,
    /// Whether that is where a row was read.
    moved: bool,
    page: u32,
    barren: u32,
    /// Rows seen at the last timestamp, because the next question begins with it again. A row that has moved since is
    /// another row.
    seen: HashSet<(PipelineId, Timestamp)>,
    /// The greatest `updated_at` read so far.
    greatest: Option<Timestamp>,
    /// GitLab's clock at the last answer.
    read_at: Option<Timestamp>,
    ended: bool,
    malformed: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(gitlab: &'a Gitlab, project: ProjectId, source: PipelineSource, after: Timestamp) -> Self {
        Self {
            gitlab,
            project,
            source,
            after,
            moved: false,
            page: 1,
            barren: 0,
            seen: HashSet::new(),
            greatest: None,
            read_at: None,
            ended: false,
            malformed: 0,
        }
    }

    /// Returns the next rows, without repeats; `None` at the end.
    ///
    /// A listing that is paged by number loses rows when one that was read moves to the end, so each question starts at the
    /// last row's time instead. Only while a single timestamp fills a page is the next number asked for.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Pipeline>>, Error> {
        if self.ended {
            return Ok(None);
        }
        if self.barren >= BARREN_PAGES {
            return Err(self.endless("the same rows again and again"));
        }
        if self.page > MOST_PAGES {
            return Err(self.endless("more than 10000 pages of one time"));
        }
        let question = self.gitlab.pipelines(Class::Backfill, self.project, self.source, Some(self.after), self.page);
        let Listing { mut rows, received, malformed, as_of, .. } = question.await?;
        self.malformed += malformed;
        self.read_at = Some(as_of);
        self.ended = received < PAGE;
        // What is older than was asked for was read before.
        let is_old = |row: &Pipeline| self.moved && row.updated_at < self.after;
        rows.retain(|row| !is_old(row) && self.seen.insert((row.key.pipeline, row.updated_at)));
        self.barren = if rows.is_empty() && malformed == 0 { self.barren + 1 } else { 0 };
        let Some(last) = rows.iter().map(|row| row.updated_at).max() else {
            // A full page of repeats or of unreadable rows: only a higher number leads on.
            self.page += 1;
            return Ok(Some(rows));
        };
        self.greatest = self.greatest.max(Some(last));
        // GitLab keeps microseconds and shows milliseconds: one earlier is sure to include the last row again.
        let next = last.minus(std::time::Duration::from_millis(1));
        if next > self.after {
            self.after = next;
            self.moved = true;
            self.page = 1;
            self.seen.retain(|(_, updated_at)| *updated_at >= next);
        } else {
            self.page += 1;
        }
        Ok(Some(rows))
    }

    fn endless(&self, shows: &'static str) -> Error {
        let listing = match self.source {
            PipelineSource::Plain => "pipelines",
            PipelineSource::Child => "child pipelines",
        };
        let question = format!("list {listing} of project {} updated after {}", self.project, self.after);
        Error { question, kind: Kind::Endless(shows) }
    }

    /// Returns the greatest `updated_at` that was read.
    pub(super) fn greatest(&self) -> Option<Timestamp> {
        self.greatest
    }

    /// Returns GitLab's clock at the last answer: what changes later is not in this listing.
    pub(super) fn read_at(&self) -> Option<Timestamp> {
        self.read_at
    }

    /// Returns how many rows could not be read.
    pub(super) fn malformed(&self) -> usize {
        self.malformed
    }
}
