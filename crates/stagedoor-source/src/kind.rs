//! What files hold, by their names: the one table of endings.

use stagedoor_core::SourceKind;

/// The name of a manifest, in the directory that it is about.
pub const MANIFEST_NAME: &str = "stagedoor.manifest.json";

/// What a file holds, as its name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileKind {
    /// Policies or a schema.
    Source(SourceKind),
    /// Permissions of a platform: `*.permissions.yaml`, `*.permissions.yml`,
    /// `*.permissions.json`.
    Permissions,
    /// Tests of policies: `*.test.yaml`, `*.test.yml`, `*.test.json`.
    Tests,
    /// A custom rule: `*.wasm`.
    Rule,
    /// The limits of a custom rule: `*.limits.json`.
    RuleLimits,
    /// A policy set in one file: `*.bundle.json`.
    Bundle,
    /// What a set consists of: `stagedoor.manifest.json`.
    Manifest,
    /// A name that is nearly one of policies: `a.CEDAR`, `a.cedar.txt`. Its author may think
    /// that it is in force.
    Lookalike,
    /// A file of policies that was put aside: `a.cedar.bak`, `a.cedar~`.
    Aside,
    /// Other JSON, which may be policies all the same.
    Json,
    /// Nothing that a policy set is made of.
    Other,
}

const PERMISSIONS: [&str; 3] = [".permissions.yaml", ".permissions.yml", ".permissions.json"];
const TESTS: [&str; 3] = [".test.yaml", ".test.yml", ".test.json"];
/// What follows the ending of policies in the names of files that were put aside.
const ASIDE: [&str; 14] = [
    "~",
    ".bak",
    ".backup",
    ".old",
    ".orig",
    ".rej",
    ".swp",
    ".tmp",
    ".disabled",
    ".off",
    ".example",
    ".sample",
    ".dist",
    ".md",
];

impl FileKind {
    /// Returns what a file of this name holds.
    ///
    /// # Examples
    ///
    /// ```
    /// use stagedoor_core::SourceKind;
    /// use stagedoor_source::FileKind;
    ///
    /// assert_eq!(FileKind::of("a.cedar"), FileKind::Source(SourceKind::Policies));
    /// assert_eq!(FileKind::of("a.CEDAR"), FileKind::Lookalike);
    /// assert_eq!(FileKind::of("README.md"), FileKind::Other);
    /// ```
    #[must_use]
    pub fn of(name: &str) -> Self {
        let known = Self::known(name);
        if known != Self::Other {
            return known;
        }
        let lower = name.to_lowercase();
        match Self::known(&lower) {
            Self::Source(_) | Self::Permissions => return Self::Lookalike,
            _ => {}
        }
        let after = [".cedarschema", ".cedar"].iter().find_map(|ending| {
            let (_, after) = lower.split_once(ending)?;
            after.starts_with(|c: char| !c.is_alphanumeric()).then_some(after)
        });
        match after {
            Some(after) if ASIDE.iter().any(|ending| after.ends_with(ending)) => Self::Aside,
            Some(_) => Self::Lookalike,
            None if lower.ends_with(".json") => Self::Json,
            None => Self::Other,
        }
    }

    fn known(name: &str) -> Self {
        let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
        match SourceKind::of(name) {
            Some(kind) => Self::Source(kind),
            None if ends(&PERMISSIONS) => Self::Permissions,
            None if ends(&TESTS) => Self::Tests,
            None if ends(&[".wasm"]) => Self::Rule,
            None if ends(&[".limits.json"]) => Self::RuleLimits,
            None if ends(&[".bundle.json"]) => Self::Bundle,
            None if name == MANIFEST_NAME => Self::Manifest,
            None => Self::Other,
        }
    }

    /// Returns whether it is policies.
    #[must_use]
    pub fn is_policies(self) -> bool {
        matches!(self, Self::Source(kind) if !kind.is_schema())
    }

    /// Returns whether the walk through a directory looks into such files: those that a set is
    /// made of, and those that may be meant to belong to it.
    #[must_use]
    pub fn is_read(self) -> bool {
        self.is_of_set() || matches!(self, Self::Json | Self::Manifest | Self::RuleLimits)
    }

    /// Returns whether a policy set is made of such files.
    #[must_use]
    pub fn is_of_set(self) -> bool {
        matches!(self, Self::Source(_) | Self::Permissions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_files_hold() {
        use SourceKind::{Policies, PoliciesJson, Schema, SchemaJson};
        for (name, kind) in [
            ("a.cedar", FileKind::Source(Policies)),
            (".cedar", FileKind::Source(Policies)),
            ("a.b.cedar.json", FileKind::Source(PoliciesJson)),
            ("a.cedarschema", FileKind::Source(Schema)),
            ("a.cedarschema.json", FileKind::Source(SchemaJson)),
            ("p.permissions.yml", FileKind::Permissions),
            ("p.test.yaml", FileKind::Tests),
            ("r.wasm", FileKind::Rule),
            ("r.limits.json", FileKind::RuleLimits),
            ("all.bundle.json", FileKind::Bundle),
            (MANIFEST_NAME, FileKind::Manifest),
            ("a.CEDAR", FileKind::Lookalike),
            ("a.Cedar.JSON", FileKind::Lookalike),
            ("a.CedarSchema", FileKind::Lookalike),
            ("P.Permissions.yaml", FileKind::Lookalike),
            ("a.cedar.txt", FileKind::Lookalike),
            ("a.cedar.yaml", FileKind::Lookalike),
            ("a.cedarschema.txt", FileKind::Lookalike),
            ("a.cedar (1)", FileKind::Lookalike),
            ("a.cedar ", FileKind::Lookalike),
            ("a.cedar~", FileKind::Aside),
            ("a.cedar.bak", FileKind::Aside),
            ("a.cedarschema.json.orig", FileKind::Aside),
            ("forbids.json", FileKind::Json),
            ("FORBIDS.JSON", FileKind::Json),
            ("a.cedars", FileKind::Other),
            ("cedar", FileKind::Other),
            ("README.md", FileKind::Other),
            ("", FileKind::Other),
        ] {
            assert_eq!(FileKind::of(name), kind, "{name}");
        }
    }
}
