//! Faults to order: which request, what happens instead of its answer, and how often.
//!
//! The first fault that matches a request and is not used up is applied; the request counts as usual. Faults are
//! applied after the latency and before limits and credentials, like trouble in front of GitLab.

use std::time::Duration;

use super::http::{Endpoint, Route};

/// What happens instead of, or to, the answer.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum FaultKind {
    /// This status with a web server's HTML page, as 502 during a deploy.
    HtmlStatus(u16),
    /// 500 with GitLab's JSON body.
    ServerError,
    /// GitLab's own 404: with `times(n)` the replica lag of a thing that exists.
    NotFound,
    /// 403 with GitLab's JSON body.
    Forbidden,
    /// 403 with what GitLab's API says to a user who may do nothing (its class `Gitlab::Auth::UserAccessDeniedReason`), whatever
    /// was asked: [`TERMS`] or [`BLOCKED`].
    UserRefused(&'static str),
    /// 401 with GitLab's JSON body.
    Unauthorized,
    /// Rack::Attack's plain-text 429 with `Retry-After` in seconds.
    Throttled {
        /// Seconds.
        retry_after_secs: u64,
    },
    /// The application's JSON 429, without any header.
    ApplicationThrottled,
    /// The connection closes before the answer begins.
    CloseBeforeHead,
    /// The answer's head with its whole length, then this share of its bytes in per cent, then the connection closes.
    Truncated {
        /// 0 to 99.
        percent: u8,
    },
    /// A whole answer that holds this share of the right one in per cent, as from a proxy that was cut and did not tell.
    Shortened {
        /// 0 to 99.
        percent: u8,
    },
    /// 200 with a sign-in page in HTML.
    LoginPage,
    /// No answer, ever; the connection stays open until the fake stops.
    Stall,
    /// The right answer in small pieces.
    Drip {
        /// Bytes per piece, at least 1.
        piece_bytes: usize,
        /// The wait before each piece.
        pause: Duration,
    },
    /// One row that is no document of GitLab's before the others of the page; other answers become `[]`.
    MalformedRow,
    /// 200 with 16 GiB of blanks in this coding (`gzip`, `deflate` or `zstd`), a few megabytes on the wire, as JSON or as text.
    Bomb(&'static str),
    /// The first page of the listing, whichever is asked for: from a cache that leaves out by what one pages.
    FirstPage,
    /// 200 with JSON that breaks off.
    BrokenJson,
    /// 200 with blanks that never end, without a length.
    Endless,
}

/// What GitLab says to a user who has terms to accept.
pub const TERMS: &str = "You (@ci-cache) must accept the Terms of Service in order to perform this action. To accept these \
                         terms, please access GitLab from a web browser at https://gitlab.example.com.";

/// What it says to a user who is blocked.
pub const BLOCKED: &str = "Your account has been blocked.";

/// A fault: everything that is not set matches every request.
#[derive(Debug, Clone)]
pub struct Fault {
    kind: FaultKind,
    endpoint: Option<Endpoint>,
    project: Option<u64>,
    /// Job or pipeline number.
    subject: Option<u64>,
    skip: u32,
    times: Option<u32>,
    /// Of a hundred matching requests, how many.
    percent: u8,
}

impl Fault {
    /// A fault of every request for ever.
    pub const fn new(kind: FaultKind) -> Self {
        Self { kind, endpoint: None, project: None, subject: None, skip: 0, times: None, percent: 100 }
    }

    /// Only requests to this endpoint.
    #[must_use]
    pub const fn on(mut self, endpoint: Endpoint) -> Self {
        self.endpoint = Some(endpoint);
        self
    }

    /// Only requests that name this project by number.
    #[must_use]
    pub const fn project(mut self, id: u64) -> Self {
        self.project = Some(id);
        self
    }

    /// Only requests for this job (storage included) or pipeline.
    #[must_use]
    pub const fn subject(mut self, id: u64) -> Self {
        self.subject = Some(id);
        self
    }

    /// Lets the first `count` matching requests pass.
    #[must_use]
    pub const fn skip(mut self, count: u32) -> Self {
        self.skip = count;
        self
    }

    /// Of a hundred matching requests only so many, at random.
    #[must_use]
    pub const fn percent(mut self, percent: u8) -> Self {
        self.percent = percent;
        self
    }

    /// Ends after `count` applications.
    #[must_use]
    pub const fn times(mut self, count: u32) -> Self {
        self.times = Some(count);
        self
    }

    fn matches(&self, route: &Route) -> bool {
        self.endpoint.is_none_or(|endpoint| endpoint == route.endpoint)
            && self.project.is_none_or(|id| route.project.as_deref().is_some_and(|project| project == id.to_string()))
            && self.subject.is_none_or(|id| route.subject == Some(id))
    }
}

/// The faults in force, in the order of injection.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn inject(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes one application of the first fault that matches.
    pub(super) fn take(&mut self, route: &Route) -> Option<FaultKind> {
        for fault in self.0.iter_mut().filter(|fault| fault.times != Some(0) && fault.matches(route)) {
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            if fastrand::u8(0..100) >= fault.percent {
                continue;
            }
            fault.times = fault.times.map(|times| times - 1);
            return Some(fault.kind.clone());
        }
        None
    }
}
