//! The answer to a request as a stream: frame after frame through what was asked for.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream::{self, Stream};

use tokio::sync::Semaphore;

use super::frames::Frames;
use super::log::Span;
use super::{Error, aside};
use crate::log::{
    Ansi, Format, Found, JsonLines, LinePiece, LineSplitter, Renderer, Request, Search, Sections, Timestamps,
};

/// How long one search may compute, in seconds.
pub(super) const SEARCH_SECONDS: u64 = 5;

/// How long a search computes before it is somebody else's turn, unless one line takes longer.
const SLICE: Duration = Duration::from_millis(20);

/// A search that has computed for so long goes on as one that takes long.
const QUICK: Duration = Duration::from_millis(100);

/// Bytes that are searched between two looks at the time.
const STRETCH: usize = 16 * 1024;

/// What of an answer is waited for before it begins, so that a search that takes too long is told by its status.
const AHEAD_BYTES: usize = 256 * 1024;

/// Turns of searches, in each process.
static TURNS: Semaphore = Semaphore::const_new(4);

/// The turn of those that take long: by itself, so that they leave the processors and the turns of others alone.
static LONG_TURN: Semaphore = Semaphore::const_new(1);

/// Places to wait for it.
static LONG_PLACES: Semaphore = Semaphore::const_new(32);

/// The answer to a request for a part of a log.
pub struct Reading {
    size: Option<u64>,
    media_type: &'static str,
    work: Work,
}

struct Work {
    frames: Frames,
    spans: VecDeque<Span>,
    /// Cuts the first span into lines, once it has begun.
    splitter: Option<LineSplitter>,
    stage: Stage,
    /// How long it has computed as a search.
    searched: Duration,
    out: Vec<u8>,
}

/// What happens to the bytes, or to the lines in them. It holds a piece of a line, or the lines of a search's context.
enum Stage {
    /// Nothing.
    Plain,
    /// Lines are put together, control sequences or time stamps are changed.
    Rendered { renderer: Box<Renderer>, ansi: Ansi, timestamps: Timestamps },
    /// Lines become JSON.
    Json(Box<JsonLines>),
    /// Lines are searched.
    Searched { search: Box<Search>, shown: Shown, count: bool, light: bool },
    /// Everything is told.
    Done,
}

/// How lines that were found are shown.
enum Shown {
    Text(Ansi, Timestamps),
    Json(Box<JsonLines>),
}

impl Reading {
    /// Gives bytes as they are stored.
    pub(super) fn of_bytes(frames: Frames, bytes: Vec<Range<u64>>) -> Self {
        let size = bytes.iter().map(|bytes| bytes.end - bytes.start).sum();
        let spans = bytes.into_iter().map(Span::of_bytes).collect();
        Self::new(frames, spans, Stage::Plain, Some(size), "text/plain; charset=utf-8")
    }

    /// Gives lines as a request wants them.
    pub(super) fn of_lines(frames: Frames, spans: Vec<Span>, request: Request, sections: Sections) -> Self {
        let Request { grep, ansi, timestamps, format, .. } = request;
        let stage = match (grep, format) {
            (Some(grep), _) => {
                let shown = match format {
                    Format::Json => Shown::Json(Box::new(JsonLines::new(sections, ansi))),
                    Format::Text => Shown::Text(ansi, timestamps),
                };
                let (count, light) = (grep.options().count, grep.is_light());
                Stage::Searched { search: Box::new(Search::new(grep)), shown, count, light }
            }
            (None, Format::Json) => Stage::Json(Box::new(JsonLines::new(sections, ansi))),
            (None, Format::Text) => {
                Stage::Rendered { renderer: Box::new(Renderer::new(ansi, timestamps)), ansi, timestamps }
            }
        };
        let media_type = match (format, ansi) {
            (Format::Json, _) => "application/x-ndjson",
            (Format::Text, Ansi::Html) => "text/html; charset=utf-8",
            (Format::Text, _) => "text/plain; charset=utf-8",
        };
        Self::new(frames, spans, stage, None, media_type)
    }

    fn new(frames: Frames, spans: Vec<Span>, stage: Stage, size: Option<u64>, media_type: &'static str) -> Self {
        let spans = spans.into_iter().filter(|span| !span.bytes.is_empty()).collect();
        Self {
            size,
            media_type,
            work: Work { frames, spans, splitter: None, stage, searched: Duration::ZERO, out: Vec::new() },
        }
    }

    /// Returns how many bytes the answer has, where that is known before it is read: for parts as the job wrote them.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Returns the answer's media type. HTML is a fragment: lines, to be put into a `<pre>`.
    pub fn media_type(&self) -> &'static str {
        self.media_type
    }

    /// Searches until there is something to tell: [`Error::Slow`] or [`Error::Busy`] come from here, as long as less than 256 KiB
    /// were found before. What is no search begins at once.
    pub async fn begun(mut self) -> Result<Self, Error> {
        let mut ahead = Vec::new();
        while ahead.len() < AHEAD_BYTES && matches!(self.work.stage, Stage::Searched { .. }) {
            match self.work.next().await? {
                Some(piece) => ahead.extend_from_slice(&piece),
                None => break,
            }
        }
        self.work.out = ahead;
        Ok(self)
    }

    /// Returns the answer, frame after frame; a frame is read when its piece is asked for. A piece is what becomes of 256 KiB: no
    /// more than that for plain text, 3 MiB for HTML of nothing but colours.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, Error>> + Send + 'static {
        stream::try_unfold(self.work, |mut work| async move { Ok(work.next().await?.map(|piece| (piece, work))) })
    }
}

