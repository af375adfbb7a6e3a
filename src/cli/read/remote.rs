//! Reading from a running Cistern.

use std::ffi::OsStr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use url::Url;

use super::args::Where;
use super::{Problem, line, show, tell_left_out};
use crate::archive::{LeftOutCounts, encoded};
use crate::config::ProjectRef;
use crate::log::LiveLines;

/// How long a Cistern that is there takes to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// Shows part of a log.
pub(super) async fn log(url: &Url, place: &Where, parameters: &[(&'static str, String)]) -> Result<(), Problem> {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    let path = format!("cistern/v1/projects/{}/jobs/{}/log?{query}", project(place), place.job);
    let answer = ask(url, place, &path, place.log_in_words()).await?;
    show(answer.bytes_stream().map_err(|error| broken(url, error))).await
}

/// Shows a log for as long as its job runs.
pub(super) async fn follow(url: &Url, place: &Where, lines: LiveLines) -> Result<(), Problem> {
    #[derive(Deserialize)]
    struct Event {
        text: Option<String>,
    }
    let path = format!("cistern/v1/projects/{}/jobs/{}/log/follow", project(place), place.job);
    let events = ask(url, place, &path, place.log_in_words()).await?.bytes_stream();
    let events = events.map_err(|error| broken(url, error));
    // Events are one line of JSON each; a line may come in pieces.
    let begin = (Box::pin(events), Vec::new(), Some(lines));
    let texts = stream::try_unfold(begin, |(mut events, mut held, mut lines)| async move {
        let mut shown = Vec::new();
        loop {
            let Some(live) = &mut lines else { return Ok::<_, Problem>(None) };
            if let Some(end) = held.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = held.drain(..=end).collect();
                let event = line.strip_prefix(b"data: ").and_then(|data| serde_json::from_slice::<Event>(data).ok());
                if let Some(text) = event.and_then(|event| event.text) {
                    live.push(text.as_bytes(), &mut shown);
                    return Ok(Some((Bytes::from(shown), (events, held, lines))));
                }
                continue;
            }
            match events.next().await {
                Some(piece) => held.extend_from_slice(&piece?),
                None => {
                    lines.take().into_iter().for_each(|lines| lines.finish(&mut shown));
                    return Ok(Some((Bytes::from(shown), (events, held, lines))));
                }
            }
        }
    });
    show(texts).await
}

/// Lists an archive, or shows one file of it.
pub(super) async fn artifacts(url: &Url, place: &Where, path: Option<&OsStr>) -> Result<(), Problem> {
    let base = format!("v4/projects/{}/jobs/{}/artifacts", project(place), place.job);
    let what = place.archive_in_words(path);
    if let Some(path) = path {
        let answer = ask(url, place, &format!("{base}/{}", encoded(path.as_encoded_bytes())), what).await?;
        return show(answer.bytes_stream().map_err(|error| broken(url, error))).await;
    }
    #[derive(Deserialize)]
    struct Node {
        path: String,
        encoded_path: Option<String>,
        #[serde(default)]
        size: u64,
        r#type: String,
    }
    let mut left_out = LeftOutCounts::default();
    for page in 1_u32.. {
        let path = format!("{base}/tree?recursive=true&per_page=100&page={page}");
        let answer = ask(url, place, &path, what.clone()).await?;
        let counted = answer.headers().get("x-cistern-left-out").and_then(|counts| counts.to_str().ok());
        left_out = counted.map(LeftOutCounts::parse).unwrap_or(left_out);
        let body = answer.bytes().await.map_err(|error| broken(url, error))?;
        let nodes: Vec<Node> = serde_json::from_slice(&body)
            .map_err(|error| Problem::Remote(format!("{} does not answer as a Cistern does: {error}", shown(url))))?;
        if nodes.is_empty() {
            break;
        }
        let files = nodes.iter().filter(|node| node.r#type == "file");
        let path = |node: &Node| match &node.encoded_path {
            Some(encoded) => percent_decode_str(encoded).collect(),
            None => node.path.clone().into_bytes(),
        };
        let lines: String = files.map(|node| line(node.size, &path(node))).collect();
        show(stream::iter([Ok(Bytes::from(lines))])).await?;
    }
    tell_left_out(left_out);
    Ok(())
}

fn project(place: &Where) -> String {
    match &place.project {
        Some(ProjectRef::Id(id)) => id.to_string(),
        Some(ProjectRef::Path(path)) => utf8_percent_encode(path, NON_ALPHANUMERIC).to_string(),
        // The arguments ask for it.
        None => String::new(),
    }
}

/// Asks for `what`, and returns the answer unless it says why not.
async fn ask(url: &Url, place: &Where, path: &str, what: String) -> Result<Response, Problem> {
    // A token goes to this address and no other.
    let client = Client::builder().connect_timeout(CONNECT).redirect(reqwest::redirect::Policy::none()).build();
    let client = client.map_err(|error| broken(url, error))?;
    let mut request = client.get(format!("{}/api/{path}", url.as_str().trim_end_matches('/')));
    if let Some(file) = &place.token_file {
        let token = std::fs::read_to_string(file)
            .map_err(|error| Problem::Usage(format!("--token-file {} cannot be read: {error}", file.display())))?;
        let value = reqwest::header::HeaderValue::from_str(token.trim()).ok().filter(|token| !token.is_empty());
        let mut token =
            value.ok_or_else(|| Problem::Usage(format!("--token-file {} holds no token", file.display())))?;
        token.set_sensitive(true);
        request = request.header("PRIVATE-TOKEN", token);
    }
    let answer = request.send().await.map_err(|error| broken(url, error))?;
    if answer.status().is_success() { Ok(answer) } else { Err(refusal(url, place, what, answer).await) }
}

/// Says what an answer means that is none.
async fn refusal(url: &Url, place: &Where, what: String, answer: Response) -> Problem {
    #[derive(Deserialize)]
    struct Said {
        message: Option<String>,
        error: Option<String>,
    }
    let status = answer.status();
    let why = answer.headers().get("x-cistern-reason").and_then(|why| why.to_str().ok()).map(str::to_owned);
    let said: Option<Said> = answer.bytes().await.ok().and_then(|body| serde_json::from_slice(&body).ok());
    let said = said.and_then(|said| said.message.or(said.error)).unwrap_or_else(|| status.to_string());
    match (status, why) {
        (StatusCode::NOT_FOUND, Some(why)) => Problem::NotHeld { what, why },
        (StatusCode::NOT_FOUND | StatusCode::UNSUPPORTED_MEDIA_TYPE | StatusCode::UNPROCESSABLE_ENTITY, _) => {
            Problem::Lacks { what, said: format!("{said}, says {}", shown(url)) }
        }
        (StatusCode::BAD_REQUEST, _) => Problem::Usage(said),
        (StatusCode::UNAUTHORIZED, _) => {
            let url = shown(url);
            Problem::Remote(match &place.token_file {
                Some(file) => {
                    format!("{url} says {said} to the token in {}: give one that it lets read", file.display())
                }
                None => format!("{url} says {said}: give a token that it lets read with --token-file"),
            })
        }
        _ => Problem::Remote(format!("{what}: {} says {said}", shown(url))),
    }
}

/// Names the address and the cause, which the library keeps behind its own words.
fn broken(url: &Url, error: reqwest::Error) -> Problem {
    let advice =
        if error.is_connect() { ": name the server.listen of a running `cistern serve` with --url" } else { "" };
    let error = error.without_url();
    let cause = std::iter::successors(std::error::Error::source(&error), |error| error.source()).last();
    let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
    Problem::Remote(format!("{} does not answer ({error}{cause}){advice}", shown(url)))
}

/// Returns an address without what may be secret in it.
fn shown(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path().trim_end_matches('/'))
}
