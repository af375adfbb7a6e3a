//! Readers' questions that Cistern has no answer to, passed on to GitLab as they are asked.
//!
//! Guarantees: what is asked lies below the API's root of GitLab's own address, however its path is written; it carries the
//! caller's credential, or the service's where its operator opened that, and never one for the other; only listed headers
//! travel, in either direction; an answer is bounded in bytes and in time, streams, and holds a permit for large answers until
//! it ends, or its reader leaves or stalls. A reader who asks for what fails, or is slow, stops nobody else: a refusal says
//! nothing about our own token, a failure nothing about GitLab, and three quarters of the permits stay for other questions.
//!
//! A redirect within the API, and within what may be asked, is followed. Any other is handed on as GitLab wrote it: whoever may
//! write a link into a project must not choose where this machine connects to, or what our token reads.

mod flow;
mod passage;

use std::sync::Arc;
use std::time::Duration;

use reqwest::Response;
use reqwest::header::{CONTENT_LENGTH, LOCATION};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use url::Url;

use super::answer::{Head, Meaning};
use super::body::Body;
use super::caller::{Caller, Credential};
use super::endpoint::Endpoint;
use super::http::{Asker, Hop, Http};
use super::question::Question;
use super::redirect::MAX_REDIRECTS;
use super::{Class, Gitlab, Kind};
use crate::domain::Timestamp;
use flow::Flow;
pub(super) use flow::Flows;
pub use passage::{CREDENTIALS, Passage};

/// How long a reader waits until GitLab may be asked.
const PATIENCE: Duration = Duration::from_secs(10);

/// The part of all permits that passed questions have at once: archives get as many of those for large answers.
const SHARE: usize = 4;

/// What is shown of the heads of GitLab's answers; the last ones are those of a file of a repository. Neither cookies nor what
/// GitLab tells of its own machinery is among it.
const SHOWN: &str = "cache-control content-disposition content-type etag last-modified link retry-after \
    x-next-cursor x-next-page x-page x-per-page x-prev-cursor x-prev-page x-total x-total-pages \
    x-gitlab-blob-id x-gitlab-commit-id x-gitlab-content-sha256 x-gitlab-encoding x-gitlab-execute-filemode \
    x-gitlab-file-name x-gitlab-file-path x-gitlab-last-commit-id x-gitlab-ref x-gitlab-size";

/// Passes questions on. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Passing {
    gitlab: Gitlab,
    most: u64,
    places: Arc<Semaphore>,
}

/// GitLab's answer to a passed question.
#[derive(Debug)]
pub struct Passed {
    /// Its status.
    pub status: u16,
    /// What is shown of its head: names in small letters, and values.
    pub headers: Vec<(&'static str, String)>,
    /// The length of its body, if it is known.
    pub length: Option<u64>,
    flow: Option<Flow>,
}

/// Why GitLab has no answer to a passed question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotPassed {
    /// It does not answer, or does not want to be asked, now.
    #[error("GitLab does not answer")]
    Away,
    /// The answer is larger than may be passed on.
    #[error("GitLab's answer is larger than limits.artifact_size")]
    TooLarge,
    /// Redirects lead to redirects.
    #[error("GitLab's redirects do not end")]
    Circles,
}

impl From<Kind> for NotPassed {
    fn from(kind: Kind) -> Self {
        tracing::debug!(error = %kind, "a reader's question was not passed on");
        if matches!(kind, Kind::Redirect(_)) { Self::Circles } else { Self::Away }
    }
}

impl Passing {
    /// Passes answers of up to `most` bytes on.
    pub fn new(gitlab: Gitlab, most: u64) -> Self {
        let places = Arc::new(Semaphore::new((gitlab.0.most / SHARE).clamp(1, Semaphore::MAX_PERMITS)));
        Self { gitlab, most, places }
    }

    /// Asks with the credential of whoever asks here.
    pub async fn for_caller(&self, credential: &Credential, passage: &Passage) -> Result<Passed, NotPassed> {
        let caller = Caller::of(credential)?;
        self.pass(passage, Asker::Caller(&caller)).await
    }

    /// Asks with the service's own token.
    pub async fn for_service(&self, passage: &Passage) -> Result<Passed, NotPassed> {
        // Whether our token is good again, a question finds out that says so.
        match self.gitlab.0.refusal() {
            Some(refusal) => Err(refusal.into()),
            None => self.pass(passage, Asker::Reading).await,
        }
    }

