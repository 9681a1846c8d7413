//! Which policy set, for which of its channels.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest name, in bytes: that of a tag in a registry.
const NAME_BYTES: usize = 128;

/// The name of a policy set or of a channel: small letters and digits, with `.`, `_` and `-`
/// between them.
///
/// So it can stand in a path, an address and a registry's tag as it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// Text that is no [`Name`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a name: use small letters and digits, with `.`, `_` or `-` between them")]
pub struct NameError(String);

impl Name {
    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let is_alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = text.as_bytes();
        let ends = bytes.first().zip(bytes.last());
        let is_name = ends.is_some_and(|(first, last)| [*first, *last].into_iter().all(is_alphanumeric))
            && bytes.len() <= NAME_BYTES
            && bytes.iter().all(|byte| is_alphanumeric(*byte) || b"._-".contains(byte))
            // One separator at a time: `..` leads out of a directory.
            && !bytes.windows(2).any(|pair| pair.iter().all(|byte| !is_alphanumeric(*byte)));
        if is_name { Ok(Self(text.to_owned())) } else { Err(NameError(text.to_owned())) }
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A policy set and one of its channels, such as `payments` and `production`.
///
/// Releases are counted for each channel on its own. A signature says both names, so that one set
/// cannot pass for another, nor what is meant for staging for what is meant for production.
///
/// # Examples
///
/// ```
/// use stagedoor_distribution::Channel;
///
/// let channel: Channel = "payments:production".parse()?;
/// assert_eq!((channel.set.as_str(), channel.channel.as_str()), ("payments", "production"));
/// assert!("payments:..".parse::<Channel>().is_err());
/// # Ok::<(), stagedoor_distribution::NameError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Channel {
    /// The policy set.
    pub set: Name,
    /// The channel.
    pub channel: Name,
}

impl FromStr for Channel {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (set, channel) = text.split_once(':').ok_or_else(|| NameError(text.to_owned()))?;
        Ok(Self { set: set.parse()?, channel: channel.parse()? })
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.set, self.channel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere() {
        for text in ["", ".", "..", "a..b", "a/b", "A", "-a", "a-", "a b", "ä", "a\n", "a:b"] {
            assert!(text.parse::<Name>().is_err(), "{text}");
        }
        for text in ["a", "1", "a-b.c_d", "production", &"a".repeat(128)] {
            assert!(text.parse::<Name>().is_ok(), "{text}");
        }
        assert!("a".repeat(129).parse::<Name>().is_err());
    }
}
