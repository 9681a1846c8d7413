//! The permission policy of a Backstage instance.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use cedar_policy::EntityTypeName;
use smol_str::SmolStr;
use stagedoor_core::{
    Decision, Effect, Engine, EngineBuilder, Entities, EntitiesError, GuardVerdict, LoadError,
    Residual, ResidualCondition, RuleEvaluator, declares_entity_type,
};

use crate::budget::Budget;
use crate::bundle::{PolicyBundle, is_permission_file};
use crate::conditions::{Combined, Conditions, without_context};
use crate::criteria::PolicyDecision;
use crate::decision_cache::DecisionCache;
use crate::file_error::FileError;
use crate::names;
use crate::permission::{Permission, PermissionAction, Permissions};
use crate::policy_answer::{Answered, AskedPermission, Finding, FindingCode, PolicyAnswer};
use crate::principal::{Principal, User};
use crate::schema::{SCHEMA, entity_type};

/// Answers that are kept unless [`PolicyEngine::with_cache`] says otherwise.
const CACHED: usize = 20_000;

/// Policies, permissions and rules, ready to answer as Backstage's permission policy.
///
/// Backstage never says which resource is meant. What policies say about resources comes
/// back as conditions over the owning plugin's rules; what no rule can say is left out on
/// the closed side, and [`PolicyAnswer::findings`] tells of it. Immutable: to reload, load
/// another.
///
/// # Examples
///
/// ```
/// use stagedoor_backstage::{AskedPermission, Permissions, PolicyEngine, SCHEMA, User};
/// use stagedoor_core::Engine;
///
/// let engine = Engine::builder()
///     .schema("backstage.cedarschema", SCHEMA)
///     .policies(
///         "owners.cedar",
///         r#"@id("owners-manage")
///            permit (
///              principal is Backstage::User,
///              action == Backstage::Action::"catalog.entity.delete",
///              resource is Backstage::CatalogEntity
///            ) when { resource.owners.containsAny(principal.claims) };"#,
///     )
///     .build()?;
/// let policy = PolicyEngine::new(engine, Permissions::known()?);
/// let delete = AskedPermission {
///     name: "catalog.entity.delete",
///     action: Some("delete"),
///     resource_type: Some("catalog-entity"),
/// };
/// let alice = User::new("user:default/alice".parse()?).into();
/// let answer = policy.decide(&delete, Some(&alice));
/// assert_eq!(
///     serde_json::to_string(answer.decision())?,
///     r#"{"result":"CONDITIONAL","pluginId":"catalog","resourceType":"catalog-entity","#.to_owned()
///         + r#""conditions":{"rule":"IS_ENTITY_OWNER","resourceType":"catalog-entity","#
///         + r#""params":{"claims":["user:default/alice"]}}}"#,
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct PolicyEngine {
    engine: Engine,
    permissions: Permissions,
    /// The groups above groups, where they are known.
    groups: Entities,
    budget: Budget,
    revision: Arc<str>,
    /// Some policy asks custom rules.
    is_guarded: bool,
    cache: DecisionCache,
    findings: OnceLock<Vec<Finding>>,
}

