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
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Span {
    pub(super) bytes: Range<u64>,
    /// The joined line that they begin in.
    line: u64,
    /// That line began before them.
    within: bool,
    /// The first joined line of them that counts, and how many lines are shown before it.
    first: (u64, u64),
    /// The lines that are wanted of them.
    lines: Range<u64>,
    /// How far lines go on when others have begun ([`crate::log::Joins`]).
    reach: u64,
}

impl Span {
    /// Returns bytes that are not cut into lines.
    pub(super) fn of_bytes(bytes: Range<u64>) -> Self {
        Self { bytes, ..Self::default() }
    }

    /// Returns what cuts it into lines.
    pub(super) fn splitter(&self) -> LineSplitter {
        let Self { bytes, line, within, first: (first, shown), lines, reach } = self;
        let splitter = LineSplitter::from(*line, bytes.start, *within).in_joined(*first..u64::MAX, *shown);
        splitter.only(lines.clone()).reaching(*reach)
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
        let bytes = match bytes {
            None if plain && !self.index().await?.joins.any => Some(self.bytes_of(&spans).await?),
            bytes => bytes,
        };
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
        let bytes = match part {
            Part::Whole => {
                let (first, reach) = ((1, 0), self.reach());
                let bytes = 0..self.size();
                return Ok(vec![Span { bytes, line: 1, within: false, first, lines: 0..u64::MAX, reach }]);
            }
            Part::Bytes(bytes) => clip(bytes, self.size()),
            Part::Errors => {
                let mut spans = Vec::new();
                for lines in self.failure().await?.lines() {
                    spans.push(self.span(lines).await?);
                }
                return Ok(spans);
            }
            Part::Head(_) | Part::Tail(_) | Part::Lines(..) | Part::Section(_) => {
                let lines = part.lines(&*self.index().await?).ok_or(Error::NoSection)?;
                return Ok(vec![self.span(lines).await?]);
            }
        };
        let (line, within) = self.line_of(bytes.start).await?;
        let shown = self.shown_before(line).await?;
        Ok(vec![Span { bytes, line, within, first: (line, shown), lines: 0..u64::MAX, reach: self.reach() }])
    }

    /// Finds the bytes that lines are in; the last one is not included. They begin before the first line, and end with the log: who
    /// reads them has all lines earlier.
    async fn span(&mut self, lines: Range<u64>) -> Result<Span, Error> {
        if lines.is_empty() {
            return Ok(Span { lines, ..Span::default() });
        }
        let first = self.index().await?.lines.before_line(lines.start);
        Ok(Span { lines, ..self.from(first).await? })
    }

    /// Returns what is from a joined line on; so many lines are shown before it. Where lines of several streams go on, it begins
    /// before that.
    async fn from(&mut self, first: (u64, u64)) -> Result<Span, Error> {
        let before = self.offset_of(first.0).await?.saturating_sub(self.reach());
        let (line, within) = self.line_of(before).await?;
        Ok(Span { bytes: before..self.size(), line, within, first, lines: 0..u64::MAX, reach: self.reach() })
    }

    /// Returns how many lines are shown before a joined line.
    async fn shown_before(&mut self, line: u64) -> Result<u64, Error> {
        let first = self.index().await?.lines.before_joined(line);
        if first.0 >= line {
            return Ok(first.1);
        }
        let mut span = self.from(first).await?;
        span.bytes.end = self.offset_of(line).await?.saturating_add(self.reach()).min(self.size());
        let mut splitter = span.splitter().in_joined(first.0..line, first.1);
        while !span.bytes.is_empty() {
            let piece = self.frames.piece(span.bytes.clone()).await?;
            splitter.push(&piece, &mut |_| {});
            span.bytes.start += piece.len() as u64;
            tokio::task::yield_now().await;
        }
        Ok(splitter.finish(&mut |_| {}))
    }

    /// Returns the very bytes of lines, of a log where nothing goes on with another.
    async fn bytes_of(&mut self, spans: &[Span]) -> Result<Vec<Range<u64>>, Error> {
        let mut bytes = Vec::new();
        for Span { lines, .. } in spans {
            bytes.push(self.place_of(lines.start).await?..self.place_of(lines.end).await?);
        }
        Ok(bytes)
    }

    /// Returns where a line begins, with what shows nothing before it; of one behind the last the end of what is shown.
    async fn place_of(&mut self, line: u64) -> Result<u64, Error> {
        let mut span = self.span(line..u64::MAX).await?;
        let (mut splitter, mut place) = (span.splitter(), None);
        while !span.bytes.is_empty() && place.is_none() {
            let piece = self.frames.piece(span.bytes.clone()).await?;
            splitter.push(&piece, &mut |piece| place = place.or(Some(piece.offset)));
            span.bytes.start += piece.len() as u64;
            tokio::task::yield_now().await;
        }
        splitter.finish(&mut |piece| place = place.or(Some(piece.offset)));
        Ok(place.unwrap_or(self.size()))
    }

    /// Returns how far lines go on when others have begun, or may, as long as no index tells.
    fn reach(&self) -> u64 {
        self.index.as_ref().map_or(JOIN_BYTES, |index| index.joins.reach)
    }

    /// Returns where a joined line begins; of one behind the last the log's end.
    async fn offset_of(&mut self, line: u64) -> Result<u64, Error> {
        let Some((number, breaks)) = self.index().await?.lines.find(line) else { return Ok(self.size()) };
        let Some(nth) = breaks.checked_sub(1) else { return Ok(0) };
        let nth = usize::try_from(nth).unwrap_or(usize::MAX);
        let breaks = self.breaks(number).await?;
        let place = breaks.get(nth).ok_or(Error::Damaged("its index is of another log"))?;
        Ok(Frames::offset(number) + *place as u64 + 1)
    }

    /// Returns the last joined line that begins before a byte, or with it, and whether it is before.
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
