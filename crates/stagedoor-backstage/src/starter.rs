//! The policies that ship, and an organisation to try them on.

/// The starter policies of `policies/backstage`: file name and Cedar text, to be
/// loaded with [`SCHEMA`](crate::SCHEMA).
///
/// They name a few groups: `platform-admins`, `template-authors`, `on-call` and
/// `engineering`, all in the namespace `default`.
///
/// # Examples
///
/// ```
/// use stagedoor_backstage::{Catalog, DEMO_CATALOG, Permissions, SCHEMA, STARTER_POLICIES};
/// use stagedoor_core::{Decision, Engine, Entities};
///
/// let mut builder = Engine::builder().schema("backstage.cedarschema", SCHEMA);
/// for (name, text) in STARTER_POLICIES {
///     builder = builder.policies(name, text);
/// }
/// let engine = builder.build()?;
/// let catalog = Catalog::from_files([("catalog-info.yaml", DEMO_CATALOG)])?;
/// let entities = Entities::from_entities(catalog.entities())?;
///
/// let alice = catalog.user(&"user:default/alice".parse()?).ok_or("no such user")?;
/// let worker = catalog.resource(&"component:default/payout-worker".parse()?)?;
/// let delete = Permissions::known()?.get("catalog.entity.delete")?.clone();
/// let asked = delete.request(&alice.into(), Some(worker))?;
/// let outcome = engine.decide(&asked.request, &entities.with(asked.entities)?)?;
/// assert_eq!(outcome.decision(), Decision::Allow);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub const STARTER_POLICIES: [(&str, &str); 4] = [
    ("catalog.cedar", include_str!("../policies/catalog.cedar")),
    ("kubernetes.cedar", include_str!("../policies/kubernetes.cedar")),
    ("platform.cedar", include_str!("../policies/platform.cedar")),
    ("scaffolder.cedar", include_str!("../policies/scaffolder.cedar")),
];

/// Catalog files of a small organisation: four teams, their users, components,
/// APIs, systems, resources and a template.
pub const DEMO_CATALOG: &str = include_str!("../policies/demo/catalog-info.yaml");
