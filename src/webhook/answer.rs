//! The answers to a delivery (design, section 2): a status, an `outcome` word and, when refused, a sentence.
//!
//! Nothing of a delivery is ever echoed. GitLab shows the answer among the hook's recent events, so the sentences are
//! for the person who set the hook up.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use serde::Serialize;

use super::verify::Refusal;

/// What became of a verified delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Recorded in the journal.
    Accepted,
    /// The journal holds it already.
    Coalesced,
    /// Not recorded: its project is marked for an early sweep.
    Deferred,
    /// Nothing for us.
    Ignored,
}

/// Why a delivery was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// Its sender proved no secret.
    Unverified(Refusal),
    /// Its type is not JSON, or its body is compressed.
    NotJson,
    /// Its body is larger than the limit, in bytes.
    TooLarge(u64),
    /// Its body was not whole in time, or came slowly while others waited.
    TooSlow,
    /// Its body ended before its length, or is no valid HTTP.
    Broken,
    /// Too many bodies are in flight.
    Busy,
    /// Its body is no JSON object.
    NotAnObject,
}

#[derive(Serialize)]
struct Body<'a> {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

impl Outcome {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Coalesced => "coalesced",
            Self::Deferred => "deferred",
            Self::Ignored => "ignored",
        }
    }

    pub(super) fn response(self) -> HttpResponse {
        let status = match self {
            Self::Accepted | Self::Coalesced | Self::Deferred => StatusCode::ACCEPTED,
            Self::Ignored => StatusCode::OK,
        };
        HttpResponse::build(status).json(Body { outcome: self.as_str(), error: None })
    }
}

impl Refused {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Unverified(_) => "refused",
            Self::NotJson => "not_json",
            Self::TooLarge(_) => "too_large",
            Self::TooSlow => "too_slow",
            Self::Broken => "broken",
            Self::Busy => "busy",
            Self::NotAnObject => "not_an_object",
        }
    }

    /// Returns the word for logs, which tells why a sender was not believed.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Unverified(refusal) => refusal.as_str(),
            other => other.as_str(),
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::Unverified(_) => StatusCode::UNAUTHORIZED,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Broken | Self::NotAnObject => StatusCode::BAD_REQUEST,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn sentence(self) -> String {
        let sentence = match self {
            Self::Unverified(refusal) => refusal.sentence(),
            Self::NotJson => {
                "The body is not uncompressed application/json: remove the Content-Type or Content-Encoding among the \
                 hook's custom headers, or the proxy rule, that changes it."
            }
            Self::TooLarge(limit) => {
                return format!(
                    "The body is larger than {limit} bytes. GitLab sends at most 25 MiB; when this says less, raise \
                     limits.webhook_bytes."
                );
            }
            Self::TooSlow => {
                "The body was not whole within 8 s, or came slowly while others waited: look at the network between GitLab \
                 and Cistern."
            }
            Self::Broken => {
                "The body ended early or is not valid HTTP: look at the network between GitLab and Cistern."
            }
            Self::Busy => "Too many webhook bodies are in flight: raise limits.webhook_bytes, or send it again later.",
            Self::NotAnObject => "The body is not a JSON object: remove the hook's custom template, or correct it.",
        };
        sentence.to_owned()
    }

    pub(super) fn response(self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status());
        if self == Self::Busy {
            response.insert_header((RETRY_AFTER, "5"));
        }
        response.json(Body { outcome: self.as_str(), error: Some(&self.sentence()) })
    }
}
