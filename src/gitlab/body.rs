//! A body on its way: pieces, its proven end, and the permit it holds.
//!
//! Guarantees that a body shorter than announced, one that stalls, one that drips and one in a coding that was not asked for are
//! errors, never wholes. A body without
//! an announced length that ends with its connection cannot be proven whole here: whoever knows the size compares it.
//! It does not limit its size: whoever keeps it does. What is read whole and large takes its turn, with all the room that it may
//! need, so that the process's memory is bounded however many answers come at once and whatever they unpack to.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::Response;
use reqwest::header::{CONTENT_ENCODING, HeaderMap};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use super::permits::Permit;
use super::question::Question;
use super::redirect::Origin;
use super::{Error, Kind, Timeouts, transport};
use crate::domain::{Malformed, Timestamp};

/// Bytes per second of waiting below which a body is given up after [`Timeouts::grace`], so that a drip cannot hold a permit for
/// ever.
const SLOWEST: f64 = 1024.0;

/// What is read of an answer before it takes room: nearly all of them are smaller.
const SMALL_BYTES: usize = 256 * 1024;

/// Room for larger ones that are read whole, all together, in KiB.
const ROOM_KIB: usize = 64 * 1024;

static ROOM: Semaphore = Semaphore::const_new(ROOM_KIB);

/// How long a large answer waits for room.
const ROOM_WAIT: Duration = Duration::from_secs(60);

/// An answer that was read to its end. A large one keeps its room until it is dropped.
#[derive(Debug)]
pub struct Whole {
    bytes: Bytes,
    _room: Option<SemaphorePermit<'static>>,
}

impl Whole {
    /// Changes the bytes.
    pub fn map(self, change: impl FnOnce(Bytes) -> Bytes) -> Self {
        Self { bytes: change(self.bytes), ..self }
    }
}

impl Deref for Whole {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

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

    /// Reads the rest, which may not be larger than `limit`.
    pub(super) async fn read(&mut self, limit: usize) -> Result<Whole, Error> {
        self.read_within(limit).await?.ok_or_else(|| {
            let problem = format!("it is larger than {limit} bytes");
            self.error(Malformed { what: "answer", problem }.into())
        })
    }

    /// Reads the rest; `None` when it is larger than `limit`. Only one large answer may be held by who reads another one.
    pub async fn read_within(&mut self, limit: usize) -> Result<Option<Whole>, Error> {
        let (mut all, mut room) = (BytesMut::new(), None);
        while let Some(piece) = self.chunk().await? {
            let length = all.len() + piece.len();
            if length > limit {
                self.state = State::Broken;
                return Ok(None);
            }
            if length > SMALL_BYTES && room.is_none() {
                room = Some(self.room(limit).await?);
                // Pages of memory that are not written take none, and what is there is not copied again and again.
                all.reserve(limit - all.len());
            }
            all.extend_from_slice(&piece);
        }
        Ok(Some(Whole { bytes: all.freeze(), _room: room }))
    }

    /// Waits for room for the whole of an answer: whoever waits for more of it holds none.
    async fn room(&mut self, limit: usize) -> Result<SemaphorePermit<'static>, Error> {
        let kib = u32::try_from((limit / 1024).clamp(1, ROOM_KIB)).unwrap_or(1);
        match timeout(ROOM_WAIT, ROOM.acquire_many(kib)).await {
            Ok(Ok(room)) => Ok(room),
            Ok(Err(_)) | Err(_) => {
                self.state = State::Broken;
                let waited = ROOM_WAIT.as_secs();
                Err(self.error(Kind::Unavailable(format!("too many large answers at once: no room within {waited} s"))))
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
