//! A policy set in one file, to be shipped as one.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use stagedoor_core::{LoadError, Problem, without_byte_order_mark};

use crate::kind::FileKind;

/// The files of a policy set by their names, as one JSON text:
///
/// ```json
/// {"files": {"catalog.cedar": "permit (…);", "playlist.permissions.yaml": "pluginId: …"}}
/// ```
///
/// Where policies are guarded by custom rules, `rules` has their digests by name: the set does
/// not load with others. The rules themselves are shipped beside the bundle, or in `components`. `tests` has the tests
/// of the set, where they are shipped with it, and the files that they name.
///
/// # Examples
///
/// ```
/// use stagedoor_source::{Bundle, PolicySources};
///
/// let json = r#"{"files":{"all.cedar":"permit (principal, action, resource);"}}"#;
/// let bundle = Bundle::from_json("all.bundle.json", json)?;
/// assert_eq!(bundle.to_json(), json);
/// assert_eq!(PolicySources::from_bundle(&bundle).files().len(), 1);
/// # Ok::<(), stagedoor_core::LoadError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    #[serde(deserialize_with = "crate::unique_map::deserialize")]
    pub(crate) files: BTreeMap<String, String>,
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "crate::unique_map::deserialize"
    )]
    pub(crate) rules: BTreeMap<String, String>,
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "crate::unique_map::deserialize"
    )]
    pub(crate) tests: BTreeMap<String, String>,
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "crate::unique_map::deserialize"
    )]
    pub(crate) components: BTreeMap<String, String>,
}

impl Bundle {
    /// Adds custom rules and their limits, by the names of their files, so that they need not be
    /// shipped beside the bundle.
    ///
    /// # Errors
    ///
    /// [`LoadError`] if a name is not that of a rule or of its limits.
    pub fn with_components(
        self,
        components: impl IntoIterator<Item = (String, Vec<u8>)>,
    ) -> Result<Self, LoadError> {
        let components = components.into_iter().map(|(name, bytes)| (name, STANDARD.encode(bytes)));
        let bundle = Self { components: components.collect(), ..self };
        let problems: Vec<Problem> = bundle.problems_of_components("the bundle").collect();
        if problems.is_empty() { Ok(bundle) } else { Err(LoadError::of(problems)) }
    }

