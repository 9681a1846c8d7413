//! `rules.lock`: which component each rule is, to the byte.
//!
//! It stands beside the policies and is reviewed with them, wherever the rules come from. With it
//! every rule is pinned: one that is not in it, or has another digest, is not used.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::WasmRuleLoadError;
use crate::error::WasmRulesError;
use crate::files::read;

/// What the file is called.
pub const LOCK_FILE: &str = "rules.lock";
/// The largest file, in bytes.
const LOCK_BYTES: u64 = 1 << 20;
/// What a digest begins with.
const SHA256: &str = "sha256:";

/// The digests that rules must have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleLock {
    /// By the name of the rule: the digest, in hexadecimal, and the file that says so.
    pins: BTreeMap<String, (String, String)>,
    files: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LockFile {
    version: u32,
    rules: Pins,
}

/// Digests by name, none twice: the second would undo the first unseen.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
struct Pins(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Pins {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Pins;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object with the digest of each rule")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Pins, A::Error> {
                let mut pins = Pins::default();
                while let Some((name, digest)) = map.next_entry::<String, String>()? {
                    if pins.0.insert(name.clone(), digest).is_some() {
                        let message = format!("rule `{}` is pinned twice", name.escape_debug());
                        return Err(serde::de::Error::custom(message));
                    }
                }
                Ok(pins)
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

impl RuleLock {
    /// Returns the lock file of a directory of policies or of rules, if there is one: in it, or
    /// beside it if it is the directory `rules` of one of policies.
    #[must_use]
    pub fn of_directory(directory: &Path) -> Option<PathBuf> {
        let beside = directory.file_name().is_some_and(|name| name == "rules");
        let beside = beside.then(|| directory.parent()).flatten();
        let directories = std::iter::once(directory).chain(beside);
        // A lock that cannot be looked at is one: reading it tells why.
        let is_there = |file: &PathBuf| file.symlink_metadata().is_ok();
        directories.map(|directory| directory.join(LOCK_FILE)).find(is_there)
    }

    /// Reads lock files, if there are any; what one of them pins is pinned.
    ///
    /// # Errors
    ///
    /// [`WasmRulesError::Lock`] if one cannot be read, or two pin different components.
    pub fn read(files: &[PathBuf]) -> Result<Option<Self>, WasmRulesError> {
        if files.is_empty() {
            return Ok(None);
        }
        let mut lock = Self::default();
        for file in files {
            lock.add(file)?;
        }
        Ok(Some(lock))
    }

    /// Returns the lock file for these rules, each a name and a digest in hexadecimal.
    #[must_use]
    pub fn text<'r>(rules: impl IntoIterator<Item = (&'r str, &'r str)>) -> String {
        let pins =
            rules.into_iter().map(|(name, digest)| (name.to_owned(), format!("{SHA256}{digest}")));
        let file = LockFile { version: 1, rules: Pins(pins.collect()) };
        // Writing strings to memory does not fail.
        serde_json::to_string_pretty(&file).unwrap_or_default() + "\n"
    }

    fn add(&mut self, file: &Path) -> Result<(), WasmRulesError> {
        let name = file.display().to_string();
        let wrong = |reason: String| WasmRulesError::Lock { file: name.clone(), reason };
        let bytes = read(file, LOCK_BYTES).map_err(|e| wrong(e.to_string()))?;
        let bytes = bytes.map_err(|size| wrong(format!("{size} bytes are too large")))?;
        let read: LockFile = serde_json::from_slice(&bytes).map_err(|e| wrong(e.to_string()))?;
        if read.version != 1 {
            return Err(wrong(format!("version {} is not known", read.version)));
        }
        for (rule, digest) in read.rules.0 {
            let shown = rule.escape_debug();
            let hex = digest.strip_prefix(SHA256).filter(|hex| is_digest(hex));
            let hex = hex.ok_or_else(|| {
                wrong(format!("the digest of `{shown}` must be `sha256:` and 64 digits of 0-9a-f"))
            })?;
            let pin = (hex.to_owned(), name.clone());
            if let Some((other, by)) = self.pins.get(&rule).filter(|(other, _)| other != hex) {
                let reason =
                    format!("it pins `{shown}` to sha256:{hex}, but `{by}` to sha256:{other}");
                return Err(wrong(reason));
            }
            self.pins.insert(rule, pin);
        }
        self.files.push(name);
        Ok(())
    }

    /// Checks that a rule is the one that is pinned.
    pub(crate) fn check(&self, rule: &str, digest: &str) -> Result<(), WasmRuleLoadError> {
        let found = digest.to_owned();
        match self.pins.get(rule) {
            Some((pinned, _)) if pinned == digest => Ok(()),
            Some((pinned, by)) => Err(WasmRuleLoadError::Digest {
                found,
                pinned: pinned.clone(),
                by: format!("`{by}`"),
            }),
            None => {
                let by = format!("`{}`", self.files.join("`, `"));
                Err(WasmRuleLoadError::Unlocked { rule: rule.to_owned(), found, by })
            }
        }
    }
}

/// Whether a text is a SHA-256 in lower-case hexadecimal.
fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}
