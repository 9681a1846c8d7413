//! Requests that get no decision.

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, StatusCode};

/// The longest message in an answer, in bytes: what a client sent may come back in it.
const MESSAGE_BYTES: usize = 1024;

/// A request that gets no decision, and why.
#[derive(Debug)]
pub struct Refusal {
    code: StatusCode,
    message: String,
    headers: HeaderMap,
}

impl Refusal {
    /// Returns a refusal; its message is cut at 1,024 bytes.
    #[must_use]
    pub fn new(code: StatusCode, message: impl Into<String>) -> Self {
        let mut headers = HeaderMap::new();
        if code == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        Self { code, message: cut(message.into()), headers }
    }

    /// Returns a refusal of what cannot be understood.
    #[must_use]
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// Returns a refusal of a body of more than `limit` bytes.
    #[must_use]
    pub fn too_large(limit: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is larger than the limit of {limit} bytes"),
        )
    }

    /// Returns a refusal of what may be asked again later.
    #[must_use]
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    /// Sets a header of the response.
    #[must_use]
    pub fn with_header(mut self, name: http::HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Returns the code of the response.
    #[must_use]
    pub fn code(&self) -> StatusCode {
        self.code
    }

    /// Returns why there is no decision.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the headers of the response beside those of its body.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }
}

/// Cuts a text that may repeat what a client sent.
fn cut(mut text: String) -> String {
    if text.len() > MESSAGE_BYTES {
        let end = (0..=MESSAGE_BYTES).rev().find(|n| text.is_char_boundary(*n));
        text.truncate(end.unwrap_or_default());
        text.push('…');
    }
    text
}
