//! A body on its way: pieces, its proven end, and the permit it holds.
//!
//! Guarantees that a body shorter than announced, one that stalls, one that drips and one in a coding that was not asked for are
//! errors, never wholes. A body without
//! an announced length that ends with its connection cannot be proven whole here: whoever knows the size compares it.
//! It does not limit its size: whoever keeps it does.

use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::Response;
use reqwest::header::{CONTENT_ENCODING, HeaderMap};
use tokio::time::{Instant, timeout};

use super::permits::Permit;
use super::question::Question;
use super::redirect::Origin;
use super::{Error, Kind, Timeouts, transport};
use crate::domain::{Malformed, Timestamp};

/// Bytes per second of waiting below which a body is given up after [`Timeouts::grace`], so that a drip cannot hold a permit for
/// ever.
const SLOWEST: f64 = 1024.0;

/// A body that is still arriving. Holds its permit until it is dropped or read to its end.
pub struct Body {
    question: Question,
    state: State,
    as_of: Timestamp,
    announced: Option<u64>,
}

/// The body of any answer, whatever its status, as it comes: one that stalls, drips or breaks off is an error.
pub(super) struct Arrival {
    response: Response,
    announced: Option<u64>,
    received: u64,
    waited: Duration,
    timeouts: Timeouts,
}

enum State {
    /// Its bytes are not what GitLab has, but something that we cannot read.
    Encoded,
    Arriving {
        arrival: Box<Arrival>,
        _held: Permit,
    },
    Whole,
    Broken,
}

impl Body {
    pub(super) fn new(
        question: Question,
        response: Response,
        permit: Permit,
        as_of: Timestamp,
        timeouts: Timeouts,
    ) -> Self {
        let arrival = Box::new(Arrival::of(response, timeouts));
        let (announced, response) = (arrival.announced, &arrival.response);
        // What we asked for is decoded by now, and the header gone.
        let encoded = response.headers().get_all(CONTENT_ENCODING).iter().any(|coding| coding != "identity");
        let state = if encoded { State::Encoded } else { State::Arriving { arrival, _held: permit } };
        Self { question, state, as_of, announced }
    }

    /// Returns the next piece, never empty; `None` at the proven end (announced length or last chunk seen).
    ///
    /// Dropping the future loses nothing; after an error there is nothing more to read.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        match self.next_piece().await {
            Ok(Some(piece)) => Ok(Some(piece)),
            Ok(None) => {
                self.state = State::Whole;
                Ok(None)
            }
            Err(kind) => {
                self.state = State::Broken;
                Err(self.error(kind))
            }
        }
    }

    /// Returns what was asked.
    pub(super) fn question(&self) -> &Question {
        &self.question
    }

    /// Returns GitLab's clock at the answer.
    pub fn as_of(&self) -> Timestamp {
        self.as_of
    }

    /// Returns the scheme, host and port that it comes from; `None` once it was read.
    pub fn place(&self) -> Option<String> {
        match &self.state {
            State::Arriving { arrival, .. } => Some(Origin::of(arrival.response.url()).to_string()),
            State::Encoded | State::Whole | State::Broken => None,
        }
    }

    /// Returns the announced length, when there is one and the body is not compressed.
    pub fn announced(&self) -> Option<u64> {
        self.announced
    }

    /// Returns the answer's headers; `None` once it was read.
    pub(super) fn headers(&self) -> Option<&HeaderMap> {
        match &self.state {
            State::Arriving { arrival, .. } => Some(arrival.response.headers()),
            State::Encoded | State::Whole | State::Broken => None,
        }
    }

    /// Reads the rest, `limit` bytes at most.
    pub(super) async fn read(&mut self, limit: usize) -> Result<Bytes, Error> {
        let Some(first) = self.chunk().await? else { return Ok(Bytes::new()) };
        let Some(second) = self.chunk().await? else { return Ok(first) };
        let announced = self.announced.and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
        let mut all = BytesMut::with_capacity(announced.min(limit).max(first.len() + second.len()));
        all.extend_from_slice(&first);
        let mut piece = second;
        loop {
            if all.len() + piece.len() > limit {
                self.state = State::Broken;
                let problem = format!("it is larger than {limit} bytes");
                return Err(self.error(Malformed { what: "answer", problem }.into()));
            }
            all.extend_from_slice(&piece);
            match self.chunk().await? {
                Some(next) => piece = next,
                None => return Ok(all.freeze()),
            }
        }
    }

    /// Makes an error of what went wrong with this question.
    pub(super) fn error(&self, kind: Kind) -> Error {
        Error { question: self.question.to_string(), kind }
    }

    async fn next_piece(&mut self) -> Result<Option<Bytes>, Kind> {
        match &mut self.state {
            State::Arriving { arrival, .. } => arrival.next_piece().await,
            State::Encoded => {
                Err(Kind::Unavailable("it is encoded in a way that was not asked for: by a proxy?".to_owned()))
            }
            State::Whole => Ok(None),
            State::Broken => Err(Kind::Unavailable("the body broke off before".to_owned())),
        }
    }
}

impl Arrival {
    pub(super) fn of(response: Response, timeouts: Timeouts) -> Self {
        let announced = response.content_length();
        Self { response, announced, received: 0, waited: Duration::ZERO, timeouts }
    }

    /// Reads `most` bytes at most of what says why a question was not answered; what does not come is left out, the status says
    /// enough.
    pub(super) async fn beginning(mut self, most: usize) -> Vec<u8> {
        let mut body = Vec::new();
        while let Ok(Some(piece)) = self.next_piece().await {
            if body.len() + piece.len() > most {
                break;
            }
            body.extend_from_slice(&piece);
        }
        body
    }

    async fn next_piece(&mut self) -> Result<Option<Bytes>, Kind> {
        let began = Instant::now();
        let piece = loop {
            match timeout(self.timeouts.idle, self.response.chunk()).await {
                Err(_) => {
                    return Err(Kind::Unavailable(format!("the body stalled for {} s", self.timeouts.idle.as_secs())));
                }
                Ok(Err(error)) => return Err(transport::unavailable(error)),
                Ok(Ok(Some(piece))) if piece.is_empty() => {}
                Ok(Ok(piece)) => break piece,
            }
        };
        let Some(piece) = piece else {
            return match self.announced {
                Some(announced) if announced != self.received => {
                    Err(Kind::Unavailable(format!("{} of {announced} bytes arrived", self.received)))
                }
                _ => Ok(None),
            };
        };
        self.received += piece.len() as u64;
        self.waited += began.elapsed();
        if self.waited > self.timeouts.grace && (self.received as f64) < self.waited.as_secs_f64() * SLOWEST {
            return Err(Kind::Unavailable(format!("{} bytes took {} s", self.received, self.waited.as_secs())));
        }
        Ok(Some(piece))
    }
}

impl fmt::Debug for Body {
    /// Leaves the response out: it would print a signed URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("question", &self.question)
            .field("announced", &self.announced)
            .finish_non_exhaustive()
    }
}
