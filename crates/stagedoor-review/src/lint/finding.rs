//! What the linter found.

use serde::Serialize;
use stagedoor_core::PolicyInfo;

use super::codes::{LintCode, LintLevel};

/// Whether a finding is certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Certainty {
    /// It is so, whatever is asked.
    Sure,
    /// It is probably so.
    Heuristic,
}

/// A policy that a finding is about, or a place in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LintPlace {
    /// The policy's id.
    pub policy: Option<String>,
    /// The file.
    pub file: Option<String>,
    /// The line, from 1.
    pub line: Option<usize>,
}

impl LintPlace {
    pub(super) fn of(policy: PolicyInfo<'_>) -> Self {
        Self {
            policy: Some(policy.id().to_owned()),
            file: Some(policy.file().to_owned()),
            line: policy.line(),
        }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LintFinding {
    /// What kind of finding it is.
    pub code: LintCode,
    /// How much it matters.
    pub level: LintLevel,
    /// Whether it is certain.
    pub certainty: Certainty,
    /// What is the matter.
    pub message: String,
    /// What to do about it, where more is to be said than the code's explanation does.
    pub help: Option<String>,
    /// Where.
    #[serde(flatten)]
    pub place: LintPlace,
    /// The other policy of a pair.
    pub other: Option<LintPlace>,
    /// Why it is all right here, if somebody says so.
    pub suppressed: Option<String>,
}

impl LintFinding {
    pub(super) fn new(code: LintCode, place: LintPlace, message: impl Into<String>) -> Self {
        Self {
            code,
            level: code.level(),
            certainty: Certainty::Sure,
            message: message.into(),
            help: None,
            place,
            other: None,
            suppressed: None,
        }
    }

    pub(super) fn at_level(mut self, level: LintLevel) -> Self {
        self.level = level;
        self
    }

    pub(super) fn heuristic(mut self) -> Self {
        self.certainty = Certainty::Heuristic;
        self
    }

    pub(super) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(super) fn beside(mut self, other: PolicyInfo<'_>) -> Self {
        self.other = Some(LintPlace::of(other));
        self
    }
}

/// All findings about a policy set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LintReport {
    /// The findings: the worst first, then by place.
    pub findings: Vec<LintFinding>,
    /// How many policies were looked at.
    pub policies: usize,
    /// How many pairs of policies were not compared, since a policy had too many like it.
    pub skipped_pairs: usize,
    /// How many findings settings leave out.
    pub turned_off: usize,
}

impl LintReport {
    /// Returns the findings that nobody suppressed.
    pub fn open(&self) -> impl Iterator<Item = &LintFinding> {
        self.findings.iter().filter(|finding| finding.suppressed.is_none())
    }

    /// Returns the level of the worst finding that nobody suppressed.
    #[must_use]
    pub fn worst(&self) -> Option<LintLevel> {
        self.open().map(|finding| finding.level).max()
    }

    /// Adds the findings about another set.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.findings.extend(other.findings);
        self.policies += other.policies;
        self.skipped_pairs += other.skipped_pairs;
        self.turned_off += other.turned_off;
        self.sort();
        self
    }

    pub(super) fn sort(&mut self) {
        self.findings.sort_by(|a, b| {
            let key =
                |f: &LintFinding| (std::cmp::Reverse(f.level), f.place.file.clone(), f.place.line);
            key(a)
                .cmp(&key(b))
                .then_with(|| a.code.cmp(&b.code))
                .then_with(|| a.message.cmp(&b.message))
        });
    }
}
