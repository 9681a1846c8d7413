//! The names of the schema's types, parsed once.

use std::str::FromStr as _;
use std::sync::LazyLock;

use cedar_policy::{EntityId, EntityTypeName, EntityUid};

/// The types of the `k8s` namespace that requests are built from.
pub(crate) static NAMES: LazyLock<Names> = LazyLock::new(|| Names {
    user: name("k8s::User"),
    service_account: name("k8s::ServiceAccount"),
    node: name("k8s::Node"),
    group: name("k8s::Group"),
    user_name: name("k8s::UserName"),
    namespace: name("k8s::Namespace"),
    resource: name("k8s::Resource"),
    non_resource_url: name("k8s::NonResourceURL"),
    principal_uid: name("k8s::PrincipalUID"),
    extra: name("k8s::Extra"),
    action: name("k8s::Action"),
});

pub(crate) struct Names {
    pub(crate) user: EntityTypeName,
    pub(crate) service_account: EntityTypeName,
    pub(crate) node: EntityTypeName,
    pub(crate) group: EntityTypeName,
    pub(crate) user_name: EntityTypeName,
    pub(crate) namespace: EntityTypeName,
    pub(crate) resource: EntityTypeName,
    pub(crate) non_resource_url: EntityTypeName,
    pub(crate) principal_uid: EntityTypeName,
    pub(crate) extra: EntityTypeName,
    pub(crate) action: EntityTypeName,
}

/// Returns the entity id of this type; `id` may hold any characters.
pub(crate) fn uid(entity_type: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(entity_type.clone(), EntityId::new(id))
}

#[expect(clippy::expect_used, reason = "the arguments are the constants above")]
fn name(text: &str) -> EntityTypeName {
    EntityTypeName::from_str(text).expect("an entity type name")
}
