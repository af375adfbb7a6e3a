//! Parts of a log.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::Error;
use super::frames::Frames;
use super::reading::Reading;
use crate::domain::LogRecord;
use crate::log::{Ansi, Timestamps};
use crate::log::{
    Failure, FailureFinder, Format, Index, Indexer, JOIN_BYTES, LineSplitter, Part, Request, STAMP_BYTES, Sections,
    line_breaks,
};
use crate::store::{FRAME_BYTES, Store};

/// Reads parts of one stored log.
#[derive(Debug, Clone)]
pub struct LogReader {
    frames: Frames,
    index: Option<Arc<Index>>,
}

/// Some bytes of a log that follow each other, or some lines in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) bytes: Range<u64>,
    /// The line that they begin in.
    pub(super) line: u64,
    /// That line began before them.
    pub(super) within: bool,
    /// The lines that are wanted of them.
    pub(super) lines: Range<u64>,
    /// How far lines go on when others have begun ([`crate::log::Joins`]).
    pub(super) reach: u64,
}

impl Span {
    /// Returns what cuts it into lines.
    pub(super) fn splitter(&self) -> LineSplitter {
        let Self { bytes, line, within, lines, reach } = self;
        LineSplitter::from(*line, bytes.start, *within).only(lines.clone()).reaching(*reach)
    }
}

impl LogReader {
    /// Begins to read what a record points to; nothing is read yet. Of a log that is not held everything is empty.
    pub fn new(store: &Store, log: &LogRecord) -> Self {
        let frames = Frames::new(store, log);
        let index = Index::decode(&log.index).filter(|index| index.lines.stretches() == frames.count());
        Self { frames, index: index.map(Arc::new) }
    }

    /// Returns how long the log is, in bytes.
    pub fn size(&self) -> u64 {
        self.frames.size()
    }

    /// Returns where its lines and sections are: as stored beside it, or, for a log that was stored without, by reading all of
    /// it.
    pub async fn index(&mut self) -> Result<Arc<Index>, Error> {
        if let Some(index) = &self.index {
            return Ok(index.clone());
        }
        let mut indexer = Indexer::default();
        for number in 0..self.frames.count() {
            indexer.push(&self.frames.frame(number).await?);
            tokio::task::yield_now().await;
        }
        let index = Arc::new(indexer.finish());
        self.index = Some(index.clone());
        Ok(index)
    }

    /// Returns its sections.
    pub async fn sections(&mut self) -> Result<Sections, Error> {
        Ok(self.index().await?.sections.clone())
    }

    /// Returns how many lines it has.
    pub async fn lines(&mut self) -> Result<u64, Error> {
        Ok(self.index().await?.lines.lines())
    }

    /// Returns where the job went wrong, by reading its script's section and what follows.
    pub async fn failure(&mut self) -> Result<Failure, Error> {
        let index = self.index().await?;
        let mut finder = FailureFinder::new(&index);
        let mut span = self.span(finder.starts_at()..index.lines.lines() + 1).await?;
        let mut splitter = span.splitter();
        while !span.bytes.is_empty() {
            let piece = self.frames.piece(span.bytes.clone()).await?;
            splitter.push(&piece, &mut |piece| finder.push(&piece));
            span.bytes.start += piece.len() as u64;
            tokio::task::yield_now().await;
        }
        splitter.finish(&mut |piece| finder.push(&piece));
        Ok(finder.finish())
    }

    /// Answers a request. [`Error::NoSection`] when it asks for a section that is not there.
    pub async fn read(mut self, request: Request) -> Result<Reading, Error> {
        let plain = request.format == Format::Text
            && request.grep.is_none()
            && (request.ansi, request.timestamps) == (Ansi::Keep, Timestamps::Keep);
        // Where it begins in a line does not matter to who wants nothing but bytes.
        let bytes = match &request.part {
            Part::Whole if plain => Some(vec![clip(&(0..u64::MAX), self.size())]),
            Part::Bytes(bytes) if plain => Some(vec![clip(bytes, self.size())]),
            _ => None,
        };
        let spans = match bytes {
            Some(_) => Vec::new(),
            None => self.spans(&request.part).await?,
        };
        // Lines are what they are of when nothing goes on with another.
        let joined = self.index.as_ref().is_none_or(|index| index.joins.any);
        let bytes = bytes.or_else(|| (plain && !joined).then(|| spans.iter().map(|span| span.bytes.clone()).collect()));
        let sections = match request.format {
            Format::Json => self.sections().await?,
            Format::Text => Sections::default(),
        };
        Ok(match bytes {
            Some(bytes) => Reading::of_bytes(self.frames, bytes),
            None => Reading::of_lines(self.frames, spans, request, sections),
        })
    }

