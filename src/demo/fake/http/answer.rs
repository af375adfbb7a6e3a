//! Answers before they become HTTP, and GitLab's error bodies (contract, section 8).

use bytes::Bytes;
use serde_json::{Value, json};

use crate::domain::Timestamp;

/// A whole answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self { status, content_type, headers: Vec::new(), body: body.into() }
    }

    /// 200 with a JSON text.
    pub(crate) fn json(body: impl Into<Bytes>) -> Self {
        Self::new(200, "application/json", body)
    }

    fn error(status: u16, body: &Value) -> Self {
        Self::new(status, "application/json", body.to_string())
    }

    /// An error in the common form `{"message": …}`.
    pub(crate) fn message(status: u16, message: &str) -> Self {
        Self::error(status, &json!({"message": message}))
    }

    pub(crate) fn unauthorized() -> Self {
        Self::message(401, "401 Unauthorized")
    }

    /// 401 of a token that was good once.
    pub(crate) fn invalid_token(why: &str) -> Self {
        Self::error(401, &json!({"error": "invalid_token", "error_description": why}))
    }

    pub(crate) fn forbidden() -> Self {
        Self::message(403, "403 Forbidden")
    }

    pub(crate) fn not_found() -> Self {
        Self::message(404, "404 Not found")
    }

    pub(crate) fn project_not_found() -> Self {
        Self::message(404, "404 Project Not Found")
    }

    pub(crate) fn unknown_address() -> Self {
        Self::error(404, &json!({"error": "404 Not Found"}))
    }

    pub(crate) fn wrong_method() -> Self {
        Self::error(405, &json!({"error": "405 Not Allowed"})).header("Allow", "OPTIONS, GET, HEAD")
    }

    /// 400 for a parameter that is not of its type: a date, a number, a flag.
    pub(crate) fn odd_parameter(name: &str) -> Self {
        Self::error(400, &json!({"error": format!("{name} is invalid")}))
    }

    /// 400 for a parameter that has no meaning.
    pub(crate) fn bad_parameter(name: &str) -> Self {
        Self::error(400, &json!({"error": format!("{name} does not have a valid value")}))
    }

    /// 400 for a parameter that has to be there.
    pub(crate) fn missing_parameter(name: &str) -> Self {
        Self::error(400, &json!({"error": format!("{name} is missing")}))
    }

    pub(crate) fn server_error() -> Self {
        Self::message(500, "500 Internal Server Error")
    }

    /// 301 of a moved project, with its text.
    pub(crate) fn moved(location: String) -> Self {
        let text = format!("This resource has been moved permanently to {location}");
        Self::new(301, "text/plain", text).header("Location", location)
    }

    /// The plain-text 429.
    pub(crate) fn throttled(retry_after_secs: u64) -> Self {
        Self::new(429, "text/plain", "Retry later\n").header("Retry-After", retry_after_secs)
    }

    pub(crate) fn application_throttled() -> Self {
        let error = "This endpoint has been requested too many times. Try again later.";
        Self::error(429, &json!({"message": {"error": error}}))
    }

    /// A web server's page.
    pub(crate) fn html(status: u16) -> Self {
        let title = format!("GitLab is not responding ({status})");
        let page = format!("<!DOCTYPE html><html><head><title>{title}</title></head><body>{title}</body></html>");
        Self::new(status, "text/html", page)
    }

    /// A sign-in page where an answer should be.
    pub(crate) fn login_page() -> Self {
        let page = "<!DOCTYPE html><html><head><title>Sign in · GitLab</title></head>\
                    <body><form action=\"/users/sign_in\" method=\"post\"></form></body></html>";
        Self::new(200, "text/html; charset=utf-8", page)
    }

    #[must_use]
    pub(crate) fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }
}

/// Writes a `Date` header.
pub(crate) fn http_date(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.as_millis())
        .map(|at| at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
        .unwrap_or_default()
}
