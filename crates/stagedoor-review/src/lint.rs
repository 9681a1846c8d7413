//! Findings about policies that load.
//!
//! [`Linter`] looks at a whole policy set: at each policy alone, at pairs of policies, and at what
//! the set says of the schema's actions and of the entities that are known. What is told as sure
//! is so for every request; what is probable is marked ([`Certainty`]).

mod codes;
mod entities;
mod environments;
mod finding;
pub mod format;
mod inspected;
mod kubernetes;
pub(crate) mod normal;
mod redundant;
mod set;
mod settings;
mod single;
mod suppression;
mod words;

pub use codes::{LintCode, LintLevel, UnknownLintCode};
pub use finding::{Certainty, LintFinding, LintPlace, LintReport};
pub use settings::{LintSettings, LintSettingsWithin, LintSeverity, Severities};

use stagedoor_analysis::Library;
use stagedoor_backstage::Permissions;
use stagedoor_core::{Engine, Entity, EntityUid};

use normal::Normal;
use redundant::Pairs;

use crate::platform::Platform;

/// Returns the entities that an engine's policies name, sorted.
pub(crate) fn named_entities(engine: &Engine) -> Vec<EntityUid> {
    let Some(library) = Library::of(engine) else { return Vec::new() };
    let (policies, _) = normal::normalized(&library);
    entities::named(&policies).into_keys().collect()
}

/// Looks for what is wrong with policies though they load.
///
/// # Examples
///
/// ```
/// use stagedoor_core::Engine;
/// use stagedoor_review::lint::{LintCode, Linter};
///
/// let engine = Engine::builder()
///     .schema("app.cedarschema", "entity User, Doc; action read appliesTo { principal: User, resource: Doc };")
///     .policies("app.cedar", r#"
///         @id("all") @doc("Everybody reads.")
///         permit (principal is User, action == Action::"read", resource is Doc);
///         @id("ana") @doc("Ana reads.")
///         permit (principal == User::"ana", action == Action::"read", resource is Doc);"#)
///     .build()?;
/// let report = Linter::new(&engine).run();
/// let found: Vec<_> = report.open().map(|f| (f.code, f.place.policy.as_deref())).collect();
/// assert_eq!(found, [(LintCode::Subsumed, Some("ana"))]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Linter<'e> {
    engine: &'e Engine,
    permissions: Option<Permissions>,
    known: Vec<Entity>,
}

impl<'e> Linter<'e> {
    /// Returns a linter for an engine's policies.
    #[must_use]
    pub fn new(engine: &'e Engine) -> Self {
        Self { engine, permissions: None, known: Vec::new() }
    }

    /// Sets the permissions of Backstage, for findings about conditions.
    #[must_use]
    pub fn with_permissions(mut self, permissions: Permissions) -> Self {
        self.permissions = Some(permissions);
        self
    }

    /// Adds entities that exist, of fixtures or a catalog, for findings about names.
    #[must_use]
    pub fn with_entities(mut self, entities: impl IntoIterator<Item = Entity>) -> Self {
        self.known.extend(entities);
        self
    }

    /// Returns everything that was found. Without a schema (in exact-Cedar mode, say) only
    /// the validator's warnings are.
    #[must_use]
    pub fn run(&self) -> LintReport {
        let builder = std::thread::Builder::new().stack_size(normal::STACK_BYTES);
        std::thread::scope(|scope| match builder.spawn_scoped(scope, || self.look()) {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(_) => self.look(),
        })
    }

    fn look(&self) -> LintReport {
        let mut report =
            LintReport { policies: self.engine.policies().len(), ..LintReport::default() };
        report.findings.extend(single::validated(self.engine));
        if let (Some(schema), Some(library)) = (self.engine.schema(), Library::of(self.engine)) {
            let (policies, environments) = normal::normalized(&library);
            let never = single::never_matching(&policies);
            let of_kubernetes = Platform::of(schema) == Platform::Kubernetes;
            let watched = of_kubernetes.then(|| kubernetes::watched(self.engine));
            report.findings.extend(single::not_told(never, &report.findings));
            let inspected = inspected::of(&library, &single::never_told(&report.findings));
            report.findings.extend(inspected);
            inspected::deny_by_errors(&library, &mut report.findings);
            let never = single::never_told(&report.findings);
            // What does not decide overrides nothing, and makes nothing needless.
            let watches = |id: &str| watched.iter().flatten().any(|watched| watched == id);
            let is_dead =
                |policy: &Normal<'_>| never.contains(policy.info.id()) || watches(policy.info.id());
            let dead: Vec<bool> = policies.iter().map(is_dead).collect();
            report.findings.extend(words::of(&policies, Platform::of(schema)));

            let permissions = self.permissions.as_ref();
            let permissions = permissions.filter(|_| Platform::of(schema) == Platform::Backstage);
            report.findings.extend(single::written(&policies, &environments));
            if of_kubernetes {
                report.findings.extend(kubernetes::remarks(&library));
            }
            if let Some(permissions) = permissions {
                report.findings.extend(single::not_conditional(self.engine, permissions));
            }
            let pairs = Pairs::of(&policies, &dead, &library);
            report.skipped_pairs = pairs.skipped;
            report.findings.extend(set::of_pairs(&policies, &pairs));
            let unreachable = set::unreachable_actions(&policies, &dead, &pairs, &environments);
            report.findings.extend(unreachable);
            report.findings.extend(entities::of(&policies, &self.known));
        }
        suppression::apply(self.engine, &mut report.findings);
        report.sort();
        report
    }
}