/// Failure to load a policy directory. Nothing of it is used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyEngineError {
    /// The directory cannot be read.
    #[error("`{0}` cannot be read")]
    Directory(String, #[source] std::io::Error),
    /// Policies or schemas do not load.
    #[error(transparent)]
    Policies(#[from] LoadError),
    /// Permission files cannot be read.
    #[error(transparent)]
    Permissions(#[from] FileError),
}

impl PolicyEngine {
    /// Loads policies, schema and permission files of a directory, with all below it. The
    /// schema that ships is added unless the directory has its own.
    ///
    /// # Errors
    ///
    /// [`PolicyEngineError`] with everything that is wrong.
    pub fn load(directory: &Path) -> Result<Self, PolicyEngineError> {
        Self::load_guarded(directory, None)
    }

    /// Loads a directory as [`load`](Self::load) does, with the rules that its policies may be
    /// guarded by.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn load_guarded(
        directory: &Path,
        rules: Option<Arc<dyn RuleEvaluator>>,
    ) -> Result<Self, PolicyEngineError> {
        let unreadable = |e| PolicyEngineError::Directory(directory.display().to_string(), e);
        // Said here; the engine would list it among problems of policies.
        std::fs::read_dir(directory).map_err(unreadable)?;
        let permissions = Permissions::known()?.with_directory(directory)?;
        let mut builder = with_rules(Engine::builder(), rules).directory(directory);
        if !declares_entity_type(&[directory.to_path_buf()], names::NAMESPACE, "CatalogEntity") {
            builder = builder.schema("(shipped) backstage.cedarschema", SCHEMA);
        }
        if let Some(fragment) = permissions.schema_fragment() {
            builder = builder.schema("(schema of added permissions)", fragment);
        }
        Ok(Self::new(builder.build()?, permissions))
    }

    /// Loads the files of a bundle as [`load`](Self::load) does those of a directory. The schema
    /// that ships is added unless the bundle has a `backstage.cedarschema`.
    ///
    /// # Errors
    ///
    /// [`PolicyEngineError`] with everything that is wrong.
    pub fn from_bundle(bundle: &PolicyBundle) -> Result<Self, PolicyEngineError> {
        Self::from_bundle_guarded(bundle, None)
    }

    /// Loads a bundle as [`from_bundle`](Self::from_bundle) does, with the rules that its
    /// policies may be guarded by.
    ///
    /// # Errors
    ///
    /// As [`from_bundle`](Self::from_bundle).
    pub fn from_bundle_guarded(
        bundle: &PolicyBundle,
        rules: Option<Arc<dyn RuleEvaluator>>,
    ) -> Result<Self, PolicyEngineError> {
        let listed = bundle.files().filter(|(name, _)| is_permission_file(name));
        let permissions = Permissions::known()?.with_files(listed)?;
        let mut builder = with_rules(Engine::builder(), rules);
        for (name, text) in bundle.files().filter(|(name, _)| !is_permission_file(name)) {
            builder = match name {
                name if name.ends_with(".cedarschema") => builder.schema(name, text),
                name if name.ends_with(".cedarschema.json") => builder.schema_json(name, text),
                name if name.ends_with(".json") => builder.policies_json(name, text),
                name => builder.policies(name, text),
            };
        }
        if bundle.files().all(|(name, _)| name != "backstage.cedarschema") {
            builder = builder.schema("(shipped) backstage.cedarschema", SCHEMA);
        }
        if let Some(fragment) = permissions.schema_fragment() {
            builder = builder.schema("(schema of added permissions)", fragment);
        }
        Ok(Self::new(builder.build()?, permissions))
    }

    /// Returns the policy that an engine and a table of permissions make. The engine's
    /// schema must be [`SCHEMA`](crate::SCHEMA) and [`Permissions::schema_fragment`], or
    /// one with the same types.
    #[must_use]
    pub fn new(engine: Engine, permissions: Permissions) -> Self {
        let is_guarded = engine.policies().any(|policy| policy.guards().len() > 0);
        Self {
            revision: engine.revision().into(),
            is_guarded,
            engine,
            permissions,
            groups: Entities::empty(),
            budget: Budget::default(),
            cache: DecisionCache::new(CACHED),
            findings: OnceLock::new(),
        }
    }

    /// Sets the groups above groups, as [`Catalog::groups`](crate::Catalog::groups) tells
    /// them. Without, a user is in the groups of its ownership references and in no other.
    ///
    /// # Errors
    ///
    /// [`EntitiesError`] if they are not a hierarchy.
    pub fn with_groups(
        mut self,
        groups: impl IntoIterator<Item = stagedoor_core::Entity>,
    ) -> Result<Self, EntitiesError> {
        self.groups = Entities::within(groups, self.engine.limits())?;
        self.cache = self.cache.emptied();
        Ok(self)
    }

    /// Sets how large conditions may be.
    #[must_use]
    pub fn with_budget(mut self, budget: Budget) -> Self {
        self.budget = budget;
        self.cache = self.cache.emptied();
        self
    }

    /// Sets how many answers are kept (20,000), each for a principal with its ownership
    /// references and a permission. With 0 each is worked out anew.
    #[must_use]
    pub fn with_cache(mut self, answers: usize) -> Self {
        self.cache = DecisionCache::new(answers);
        self
    }

    /// Returns the engine.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Returns the permissions that are known.
    #[must_use]
    pub fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// Returns the revision of the policies.
    #[must_use]
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// Returns how many answers are kept at present.
    #[must_use]
    pub fn cached(&self) -> usize {
        self.cache.len()
    }

    /// Answers whether a principal has a permission. Without a principal (Backstage knows
    /// none, since its authentication is off) the answer is a denial, as it is for whatever
    /// fails.
    #[must_use]
    pub fn decide(
        &self,
        asked: &AskedPermission<'_>,
        principal: Option<&Principal>,
    ) -> PolicyAnswer {
        let permission = match self.known(asked) {
            Ok(permission) => permission,
            Err(reason) => return self.refusal(reason),
        };
        let Some(principal) = principal else {
            return self.refusal("nobody is signed in".to_owned());
        };
        if let Some(answer) = self.cache.get(permission.name(), principal) {
            return answer;
        }
        let answer = self.work_out(permission, principal);
        if self.may_keep(&answer) {
            self.cache.put(&permission.name, principal, &answer);
        }
        answer
    }

    /// Returns whether the answer to a question stays the same as long as these policies, and
    /// the groups, are in force, so that whoever asked may keep it. A guard that gave no answer
    /// may give one the next time; one that gave one is a function of what is asked.
    #[must_use]
    pub fn may_keep(&self, answer: &PolicyAnswer) -> bool {
        !self.is_guarded || answer.errors().is_empty()
    }

    /// Returns what in the policies cannot become conditions, whoever asks, and which guards miss
    /// the context. Worked out when it is first asked for.
    pub fn findings(&self) -> &[Finding] {
        self.findings.get_or_init(|| {
            stacked(|| {
                let types = self.permissions.iter().filter_map(Permission::resource_type);
                let types: std::collections::BTreeSet<&str> = types.collect();
                let about_types = types.into_iter().flat_map(|of| self.findings_about(of));
                let guarded = self.engine.policies();
                about_types.chain(guarded.filter_map(|p| without_context(&p))).collect()
            })
        })
    }

    /// Returns for which of these users, and which permissions, conditions are too large.
    pub fn over_budget(&self, users: impl IntoIterator<Item = User>) -> Vec<Finding> {
        let mut findings = Vec::new();
        for user in users {
            let reference = user.reference().clone();
            let principal = Principal::User(user);
            for permission in self.permissions.iter().filter(|p| p.resource_type().is_some()) {
                let answer = self.work_out(permission, &principal);
                let large = answer.findings().iter().filter(|f| f.code == FindingCode::OverBudget);
                findings.extend(large.cloned().map(|finding| Finding {
                    message: format!("`{reference}` `{}`: {}", permission.name(), finding.message),
                    ..finding
                }));
            }
        }
        findings
    }

    fn findings_about(&self, resource_type: &str) -> Vec<Finding> {
        let Some(type_name) = type_name(resource_type) else { return Vec::new() };
        let conditions =
            Conditions::new(resource_type, &type_name, self.permissions.rules(), &self.groups);
        match conditions {
            Some(conditions) => conditions.findings(&self.engine, &self.permissions),
            None => Vec::new(),
        }
    }

    /// Returns the permission that is asked for, if it is the one that is known by its name.
    fn known(&self, asked: &AskedPermission<'_>) -> Result<&Permission, String> {
        let permission = self.permissions.get(asked.name).map_err(|e| e.to_string())?;
        let action = permission.action().map(PermissionAction::as_str);
        if action != asked.action || permission.resource_type() != asked.resource_type {
            let told = |action: Option<&str>, of_type: Option<&str>| {
                let action = action.map_or("no action".into(), |a| format!("action `{a}`"));
                let of_type = of_type.map_or("no resources".into(), |t| format!("`{t}`"));
                format!("{action} on {of_type}")
            };
            return Err(format!(
                "permission `{}` is known with {}, but asked with {}: denied",
                asked.name,
                told(action, permission.resource_type()),
                told(asked.action, asked.resource_type),
            ));
        }
        Ok(permission)
    }

    fn refusal(&self, reason: String) -> PolicyAnswer {
        self.answer(PolicyDecision::Deny, Vec::new(), vec![reason], Vec::new())
    }

    fn answer(
        &self,
        decision: PolicyDecision,
        reasons: Vec<SmolStr>,
        errors: Vec<String>,
        findings: Vec<Finding>,
    ) -> PolicyAnswer {
        let revision = Arc::clone(&self.revision);
        PolicyAnswer(Arc::new(Answered { decision, reasons, errors, findings, revision }))
    }

    fn work_out(&self, permission: &Permission, principal: &Principal) -> PolicyAnswer {
        let worked_out = match permission.resource_type() {
            None => self.basic(permission, principal),
            Some(resource_type) => {
                stacked(|| self.conditional(permission, resource_type, principal))
            }
        };
        worked_out.unwrap_or_else(|reason| self.refusal(reason))
    }

    /// Decides a permission that is about no resource.
    fn basic(
        &self,
        permission: &Permission,
        principal: &Principal,
    ) -> Result<PolicyAnswer, String> {
        let asked = permission.request(principal, None).map_err(|e| e.to_string())?;
        let entities = self.groups.with(asked.entities).map_err(|e| e.to_string())?;
        let outcome = self.engine.decide(&asked.request, &entities).map_err(|e| e.to_string())?;
        let decision = match outcome.decision() {
            Decision::Allow => PolicyDecision::Allow,
            Decision::Deny => PolicyDecision::Deny,
        };
        let reasons = outcome.reasons().map(|policy| policy.id().into()).collect();
        let errors = outcome.errors().iter().map(|e| failed(e.policy(), e.message())).collect();
        Ok(self.answer(decision, reasons, errors, Vec::new()))
    }

    fn conditional(
        &self,
        permission: &Permission,
        resource_type: &str,
        principal: &Principal,
    ) -> Result<PolicyAnswer, String> {
        let type_name =
            type_name(resource_type).ok_or_else(|| format!("`{resource_type}` has no type"))?;
        let entities = self.groups.with([principal.to_entity()]).map_err(|e| e.to_string())?;
        let residuals = self
            .engine
            .residuals(&principal.uid(), &permission.uid(), &type_name, &entities)
            .map_err(|e| e.to_string())?;
        let errors = residuals.iter().filter_map(|residual| match &residual.condition {
            ResidualCondition::Failed(reason) => Some(failed(residual.policy.id(), reason)),
            // A forbid that counts although a guard of it gave no answer.
            _ => residual.guards.iter().find_map(|guard| match guard.verdict() {
                GuardVerdict::Failed(failure) => {
                    let reason = format!("guard `{}`: {failure}", guard.rule());
                    Some(failed(residual.policy.id(), &reason))
                }
                _ => None,
            }),
        });
        let errors: Vec<String> = errors.collect();
        let rules = self.permissions.rules();
        let Some(conditions) = Conditions::new(resource_type, &type_name, rules, &entities) else {
            return Ok(self.without_rules(resource_type, &residuals, errors));
        };
        let Combined { formula, reasons, mut findings } = conditions.combined(&residuals);
        let decision = match conditions.decision(&formula) {
            Ok(None) if formula.is_true() => PolicyDecision::Allow,
            Ok(None) => PolicyDecision::Deny,
            Ok(Some(criteria)) => match self.budget.exceeded_by(&criteria) {
                None => PolicyDecision::Conditional {
                    plugin_id: self.plugin_id(resource_type, permission),
                    resource_type: resource_type.into(),
                    conditions: criteria,
                },
                Some(finding) => {
                    findings.push(finding);
                    PolicyDecision::Deny
                }
            },
            Err(finding) => {
                findings.push(*finding);
                PolicyDecision::Deny
            }
        };
        Ok(self.answer(decision, reasons, errors, findings))
    }

    /// Decides about resources that no rule tells apart: all of them or none.
    fn without_rules(
        &self,
        resource_type: &str,
        residuals: &[Residual<'_>],
        errors: Vec<String>,
    ) -> PolicyAnswer {
        let may_forbid = |r: &&Residual<'_>| {
            r.policy.effect() == Effect::Forbid && r.condition != ResidualCondition::Never
        };
        let permits = |r: &&Residual<'_>| {
            r.policy.effect() == Effect::Permit && r.condition == ResidualCondition::Always
        };
        let is_open = |r: &&Residual<'_>| matches!(r.condition, ResidualCondition::Expression(_));
        let ids = |list: Vec<&Residual<'_>>| list.iter().map(|r| r.policy.id().into()).collect();
        let forbids: Vec<_> = residuals.iter().filter(may_forbid).collect();
        let permits: Vec<_> = residuals.iter().filter(permits).collect();
        let findings = residuals.iter().filter(is_open).map(|residual| Finding {
            code: FindingCode::NoRules,
            policy: Some(residual.policy.id().into()),
            file: Some(residual.policy.file().to_owned()),
            line: residual.policy.line(),
            clause: None,
            message: format!("no rules are known for `{resource_type}`: the policy is closed"),
            help: "list the rules of the plugin in a `*.permissions.yaml`; `stagedoor backstage \
                   discover` writes one"
                .to_owned(),
        });
        let findings = findings.collect();
        if forbids.is_empty() && !permits.is_empty() {
            return self.answer(PolicyDecision::Allow, ids(permits), errors, findings);
        }
        self.answer(PolicyDecision::Deny, ids(forbids), errors, findings)
    }

    fn plugin_id(&self, resource_type: &str, permission: &Permission) -> SmolStr {
        let known = match resource_type {
            "catalog-entity" => Some("catalog".into()),
            "scaffolder-template" | "scaffolder-action" | "scaffolder-task" => {
                Some("scaffolder".into())
            }
            listed => self.permissions.rules().plugin_id(listed).cloned(),
        };
        known.unwrap_or_else(|| permission.plugin_id().into())
    }
}

fn with_rules(builder: EngineBuilder, rules: Option<Arc<dyn RuleEvaluator>>) -> EngineBuilder {
    match rules {
        Some(rules) => builder.rules(rules),
        None => builder,
    }
}

/// Returns the entity type that stands for a resource type.
fn type_name(resource_type: &str) -> Option<EntityTypeName> {
    format!("{}::{}", names::NAMESPACE, entity_type(resource_type)?).parse().ok()
}

fn failed(policy: &str, reason: &str) -> String {
    format!("policy `{policy}` cannot be evaluated: {reason}")
}

/// Runs what walks expressions with room enough for whatever the limits let through.
fn stacked<R>(work: impl FnOnce() -> R) -> R {
    stacker::maybe_grow(1 << 20, 16 << 20, work)
}
