//! What a policy set consists of, written down to pin it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use stagedoor_core::{Problem, without_byte_order_mark};

use crate::file_system::FileSystem;
use crate::source_file::SourceFile;

/// A manifest is not larger.
const MANIFEST_BYTES: u64 = 64 << 20;
/// A custom rule is not larger.
const RULE_BYTES: u64 = 256 << 20;
/// So many differences are told of.
const TOLD: usize = 20;

/// What is done with a directory's [`Manifest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ManifestUse {
    /// A set that differs from its manifest is told of by a warning. There need not be one.
    #[default]
    Optional,
    /// A set that has no manifest or differs from it does not load.
    Required,
}

/// The names, digests and counts of what a directory of policies consists of.
///
/// Written by `stagedoor manifest`; where it is required, nothing else than what it lists is ever
/// in force: neither a file that is missing or cut short, nor one more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The form of the manifest, 1.
    version: u32,
    /// How many files there are.
    count: usize,
    /// SHA-256 of each text, without a byte order mark, by the file's name.
    #[serde(deserialize_with = "crate::unique_map::deserialize")]
    files: BTreeMap<String, String>,
    /// SHA-256 of each custom rule and its limits, by the file's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[serde(deserialize_with = "crate::unique_map::deserialize")]
    rules: BTreeMap<String, String>,
}

impl Manifest {
    /// Returns the manifest of texts, and of custom rules below a directory.
    ///
    /// # Errors
    ///
    /// [`Problem`] if a rule cannot be read.
    pub fn of(
        files: &dyn FileSystem,
        directory: &Path,
        texts: &[SourceFile],
        rules: &[PathBuf],
    ) -> Result<Self, Box<Problem>> {
        let digests: BTreeMap<String, String> =
            texts.iter().map(|file| (file.name.clone(), digest(file.text.as_bytes()))).collect();
        let mut of_rules = BTreeMap::new();
        for rule in rules {
            for path in [rule.clone(), rule.with_extension("limits.json")] {
                if path != *rule && files.metadata(&path).is_err() {
                    continue;
                }
                let bytes = files.read(&path, RULE_BYTES).map_err(|error| {
                    Box::new(crate::walk::unreadable(&files.display(&path), &error))
                })?;
                let name = path.strip_prefix(directory).unwrap_or(&path);
                of_rules.insert(name.to_string_lossy().replace('\\', "/"), digest(&bytes));
            }
        }
        let count = digests.len() + of_rules.len();
        Ok(Self { version: 1, count, files: digests, rules: of_rules })
    }

    /// Returns the manifest as JSON, with an end of line: equal for equal sets.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Maps of texts are always JSON.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Returns how many files it lists.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Holds texts to the manifest at a path; returns what differs.
    pub(crate) fn check(
        files: &dyn FileSystem,
        path: &Path,
        texts: &[SourceFile],
        rules: &[PathBuf],
        of_use: ManifestUse,
    ) -> Vec<Problem> {
        let place = files.display(path);
        let problem = |code: &'static str, message: String| {
            let problem = match of_use {
                ManifestUse::Optional => Problem::warning(code, message),
                ManifestUse::Required => Problem::error(code, message),
            };
            problem.in_file(&place)
        };
        let help = "`stagedoor manifest DIR --write` writes it anew, once the set is what it is \
                    meant to be";
        let read = match files.read(path, MANIFEST_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let missing = "there is no manifest, which is required".to_owned();
                return match of_use {
                    ManifestUse::Optional => Vec::new(),
                    ManifestUse::Required => {
                        vec![problem("manifest::missing", missing).with_help(help)]
                    }
                };
            }
            Err(error) => {
                return vec![problem("manifest::read", format!("cannot be read: {error}"))];
            }
        };
        let text = String::from_utf8_lossy(&read);
        let pinned: Self = match serde_json::from_str(without_byte_order_mark(&text)) {
            Ok(pinned) => pinned,
            Err(error) => {
                let message = format!("it is not a manifest: {error}");
                return vec![problem("manifest::json", message).with_help(help)];
            }
        };
        let directory = path.parent().unwrap_or(path);
        let now = match Self::of(files, directory, texts, rules) {
            Ok(now) => now,
            Err(problem) => return vec![*problem],
        };
        let mut differences = pinned.differences(&now);
        if pinned.count != pinned.files.len() + pinned.rules.len() {
            differences.push("its count is not that of its files".to_owned());
        }
        if pinned.version != now.version {
            differences.push(format!("version {} is not known", pinned.version));
        }
        let more = differences.len().saturating_sub(TOLD);
        differences.truncate(TOLD);
        if more > 0 {
            differences.push(format!("and {more} more differences"));
        }
        let told = differences.into_iter();
        told.map(|message| problem("manifest::differs", message).with_help(help)).collect()
    }

    fn differences(&self, now: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        for (pinned, now) in [(&self.files, &now.files), (&self.rules, &now.rules)] {
            for (name, digest) in pinned {
                match now.get(name) {
                    None => differences.push(format!("`{name}` is missing")),
                    Some(now) if now != digest => {
                        differences.push(format!("`{name}` is not what the manifest says"));
                    }
                    Some(_) => {}
                }
            }
            let new = now.keys().filter(|name| !pinned.contains_key(*name));
            differences.extend(new.map(|name| format!("`{name}` is not in the manifest")));
        }
        differences
    }
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
