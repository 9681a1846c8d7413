//! What ties a request, its answer and its record together: an id, and the revision that decided.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header that carries the id of a request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The header that carries the revision of the policies that decided.
pub const REVISION: HeaderName = HeaderName::from_static("stagedoor-revision");

/// The longest id that is kept; the header comes back whole.
const ID_BYTES: usize = 256;

/// The id of one request: in its head, in the answer's and in its record.
#[derive(Debug, Clone)]
pub(crate) struct RequestId {
    header: HeaderValue,
    text: String,
}

impl RequestId {
    /// Returns the id that the caller gave, or makes one up.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        match headers.get(REQUEST_ID) {
            Some(given) => {
                let mut text = String::from_utf8_lossy(given.as_bytes()).into_owned();
                if text.len() > ID_BYTES {
                    let end = (0..=ID_BYTES).rev().find(|n| text.is_char_boundary(*n));
                    text.truncate(end.unwrap_or_default());
                }
                Self { header: given.clone(), text }
            }
            None => {
                let text = made_up();
                // Digits and a dash are a header's value.
                let header = HeaderValue::from_str(&text)
                    .unwrap_or_else(|_| HeaderValue::from_static("none"));
                Self { header, text }
            }
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Puts the id into the head of the answer.
    pub(crate) fn stamp(self, headers: &mut HeaderMap) {
        headers.insert(REQUEST_ID, self.header);
    }
}

/// Returns an id that no other request of this process has, nor one before a restart: the time
/// at which the first was made up, and a number.
fn made_up() -> String {
    static START: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let start = START.get_or_init(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_micros()).unwrap_or_default()
    });
    format!("{start:x}-{:x}", NEXT.fetch_add(1, Ordering::Relaxed))
}
