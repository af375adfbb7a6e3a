//! The answer to a request as a stream: frame after frame through what was asked for.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;
use futures_util::stream::{self, Stream};

use tokio::sync::Semaphore;

use super::frames::Frames;
use super::log::Span;
use super::{Error, aside};
use crate::log::{
    Ansi, Format, Found, JsonLines, LinePiece, LineSplitter, Renderer, Request, Search, Sections, Timestamps,
};

/// Frames that are searched at once, in each process: a pattern may be of the kind that takes seconds for one.
const SEARCHED_AT_ONCE: usize = 4;

static SEARCHES: Semaphore = Semaphore::const_new(SEARCHED_AT_ONCE);

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
    Searched { search: Box<Search>, shown: Shown, count: bool },
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
                let count = grep.options().count;
                Stage::Searched { search: Box::new(Search::new(grep)), shown, count }
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
        Self { size, media_type, work: Work { frames, spans, splitter: None, stage, out: Vec::new() } }
    }

    /// Returns how many bytes the answer has, where that is known before it is read: for parts as the job wrote them.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Returns the answer's media type. HTML is a fragment: lines, to be put into a `<pre>`.
    pub fn media_type(&self) -> &'static str {
        self.media_type
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
            span.bytes.start += piece.len() as u64;
            let ends = span.bytes.is_empty();
            if matches!(self.stage, Stage::Searched { .. }) {
                let (mut stage, mut out) = (std::mem::replace(&mut self.stage, Stage::Done), Vec::new());
                let searched = aside(&SEARCHES, move || {
                    let splitter = stage.pass(splitter, &piece, ends, &mut out);
                    (stage, splitter, out)
                });
                (self.stage, self.splitter, self.out) = searched.await?;
            } else {
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
