//! The content of one file, made slice after slice on threads of its own.
//!
//! A few bytes of an archive may become gigabytes, and whoever asks for the last byte of them gets none of those before it: such a
//! reader costs the machine more than it costs them. So only a few files are decompressed at once, whoever asks, each for a few
//! milliseconds until the next one's turn; who has gone away gets no further turn.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use tokio::sync::Semaphore;

use crate::archive::{Extractor, Refused};
use crate::parts::blob::Chunks;
use crate::parts::{Error, aside};

/// Files that are decompressed at once.
const EXTRACTED_AT_ONCE: usize = 2;

/// How much is made in one turn: a few milliseconds.
const TURN_BYTES: u64 = 8 << 20;

/// How much is made before somebody takes it.
const READY_BYTES: u64 = 512 << 10;

static TURNS: Semaphore = Semaphore::const_new(EXTRACTED_AT_ONCE);

/// Makes some bytes of a file.
pub(super) struct Extraction {
    chunks: Chunks,
    /// What is left of the data.
    data: Range<u64>,
    /// `None` only after an error.
    making: Option<Making>,
}

/// What goes from turn to turn.
struct Making {
    extractor: Extractor,
    /// How much content has been made.
    given: u64,
    /// Which of it is wanted.
    bytes: Range<u64>,
    /// It is wanted to the end, which is checked.
    whole: bool,
    ready: VecDeque<Bytes>,
    /// It takes more data.
    hungry: bool,
}

impl Extraction {
    pub(super) fn new(chunks: Chunks, data: Range<u64>, extractor: Extractor, bytes: Range<u64>, whole: bool) -> Self {
        let making = Making { extractor, given: 0, bytes, whole, ready: VecDeque::new(), hungry: true };
        Self { chunks, data, making: Some(making) }
    }

    pub(super) fn stream(self) -> impl Stream<Item = Result<Bytes, Error>> {
        stream::try_unfold(self, |mut this| async move { Ok(this.next().await?.map(|piece| (piece, this))) })
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        while let Some(mut making) = self.making.take() {
            if let Some(piece) = making.ready.pop_front() {
                self.making = Some(making);
                return Ok(Some(piece));
            }
            if making.is_over() {
                break;
            }
            if making.hungry {
                if self.data.is_empty() {
                    making.extractor.finish()?;
                    break;
                }
                let data = self.chunks.piece(self.data.clone()).await?;
                self.data.start += data.len() as u64;
                making.extractor.feed(data);
            }
            self.making = Some(aside(&TURNS, move || making.turn()).await??);
        }
        Ok(None)
    }
}

impl Making {
    /// Returns whether there is nothing left to make. What is wanted to its end goes on until that is checked.
    fn is_over(&self) -> bool {
        !self.whole && self.given >= self.bytes.end
    }

    /// Makes content until enough of it is ready, the turn is over, or it takes more data.
    fn turn(mut self) -> Result<Self, Refused> {
        let (mut made, mut ready) = (0, 0);
        self.hungry = false;
        while made < TURN_BYTES && ready < READY_BYTES && !self.is_over() {
            let Some(piece) = self.extractor.piece()? else {
                self.hungry = true;
                break;
            };
            let begin = self.given;
            made += piece.len() as u64;
            self.given += piece.len() as u64;
            let wanted = self.bytes.start.clamp(begin, self.given)..self.bytes.end.clamp(begin, self.given);
            if !wanted.is_empty() {
                ready += wanted.end - wanted.start;
                // Both are within the piece.
                self.ready.push_back(piece.slice((wanted.start - begin) as usize..(wanted.end - begin) as usize));
            }
        }
        Ok(self)
    }
}
