//! Which secret a hook shall have, and how to tell later which one it has.

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::Config;
use crate::gitlab::HookWish;

/// How the description of a hook begins that is ours to write.
const MARK: &str = "Cistern; signing token ";

/// A hook's secret.
#[derive(Debug, Clone, Copy)]
pub(super) enum Secret<'a> {
    /// GitLab signs with it (19.0 and later).
    Signing(&'a SecretString),
    /// GitLab sends it along.
    Token(&'a SecretString),
}

impl Config {
    /// Returns the secret that hooks shall have; `signs` tells whether this GitLab knows signing tokens.
    pub(super) fn secret(&self, signs: bool) -> Result<Secret<'_>, String> {
        match (signs, self.signing_tokens.first(), self.tokens.first()) {
            (true, Some(token), _) => Ok(Secret::Signing(token)),
            (_, _, Some(token)) => Ok(Secret::Token(token)),
            (_, _, None) => Err("this GitLab knows no signing tokens (they need 19.0): put a long random text into \
                                 webhook.tokens and set webhook.allow_unsigned = true"
                .to_owned()),
        }
    }

    /// Returns what to say about hooks with a secret token.
    pub(super) fn note(&self, secret: Secret<'_>, signs: bool) -> Option<String> {
        if !matches!(secret, Secret::Token(_)) || self.signing_tokens.is_empty() {
            return None;
        }
        let why = if signs { "it did not take the signing token" } else { "this GitLab knows no signing tokens" };
        let then = if self.allow_unsigned {
            ""
        } else {
            "; set webhook.allow_unsigned = true, else its deliveries are refused"
        };
        Some(format!("{why}, so it has the first of webhook.tokens{then}"))
    }
}

impl Secret<'_> {
    /// Adds itself to a wish. A description that a person wrote stays.
    pub(super) fn wish(self, wish: HookWish, description: Option<&str>) -> HookWish {
        match self {
            Self::Token(token) => HookWish { token: Some(token.clone()), ..wish },
            Self::Signing(token) => {
                let ours = description.is_none_or(|text| text.is_empty() || text.starts_with(MARK));
                let description = ours.then(|| format!("{MARK}{}", fingerprint(token)));
                HookWish { signing_token: Some(token.clone()), description, ..wish }
            }
        }
    }

    /// Returns whether a hook of this description has this secret; `None`: nobody can tell.
    pub(super) fn is_held(self, description: Option<&str>) -> Option<bool> {
        let held = description?.strip_prefix(MARK)?;
        match self {
            Self::Signing(token) => Some(held == fingerprint(token)),
            Self::Token(_) => None,
        }
    }
}

/// Returns eight digits by which tokens of 32 random bytes can be told apart and nothing else be learned.
fn fingerprint(token: &SecretString) -> String {
    let hash = Sha256::new().chain_update(b"cistern webhook\0").chain_update(token.expose_secret()).finalize();
    hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}
