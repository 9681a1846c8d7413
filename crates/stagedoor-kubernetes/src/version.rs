//! Versions of Kubernetes whose built-in roles and resources are known.

use std::fmt;
use std::str::FromStr;

/// A minor version of Kubernetes.
///
/// # Examples
///
/// ```
/// use stagedoor_kubernetes::KubernetesVersion;
///
/// let version: KubernetesVersion = "v1.36.3".parse()?;
/// assert_eq!(version.to_string(), "1.36");
/// assert!(version < KubernetesVersion::NEWEST);
/// # Ok::<(), stagedoor_kubernetes::UnknownVersion>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KubernetesVersion(u16);

/// A version of Kubernetes whose built-in roles are not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the built-in roles of Kubernetes `{given}` are not known; give {oldest} to {newest}",
    oldest = KubernetesVersion::OLDEST,
    newest = KubernetesVersion::NEWEST
)]
pub struct UnknownVersion {
    given: String,
}

impl KubernetesVersion {
    /// The oldest version that is known.
    pub const OLDEST: Self = Self(30);
    /// The newest version that is known.
    pub const NEWEST: Self = Self(37);

    /// Returns the minor version: 36 of 1.36.
    #[must_use]
    pub fn minor(self) -> u16 {
        self.0
    }

    /// Returns every version that is known, the oldest first.
    pub fn all() -> impl Iterator<Item = Self> {
        (Self::OLDEST.0..=Self::NEWEST.0).map(Self)
    }
}

impl Default for KubernetesVersion {
    fn default() -> Self {
        Self::NEWEST
    }
}

impl fmt::Display for KubernetesVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}", self.0)
    }
}

impl FromStr for KubernetesVersion {
    type Err = UnknownVersion;

    fn from_str(text: &str) -> Result<Self, UnknownVersion> {
        let unknown = || UnknownVersion { given: text.chars().take(32).collect() };
        let number = text.strip_prefix('v').unwrap_or(text);
        let minor = number.strip_prefix("1.").ok_or_else(unknown)?;
        // A patch, and what a distribution appends to it, change nothing here.
        let minor = minor.split_once('.').map_or(minor, |(minor, _)| minor);
        let minor = minor.parse().map_err(|_| unknown())?;
        let version = Self(minor);
        if version < Self::OLDEST || version > Self::NEWEST { Err(unknown()) } else { Ok(version) }
    }
}

#[cfg(test)]
mod tests {
    use super::KubernetesVersion;

    #[test]
    fn versions_are_read_as_tools_print_them() {
        for (text, minor) in
            [("1.30", 30), ("v1.37.2", 37), ("1.34.4-eks-1a2b", 34), ("v1.36.3+k3s1", 36)]
        {
            let version = text.parse::<KubernetesVersion>().map(KubernetesVersion::minor);
            assert_eq!(version, Ok(minor), "{text}");
        }
        for text in ["1.29", "1.38", "2.30", "1", "1.x", "", "1.-30"] {
            assert!(text.parse::<KubernetesVersion>().is_err(), "{text}");
        }
    }
}
