//! The one content type of the API.

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

/// Says what is wrong with the content type, if something is.
pub(crate) fn check_content_type(headers: &HeaderMap) -> Result<(), &'static str> {
    let is_encoded =
        |value: &http::HeaderValue| !value.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get_all(CONTENT_ENCODING).iter().any(is_encoded) {
        return Err("bodies are read as they are; send none of another `content-encoding`");
    }
    let given = headers.get(CONTENT_TYPE).ok_or("give `Content-Type: application/json`")?;
    let essence = given.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    match essence.trim().eq_ignore_ascii_case("application/json") {
        true => Ok(()),
        false => Err("only `application/json` is read"),
    }
}
