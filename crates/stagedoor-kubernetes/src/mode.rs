//! Whether a policy is enforced: `@mode("enforce")`, `@mode("warn")` or `@mode("audit")`.
//!
//! A policy that is not enforced takes no part in decisions: what it would forbid is told to
//! whoever asks, or written down, and what it would permit is not permitted by it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use stagedoor_core::Engine;

use crate::policy_mode::PolicyMode;
use crate::vocabulary::VocabularyError;

/// The most that the policies of a directory count, whatever they say themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModeCeiling {
    /// The directory or file, as the policies were loaded from it.
    pub path: PathBuf,
    /// The most that they count.
    pub mode: PolicyMode,
}

impl ModeCeiling {
    /// Returns a ceiling for what is below a path.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, mode: PolicyMode) -> Self {
        Self { path: path.into(), mode }
    }
}

/// The policies that are not enforced, by id.
#[derive(Debug, Clone, Default)]
pub(crate) struct Modes(HashMap<String, PolicyMode>);

impl Modes {
    /// Returns the modes of an engine's policies.
    ///
    /// # Errors
    ///
    /// [`VocabularyError::UnknownMode`] for a policy whose annotation is no mode: it must not be
    /// enforced, or not, by mistake.
    pub(crate) fn of(engine: &Engine, ceilings: &[ModeCeiling]) -> Result<Self, VocabularyError> {
        let mut modes = HashMap::new();
        for policy in engine.policies() {
            let own = match policy.annotation("mode") {
                Some(word) => word.parse().map_err(|reason| VocabularyError::UnknownMode {
                    policy: policy.id().to_owned(),
                    reason,
                })?,
                None => PolicyMode::Enforce,
            };
            let file = Path::new(policy.file());
            let above = ceilings.iter().filter(|ceiling| file.starts_with(&ceiling.path));
            let mode = above.map(|ceiling| ceiling.mode).fold(own, PolicyMode::min);
            if mode != PolicyMode::Enforce {
                modes.insert(policy.id().to_owned(), mode);
            }
        }
        Ok(Self(modes))
    }

    pub(crate) fn of_id(&self, id: &str) -> PolicyMode {
        self.0.get(id).copied().unwrap_or_default()
    }

    /// Returns the policies that decide.
    pub(crate) fn enforced(&self, engine: &Engine) -> Engine {
        engine.restricted_to(|policy| self.of_id(policy.id()) == PolicyMode::Enforce)
    }

    /// Returns the policies that do not decide, if there are any.
    pub(crate) fn watched(&self, engine: &Engine) -> Option<Engine> {
        let is_watched = |id: &str| self.of_id(id) != PolicyMode::Enforce;
        (!self.0.is_empty()).then(|| engine.restricted_to(|policy| is_watched(policy.id())))
    }
}

/// Returns the policies of an engine that decide: all but those whose `@mode` says otherwise.
///
/// Whatever asks what policies mean asks these: what is compared, listed, proved or tested is
/// what [`Reviewer`](crate::Reviewer) answers.
///
/// # Examples
///
/// ```
/// use stagedoor_core::Engine;
/// use stagedoor_kubernetes::{SCHEMA, enforced_policies};
///
/// let engine = Engine::builder()
///     .schema("kubernetes.cedarschema", SCHEMA)
///     .policies("p.cedar", r#"
///         @id("p") permit (principal, action, resource);
///         @id("tried") @mode("warn") forbid (principal, action, resource);"#)
///     .build()?;
/// let enforced = enforced_policies(&engine)?;
/// assert_eq!(enforced.policies().map(|policy| policy.id()).collect::<Vec<_>>(), ["p"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`VocabularyError::UnknownMode`] for a policy whose `@mode` is none.
pub fn enforced_policies(engine: &Engine) -> Result<Engine, VocabularyError> {
    Ok(Modes::of(engine, &[])?.enforced(engine))
}
