//! Telling a registry who asks, when it wants to know.

use serde::Deserialize;
use ureq::Agent;
use ureq::http::StatusCode;

use crate::store::StoreError;
use crate::store::http::{body, refused, unreachable};

/// Tokens are not larger.
const TOKEN_BYTES: u64 = 64 << 10;

/// What a registry is told of who asks.
pub(super) struct Login {
    /// Name and password, as `Basic` sends them.
    basic: Option<String>,
    authorization: Option<String>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Login({})", if self.basic.is_some() { "somebody" } else { "anonymous" })
    }
}

/// A challenge of `WWW-Authenticate`.
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
}

impl Login {
    pub(super) fn new(basic: Option<String>) -> Self {
        Self { basic, authorization: None }
    }

    /// Returns the header that is sent.
    pub(super) fn authorization(&self) -> Option<&str> {
        self.authorization.as_deref()
    }

    /// Answers what a registry wants to know.
    pub(super) fn answer(
        &mut self,
        challenges: &[String],
        agent: &Agent,
        scheme: &str,
        store: &str,
    ) -> Result<(), StoreError> {
        let denied = |reason: &str| StoreError::Denied {
            store: store.to_owned(),
            reason: reason.to_owned(),
        };
        match challenges.iter().find_map(|challenge| Challenge::parse(challenge)) {
            Some(Challenge::Basic) => {
                let Some(basic) = &self.basic else {
                    return Err(denied("it wants a name and a password: give `--registry-config`"));
                };
                let authorization = format!("Basic {basic}");
                if self.authorization.as_ref() == Some(&authorization) {
                    return Err(denied("name or password are wrong"));
                }
                self.authorization = Some(authorization);
            }
            Some(Challenge::Bearer { realm, service, scope }) => {
                // INVARIANT: a password goes over TLS, unless the registry itself is without it.
                let is_plain = scheme == "http" && realm.starts_with("http://");
                if !is_plain && !realm.starts_with("https://") {
                    return Err(denied("its tokens are at an address without TLS"));
                }
                let mut request = agent.get(&realm);
                for (name, value) in [("service", service), ("scope", scope)] {
                    request = value.into_iter().fold(request, |request, v| request.query(name, v));
                }
                if let Some(basic) = &self.basic {
                    request = request.header("authorization", format!("Basic {basic}"));
                }
                let response = request.call().map_err(|error| unreachable(store, &error))?;
                if response.status() != StatusCode::OK {
                    return Err(refused(store, "a token", response.status()));
                }
                let bytes = body(response, TOKEN_BYTES, "the token", store)?;
                let token: Token =
                    serde_json::from_slice(&bytes).map_err(|_| denied("no token"))?;
                let token = token.token.or(token.access_token).ok_or_else(|| denied("no token"))?;
                self.authorization = Some(format!("Bearer {token}"));
            }
            None => return Err(denied("it does not say how to log in")),
        }
        Ok(())
    }
}

impl Challenge {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let (mut realm, mut service, mut scope) = (None, None, None);
        for (name, value) in Parameters(rest) {
            match name.to_ascii_lowercase().as_str() {
                "realm" => realm = Some(value),
                "service" => service = Some(value),
                "scope" => scope = Some(value),
                _ => {}
            }
        }
        Some(Self::Bearer { realm: realm?, service, scope })
    }
}

/// The parameters of a challenge: `name="value"`, with commas between them, and within quotes.
struct Parameters<'a>(&'a str);

impl Iterator for Parameters<'_> {
    type Item = (String, String);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, rest) = self.0.split_once('=')?;
        let name = name.trim_matches([',', ' ']).to_owned();
        let rest = rest.trim_start();
        let (value, rest) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => rest.split_once(',').unwrap_or((rest, "")),
        };
        self.0 = rest;
        Some((name, value.trim().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let text =
            r#"Bearer realm="https://a.example/token",service="r",scope="repository:p:pull,push""#;
        let bearer = Challenge::Bearer {
            realm: "https://a.example/token".to_owned(),
            service: Some("r".to_owned()),
            scope: Some("repository:p:pull,push".to_owned()),
        };
        assert_eq!(Challenge::parse(text), Some(bearer));
        assert_eq!(Challenge::parse(r#"Basic realm="r""#), Some(Challenge::Basic));
        for text in
            ["", "Negotiate", "Bearer", "Bearer realm", r#"Bearer realm="a"#, "Bearer service=x"]
        {
            assert_eq!(Challenge::parse(text), None, "{text}");
        }
    }
}