    /// Finds the bytes of a part.
    async fn spans(&mut self, part: &Part) -> Result<Vec<Span>, Error> {
        let size = self.size();
        match part {
            Part::Whole => {
                Ok(vec![Span { bytes: 0..size, line: 1, within: false, lines: 0..u64::MAX, reach: self.reach() }])
            }
            Part::Bytes(bytes) => {
                let bytes = clip(bytes, size);
                let (line, within) = self.line_of(bytes.start).await?;
                Ok(vec![Span { bytes, line, within, lines: 0..u64::MAX, reach: self.reach() }])
            }
            Part::Errors => {
                let mut spans = Vec::new();
                for lines in self.failure().await?.lines() {
                    spans.push(self.span(lines).await?);
                }
                Ok(spans)
            }
            Part::Head(_) | Part::Tail(_) | Part::Lines(..) | Part::Section(_) => {
                let lines = part.lines(&*self.index().await?).ok_or(Error::NoSection)?;
                Ok(vec![self.span(lines).await?])
            }
        }
    }

    /// Finds the bytes that lines are in; the last one is not included. Where lines of several streams go on, they begin before
    /// the first line, and end with the log: who reads them has all lines earlier.
    async fn span(&mut self, lines: Range<u64>) -> Result<Span, Error> {
        self.index().await?;
        let (begin, reach) = (self.offset_of(lines.start).await?, self.reach());
        if reach == 0 || lines.is_empty() {
            let bytes = begin..self.offset_of(lines.end).await?;
            return Ok(Span { bytes, line: lines.start, within: false, lines, reach });
        }
        let before = begin.saturating_sub(reach);
        let (line, within) = self.line_of(before).await?;
        Ok(Span { bytes: before..self.size(), line, within, lines, reach })
    }

    /// Returns how far lines go on when others have begun, or may, as long as no index tells.
    fn reach(&self) -> u64 {
        self.index.as_ref().map_or(JOIN_BYTES, |index| index.joins.reach)
    }

    /// Returns where a line begins; of one behind the last the log's end.
    async fn offset_of(&mut self, line: u64) -> Result<u64, Error> {
        let Some((number, breaks)) = self.index().await?.lines.find(line) else { return Ok(self.size()) };
        let Some(nth) = breaks.checked_sub(1) else { return Ok(0) };
        let nth = usize::try_from(nth).unwrap_or(usize::MAX);
        let breaks = self.breaks(number).await?;
        let place = breaks.get(nth).ok_or(Error::Damaged("its index is of another log"))?;
        Ok(Frames::offset(number) + *place as u64 + 1)
    }

    /// Returns the last line that begins before a byte, or with it, and whether it is before.
    async fn line_of(&mut self, offset: u64) -> Result<(u64, bool), Error> {
        let index = self.index().await?;
        let number = Frames::at(offset);
        let inside = (offset % FRAME_BYTES as u64) as usize;
        let before = match inside {
            0 => 0,
            _ => self.breaks(number).await?.partition_point(|at| *at < inside),
        };
        let line = index.lines.line_at(number) + before as u64;
        Ok((line, self.offset_of(line).await? != offset))
    }

    /// Returns where the line breaks of a frame are.
    async fn breaks(&mut self, number: usize) -> Result<Vec<usize>, Error> {
        let frame = self.frames.frame(number).await?;
        if !self.index().await?.joins.any {
            return Ok(memchr::memchr_iter(b'\n', &frame).collect());
        }
        let cut = &frame[frame.len().saturating_sub(STAMP_BYTES)..];
        let after = match memchr::memchr(b'\n', cut) {
            Some(_) if number + 1 < self.frames.count() => self.frames.frame(number + 1).await?,
            _ => Bytes::new(),
        };
        let after = &after[..after.len().min(STAMP_BYTES)];
        Ok(line_breaks(&frame, after).collect())
    }
}

fn clip(bytes: &Range<u64>, size: u64) -> Range<u64> {
    let end = bytes.end.min(size);
    bytes.start.min(end)..end
}
