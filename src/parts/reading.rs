//! The answer to a request as a stream: frame after frame through what was asked for.

use std::collections::VecDeque;

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
    /// The splitter or renderer of the first span exists.
    begun: bool,
    stage: Stage,
    out: Vec<u8>,
}

/// What happens to the bytes. It holds a piece of a line, or the lines of a search's context.
enum Stage {
    /// Nothing.
    Plain,
    /// Control sequences or time stamps are changed.
    Rendered { renderer: Option<Renderer>, ansi: Ansi, timestamps: Timestamps },
    /// Lines become JSON.
    Json { splitter: Option<LineSplitter>, json: Option<JsonLines>, sections: Sections, ansi: Ansi },
    /// Lines are searched.
    Searched { splitter: Option<LineSplitter>, search: Search, shown: Shown, count: bool },
    /// Everything is told.
    Done,
}

/// How lines that were found are shown.
enum Shown {
    Text(Ansi, Timestamps),
    Json(Box<JsonLines>),
}

impl Reading {
    pub(super) fn new(frames: Frames, spans: Vec<Span>, request: Request, sections: Sections) -> Self {
        let Request { grep, ansi, timestamps, format, .. } = request;
        let plain = (ansi, timestamps) == (Ansi::Keep, Timestamps::Keep);
        let within = spans.first().is_some_and(|span| span.within);
        let stage = match (grep, format) {
            (Some(grep), _) => {
                let shown = match format {
                    Format::Json => Shown::Json(Box::new(JsonLines::new(sections, ansi, within))),
                    Format::Text => Shown::Text(ansi, timestamps),
                };
                Stage::Searched { splitter: None, count: grep.options().count, search: Search::new(grep), shown }
            }
            (None, Format::Json) => Stage::Json { splitter: None, json: None, sections, ansi },
            (None, Format::Text) if plain => Stage::Plain,
            (None, Format::Text) => Stage::Rendered { renderer: None, ansi, timestamps },
        };
        let size = match stage {
            Stage::Plain => Some(spans.iter().map(|span| span.bytes.end - span.bytes.start).sum()),
            _ => None,
        };
        let media_type = match (format, ansi) {
            (Format::Json, _) => "application/x-ndjson",
            (Format::Text, Ansi::Html) => "text/html; charset=utf-8",
            (Format::Text, _) => "text/plain; charset=utf-8",
        };
        let spans = spans.into_iter().filter(|span| !span.bytes.is_empty()).collect();
        Self { size, media_type, work: Work { frames, spans, begun: false, stage, out: Vec::new() } }
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
            if !std::mem::replace(&mut self.begun, true) {
                self.stage.begin(span);
            }
            span.bytes.start += piece.len() as u64;
            let ends = span.bytes.is_empty();
            if matches!(self.stage, Stage::Plain) {
                self.out_of(ends);
                return Ok(Some(piece));
            }
            if matches!(self.stage, Stage::Searched { .. }) {
                let (mut stage, mut out) = (std::mem::replace(&mut self.stage, Stage::Done), Vec::new());
                let searched = aside(&SEARCHES, move || {
                    stage.pass(&piece, ends, &mut out);
                    (stage, out)
                });
                (self.stage, self.out) = searched.await?;
            } else {
                self.stage.pass(&piece, ends, &mut self.out);
            }
            self.out_of(ends);
            if self.stage.is_satisfied() {
                self.spans.clear();
            }
            // Others want to work, too.
            tokio::task::yield_now().await;
        }
    }

    /// Goes on to the next span when one has ended.
    fn out_of(&mut self, ended: bool) {
        if ended {
            self.spans.pop_front();
            self.begun = false;
        }
    }
}

impl Stage {
    /// A span begins.
    fn begin(&mut self, span: &Span) {
        match self {
            Self::Plain | Self::Done => {}
            Self::Rendered { renderer, ansi, timestamps } => {
                *renderer = Some(Renderer::new(*ansi, *timestamps, span.within));
            }
            Self::Json { splitter, json, sections, ansi } => {
                *splitter = Some(LineSplitter::new(span.line, span.bytes.start));
                json.get_or_insert_with(|| JsonLines::new(std::mem::take(sections), *ansi, span.within));
            }
            Self::Searched { splitter, .. } => *splitter = Some(LineSplitter::new(span.line, span.bytes.start)),
        }
    }

    /// Takes the next bytes of a span.
    fn pass(&mut self, text: &[u8], ends: bool, out: &mut Vec<u8>) {
        self.push(text, out);
        if ends {
            self.end(out);
        }
    }

    fn push(&mut self, text: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Rendered { renderer: Some(renderer), .. } => renderer.push(text, out),
            Self::Json { splitter: Some(splitter), json: Some(json), .. } => {
                splitter.push(text, &mut |piece| json.push(&piece, out));
            }
            Self::Searched { splitter: Some(splitter), search, shown, .. } => {
                splitter.push(text, &mut |piece| look(search, &piece, shown, out));
            }
            _ => {}
        }
    }

    /// A span ends.
    fn end(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Rendered { renderer, .. } => renderer.take().into_iter().for_each(|renderer| renderer.finish(out)),
            Self::Json { splitter, json: Some(json), .. } => {
                let mut each = |piece: LinePiece<'_>| json.push(&piece, out);
                splitter.take().into_iter().for_each(|splitter| splitter.finish(&mut each));
            }
            Self::Searched { splitter, search, shown, .. } => {
                let mut each = |piece: LinePiece<'_>| look(search, &piece, shown, out);
                splitter.take().into_iter().for_each(|splitter| splitter.finish(&mut each));
            }
            _ => {}
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

fn look(search: &mut Search, piece: &LinePiece<'_>, shown: &mut Shown, out: &mut Vec<u8>) {
    search.push(piece, &mut |found| shown.show(&found, out));
}

impl Shown {
    fn show(&mut self, found: &Found<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Json(json) => json.found(found, out),
            Self::Text(ansi, timestamps) => {
                if found.gap {
                    out.extend_from_slice(b"--\n");
                }
                let mut renderer = Renderer::new(*ansi, *timestamps, false);
                renderer.push(found.text, out);
                renderer.push(b"\n", out);
            }
        }
    }
}
