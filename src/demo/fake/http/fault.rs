//! Carries out the faults of [`crate::demo::fake::FaultKind`].

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::body::SizedStream;
use bytes::Bytes;
use futures_util::stream;

use super::answer::Answer;
use super::bomb;
use super::query::Query;
use super::{Connection, head, respond};
use crate::demo::fake::counters::InFlight;
use crate::demo::fake::faults::FaultKind;

/// How long a cut answer's first part may take to leave, so that the client has seen the head when it breaks.
const FLUSH: Duration = Duration::from_millis(5);

/// Answers as the fault says; `healthy` is what the answer would have been to what was `asked`.
pub(super) async fn apply(
    kind: FaultKind,
    healthy: impl FnOnce(Query) -> Answer,
    asked: Query,
    connection: Option<Arc<Connection>>,
    in_flight: InFlight,
) -> HttpResponse {
    let first = matches!(kind, FaultKind::FirstPage);
    let healthy = || healthy(if first { asked.first_page() } else { asked });
    let answer = match kind {
        FaultKind::FirstPage => healthy(),
        FaultKind::HtmlStatus(status) => Answer::html(status),
        FaultKind::ServerError => Answer::server_error(),
        FaultKind::NotFound => Answer::not_found(),
        FaultKind::Forbidden => Answer::forbidden(),
        FaultKind::UserRefused(words) => Answer::message(403, &format!("403 Forbidden - {words}")),
        FaultKind::Unauthorized => Answer::unauthorized(),
        FaultKind::Throttled { retry_after_secs } => Answer::throttled(retry_after_secs),
        FaultKind::ApplicationThrottled => Answer::application_throttled(),
        FaultKind::LoginPage => Answer::login_page(),
        FaultKind::MalformedRow => malformed_row(healthy()),
        FaultKind::Shortened { percent } => {
            let answer = healthy();
            Answer { body: part(&answer, percent), ..answer }
        }
        FaultKind::Bomb(coding) => {
            let body = bomb::of(coding).unwrap_or_default();
            Answer { body, ..healthy() }.header("Content-Encoding", coding)
        }
        FaultKind::BrokenJson => Answer::json("[{\"id\":1,\"status\":\"succ"),
        FaultKind::CloseBeforeHead => {
            if let Some(connection) = connection {
                connection.cut();
            }
            // Nobody reads this: the connection is gone.
            Answer::html(502)
        }
        FaultKind::Stall => std::future::pending().await,
        FaultKind::Truncated { percent } => return truncated(&healthy(), percent, connection, in_flight),
        FaultKind::Endless => return endless(in_flight),
        FaultKind::Drip { piece_bytes, pause } => return drip(&healthy(), piece_bytes, pause, in_flight),
    };
    respond(answer, in_flight)
}

fn endless(in_flight: InFlight) -> HttpResponse {
    let blanks = Bytes::from(vec![b' '; 64 * 1024]);
    let pieces = stream::unfold((blanks, in_flight), |(blanks, in_flight)| async move {
        Some((Ok::<Bytes, std::io::Error>(blanks.clone()), (blanks, in_flight)))
    });
    head(&Answer::json("")).streaming(pieces)
}

/// Puts a row without a usable id or status before the others.
fn malformed_row(answer: Answer) -> Answer {
    const ROW: &[u8] = b"{\"id\":\"none\",\"status\":17}";
    let rest = answer.body.strip_prefix(b"[").filter(|_| answer.status == 200);
    let body = match rest {
        Some(b"]") => [b"[", ROW, b"]"].concat(),
        Some(rest) => [b"[", ROW, b",", rest].concat(),
        None => b"[]".to_vec(),
    };
    Answer { body: body.into(), ..answer }
}

fn part(answer: &Answer, percent: u8) -> Bytes {
    answer.body.slice(..answer.body.len() * usize::from(percent.min(99)) / 100)
}

fn truncated(answer: &Answer, percent: u8, cut: Option<Arc<Connection>>, in_flight: InFlight) -> HttpResponse {
    let whole = answer.body.len();
    let part = part(answer, percent);
    let pieces = stream::unfold((Some(part), cut, in_flight), |(part, cut, in_flight)| async move {
        if let Some(part) = part {
            return Some((Ok::<Bytes, std::io::Error>(part), (None, cut, in_flight)));
        }
        tokio::time::sleep(FLUSH).await;
        if let Some(connection) = cut {
            connection.cut();
        }
        None
    });
    head(answer).body(SizedStream::new(u64::try_from(whole).unwrap_or(u64::MAX), pieces))
}

fn drip(answer: &Answer, piece_bytes: usize, pause: Duration, in_flight: InFlight) -> HttpResponse {
    let whole = u64::try_from(answer.body.len()).unwrap_or(u64::MAX);
    let pieces = stream::unfold((answer.body.clone(), in_flight), move |(mut rest, in_flight)| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(pause).await;
        let piece = rest.split_to(piece_bytes.max(1).min(rest.len()));
        Some((Ok::<Bytes, std::io::Error>(piece), (rest, in_flight)))
    });
    head(answer).body(SizedStream::new(whole, pieces))
}
