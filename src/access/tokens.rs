//! The static tokens of `access.mode = token`.
//!
//! Guarantees that comparing takes the same time whatever was sent: what is compared are keyed hashes, and all of them are.

use std::sync::{PoisonError, RwLock};

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::Chosen;

/// The tokens, hashed under a key of this process.
pub(super) struct Tokens {
    key: [u8; 32],
    hashes: RwLock<Hashes>,
}

type Hashes = Vec<([u8; 32], Option<Chosen>)>;

impl Tokens {
    pub(super) fn new(tokens: Vec<(SecretString, Option<Chosen>)>) -> std::io::Result<Self> {
        let key = super::random()?;
        let this = Self { key, hashes: RwLock::default() };
        this.replace(tokens);
        Ok(this)
    }

    /// Lets these tokens be the ones that count from now on.
    pub(super) fn replace(&self, tokens: Vec<(SecretString, Option<Chosen>)>) {
        let hashes = tokens.into_iter().map(|(token, chosen)| (hash(&self.key, "", token.expose_secret()), chosen));
        *self.hashes.write().unwrap_or_else(PoisonError::into_inner) = hashes.collect();
    }

    /// Returns what a token is for (`Some(None)`: everything); `None` when it is none of ours.
    pub(super) fn find(&self, token: &SecretString) -> Option<Option<Chosen>> {
        let sent = hash(&self.key, "", token.expose_secret());
        let hashes = self.hashes.read().unwrap_or_else(PoisonError::into_inner);
        let fits = hashes.iter().fold(None, |found, (ours, chosen)| {
            // The whole list is looked at, so that a token's place in it does not show.
            if bool::from(ours.ct_eq(&sent)) { Some(chosen) } else { found }
        });
        fits.cloned()
    }
}

/// Hashes a token; `scheme` tells apart the headers that it can come in.
pub(super) fn hash(key: &[u8; 32], scheme: &str, token: &str) -> [u8; 32] {
    // HMAC takes keys of any length: this one is never refused.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    mac.update(scheme.as_bytes());
    mac.update(&[0]);
    mac.update(token.as_bytes());
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::ProjectId;

    #[test]
    fn a_token_is_found_with_what_it_is_for() {
        let chosen: Chosen = Arc::new(|id, _| id == ProjectId(7));
        let tokens = Tokens::new(vec![("all".into(), None), ("some".into(), Some(chosen))]).expect("randomness");
        assert!(matches!(tokens.find(&"all".into()), Some(None)));
        let some = tokens.find(&"some".into()).flatten().expect("some projects");
        assert!(some(ProjectId(7), "") && !some(ProjectId(8), ""));
        for wrong in ["", "al", "alll", "All"] {
            assert!(tokens.find(&wrong.into()).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_hash_depends_on_key_scheme_and_token() {
        let (one, other) = ([1; 32], [2; 32]);
        let base = hash(&one, "bearer", "token");
        assert_eq!(base, hash(&one, "bearer", "token"));
        assert!(
            ![hash(&other, "bearer", "token"), hash(&one, "private", "token"), hash(&one, "bearer", "tokem")]
                .contains(&base)
        );
    }
}
