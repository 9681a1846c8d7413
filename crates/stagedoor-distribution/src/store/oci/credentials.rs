//! Who the caller is to registries, as Docker's `config.json` says.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

/// Names and passwords by registry.
#[derive(Clone, Default)]
pub struct Credentials(BTreeMap<String, String>);

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Why a file does not say who the caller is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// It is not of the form.
    #[error("it is not a configuration of registries: {0}")]
    Form(String),
    /// What stands there for a registry is not a name and a password.
    #[error("`auth` of `{0}` is not NAME:PASSWORD in base64")]
    Auth(String),
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    auth: Option<String>,
}

impl Credentials {
    /// Reads `{"auths": {"ghcr.io": {"auth": "…"}}}`. Entries that are left to a helper program
    /// are passed over: such registries are asked as nobody.
    ///
    /// # Errors
    ///
    /// [`CredentialsError`].
    pub fn from_json(text: &str) -> Result<Self, CredentialsError> {
        let form = |error: serde_json::Error| {
            CredentialsError::Form(stagedoor_core::plain_reason(&error.to_string()))
        };
        // Derived code alone would also take a list, by the order of the fields.
        let fields: serde_json::Map<_, _> = serde_json::from_str(text).map_err(form)?;
        let config: Config = serde_json::from_value(fields.into()).map_err(form)?;
        let mut credentials = BTreeMap::new();
        for (registry, entry) in config.auths {
            let Some(auth) = entry.auth.filter(|auth| !auth.is_empty()) else { continue };
            let pair = STANDARD.decode(&auth).ok();
            if pair.is_none_or(|pair| !pair.contains(&b':')) {
                return Err(CredentialsError::Auth(registry));
            }
            credentials.insert(host(&registry).to_owned(), auth);
        }
        Ok(Self(credentials))
    }

    /// Returns the name and password for a registry, as `Basic` sends them.
    pub(super) fn of(&self, registry: &str) -> Option<String> {
        self.0.get(registry).cloned()
    }
}

/// Returns the host of a registry, which may be written as an address.
fn host(registry: &str) -> &str {
    let rest = registry.split_once("://").map_or(registry, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_are_known_by_their_hosts() -> Result<(), CredentialsError> {
        let text = r#"{"auths": {"https://a.example/v1/": {"auth": "dTpw"}, "b.example": {}},
                       "credsStore": "desktop"}"#;
        let credentials = Credentials::from_json(text)?;
        assert_eq!(credentials.of("a.example").as_deref(), Some("dTpw"));
        assert_eq!(credentials.of("b.example"), None);
        assert!(!format!("{credentials:?}").contains("dTpw"));
        for text in [
            "",
            "[]",
            r#"{"auths": {"a": {"auth": "u:p"}}}"#,
            r#"{"auths": {"a": {"auth": "dXA="}}}"#,
        ] {
            assert!(Credentials::from_json(text).is_err(), "{text}");
        }
        Ok(())
    }
}