    fn problems_of_components<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Problem> + 'a {
        let is_wrong = |(file, text): &(&String, &String)| {
            let is_one = matches!(FileKind::of(file), FileKind::Rule | FileKind::RuleLimits);
            let is_plain = !file.contains(['/', '\\']) && !file.starts_with('.');
            !is_one || !is_plain || STANDARD.decode(text).is_err()
        };
        self.components.iter().filter(is_wrong).map(move |(file, _)| {
            let message = format!("`{file}` is neither a rule nor its limits, in base64");
            Problem::error("bundle::components", message).in_file(name)
        })
    }

    /// Adds tests of the set, and the files that they name, by their names within the set.
    ///
    /// # Errors
    ///
    /// [`LoadError`] if a name leads out of the set, or is that of one of its files.
    pub fn with_tests(
        self,
        tests: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, LoadError> {
        let tests: BTreeMap<String, String> = tests.into_iter().collect();
        let bundle = Self { tests, ..self };
        let problems: Vec<Problem> = bundle.problems_of_tests("the bundle").collect();
        if problems.is_empty() { Ok(bundle) } else { Err(LoadError::of(problems)) }
    }

    fn problems_of_tests<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Problem> + 'a {
        let is_wrong = |file: &&String| leads_out(file) || self.files.contains_key(file.as_str());
        self.tests.keys().filter(is_wrong).map(move |file| {
            let message = format!("`{file}` is not a name that tests of the set can have");
            let help = "let tests and what they name stand in the directory of the set";
            Problem::error("bundle::tests", message).with_help(help).in_file(name)
        })
    }

    /// Reads a bundle; `name` is what messages call it.
    ///
    /// # Errors
    ///
    /// [`LoadError`] if it is none, or holds a file that is neither policies, nor a schema, nor
    /// permissions.
    pub fn from_json(name: &str, json: &str) -> Result<Self, LoadError> {
        let bundle: Self = match serde_json::from_str(without_byte_order_mark(json)) {
            Ok(bundle) => bundle,
            Err(error) => {
                let message = format!(
                    "not a bundle of policies: {}",
                    stagedoor_core::plain_reason(&error.to_string())
                );
                let problem = Problem::error("bundle::json", message)
                    .with_help("`stagedoor bundle DIR` writes bundles")
                    .in_file(name);
                return Err(LoadError::of(vec![problem]));
            }
        };
        let wrong = |file: &&String| {
            let base = file.rsplit('/').next().unwrap_or(file);
            leads_out(file) || !FileKind::of(base).is_of_set()
        };
        let problem = |file: &String| {
            let message = format!("`{file}` is neither policies, nor a schema, nor permissions");
            let problem = Problem::error("bundle::file", message);
            problem.with_help("leave it out").in_file(name)
        };
        let problems = bundle.files.keys().filter(wrong).map(problem);
        let problems: Vec<Problem> = problems
            .chain(bundle.problems_of_tests(name))
            .chain(bundle.problems_of_components(name))
            .collect();
        if problems.is_empty() { Ok(bundle) } else { Err(LoadError::of(problems)) }
    }

    /// Returns the bundle as JSON: equal for equal sets.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Maps of texts are always JSON.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Returns names and texts, sorted.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// Returns the digests of rules by their names, sorted.
    pub fn rules(&self) -> impl Iterator<Item = (&str, &str)> {
        self.rules.iter().map(|(name, digest)| (name.as_str(), digest.as_str()))
    }

    /// Returns the tests of the set and the files that they name, sorted.
    pub fn tests(&self) -> impl Iterator<Item = (&str, &str)> {
        self.tests.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// Returns the custom rules and their limits that it brings, by the names of their files,
    /// sorted.
    pub fn components(&self) -> impl Iterator<Item = (&str, Vec<u8>)> {
        // INVARIANT: all of them are base64, which whoever made the bundle has looked at.
        let decoded = |text| STANDARD.decode(text).unwrap_or_default();
        self.components.iter().map(move |(name, text)| (name.as_str(), decoded(text)))
    }

    /// Returns whether a text is meant as a bundle, right or wrong: an object whose first key is
    /// `files`.
    #[must_use]
    pub fn looks_like_one(text: &str) -> bool {
        let rest = without_byte_order_mark(text).trim_start().strip_prefix('{');
        rest.is_some_and(|rest| rest.trim_start().starts_with("\"files\""))
    }
}

/// Returns whether a name leads out of the directory that it is to stand in.
fn leads_out(name: &str) -> bool {
    name.split('/').any(|part| part.is_empty() || part == "." || part == "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_bundle_is_refused() {
        for json in [
            "",
            "[]",
            "{}",
            r#"{"files": []}"#,
            r#"{"files": {"a.cedar": 1}}"#,
            r#"{"files": {"a.cedar": "", "a.cedar": ""}}"#,
            r#"{"files": {}, "files": {}}"#,
            r#"{"files": {}, "more": 1}"#,
            r#"{"files": {"a.txt": ""}}"#,
            r#"{"files": {"a.CEDAR": ""}}"#,
            r#"{"files": {"../a.cedar": ""}}"#,
            r#"{"files": {"/a.cedar": ""}}"#,
            r#"{"files": {"r.wasm": ""}}"#,
            r#"{"files": {}, "tests": {"../a.test.yaml": ""}}"#,
            r#"{"files": {}, "components": {"a.wasm": "*"}}"#,
            r#"{"files": {}, "components": {"a.cedar": ""}}"#,
            r#"{"files": {}, "components": {"rules/a.wasm": ""}}"#,
            r#"{"files": {}, "tests": {"a//b.test.yaml": ""}}"#,
            r#"{"files": {"a.cedar": ""}, "tests": {"a.cedar": ""}}"#,
        ] {
            assert!(Bundle::from_json("b", json).is_err(), "{json}");
        }
        let marked = "\u{feff}{\"files\": {\"a/b.cedar\": \"\"}}";
        assert!(Bundle::from_json("b", marked).is_ok() && Bundle::looks_like_one(marked));
        assert!(!Bundle::looks_like_one(r#"{"staticPolicies": {}}"#));
    }
}
