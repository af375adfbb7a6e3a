//! The settings of the webhook route and what can be wrong with them.

use std::time::Duration;

use secrecy::SecretString;

use super::signature::SigningTokenError;

/// Which secrets count and how much may be in flight.
#[derive(Debug, Clone)]
pub struct Config {
    /// Secret tokens (`X-Gitlab-Token`), any of them counts.
    pub tokens: Vec<SecretString>,
    /// Signing tokens (`whsec_…`), any of them counts. With at least one, unsigned deliveries are refused.
    pub signing_tokens: Vec<SecretString>,
    /// Lets a delivery without any signature pass by `tokens` although there are signing tokens.
    pub allow_unsigned: bool,
    /// How long after the first event of an unfinished thing its pipeline is looked at; zero ignores such events.
    pub refresh: Duration,
    /// Bytes of bodies in memory at once, an eighth of them for small bodies. A single one can be no larger than the rest, nor than
    /// [`super::MAX_BODY_BYTES`].
    pub bytes_in_flight: usize,
}

/// A secret in the configuration that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// An empty token would let everybody in who sends an empty header.
    #[error("entry {position} of webhook.tokens is empty: remove it or set it to the hook's secret token")]
    EmptyToken {
        /// Which entry, counted from 1.
        position: usize,
    },
    /// A signing token that GitLab cannot have made.
    #[error("entry {position} of webhook.signing_tokens {problem}")]
    SigningToken {
        /// Which entry, counted from 1.
        position: usize,
        /// What is wrong with it.
        problem: SigningTokenError,
    },
}

impl Default for Config {
    /// Returns the documented defaults; without any secret they refuse every delivery.
    fn default() -> Self {
        Self {
            tokens: Vec::new(),
            signing_tokens: Vec::new(),
            allow_unsigned: false,
            refresh: Duration::from_secs(15),
            bytes_in_flight: 64 * 1024 * 1024,
        }
    }
}
