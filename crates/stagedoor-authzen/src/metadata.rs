//! What a decision point says of itself, and the address at which it says so.

use std::net::IpAddr;

use serde_json::{Map, Value};

use crate::service::Operation;

/// The well-known string, which comes between host and path of the address.
const WELL_KNOWN: &str = "/.well-known/authzen-configuration";

/// The address of a decision point as its callers know it: without TLS only on the loopback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    origin: String,
    /// Empty, or with a slash at the beginning and none at the end.
    path: String,
}

/// An address that decision points do not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{url}` is not a public URL: {reason}")]
pub struct PublicUrlError {
    url: String,
    reason: &'static str,
}

impl PublicUrl {
    /// Reads a URL.
    ///
    /// # Errors
    ///
    /// [`PublicUrlError`] unless it is one of `https`, or of `http` on the loopback, without
    /// user, query and fragment.
    pub fn parse(url: &str) -> Result<Self, PublicUrlError> {
        let error = |reason| PublicUrlError { url: url.to_owned(), reason };
        let uri: http::Uri = url.parse().map_err(|_| error("it is not a URL"))?;
        let authority = uri.authority().ok_or_else(|| error("it has no host"))?;
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(error("give a host, and no user"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let is_loopback =
            host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        let scheme = match uri.scheme_str() {
            Some("https") => "https",
            Some("http") if is_loopback => "http",
            _ => return Err(error("it begins with `https://`")),
        };
        if url.contains(['?', '#']) {
            return Err(error("it has neither query nor fragment"));
        }
        let path = uri.path().trim_end_matches('/');
        if path.contains(['{', '}', '*']) || path.contains("/:") {
            return Err(error(
                "its path has none of `{`, `}` and `*`, and no part begins with `:`",
            ));
        }
        Ok(Self { origin: format!("{scheme}://{authority}"), path: path.to_owned() })
    }

    /// Returns the path, without a slash at its end.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the path at which the metadata is.
    #[must_use]
    pub fn metadata_path(&self) -> String {
        format!("{WELL_KNOWN}{}", self.path)
    }

    /// Returns the metadata: what is offered, and where.
    #[must_use]
    pub fn metadata(&self) -> String {
        let base = format!("{}{}", self.origin, self.path);
        let mut metadata = Map::new();
        metadata.insert("policy_decision_point".to_owned(), Value::String(base.clone()));
        for operation in Operation::ALL {
            let url = format!("{base}{}", operation.path());
            metadata.insert(operation.metadata().to_owned(), Value::String(url));
        }
        Value::Object(metadata).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::PublicUrl;

    #[test]
    fn the_well_known_string_comes_between_host_and_path() -> Result<(), super::PublicUrlError> {
        let cases = [
            ("https://pdp.example.com", "/.well-known/authzen-configuration", ""),
            ("https://pdp.example.com:8443/", "/.well-known/authzen-configuration", ""),
            ("https://example.com/t1/x/", "/.well-known/authzen-configuration/t1/x", "/t1/x"),
            ("http://127.0.0.1:8080", "/.well-known/authzen-configuration", ""),
        ];
        for (url, metadata_path, path) in cases {
            let url = PublicUrl::parse(url)?;
            assert_eq!((url.metadata_path().as_str(), url.path()), (metadata_path, path));
            assert!(url.metadata().contains(&format!(
                r#""access_evaluation_endpoint":"{}{path}/access/v1/evaluation""#,
                url.origin
            )));
        }
        for wrong in [
            "http://example.com",
            "https://example.com/?q",
            "https://example.com/#f",
            "https://user@example.com",
            "example.com",
            "/t1",
            "https://example.com/{x}",
            "https://example.com/:x",
            "ftp://example.com",
        ] {
            assert!(PublicUrl::parse(wrong).is_err(), "{wrong}");
        }
        Ok(())
    }
}
