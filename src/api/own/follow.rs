//! A log while it grows, as server-sent events.
//!
//! However many follow a job, GitLab is asked once in three seconds at most, as a reader's miss: within the permits. Whether
//! a follower may still read is asked again with each look.

use std::time::Duration;

use actix_web::http::Method;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::stream::{self, Stream};
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::followers::Place;
use crate::api::answer::Problem;
use crate::api::openapi::{Answer, Basis, Kind, Operation, parameter};
use crate::api::reply;
use crate::api::view::View;
use crate::domain::{JobPhase, Piece};
use crate::log::{Part, Request, line_breaks};
use crate::parts;
use crate::store::JobRow;

pub(in crate::api) const FOLLOW: Operation = Operation {
    id: "followLog",
    tag: "logs",
    summary: "A job's log while it grows",
    about: "Server-sent events: `log` with `offset` and `text`, whose `id` is where the next one begins, and `end` with the job's \
            `status`. A log that is not held is 404 with its reason; 429: too many are followed by this reader, or by all. A reader that was cut off goes on by `Last-Event-ID`. `closing` says that this process is shutting down.",
    parameters: &[&[parameter("offset", Kind::Number(0, u64::MAX), "Begin at this byte of the log.")]],
    basis: Basis::Derived,
    answer: Answer::Events,
    problems: &[],
};

/// How often the log is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// How long a connection may be silent.
const SILENCE: Duration = Duration::from_secs(15);

/// The most text of one event.
const EVENT_BYTES: u64 = 256 * 1024;

/// What is known of one follower.
struct Follower {
    view: View,
    project: String,
    job: String,
    offset: u64,
    told: Instant,
    over: bool,
    place: Option<Place>,
}

/// Answers with a log for as long as its job runs.
pub(in crate::api) async fn follow(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    view: View,
) -> Result<HttpResponse, Problem> {
    let query = crate::api::query::Query::of(&request);
    let last = request.headers().get("last-event-id").and_then(|value| value.to_str().ok());
    let begin = last.or_else(|| query.text("offset")).map(str::parse).transpose();
    let offset = begin.map_err(|_| Problem::Parameter("offset: not a whole number, as in 1024".to_owned()))?;
    let (project, job) = path.into_inner();
    let mut follower =
        Follower { view, project, job, offset: offset.unwrap_or(0), told: Instant::now(), over: false, place: None };
    // What cannot be followed is said by its status.
    let first = follower.look().await?;
    let mut response = HttpResponse::Ok();
    response.insert_header((CONTENT_TYPE, "text/event-stream")).insert_header((CACHE_CONTROL, "private, no-store"));
    if request.method() == Method::HEAD {
        return Ok(response.streaming(stream::empty::<Result<Bytes, Problem>>()));
    }
    follower.place = Some(follower.view.follower(&request)?);
    let events = stream::once(async { Ok(first) });
    let events = Box::pin(stream::StreamExt::chain(events, follower.events()));
    Ok(reply::to_its_end(&request, response.streaming(events)))
}

impl Follower {
    /// Returns what there is to tell; nothing, if nothing changed.
    async fn look(&mut self) -> Result<Bytes, Problem> {
        self.view.named()?;
        let project = self.view.project(&self.project).await?;
        let right = self.view.may_read_log(project, &self.job).await?;
        let row = self.view.followed(project, &self.job).await?.row;
        if row.log.size > self.offset {
            let end = row.log.size.min(self.offset + EVENT_BYTES);
            let wanted = Request { part: Part::Bytes(self.offset..end), ..Request::default() };
            let text = match self.view.log(right, &row).read(wanted).await {
                Ok(reading) => collect(reading).await,
                Err(problem) => Err(problem),
            };
            return match text {
                Ok(bytes) => Ok(self.tell(&bytes, &row)),
                // It was replaced meanwhile: the next look finds the new one.
                Err(parts::Error::Gone) => Ok(Bytes::new()),
                Err(problem) => Err(problem.into()),
            };
        }
        if row.status.job_phase() != JobPhase::Ended {
            return Ok(Bytes::new());
        }
        let log = match row.log.piece {
            Piece::Whole => "settled",
            Piece::Live => "live",
            _ => match row.log_absence() {
                // It is being fetched.
                Piece::Missing => return Ok(Bytes::new()),
                absence if absence.reads_as_empty() => "settled",
                absence => return Err(Problem::NotHeld(absence)),
            },
        };
        self.over = true;
        Ok(event("end", self.offset, &json!({ "status": row.status, "log": log })))
    }

    /// Makes an event of the next bytes, cut after a whole line where there is one, so that no character is torn, and none is cut
    /// from what is known to go on with it.
    fn tell(&mut self, bytes: &[u8], row: &JobRow) -> Bytes {
        let more = row.status.job_phase() != JobPhase::Ended || self.offset + (bytes.len() as u64) < row.log.size;
        let line = line_breaks(bytes, b"").last().map(|at| at + 1);
        let length = line.filter(|_| more).unwrap_or(bytes.len());
        let begin = self.offset;
        self.offset += length as u64;
        event("log", self.offset, &json!({ "offset": begin, "text": String::from_utf8_lossy(&bytes[..length]) }))
    }

    /// Returns the events to come. After a problem it ends; the reader comes back and is told by its status.
    fn events(self) -> impl Stream<Item = Result<Bytes, Problem>> {
        stream::try_unfold(self, |mut follower| async move {
            loop {
                if follower.over {
                    return Ok(None);
                }
                if timeout(EVERY, follower.view.closing()).await.is_ok() {
                    follower.over = true;
                    return Ok(Some((event("closing", follower.offset, &json!({})), follower)));
                }
                let mut news = follower.look().await?;
                if news.is_empty() && follower.told.elapsed() >= SILENCE {
                    news = Bytes::from_static(b": still running\n\n");
                }
                if !news.is_empty() {
                    follower.told = Instant::now();
                    return Ok(Some((news, follower)));
                }
            }
        })
    }
}

async fn collect(reading: parts::Reading) -> Result<Vec<u8>, parts::Error> {
    let pieces: Vec<Bytes> = futures_util::TryStreamExt::try_collect(Box::pin(reading.into_stream())).await?;
    Ok(pieces.concat())
}

/// Writes one event; JSON has no line breaks of its own.
fn event(name: &str, id: u64, data: &serde_json::Value) -> Bytes {
    format!("id: {id}\nevent: {name}\ndata: {data}\n\n").into()
}
