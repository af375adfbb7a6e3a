//! How a fake GitLab behaves apart from its data.

use std::time::Duration;

/// Behaviour of a [`super::FakeGitlab`]; the default is as fast as it can be, without limits and without signatures.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long every call takes at least, storage hops included; the timer adds up to 1 ms. Zero: no timer.
    pub latency: Duration,
    /// Requests allowed per period; `None`: no limit and no `RateLimit-*` headers.
    pub rate_limit: Option<RateLimit>,
    /// How artifact archives are handed out.
    pub artifacts: ArtifactDelivery,
    /// Whether `updated_after` takes the row of exactly that millisecond.
    pub updated_after: Boundary,
    /// Whether the plain listing of pipelines shows child pipelines too; GitLab's leaves them out (contract, section 5.4).
    pub children_in_plain: bool,
    /// How long a pipeline's test report is cached, by the world's clock; GitLab's value is 2 min.
    pub report_cache: Duration,
    /// How listings lead to their next page.
    pub links: Links,
    /// Rows from which listings leave out `x-total`, `x-total-pages` and `rel="last"`; GitLab's value is 10 000.
    pub count_limit: usize,
    /// The token of a bot that is reporter of every project, as `PRIVATE-TOKEN` or `Bearer`.
    pub token: String,
    /// A second credential, of scope `api`, that may manage webhooks in its role (see [`super::World::set_hooks_role`]).
    pub hooks_token: Option<String>,
    /// What it calls itself. Below 19.0 it knows no signing tokens (contract, section 2.1).
    pub version: String,
    /// Whether groups have webhooks (contract, section 1.7).
    pub premium: bool,
    /// When both credentials end, as GitLab writes it: `2027-01-31`.
    pub expires_at: Option<String>,
    /// The scopes of `token`.
    pub scopes: Vec<String>,
    /// Test deliveries of a project and resent deliveries of a hook, each (contract, section 1.3).
    pub hook_calls: RateLimit,
    /// `whsec_…`: deliveries are signed with it.
    pub signing_token: Option<String>,
    /// Sent as `X-Gitlab-Token` with deliveries.
    pub secret_token: Option<String>,
    /// Threads that answer; one keeps the other core free for the program under test.
    pub workers: usize,
}

impl Options {
    /// Returns whether webhooks have signing tokens.
    pub(super) fn signs(&self) -> bool {
        self.version.split('.').next().and_then(|major| major.parse::<u32>().ok()).is_some_and(|major| major >= 19)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            latency: Duration::ZERO,
            rate_limit: None,
            artifacts: ArtifactDelivery::default(),
            updated_after: Boundary::default(),
            children_in_plain: false,
            report_cache: Duration::from_secs(120),
            links: Links::default(),
            count_limit: 10_000,
            token: "glpat-fake-0123456789abcdef".to_owned(),
            hooks_token: None,
            version: "19.6.0-ee".to_owned(),
            premium: true,
            expires_at: None,
            scopes: vec!["read_api".to_owned()],
            hook_calls: RateLimit::per_minute(5),
            signing_token: None,
            secret_token: None,
            workers: 1,
        }
    }
}

/// Requests allowed in each period, counted as Rack::Attack does: all clients together, in fixed periods.
#[derive(Debug, Clone, Copy)]
pub struct RateLimit {
    /// Requests per period; those above get the plain-text 429.
    pub requests: u32,
    /// GitLab's period is one minute; tests use a short one.
    pub period: Duration,
}

impl RateLimit {
    /// Allows `requests` per minute.
    pub const fn per_minute(requests: u32) -> Self {
        Self { requests, period: Duration::from_secs(60) }
    }
}

/// How artifact archives are handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ArtifactDelivery {
    /// 302 to a signed address on another host, as GitLab.com does.
    #[default]
    Redirect,
    /// 200 with the archive, as a GitLab with local storage does.
    Direct,
}

/// How listings lead to their next page, as it reaches the client.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Links {
    /// By headers and links to the address where GitLab is asked.
    #[default]
    Home,
    /// By headers, and links to this origin: that of `external_url`, while GitLab is asked at another address.
    At(String),
    /// By headers, and links without an origin.
    Relative,
    /// Not at all: a proxy leaves out every header of paging.
    Stripped,
}

/// Whether a bound takes the row that lies exactly on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Boundary {
    /// At or after.
    #[default]
    Inclusive,
    /// Strictly after.
    Exclusive,
}
