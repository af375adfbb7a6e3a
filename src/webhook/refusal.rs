//! Why a delivery is not believed: one word for metrics and logs, one sentence for the person who set the hook up.
//!
//! The sentences name settings and headers, never what was sent.

/// Why a delivery is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// We have neither tokens nor signing tokens.
    NotConfigured,
    /// There is no secret token, or more than one.
    TokenMissing,
    /// The secret token is none of ours.
    TokenWrong,
    /// We have signing tokens and there is no signature.
    SignatureMissing,
    /// The signature header has no entry that could be a `v1` signature, or too many entries.
    SignatureMalformed,
    /// No signature fits.
    SignatureWrong,
    /// A signed delivery without one usable `webhook-id`.
    IdMissing,
    /// A signed delivery without one `webhook-timestamp` in whole seconds.
    TimestampMissing,
    /// The timestamp is more than [`super::verify::TOLERANCE_SECS`] away from our clock.
    TimestampStale,
}

impl Refusal {
    /// All of them.
    pub(super) const ALL: [Self; 9] = [
        Self::NotConfigured,
        Self::TokenMissing,
        Self::TokenWrong,
        Self::SignatureMissing,
        Self::SignatureMalformed,
        Self::SignatureWrong,
        Self::IdMissing,
        Self::TimestampMissing,
        Self::TimestampStale,
    ];

    /// Returns the word that metrics and logs use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotConfigured => "not_configured",
            Self::TokenMissing => "token_missing",
            Self::TokenWrong => "token_wrong",
            Self::SignatureMissing => "signature_missing",
            Self::SignatureMalformed => "signature_malformed",
            Self::SignatureWrong => "signature_wrong",
            Self::IdMissing => "id_missing",
            Self::TimestampMissing => "timestamp_missing",
            Self::TimestampStale => "timestamp_stale",
        }
    }

    /// Returns what is wrong and what to do, for the answer that GitLab shows among the hook's recent events.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::NotConfigured => {
                "Cistern has no webhook secret, so it refuses every delivery: \
                 set webhook.signing_tokens or webhook.tokens."
            }
            Self::TokenMissing => "There is no X-Gitlab-Token: set the hook's secret token to one of webhook.tokens.",
            Self::TokenWrong => "X-Gitlab-Token is none of webhook.tokens: set the hook's secret token to one of them.",
            Self::SignatureMissing => {
                "There is no webhook-signature and Cistern requires one: set a signing token on the hook \
                 (GitLab 19.0 or later), or webhook.allow_unsigned during a migration."
            }
            Self::SignatureMalformed => "webhook-signature has no usable v1 entry: is something rewriting the headers?",
            Self::SignatureWrong => {
                "The signature fits none of webhook.signing_tokens: compare the hook's signing token with them, and \
                 check that no proxy changes the body."
            }
            Self::IdMissing => "A signed delivery needs one webhook-id without a dot: is something removing headers?",
            Self::TimestampMissing => {
                "A signed delivery needs one webhook-timestamp in whole seconds: is something removing headers?"
            }
            Self::TimestampStale => {
                "webhook-timestamp is more than 300 s away from Cistern's clock: compare the clocks of the machines."
            }
        }
    }
}