    async fn pass(&self, passage: &Passage, asker: Asker<'_>) -> Result<Passed, NotPassed> {
        let http = &self.gitlab.0;
        let admitted = timeout(PATIENCE, async {
            let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| NotPassed::Away)?;
            Ok::<_, NotPassed>((place, http.admit(Class::Reader, Endpoint::Passed, asker).await?))
        });
        let (place, permit) = admitted.await.map_err(|_| NotPassed::Away)??;
        let response = http.follow(passage, asker).await?;
        let (status, headers) = (response.status().as_u16(), shown(&response));
        let length = response.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let has_body = !passage.is_head() && !matches!(status, 204 | 304);
        if has_body && length.is_some_and(|length| length > self.most) {
            return Err(NotPassed::TooLarge);
        }
        let body = Body::new(Question::Passed, response, permit, Timestamp::default(), http.timeouts);
        if body.headers().is_none() {
            return Err(Kind::Unavailable("it is encoded in a way that was not asked for".to_owned()).into());
        }
        let flow = has_body.then(|| http.flows.begin(body, self.most, http.timeouts, place));
        Ok(Passed { status, headers, length, flow })
    }
}

impl Gitlab {
    /// Ends the passed answers whose readers stall, so that their permits are free again. To be called every now and then: nobody
    /// else looks at what nobody reads.
    pub fn end_stalled(&self) {
        self.0.flows.end_overdue(Instant::now());
    }
}

impl Http {
    /// Asks, and goes on where that leads within what may be asked.
    async fn follow(&self, passage: &Passage, asker: Asker<'_>) -> Result<Response, Kind> {
        let mut url = passage.url(&self.api).ok_or(Kind::Rejected(404))?;
        for _ in 0..=MAX_REDIRECTS {
            let hop = Hop { endpoint: Endpoint::Passed, home: true, asker, sent: Instant::now() };
            let request = passage.ask(|method| self.request(&hop, method, url));
            let response = self.exchange(&hop, request).await?;
            self.heed(&hop, &response);
            match self.onward(passage, &response) {
                Some(next) => url = next,
                None => return Ok(response),
            }
            drop(response);
            self.permits.another_call(Class::Reader).await;
        }
        Err(Kind::Redirect("there are too many"))
    }

    /// Returns where a redirect goes on within what the question may reach.
    fn onward(&self, passage: &Passage, response: &Response) -> Option<Url> {
        if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
            return None;
        }
        let target = location(response)?;
        let address = target.as_str().strip_prefix(&self.api)?.split('#').next()?;
        (self.origin.owns(&target) && passage.reaches(address)).then_some(target)
    }

    /// Takes in what an answer says about our token's limits, but nothing that it says about GitLab's condition or one thing.
    fn heed(&self, hop: &Hop<'_>, response: &Response) {
        let head = Head::read(response.status().as_u16(), response.headers());
        self.learn(&head, hop);
        let is_ours = matches!(hop.asker, Asker::Reading);
        match head.meaning(&[]) {
            // One that does not tell of our token's budget may be of what was asked.
            Meaning::ThrottledEverywhere(wait) if is_ours && head.status == 429 => {
                let endpoint = head.budget.is_none().then_some(Endpoint::Passed);
                drop(self.throttled(Instant::now(), endpoint, wait));
            }
            Meaning::ThrottledHere(wait) if is_ours => {
                drop(self.throttled(Instant::now(), Some(Endpoint::Passed), wait));
            }
            _ => {}
        }
    }
}

impl Passed {
    /// Returns the next piece of the body, never empty; `None` at its proven end.
    pub async fn chunk(&mut self) -> Result<Option<bytes::Bytes>, NotPassed> {
        match &mut self.flow {
            Some(flow) => flow.chunk().await,
            None => Ok(None),
        }
    }
}

/// Returns the place that a redirect names, unless it holds credentials.
fn location(response: &Response) -> Option<Url> {
    let target = response.url().join(response.headers().get(LOCATION)?.to_str().ok()?).ok()?;
    let is_plain = target.username().is_empty() && target.password().is_none();
    (is_plain && matches!(target.scheme(), "http" | "https")).then_some(target)
}

fn shown(response: &Response) -> Vec<(&'static str, String)> {
    let text = |name: &'static str| {
        let values = response.headers().get_all(name).iter().filter_map(|value| value.to_str().ok());
        let values: Vec<&str> = values.collect();
        (!values.is_empty()).then(|| (name, values.join(", ")))
    };
    let place = response.status().is_redirection().then(|| location(response)).flatten();
    SHOWN.split(' ').filter_map(text).chain(place.map(|place| ("location", place.into()))).collect()
}
