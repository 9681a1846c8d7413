//! What an audit found before, so that only what is new is told.

use std::collections::HashSet;

use serde::Deserialize;

use super::AuditFinding;

/// Failure to read a baseline.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: not a finding of an earlier audit: {reason}")]
pub struct BaselineError {
    line: usize,
    reason: String,
}

/// The findings of an earlier audit.
///
/// A finding is the same as long as check, severity, subject, binding, role and reason are:
/// which number its rule has may change.
///
/// # Examples
///
/// ```
/// use stagedoor_kubernetes::rbac::{AuditBaseline, AuditReport, RbacObjects};
///
/// let mut objects = RbacObjects::default();
/// objects.read("lost.yaml", "
/// apiVersion: rbac.authorization.k8s.io/v1
/// kind: ClusterRoleBinding
/// metadata: { name: lost }
/// roleRef: { kind: ClusterRole, name: gone }
/// ")?;
/// let report = AuditReport::of(&objects.resolve()?);
/// let lines: Vec<String> =
///     report.findings().iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
/// let baseline = AuditBaseline::read(&lines.join("\n"))?;
/// let (new, known) = report.without(&baseline);
/// assert_eq!((new.findings().len(), known), (0, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct AuditBaseline(HashSet<Key>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
struct Key {
    check: String,
    severity: String,
    #[serde(default)]
    subject: Option<String>,
    #[serde(default)]
    binding: Option<String>,
    #[serde(default)]
    role: Option<String>,
    reason: String,
}

impl AuditBaseline {
    /// Reads findings as an audit writes them for programs: a JSON object a line.
    ///
    /// # Errors
    ///
    /// [`BaselineError`], which names the line that is none.
    pub fn read(text: &str) -> Result<Self, BaselineError> {
        let mut known = HashSet::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let key = serde_json::from_str(line)
                .map_err(|e| BaselineError { line: number + 1, reason: e.to_string() })?;
            known.insert(key);
        }
        Ok(Self(known))
    }

    pub(super) fn knows(&self, finding: &AuditFinding) -> bool {
        self.0.contains(&Key {
            check: finding.check.id().to_owned(),
            severity: finding.severity.as_str().to_owned(),
            subject: finding.subject.clone(),
            binding: finding.binding.clone(),
            role: finding.role.clone(),
            reason: finding.reason.clone(),
        })
    }
}
