//! How GitLab is reached, and how patiently.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

/// How GitLab is reached.
#[derive(Debug, Clone)]
pub struct Config {
    /// The instance, possibly with a path, without `/api/v4`.
    pub url: Url,
    /// The `read_api` token.
    pub token: SecretString,
    /// The token that manages webhooks (`api`, Maintainer); `None`: whatever needs it is refused before it is sent.
    pub hooks_token: Option<SecretString>,
    /// Certificates (PEM) of a private authority, or of GitLab itself, trusted beside the system's; `None` uses the system's alone.
    pub ca_file: Option<PathBuf>,
    /// Hosts, each with or without a port, to which files may be redirected from https to http; in lower case.
    pub plain_storage_hosts: Vec<String>,
    /// Calls in flight at most.
    pub calls: usize,
    /// Calls per minute at most; `None` follows GitLab's headers only.
    pub requests_per_minute: Option<u32>,
}

/// How long GitLab may take, by part of a call.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// To connect.
    pub connect: Duration,
    /// To send the head of its answer; twice as long for a test report, which GitLab computes when asked
    /// (contract, section 5.8).
    pub head: Duration,
    /// Between two pieces of a body.
    pub idle: Duration,
    /// For a body to start slowly; what drips after so much waiting is given up.
    pub grace: Duration,
    /// For an answer that is passed on to its reader, however slow either is.
    pub passed: Duration,
}

impl Default for Timeouts {
    /// Returns 5 s to connect, 30 s for a head, 30 s between pieces, 60 s of waiting before a drip is given up,
    /// 10 min for what is passed on.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            head: Duration::from_secs(30),
            idle: Duration::from_secs(30),
            grace: Duration::from_secs(60),
            passed: Duration::from_secs(600),
        }
    }
}