impl Work {
    /// Returns the next piece of the answer.
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if !self.out.is_empty() {
                return Ok(Some(std::mem::take(&mut self.out).into()));
            }
            let Some(span) = self.spans.front_mut() else {
                if matches!(self.stage, Stage::Done) {
                    return Ok(None);
                }
                self.stage.finish(&mut self.out);
                continue;
            };
            let piece = self.frames.piece(span.bytes.clone()).await?;
            if matches!(self.stage, Stage::Plain) {
                span.bytes.start += piece.len() as u64;
                if span.bytes.is_empty() {
                    self.spans.pop_front();
                }
                return Ok(Some(piece));
            }
            let splitter = match self.splitter.take() {
                Some(splitter) => splitter,
                None => {
                    self.stage.begin();
                    span.splitter()
                }
            };
            if let Stage::Searched { light, .. } = self.stage {
                let left = span.bytes.end - span.bytes.start;
                let slice = Slice { splitter: Some(splitter), piece, left, out: Vec::new(), took: Duration::ZERO };
                let quick = light && self.searched < QUICK;
                let slice = slice.search(&mut self.stage, quick).await?;
                span.bytes.start = span.bytes.end - slice.left;
                self.searched += slice.took;
                (self.splitter, self.out) = (slice.splitter, slice.out);
                if self.searched > Duration::from_secs(SEARCH_SECONDS) {
                    return Err(Error::Slow);
                }
            } else {
                span.bytes.start += piece.len() as u64;
                let ends = span.bytes.is_empty();
                self.splitter = self.stage.pass(splitter, &piece, ends, &mut self.out);
            }
            if self.splitter.is_none() {
                self.spans.pop_front();
            }
            if self.stage.is_satisfied() {
                self.spans.clear();
            }
            // Others want to work, too.
            tokio::task::yield_now().await;
        }
    }
}

/// What a search does in one turn.
struct Slice {
    splitter: Option<LineSplitter>,
    piece: Bytes,
    /// Bytes of the span that were not searched yet.
    left: u64,
    out: Vec<u8>,
    took: Duration,
}

impl Slice {
    /// Searches when it is its turn; an error leaves nothing to go on with.
    async fn search(mut self, stage: &mut Stage, quick: bool) -> Result<Self, Error> {
        let place = if quick { None } else { Some(LONG_PLACES.try_acquire().map_err(|_| Error::Busy)?) };
        let mut searching = std::mem::replace(stage, Stage::Done);
        let searched = aside(if quick { &TURNS } else { &LONG_TURN }, move || {
            self.run(&mut searching);
            (searching, self)
        });
        let (searched, slice) = searched.await?;
        drop(place);
        *stage = searched;
        Ok(slice)
    }

    fn run(&mut self, stage: &mut Stage) {
        let (began, mut taken) = (Instant::now(), 0);
        while let Some(splitter) = self.splitter.take() {
            let end = (taken + STRETCH).min(self.piece.len());
            self.left -= (end - taken) as u64;
            self.splitter = stage.pass(splitter, &self.piece[taken..end], self.left == 0, &mut self.out);
            taken = end;
            self.took = began.elapsed();
            if taken == self.piece.len() || stage.is_satisfied() || self.took >= SLICE {
                break;
            }
        }
    }
}

impl Stage {
    /// A span begins: colours of the one before are none of its own.
    fn begin(&mut self) {
        if let Self::Rendered { renderer, ansi, timestamps } = self {
            **renderer = Renderer::new(*ansi, *timestamps);
        }
    }

    /// Takes the next bytes of a span; returns what cuts the rest of it into lines, unless all that are wanted have come.
    fn pass(&mut self, mut splitter: LineSplitter, text: &[u8], ends: bool, out: &mut Vec<u8>) -> Option<LineSplitter> {
        splitter.push(text, &mut |piece| self.take(&piece, out));
        if splitter.is_done() {
            return None;
        }
        if ends {
            splitter.finish(&mut |piece| self.take(&piece, out));
            return None;
        }
        Some(splitter)
    }

    fn take(&mut self, piece: &LinePiece<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Rendered { renderer, .. } => renderer.push(piece, out),
            Self::Json(json) => json.push(piece, out),
            Self::Searched { search, shown, .. } => search.push(piece, &mut |found| shown.show(&found, out)),
            Self::Plain | Self::Done => {}
        }
    }

    /// Nothing that follows can change the answer.
    fn is_satisfied(&self) -> bool {
        matches!(self, Self::Searched { search, .. } if search.is_done())
    }

    /// All spans have ended.
    fn finish(&mut self, out: &mut Vec<u8>) {
        if let Self::Searched { search, shown, count: true, .. } = self {
            let count = match shown {
                Shown::Text(..) => format!("{}\n", search.matches()),
                Shown::Json(_) => format!("{{\"count\":{}}}\n", search.matches()),
            };
            out.extend_from_slice(count.as_bytes());
        }
        *self = Self::Done;
    }
}

impl Shown {
    fn show(&mut self, found: &Found<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Json(json) => json.found(found, out),
            Self::Text(ansi, timestamps) => {
                if found.gap {
                    out.extend_from_slice(b"--\n");
                }
                let Found { number, offset, text, stamped, .. } = *found;
                let (first, last, broken) = (true, true, true);
                let line = LinePiece { number, offset, text, stamped, first, last, broken, ..LinePiece::default() };
                Renderer::new(*ansi, *timestamps).push(&line, out);
            }
        }
    }
}
