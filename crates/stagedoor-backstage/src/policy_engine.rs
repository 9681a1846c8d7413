//! The permission policy of a Backstage instance.

use std::sync::{Arc, Mutex, OnceLock};

use stagedoor_core::{Engine, Entities, EntitiesError, LoadError};

use crate::budget::Budget;
use crate::conditions::without_context;
use crate::decision_cache::DecisionCache;
use crate::entity_ref::EntityRefError;
use crate::file_error::FileError;
use crate::groups::Groups;
use crate::owners::OwnerCounts;
use crate::permission::{Permission, Permissions};
use crate::policy_answer::{Finding, FindingCode, PermissionQuery, PolicyAnswer};
use crate::principal::{Principal, User};
use crate::stack::with_stack;

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
/// use stagedoor_backstage::{PermissionQuery, Permissions, PolicyEngine, SCHEMA, User};
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
/// let delete = PermissionQuery {
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
    pub(crate) engine: Engine,
    pub(crate) permissions: Permissions,
    /// The groups above groups, where they are known.
    pub(crate) groups: Groups,
    /// How many entities each owner has, where that is known.
    pub(crate) owners: OwnerCounts,
    pub(crate) budget: Budget,
    pub(crate) revision: Arc<str>,
    /// Some policy asks custom rules.
    is_guarded: bool,
    cache: DecisionCache,
    findings: OnceLock<Vec<Finding>>,
    /// Whom the last question about one resource was about, with the groups.
    pub(crate) last_principal: Mutex<Option<(Principal, Entities)>>,
    /// What of the plugins' metadata could not be taken.
    remarks: Vec<String>,
}

/// Failure to load a policy set. Nothing of it is used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyEngineError {
    /// Policies or schemas do not load.
    #[error(transparent)]
    Policies(#[from] LoadError),
    /// Permission files cannot be read.
    #[error(transparent)]
    Permissions(#[from] FileError),
}

impl PolicyEngine {
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
            groups: Groups::default(),
            owners: OwnerCounts::default(),
            budget: Budget::default(),
            cache: DecisionCache::new(CACHED),
            findings: OnceLock::new(),
            last_principal: Mutex::new(None),
            remarks: Vec::new(),
        }
    }

    /// Sets what of the plugins' metadata could not be taken.
    pub(crate) fn with_remarks(self, remarks: Vec<String>) -> Self {
        Self { remarks, ..self }
    }

    /// Sets the groups above groups, as [`Catalog::groups`](crate::Catalog::groups) tells
    /// them. Without, a user is in the groups of its ownership references and in no other.
    ///
    /// Groups that are above each other count as one place in the hierarchy: a member of one is
    /// a member of all of them. [`group_findings`](Self::group_findings) tells of them.
    ///
    /// # Errors
    ///
    /// [`EntitiesError`] if there are more than the engine's limits let through.
    pub fn with_groups(
        mut self,
        groups: impl IntoIterator<Item = stagedoor_core::Entity>,
    ) -> Result<Self, EntitiesError> {
        self.groups = Groups::new(groups, self.engine.limits())?;
        self.last_principal = Mutex::new(None);
        self.cache = self.cache.emptied();
        Ok(self)
    }

    /// Sets how many entities each owner has. Where conditions are too large, claims that own
    /// nothing are then left out of permits, and those that own most are kept. Nothing is left
    /// out by it as long as nothing is known.
    #[must_use]
    pub fn with_owners(mut self, owners: OwnerCounts) -> Self {
        if owners != self.owners {
            self.owners = owners;
            self.cache = self.cache.emptied();
        }
        self
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
        asked: &PermissionQuery<'_>,
        principal: Option<&Principal>,
    ) -> PolicyAnswer {
        let permission = match self.known(asked) {
            Ok(permission) => permission,
            Err(finding) => return self.refusal(*finding),
        };
        let Some(principal) = principal else {
            return self.refusal(Finding::nobody());
        };
        let answer = self.cache.get(permission.name(), principal).unwrap_or_else(|| {
            let answer = self.evaluate(permission, principal, self.budget);
            if self.may_keep(&answer) {
                self.cache.put(&permission.name, principal, &answer);
            }
            answer
        });
        match asked.resource_type {
            None => self.without_conditions(permission, answer),
            Some(_) => answer,
        }
    }

    /// Answers as [`decide`](Self::decide) does, with conditions that may be of another size. For
    /// those that Backstage does not send around, but a rule of the catalog's stands for. Nothing
    /// is kept.
    #[must_use]
    pub fn decide_within(
        &self,
        asked: &PermissionQuery<'_>,
        principal: &Principal,
        budget: Budget,
    ) -> PolicyAnswer {
        match self.known(asked) {
            Ok(permission) => {
                let answer = self.evaluate(permission, principal, budget);
                match asked.resource_type {
                    None => self.without_conditions(permission, answer),
                    Some(_) => answer,
                }
            }
            Err(finding) => self.refusal(*finding),
        }
    }

    /// Answers somebody whose own reference is none: a denial, with the reason.
    #[must_use]
    pub fn refuse_user(&self, error: &EntityRefError) -> PolicyAnswer {
        self.refusal(Finding::unreadable_user(error))
    }

    /// Returns whether the answer to a question stays the same as long as these policies, and
    /// the groups, are in force, so that whoever asked may keep it. A guard that gave no answer
    /// may give one the next time; one that gave one is a function of what is asked.
    #[must_use]
    pub fn may_keep(&self, answer: &PolicyAnswer) -> bool {
        !self.is_guarded || answer.errors().is_empty()
    }

    /// Returns what in the policies cannot become conditions, whoever asks, which guards miss the
    /// context, and what plugins tell of themselves that cannot be taken. Worked out when it is
    /// first asked for.
    pub fn findings(&self) -> &[Finding] {
        self.findings.get_or_init(|| {
            with_stack(|| {
                let types = self.permissions.iter().filter_map(Permission::resource_type);
                let types: std::collections::BTreeSet<&str> = types.collect();
                let about_types = types.into_iter().flat_map(|of| self.findings_about(of));
                let guarded = self.engine.policies();
                let found = about_types.chain(guarded.filter_map(|p| without_context(&p)));
                found
                    .chain(self.remarks.iter().map(|remark| Finding::plugin_remark(remark)))
                    .collect()
            })
        })
    }

    /// Returns what is odd about the groups that are in force.
    #[must_use]
    pub fn group_findings(&self) -> &[Finding] {
        &self.groups.findings
    }

    /// Returns for which of these users, and which permissions, conditions are too large, so
    /// that they are cut.
    pub fn over_budget(&self, users: impl IntoIterator<Item = User>) -> Vec<Finding> {
        let mut findings = Vec::new();
        for user in users {
            let reference = user.reference().clone();
            let principal = Principal::User(user);
            for permission in self.permissions.iter().filter(|p| p.resource_type().is_some()) {
                let answer = self.evaluate(permission, &principal, self.budget);
                let large = answer.findings().iter().filter(|f| f.code == FindingCode::OverBudget);
                findings.extend(large.cloned().map(|finding| Finding {
                    message: format!("`{reference}` `{}`: {}", permission.name(), finding.message),
                    ..finding
                }));
            }
        }
        findings
    }
}
