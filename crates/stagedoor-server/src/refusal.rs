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
    /// Returns a refusal; of its message 1,024 bytes stay.
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

/// Cuts a text that may repeat what a client sent: of more than 1,024 bytes the beginning and the
/// end stay, where messages say what is wrong.
#[must_use]
pub fn cut(text: String) -> String {
    if text.len() <= MESSAGE_BYTES {
        return text;
    }
    let head = (0..=MESSAGE_BYTES * 3 / 4).rev().find(|n| text.is_char_boundary(*n));
    let tail = (text.len() - MESSAGE_BYTES / 4..=text.len()).find(|n| text.is_char_boundary(*n));
    let (head, tail) = (head.and_then(|n| text.get(..n)), tail.and_then(|n| text.get(n..)));
    format!("{}…{}", head.unwrap_or_default(), tail.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn beginning_and_end_of_long_texts_stay() {
        assert_eq!(cut("short".to_owned()), "short");
        let long = cut(format!("begin {} end", "é".repeat(500_000)));
        assert!(long.starts_with("begin é") && long.ends_with("é end"), "{long}");
        assert!(long.len() <= 1_024 + 3, "{}", long.len());
    }
}
