//! Limits of size, memory and time, with bodies made of pieces.

use std::time::Duration;

use actix_web::error::PayloadError;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use tokio::time::Instant;

use super::{Claim, Gate, MAX_BODY_BYTES, Patience, Received};
use crate::domain::Timestamp;
use crate::webhook::Config;
use crate::webhook::answer::Refused;
use crate::webhook::verify::{Refusal, Verifier};

const SHORT: Duration = Duration::from_millis(20);

fn gate(bytes_in_flight: usize) -> Gate {
    let config = Config { tokens: vec!["secret".into()], ..Config::default() };
    let verifier = Verifier::build(&config).expect("a usable secret");
    Gate::new(verifier, bytes_in_flight, Patience { body: SHORT * 4, budget: SHORT, ..Patience::default() })
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    let default = [("x-gitlab-token", "secret"), ("content-type", "application/json")];
    for (name, value) in default.iter().chain(pairs) {
        map.insert(HeaderName::from_static(name), HeaderValue::from_str(value).expect("a header value"));
    }
    map
}

fn pieces(sizes: &[usize]) -> impl Stream<Item = Result<Bytes, PayloadError>> + Unpin + use<> {
    stream::iter(sizes.to_vec()).map(|size| Ok(Bytes::from(vec![b'x'; size])))
}

/// A body that nobody may read.
fn untouched() -> impl Stream<Item = Result<Bytes, PayloadError>> + Unpin {
    stream::poll_fn(|_| panic!("the body was read"))
}

fn endless() -> impl Stream<Item = Result<Bytes, PayloadError>> + Unpin {
    stream::pending()
}

/// Returns whether somebody could have so many bytes for a large body.
async fn is_free(gate: &Gate, bytes: u64) -> bool {
    gate.large.share(Claim { bytes, stranger: None }, SHORT).await.is_some()
}

async fn receive(
    gate: &Gate,
    headers: &HeaderMap,
    body: impl Stream<Item = Result<Bytes, PayloadError>> + Unpin,
) -> Result<usize, Refused> {
    let received: Received = gate.receive(headers, body, None, Instant::now(), Timestamp::now()).await?;
    Ok(received.verify()?.bytes().len())
}

#[tokio::test]
async fn what_the_headers_can_refuse_is_refused_before_the_body_is_read() {
    let gate = gate(MAX_BODY_BYTES * 2);
    let too_long = (MAX_BODY_BYTES + 1).to_string();
    for (pair, expected) in [
        (("x-gitlab-token", "wrong"), Refused::Unverified(Refusal::TokenWrong)),
        (("content-type", "text/plain"), Refused::NotJson),
        (("content-type", "application/x-www-form-urlencoded"), Refused::NotJson),
        (("content-encoding", "gzip"), Refused::NotJson),
        (("content-length", &too_long), Refused::TooLarge(MAX_BODY_BYTES as u64)),
        (("content-length", "18446744073709551615"), Refused::TooLarge(MAX_BODY_BYTES as u64)),
    ] {
        assert_eq!(receive(&gate, &headers(&[pair]), untouched()).await, Err(expected), "{pair:?}");
    }
    let mut untyped = headers(&[]);
    untyped.remove("content-type");
    assert_eq!(receive(&gate, &untyped, untouched()).await, Err(Refused::NotJson));
}

#[tokio::test]
async fn json_by_any_of_its_names_is_read() {
    let gate = gate(100);
    for kind in ["application/json", "Application/JSON; charset=utf-8", "application/vnd.gitlab+json"] {
        assert_eq!(receive(&gate, &headers(&[("content-type", kind)]), pieces(&[2, 3])).await, Ok(5), "{kind}");
    }
}

#[tokio::test]
async fn a_body_may_be_exactly_as_large_as_the_limit_and_no_byte_larger() {
    let gate = gate(MAX_BODY_BYTES * 2);
    let half = MAX_BODY_BYTES / 2;
    assert_eq!(receive(&gate, &headers(&[]), pieces(&[half, half])).await, Ok(MAX_BODY_BYTES));
    let length = MAX_BODY_BYTES.to_string();
    let announced = headers(&[("content-length", &length)]);
    assert_eq!(receive(&gate, &announced, pieces(&[half, half])).await, Ok(MAX_BODY_BYTES));
    let expected = Err(Refused::TooLarge(MAX_BODY_BYTES as u64));
    assert_eq!(receive(&gate, &headers(&[]), pieces(&[half, half, 1])).await, expected);
}

#[tokio::test]
async fn a_body_that_stalls_breaks_or_lies_is_refused() {
    let gate = gate(1000);
    let stalled = pieces(&[10]).chain(endless());
    assert_eq!(receive(&gate, &headers(&[("content-length", "20")]), stalled).await, Err(Refused::TooSlow));
    let cut = pieces(&[10]).chain(stream::iter([Err(PayloadError::Incomplete(None))]));
    assert_eq!(receive(&gate, &headers(&[("content-length", "20")]), cut).await, Err(Refused::Broken));
    assert!(is_free(&gate, 875).await, "every share was given back");
}

#[tokio::test]
async fn bodies_in_flight_share_one_budget_in_whole_shares_and_give_it_back() {
    let gate = gate(1000);
    let announced = headers(&[("content-length", "500")]);
    let first = gate.receive(&announced, pieces(&[500]), None, Instant::now(), Timestamp::now()).await.ok();
    assert!(is_free(&gate, 375).await && !is_free(&gate, 376).await);
    assert_eq!(receive(&gate, &announced, untouched()).await, Err(Refused::Busy));
    assert_eq!(receive(&gate, &headers(&[]), untouched()).await, Err(Refused::Busy), "it may be as large as any");
    let small = headers(&[("content-length", "15")]);
    assert_eq!(receive(&gate, &small, pieces(&[5, 10])).await, Ok(15), "small ones have room of their own");
    drop(first);
    assert_eq!(receive(&gate, &headers(&[]), pieces(&[300, 300])).await, Ok(600));
    assert_eq!(
        receive(&gate, &small, pieces(&[5, 11])).await,
        Err(Refused::TooLarge(875)),
        "it said that it is smaller"
    );
    assert!(is_free(&gate, 875).await);
    let larger = headers(&[("content-length", "876")]);
    assert_eq!(receive(&gate, &larger, untouched()).await, Err(Refused::TooLarge(875)), "it could only wait for ever");
}
