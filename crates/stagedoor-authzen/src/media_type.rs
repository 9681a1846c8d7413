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
    let mut given = headers.get_all(CONTENT_TYPE).iter();
    let first = given.next().ok_or("give `Content-Type: application/json`")?;
    if given.next().is_some() {
        // A proxy may have looked at the other one.
        return Err("give one `Content-Type`: `application/json`");
    }
    let essence = first.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    match essence.trim().eq_ignore_ascii_case("application/json") {
        true => Ok(()),
        false => Err("only `application/json` is read"),
    }
}

#[cfg(test)]
mod tests {
    use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
    use http::{HeaderMap, HeaderValue};

    use super::check_content_type;

    #[test]
    fn one_content_type_is_taken() {
        let check = |types: &[&'static str], encoding: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            for name in types {
                headers.append(CONTENT_TYPE, HeaderValue::from_static(name));
            }
            if let Some(encoding) = encoding {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
            }
            check_content_type(&headers).is_ok()
        };
        let json = "application/json";
        for taken in [json, "Application/JSON", "application/json; charset=utf-8"] {
            assert!(check(&[taken], None), "{taken}");
        }
        assert!(check(&[json], Some("identity")));
        for refused in [&[][..], &["text/plain"], &["application/jsonx"], &[json, json]] {
            assert!(!check(refused, None), "{refused:?}");
        }
        assert!(!check(&[json, "text/plain"], None) && !check(&["text/plain", json], None));
        assert!(!check(&[json], Some("gzip")));
    }
}
