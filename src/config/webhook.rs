//! `webhook.*`: which deliveries are believed.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};

use super::keys::{WEBHOOK_ALLOW_UNSIGNED, WEBHOOK_REFRESH, WEBHOOK_SIGNING_TOKENS, WEBHOOK_TOKENS};
use super::reader::Reader;
use super::units::Unfit;

/// How a signing token begins (contract, section 2.1).
const SIGNING_PREFIX: &str = "whsec_";

/// How many bytes GitLab's signing keys have (contract, section 2.1).
const SIGNING_KEY_BYTES: usize = 32;

/// A secret token shorter than this can be guessed by patience; GitLab does not make any, people do.
const SHORT_TOKEN: usize = 16;

/// Which deliveries are believed, and how soon unfinished things are refreshed.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// `webhook.tokens`: any of them in `X-Gitlab-Token` passes.
    pub tokens: Vec<SecretString>,
    /// `webhook.signing_tokens`: each `whsec_` and base64 of exactly 32 bytes (contract, section 2.1).
    pub signing_tokens: Vec<SecretString>,
    /// `webhook.allow_unsigned`: with signing tokens, an unsigned delivery may pass by `tokens`.
    pub allow_unsigned: bool,
    /// `webhook.refresh`: zero means that events of unfinished things are ignored.
    pub refresh: Duration,
}

impl Webhook {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let tokens = reader.list(&WEBHOOK_TOKENS, parse_token);
        let signing_tokens = reader.list(&WEBHOOK_SIGNING_TOKENS, parse_signing_token);
        let allow_unsigned = reader.switch(&WEBHOOK_ALLOW_UNSIGNED);
        let refresh = reader.duration(&WEBHOOK_REFRESH, Duration::ZERO..=Duration::from_secs(86_400));
        let webhook = Self {
            tokens: tokens?,
            signing_tokens: signing_tokens?,
            allow_unsigned: allow_unsigned?,
            refresh: refresh?,
        };
        webhook.warn(reader);
        Some(webhook)
    }

    fn warn(&self, reader: &mut Reader) {
        let (unsecured, signed) = (self.tokens.is_empty(), !self.signing_tokens.is_empty());
        if unsecured && !signed {
            reader.warn("neither webhook.tokens nor webhook.signing_tokens is set: every webhook is refused");
        }
        match (self.allow_unsigned, signed, unsecured) {
            (true, true, false) => reader.warn(
                "webhook.allow_unsigned: whoever knows one of webhook.tokens can send what nobody signed; \
                 end it after the migration",
            ),
            (true, true, true) => {
                reader.warn("webhook.allow_unsigned does nothing while webhook.tokens is empty");
            }
            (true, false, _) => {
                reader.warn("webhook.allow_unsigned does nothing while webhook.signing_tokens is empty");
            }
            (false, ..) => {}
        }
        if self.tokens.iter().any(|token| token.expose_secret().len() < SHORT_TOKEN) {
            reader.warn(format!("webhook.tokens: one is shorter than {SHORT_TOKEN} characters and can be guessed"));
        }
    }
}

pub(super) fn parse_token(text: &str) -> Result<SecretString, Unfit> {
    if text.starts_with(SIGNING_PREFIX) {
        return Err(Unfit::new("one is a signing token (whsec_…)", "move it to webhook.signing_tokens"));
    }
    if text.trim() != text || text.chars().any(char::is_control) {
        return Err(Unfit::new("one holds line ends or outer spaces", "write each as it stands in GitLab"));
    }
    Ok(text.into())
}

pub(super) fn parse_signing_token(text: &str) -> Result<SecretString, Unfit> {
    let unfit = |problem: &str| Unfit::new(problem, "copy it from GitLab's webhook settings: whsec_ and 44 characters");
    let encoded = text.strip_prefix(SIGNING_PREFIX).ok_or_else(|| unfit("one does not begin with whsec_"))?;
    let key = STANDARD.decode(encoded).map_err(|_| unfit("one is not base64 after whsec_"))?;
    match key.len() {
        SIGNING_KEY_BYTES => Ok(text.into()),
        _ => Err(unfit("one does not hold 32 bytes after whsec_")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signing_token_is_one_that_gitlab_makes() {
        assert!(parse_signing_token("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").is_ok());
        for bad in [
            "",
            "whsec_",
            "whsec_AAEC",
            "whsec_****",
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        ] {
            assert!(parse_signing_token(bad).is_err(), "{bad}");
        }
    }
}
