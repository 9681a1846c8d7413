//! Backstage's users, catalog entities and permissions in Cedar's words.
//!
//! Backstage asks whether a user has a *permission* (`catalog.entity.delete`),
//! in many cases on a *resource* (`component:default/payments`). This crate
//! turns the question into a Cedar request, and the catalog into Cedar entities:
//!
//! | Backstage | Cedar |
//! |---|---|
//! | a user and its `ownershipEntityRefs` | [`User`]: `Backstage::User::"user:default/alice"`, its groups as parents, all references as `claims` |
//! | a permission | [`Permission`]: `Backstage::Action::"catalog.entity.delete"`, in `Action::"plugin:catalog"` and `Action::"action:delete"` |
//! | an entity of the catalog | [`Catalog`]: `Backstage::CatalogEntity`, its tags the catalog's own search rows |
//! | a part of a template, an action, a run | [`Resource::scaffolder_template`] and its neighbours |
//! | a basic permission's resource | `Backstage::Plugin::"catalog"` |
//!
//! References are in lower case everywhere, since Backstage compares them in two
//! different ways. Policies do well to write them so too.
//!
//! # Writing policies
//!
//! For lists Backstage asks before it knows the resource, and filters by rules of
//! its own. The vocabulary is made so that what policies say about a catalog
//! entity can be said in those rules exactly:
//!
//! ```cedar
//! permit (
//!   principal is Backstage::User,
//!   action == Backstage::Action::"catalog.entity.delete",
//!   resource is Backstage::CatalogEntity
//! )
//! when {
//!   resource.owners.containsAny(principal.claims) &&
//!   resource.hasTag("spec.lifecycle") &&
//!   resource.getTag("spec.lifecycle").contains("experimental")
//! };
//! ```
//!
//! `==`, `contains`, `containsAny`, `in`, `hasTag`, `&&`, `||`, `!` and `if` on the
//! resource go well; `like "a*"`, `<` and one attribute against another do not.
//!
//! # Conditional decisions
//!
//! [`PolicyEngine`] answers as Backstage's permission policy: `ALLOW`, `DENY`, or conditions
//! over the owning plugin's rules, which it derives from the policies. They are exact, or
//! closed: what no rule can say is taken from a permit and added to a forbid, and
//! [`PolicyEngine::findings`] names the clause and what to write instead.
//!
//! A clause that errs switches its permit off and its forbid on, for each resource alone.
//! Where Backstage answers in two ways, the narrower one is taken:
//!
//! | where | what Backstage does | what is answered |
//! |---|---|---|
//! | owners and claims in upper case | rules tell case apart, the database does not | references are in lower case; a policy's upper case matches nothing |
//! | annotations and labels of over 200 characters | rules see them, the database does not | a policy that compares with so long a text is closed |
//! | a template's run that nobody started | `not` of `IS_TASK_OWNER` holds in single checks, not in lists | nothing says that nobody started it: such clauses are closed |
//! | inputs such as `owner` of an action on GitHub | compared without regard to case | a policy must write them in lower case, or is closed |
//! | digits in such inputs | compared as numbers since 4.3 of the scaffolder | closed |
//! | paths of inputs such as `a.length` | lead into JavaScript's own properties | closed |
//!
//! Backstage sends conditions once for each resource of a request, and its databases suffer
//! from many rules. So claims, kinds and common parts merge. What is beyond a [`Budget`] then
//! is cut on the side that narrows, one grant of a permit after the other, with a finding:
//! claims that own nothing first ([`PolicyEngine::with_owners`]).
//!
//! A question that states no resource type, as Backstage's frontend asks, is answered by the
//! permission's name: with a denial where the answer hangs on the resource.
//!
//! # Permissions of other plugins
//!
//! [`Permissions`] knows the official plugins. Others are added by a
//! `*.permissions.yaml` in the policy directory ([`Permissions::with_directory`]);
//! a permission that is not known must be denied ([`UnknownPermission`]).
//!
//! # Examples
//!
//! ```
//! use stagedoor_backstage::{Catalog, Permissions, SCHEMA};
//! use stagedoor_core::{Decision, Engine, Entities};
//!
//! let engine = Engine::builder()
//!     .schema("backstage.cedarschema", SCHEMA)
//!     .policies(
//!         "owners.cedar",
//!         r#"@id("owners-manage")
//!            permit (
//!              principal is Backstage::User,
//!              action == Backstage::Action::"catalog.entity.delete",
//!              resource
//!            ) when { resource.owners.containsAny(principal.claims) };"#,
//!     )
//!     .build()?;
//! let catalog = Catalog::from_files([(
//!     "catalog-info.yaml",
//!     "
//! {apiVersion: backstage.io/v1alpha1, kind: User, metadata: {name: alice}, spec: {memberOf: [payments]}}
//! ---
//! {apiVersion: backstage.io/v1alpha1, kind: Component, metadata: {name: ledger}, spec: {owner: payments}}
//! ",
//! )])?;
//! let entities = Entities::from_entities(catalog.entities())?;
//!
//! let alice = catalog.user(&"user:default/alice".parse()?).ok_or("no such user")?;
//! let ledger = catalog.resource(&"component:default/ledger".parse()?)?;
//! let permissions = Permissions::known()?;
//! let asked = permissions.get("catalog.entity.delete")?.request(&alice.into(), Some(ledger))?;
//! let outcome = engine.decide(&asked.request, &entities.with(asked.entities)?)?;
//! assert_eq!(outcome.decision(), Decision::Allow);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod budget;
mod catalog;
mod catalog_entity;
mod circles;
mod conditions;
mod criteria;
mod decision_cache;
mod discovery;
mod engine_builder;
mod entity_ref;
mod evaluation;
mod explanation;
mod fields;
mod file_error;
mod groups;
mod names;
mod owners;
mod permission;
mod permission_file;
mod permission_rules;
mod policy_answer;
mod policy_engine;
mod principal;
pub mod rbac;
mod relations;
mod request;
mod scaffolder;
mod schema;
mod search_rows;
mod stack;
mod starter;
mod to_wire;
mod yaml;

pub use budget::Budget;
pub use catalog::{Catalog, UnknownEntity};
pub use criteria::{ConditionParam, Criteria, PermissionCondition, PolicyDecision};
pub use discovery::{Discovery, PluginMetadata};
pub use engine_builder::PolicyEngineBuilder;
pub use entity_ref::{EntityRef, EntityRefError};
pub use explanation::ExplanationError;
pub use file_error::{FileError, FileProblem};
pub use groups::read_groups;
pub use owners::OwnerCounts;
pub use permission::{
    Permission, PermissionAction, Permissions, UnknownPermission, with_permission_help,
};
pub use policy_answer::{Finding, FindingCode, PermissionQuery, PolicyAnswer};
pub use policy_engine::{PolicyEngine, PolicyEngineError};
pub use principal::{Principal, User};
pub use request::{PermissionRequest, PermissionRequestError, Resource};
pub use schema::{SCHEMA, VOCABULARY};
pub use stagedoor_source::Bundle as PolicyBundle;
pub use starter::{DEMO_CATALOG, STARTER_POLICIES};
