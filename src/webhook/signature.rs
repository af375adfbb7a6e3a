//! Standard Webhooks signatures: HMAC-SHA256 over `id.timestamp.body` (contract, section 2).
//!
//! Several keys and several signatures may meet during a rotation; any pair that fits is enough. Nothing here looks at
//! the clock or at what the body says.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// How many entries of a `webhook-signature` list are looked at; GitLab sends one. More would be work for an attacker.
const MAX_ENTRIES: usize = 16;

/// The length of the key in GitLab's signing tokens, in bytes (contract, section 2.1).
const GITLAB_KEY_BYTES: usize = 32;

/// A decoded signing token.
pub struct SigningKey(Hmac<Sha256>);

/// A signing token that GitLab cannot have made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SigningTokenError {
    /// It does not begin with `whsec_`.
    #[error("does not begin with whsec_: copy the whole signing token that GitLab showed when it was made")]
    NoPrefix,
    /// What follows is no padded base64.
    #[error("is not whsec_ followed by base64: copy it again, without line breaks")]
    NotBase64,
    /// The key has another length than GitLab's.
    #[error("holds {found} bytes instead of 32: copy it again, whole")]
    WrongLength {
        /// The decoded length.
        found: usize,
    },
}

/// Signatures of a delivery, waiting for its body.
pub(super) struct Unchecked {
    /// Each key's MAC, already fed with `id.timestamp.`.
    macs: Vec<Hmac<Sha256>>,
    signatures: Vec<Vec<u8>>,
}

impl SigningKey {
    /// Decodes a signing token as GitLab makes them: `whsec_` and base64 of exactly 32 bytes.
    pub fn of_gitlab(token: &SecretString) -> Result<Self, SigningTokenError> {
        let encoded = token.expose_secret().strip_prefix("whsec_").ok_or(SigningTokenError::NoPrefix)?;
        let key = STANDARD.decode(encoded).map_err(|_| SigningTokenError::NotBase64)?;
        if key.len() != GITLAB_KEY_BYTES {
            return Err(SigningTokenError::WrongLength { found: key.len() });
        }
        Ok(Self::new(&key))
    }

    /// Makes a key of raw bytes; Standard Webhooks allows 24 to 64 of them.
    pub(super) fn new(key: &[u8]) -> Self {
        Self(Hmac::new_from_slice(key).expect("HMAC takes a key of any length"))
    }
}

impl Unchecked {
    /// Collects the `v1` entries of all signature headers; `None` when there is none, or too many entries of any kind.
    pub(super) fn new<'h>(
        keys: &[SigningKey],
        id: &[u8],
        timestamp: &[u8],
        headers: impl Iterator<Item = &'h [u8]>,
    ) -> Option<Self> {
        let mut signatures = Vec::new();
        let entries = headers.flat_map(|header| header.split(|byte| *byte == b' ')).filter(|entry| !entry.is_empty());
        for (position, entry) in entries.enumerate() {
            if position == MAX_ENTRIES {
                return None;
            }
            // Entries of other versions are skipped: GitLab reserves adding some.
            let Some(encoded) = entry.strip_prefix(b"v1,") else { continue };
            if let Ok(signature) = STANDARD.decode(encoded)
                && signature.len() == 32
            {
                signatures.push(signature);
            }
        }
        let seed = |key: &SigningKey| key.0.clone().chain_update(id).chain_update(b".").chain_update(timestamp);
        let macs = keys.iter().map(|key| seed(key).chain_update(b".")).collect();
        (!signatures.is_empty()).then_some(Self { macs, signatures })
    }

    /// Returns whether any key made any of the signatures for these raw bytes.
    pub(super) fn fits(&self, body: &[u8]) -> bool {
        self.macs.iter().any(|mac| {
            let whole = mac.clone().chain_update(body);
            self.signatures.iter().any(|signature| whole.clone().verify_slice(signature).is_ok())
        })
    }
}
