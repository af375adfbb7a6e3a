//! Who may speak: decides whether a delivery comes from a hook that knows one of our secrets.
//!
//! It guarantees that [`Verified`], the only thing that [`super::event::parse`] reads, exists only for bytes whose
//! sender proved a secret; that what the headers alone can refuse is refused before the body is read; and that
//! comparing takes the same time whatever was sent.
//!
//! It deliberately does not remember deliveries: a replay inside the window is a repeated hint, and hints are
//! coalesced by identity (design, law 1).

use std::fmt;

use actix_web::http::header::HeaderMap;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::config::{Config, ConfigError};
pub use super::refusal::Refusal;
use super::signature::{SigningKey, Unchecked};
use crate::domain::Timestamp;

/// How far a signed timestamp may be from our clock, before and behind, in seconds (contract, section 2.1).
pub const TOLERANCE_SECS: u64 = 300;

/// The secrets that a delivery can prove. Its `Debug` shows how many there are, never one of them.
pub struct Verifier {
    token_digests: Vec<[u8; 32]>,
    keys: Vec<SigningKey>,
    allow_unsigned: bool,
}

/// A delivery whose headers are in order; what is left to check needs the body.
pub struct Pending {
    /// `None` when a secret token already proved the sender.
    signed: Option<Unchecked>,
}

impl Pending {
    /// Returns whether the headers proved the sender, whatever the body is.
    pub fn is_proved(&self) -> bool {
        self.signed.is_none()
    }
}

/// A body whose sender proved a secret.
#[derive(Clone, Copy)]
pub struct Verified<'a> {
    body: &'a [u8],
}

impl Verifier {
    /// Decodes the configured secrets, and returns every one that cannot be used.
    pub fn build(config: &Config) -> Result<Self, Vec<ConfigError>> {
        let mut problems = Vec::new();
        let mut token_digests = Vec::with_capacity(config.tokens.len());
        for (position, token) in (1..).zip(&config.tokens) {
            match token.expose_secret() {
                "" => problems.push(ConfigError::EmptyToken { position }),
                token => token_digests.push(Sha256::digest(token.as_bytes()).into()),
            }
        }
        let mut keys = Vec::with_capacity(config.signing_tokens.len());
        for (position, token) in (1..).zip(&config.signing_tokens) {
            match SigningKey::of_gitlab(token) {
                Ok(key) => keys.push(key),
                Err(problem) => problems.push(ConfigError::SigningToken { position, problem }),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self { token_digests, keys, allow_unsigned: config.allow_unsigned })
    }

    /// Refuses what the headers alone can refuse (design, section 2).
    ///
    /// With signing tokens a delivery must carry a signature that fits; one without any signature may still pass by its
    /// secret token when `webhook.allow_unsigned` is set. A signature that does not fit is never saved by a token.
    pub fn headers(&self, headers: &HeaderMap, now: Timestamp) -> Result<Pending, Refusal> {
        if self.keys.is_empty() && self.token_digests.is_empty() {
            return Err(Refusal::NotConfigured);
        }
        if self.keys.is_empty() {
            return self.token(headers);
        }
        if headers.contains_key("webhook-signature") {
            return self.signed(headers, now);
        }
        // GitLab 19 sends `webhook-id` on unsigned deliveries too, so only the signature itself tells the two apart.
        if self.allow_unsigned && !self.token_digests.is_empty() {
            return self.token(headers);
        }
        Err(Refusal::SignatureMissing)
    }

    fn token(&self, headers: &HeaderMap) -> Result<Pending, Refusal> {
        let sent = single(headers, "x-gitlab-token").ok_or(Refusal::TokenMissing)?;
        // Digests have one length, so that neither a token's length nor its first wrong byte shows in the time taken,
        // and every token is compared, so that its place in the list does not either.
        let sent: [u8; 32] = Sha256::digest(sent).into();
        let fits = self.token_digests.iter().fold(Choice::from(0), |fits, ours| fits | ours.ct_eq(&sent));
        if bool::from(fits) { Ok(Pending { signed: None }) } else { Err(Refusal::TokenWrong) }
    }

    fn signed(&self, headers: &HeaderMap, now: Timestamp) -> Result<Pending, Refusal> {
        let id = single(headers, "webhook-id").ok_or(Refusal::IdMissing)?;
        // A dot in the id would let bytes move between the id and the timestamp under one signature.
        if id.is_empty() || id.contains(&b'.') {
            return Err(Refusal::IdMissing);
        }
        let timestamp = single(headers, "webhook-timestamp").ok_or(Refusal::TimestampMissing)?;
        let seconds = whole_seconds(timestamp).ok_or(Refusal::TimestampMissing)?;
        if now.as_millis().div_euclid(1000).abs_diff(seconds) > TOLERANCE_SECS {
            return Err(Refusal::TimestampStale);
        }
        let values = headers.get_all("webhook-signature").map(|value| value.as_bytes());
        let unchecked = Unchecked::new(&self.keys, id, timestamp, values).ok_or(Refusal::SignatureMalformed)?;
        Ok(Pending { signed: Some(unchecked) })
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("tokens", &self.token_digests.len())
            .field("signing_tokens", &self.keys.len())
            .field("allow_unsigned", &self.allow_unsigned)
            .finish()
    }
}

impl Pending {
    /// Checks the raw bytes of the body, exactly as received.
    pub fn body<'a>(&self, body: &'a [u8]) -> Result<Verified<'a>, Refusal> {
        match &self.signed {
            Some(unchecked) if !unchecked.fits(body) => Err(Refusal::SignatureWrong),
            Some(_) | None => Ok(Verified { body }),
        }
    }
}

impl<'a> Verified<'a> {
    /// Returns the bytes that the sender vouched for.
    pub(super) fn bytes(self) -> &'a [u8] {
        self.body
    }
}

/// Returns a header's value unless it is missing or sent more than once, which would leave open which one was meant.
fn single<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    let mut values = headers.get_all(name);
    let first = values.next()?;
    values.next().is_none().then(|| first.as_bytes())
}

/// Reads digits only: a sign, a space or a fraction is no whole number of seconds.
fn whole_seconds(text: &[u8]) -> Option<i64> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
