//! The request URIs of audit events: the path, and the selectors that authorization saw.

/// Returns the path of a request URI.
pub(super) fn path(uri: &str) -> &str {
    uri.split('?').next().unwrap_or_default()
}

/// Returns the first value of a parameter; nothing where there is none or an empty one.
pub(super) fn parameter(uri: &str, name: &str) -> Option<String> {
    let (_, query) = uri.split_once('?')?;
    let query = query.split('#').next().unwrap_or_default();
    query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .find(|(key, _)| decoded(key).as_deref() == Some(name))
        .and_then(|(_, value)| decoded(value))
        .filter(|value| !value.is_empty())
}

/// Returns a text of a query as it was before it was escaped.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digit = |digit: Option<u8>| char::from(digit?).to_digit(16);
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => u8::try_from(digit(rest.next())? * 16 + digit(rest.next())?).ok()?,
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::{parameter, path};

    #[test]
    fn paths_and_parameters_are_read() {
        let uri = "/api/v1/pods?limit=500&labelSelector=app%20in+%28a%2Cb%29&fieldSelector=x%3D1";
        assert_eq!(path(uri), "/api/v1/pods");
        assert_eq!(parameter(uri, "labelSelector").as_deref(), Some("app in (a,b)"));
        assert_eq!(parameter(uri, "fieldSelector").as_deref(), Some("x=1"));
        for none in [
            "/healthz",
            "/p?x=1",
            "/p?labelSelector",
            "/p?labelSelector=%z1",
            "/p?labelSelector=%ff",
        ] {
            assert_eq!(parameter(none, "labelSelector"), None, "{none}");
        }
        assert_eq!((path("/healthz"), path("")), ("/healthz", ""));
    }
}
