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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const A: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const B: &str = "1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn read_texts(texts: &[&str]) -> Result<Option<RuleLock>, String> {
        let directory = tempfile::tempdir().map_err(|e| e.to_string())?;
        let mut files = Vec::new();
        for (number, text) in texts.iter().enumerate() {
            let file = directory.path().join(format!("{number}.lock"));
            fs::write(&file, text).map_err(|e| e.to_string())?;
            files.push(file);
        }
        RuleLock::read(&files).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_written_is_read_and_pins() -> Result<(), Box<dyn std::error::Error>> {
        assert_eq!(read_texts(&[])?, None);
        let (text, other) = (RuleLock::text([("a", A)]), RuleLock::text([("b", B), ("a", A)]));
        assert!(
            text.ends_with("}\n") && text.contains(&format!("\"a\": \"sha256:{A}\"")),
            "{text}"
        );
        let lock = read_texts(&[&text, &other])?.ok_or("a lock")?;
        assert!(lock.check("a", A).is_ok() && lock.check("b", B).is_ok());
        let refused = |rule: &str, digest: &str| {
            lock.check(rule, digest).err().map(|error| error.to_string()).unwrap_or_default()
        };
        let text = refused("a", B);
        assert!(text.contains(A) && text.contains(B) && text.contains("1.lock`"), "{text}");
        let text = refused("c", A);
        assert!(text.contains("0.lock`, `") && text.contains("1.lock`"), "{text}");
        Ok(())
    }

    #[test]
    fn what_pins_nothing_or_two_things_is_refused() {
        let pins =
            |version: u32, rules: &str| format!(r#"{{"version":{version},"rules":{{{rules}}}}}"#);
        let pin = |name: &str, digest: &str| format!(r#""{name}":"sha256:{digest}""#);
        let good = pins(1, &pin("a", A));
        for (texts, says) in [
            (vec![pins(2, "")], "version 2 is not known"),
            (vec![pins(1, &format!("{},{}", pin("a", A), pin("a", A)))], "`a` is pinned twice"),
            (vec![good.clone(), pins(1, &pin("a", B))], "it pins `a` to sha256:1"),
            (vec![pins(1, r#""a":"md5:1""#)], "the digest of `a` must be"),
            (vec![pins(1, &pin("a", "12"))], "the digest of `a` must be"),
            (vec![pins(1, &pin("a", &A.to_uppercase()))], "the digest of `a` must be"),
            (vec![pins(1, &pin("a", &A.replace('a', "g")))], "the digest of `a` must be"),
            (vec![r#"{"version":1,"rules":[]}"#.to_owned()], "an object with the digest"),
            (vec![r#"{"version":1,"rules":{},"more":1}"#.to_owned()], "unknown field"),
            (vec![good + &" ".repeat(1 << 20)], "bytes are too large"),
        ] {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let text = read_texts(&texts).err().unwrap_or_default();
            assert!(text.contains(says), "{says}: {text}");
        }
    }

    #[test]
    fn a_lock_stands_in_the_directory_or_beside_one_that_is_called_rules() -> std::io::Result<()> {
        let root = tempfile::tempdir()?;
        let (rules, others) = (root.path().join("rules"), root.path().join("others"));
        fs::create_dir(&rules)?;
        fs::create_dir(&others)?;
        assert_eq!(RuleLock::of_directory(&rules), None);
        let beside = root.path().join(LOCK_FILE);
        fs::write(&beside, "")?;
        assert_eq!(RuleLock::of_directory(&rules), Some(beside));
        assert_eq!(RuleLock::of_directory(&others), None);
        let within = rules.join(LOCK_FILE);
        fs::write(&within, "")?;
        assert_eq!(RuleLock::of_directory(&rules), Some(within));
        Ok(())
    }
}
