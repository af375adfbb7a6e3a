//! Parts of a log.

use std::ops::Range;
use std::sync::Arc;

use super::Error;
use super::frames::Frames;
use super::reading::Reading;
use crate::domain::LogRecord;
use crate::log::{Ansi, Timestamps};
use crate::log::{Failure, FailureFinder, Format, Index, Indexer, LineSplitter, Part, Request, Sections};
use crate::store::{FRAME_BYTES, Store};

/// Reads parts of one stored log.
#[derive(Debug, Clone)]
pub struct LogReader {
    frames: Frames,
    index: Option<Arc<Index>>,
}

/// Some bytes of a log that follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) bytes: Range<u64>,
    /// The line that they begin in.
    pub(super) line: u64,
    /// That line began before them.
    pub(super) within: bool,
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
        let line = finder.starts_at();
        let mut offset = self.offset_of(line).await?;
        let mut splitter = LineSplitter::new(line, offset);
        while offset < self.size() {
            let piece = self.frames.piece(offset..self.size()).await?;
            splitter.push(&piece, &mut |piece| finder.push(&piece));
            offset += piece.len() as u64;
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
        let spans = match &request.part {
            // Where it begins in a line does not matter to who wants nothing but bytes.
            Part::Bytes(bytes) if plain => vec![Span { bytes: clip(bytes, self.size()), line: 1, within: false }],
            part => self.spans(part).await?,
        };
        let sections = match request.format {
            Format::Json => self.sections().await?,
            Format::Text => Sections::default(),
        };
        Ok(Reading::new(self.frames, spans, request, sections))
    }

    /// Finds the bytes of a part.
    async fn spans(&mut self, part: &Part) -> Result<Vec<Span>, Error> {
        let size = self.size();
        match part {
            Part::Whole => Ok(vec![Span { bytes: 0..size, line: 1, within: false }]),
            Part::Bytes(bytes) => {
                let bytes = clip(bytes, size);
                let line = self.line_of(bytes.start).await?;
                let within = self.offset_of(line).await? != bytes.start;
                Ok(vec![Span { bytes, line, within }])
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

    /// Finds the bytes of lines; the last one is not included.
    async fn span(&mut self, lines: Range<u64>) -> Result<Span, Error> {
        let bytes = self.offset_of(lines.start).await?..self.offset_of(lines.end).await?;
        Ok(Span { bytes, line: lines.start, within: false })
    }

    /// Returns where a line begins; of one behind the last the log's end.
    async fn offset_of(&mut self, line: u64) -> Result<u64, Error> {
        let Some((number, breaks)) = self.index().await?.lines.find(line) else { return Ok(self.size()) };
        let Some(nth) = breaks.checked_sub(1) else { return Ok(0) };
        let frame = self.frames.frame(number).await?;
        let nth = usize::try_from(nth).unwrap_or(usize::MAX);
        let place = memchr::memchr_iter(b'\n', &frame).nth(nth).ok_or(Error::Damaged("its index is of another log"))?;
        Ok(Frames::offset(number) + place as u64 + 1)
    }

    /// Returns the line that a byte is in.
    async fn line_of(&mut self, offset: u64) -> Result<u64, Error> {
        let index = self.index().await?;
        let number = Frames::at(offset);
        let inside = (offset % FRAME_BYTES as u64) as usize;
        let before = match inside {
            0 => 0,
            _ => memchr::memchr_iter(b'\n', self.frames.frame(number).await?.get(..inside).unwrap_or_default()).count(),
        };
        Ok(index.lines.line_at(number) + before as u64)
    }
}

fn clip(bytes: &Range<u64>, size: u64) -> Range<u64> {
    let end = bytes.end.min(size);
    bytes.start.min(end)..end
}
