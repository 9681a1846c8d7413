//! What a project says of findings: how much each kind matters, and where none is wanted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};
use stagedoor_core::nearest_name;
use stagedoor_source::normalize_lexically;

use super::codes::{LintCode, LintLevel};
use super::finding::{LintFinding, LintReport};

/// Settings of the linter: the table `lint` of a `stagedoor.toml`.
///
/// Files that are excluded are loaded and compared with the others; nothing is told of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct LintSettings {
    /// How much findings of a code matter, in place of what they say themselves.
    #[serde(default)]
    pub severity: Severities,
    /// Files and directories of which nothing is told.
    #[serde(default)]
    pub exclude: Vec<PathBuf>,
    /// Severities in some files and directories.
    #[serde(default, rename = "in")]
    pub within: Vec<LintSettingsWithin>,
}

/// Severities in some files and directories.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct LintSettingsWithin {
    /// The files and directories.
    pub paths: Vec<PathBuf>,
    /// How much findings of a code matter there.
    pub severity: Severities,
}

/// Severities by code.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Severities(BTreeMap<LintCode, LintSeverity>);

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum LintSeverity {
    /// It is not told.
    Off,
    /// Worth knowing.
    Note,
    /// Probably not what was meant.
    Warning,
    /// Certainly not what was meant.
    Error,
}

impl LintSeverity {
    fn level(self) -> Option<LintLevel> {
        match self {
            Self::Off => None,
            Self::Note => Some(LintLevel::Note),
            Self::Warning => Some(LintLevel::Warning),
            Self::Error => Some(LintLevel::Error),
        }
    }
}

impl<'de> Deserialize<'de> for Severities {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let named: BTreeMap<String, LintSeverity> = BTreeMap::deserialize(deserializer)?;
        let known = |(name, severity): (String, LintSeverity)| {
            let code: LintCode = name.parse().map_err(|_| {
                let near = nearest_name(&name, LintCode::ALL.iter().map(|code| code.id()));
                let near = near.map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
                serde::de::Error::custom(format!("`{name}` is not a code of the linter{near}"))
            })?;
            Ok((code, severity))
        };
        named.into_iter().map(known).collect::<Result<_, _>>().map(Self)
    }
}

impl LintSettings {
    /// Returns the settings with their paths as those from a directory.
    #[must_use]
    pub fn from_directory(mut self, directory: &Path) -> Self {
        let all = self.exclude.iter_mut().chain(self.within.iter_mut().flat_map(|w| &mut w.paths));
        all.for_each(|path| *path = directory.join(&*path));
        self
    }

    /// Applies the settings to a report, which then tells how many findings they leave out.
    pub fn apply(&self, report: &mut LintReport) {
        let before = report.findings.len();
        report.findings.retain_mut(|finding| match self.level(finding) {
            Some(level) => {
                finding.level = level;
                true
            }
            None => false,
        });
        report.turned_off += before - report.findings.len();
        report.sort();
    }

    /// Returns how much a finding matters; nothing where it is not to be told.
    fn level(&self, finding: &LintFinding) -> Option<LintLevel> {
        let file = finding.place.file.as_deref().map(normalize_lexically);
        let is_in = |paths: &[PathBuf]| {
            file.as_ref().is_some_and(|file| {
                paths.iter().any(|path| file.starts_with(normalize_lexically(path)))
            })
        };
        if is_in(&self.exclude) {
            return None;
        }
        // The last one that says something counts.
        let own = self.within.iter().rev().filter(|within| is_in(&within.paths));
        let said = own.map(|within| &within.severity).chain([&self.severity]);
        let said = said.filter_map(|severities| severities.0.get(&finding.code)).next();
        said.map_or(Some(finding.level), |severity| severity.level())
    }
}
