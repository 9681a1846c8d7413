//! Names of this vocabulary in Cedar.

use std::sync::LazyLock;

use cedar_policy::{EntityId, EntityTypeName, EntityUid};

use crate::entity_ref::EntityRef;

/// Groups of permissions: `plugin:catalog`, `action:read`.
pub(crate) const PLUGIN_GROUP: &str = "plugin:";
pub(crate) const ACTION_GROUP: &str = "action:";

/// The namespace of every name here.
pub(crate) const NAMESPACE: &str = "Backstage";

/// Declares a type of the vocabulary and a function that names entities of it.
macro_rules! entity_types {
    ($($type_name:literal: fn $function:ident($id:ident: $id_type:ty);)+) => {
        $(
            pub(crate) fn $function($id: $id_type) -> EntityUid {
                // INVARIANT: the name is a constant, and a test calls every function.
                static TYPE: LazyLock<EntityTypeName> = LazyLock::new(|| {
                    concat!("Backstage::", $type_name).parse().expect("a type name")
                });
                EntityUid::from_type_name_and_id(TYPE.clone(), EntityId::new($id.to_string()))
            }
        )+
    };
}

entity_types! {
    "Action": fn action(id: &str);
    "Annotations": fn annotations(id: &str);
    "CatalogEntity": fn catalog_entity(id: &EntityRef);
    "Group": fn group(id: &EntityRef);
    "Group": fn unreadable_group(id: &str);
    "Labels": fn labels(id: &str);
    "Plugin": fn plugin(id: &str);
    "PolicyEntity": fn policy_entity(id: &str);
    "ScaffolderAction": fn scaffolder_action(id: &str);
    "ScaffolderInput": fn scaffolder_input(id: &str);
    "ScaffolderTask": fn scaffolder_task(id: &str);
    "ScaffolderTemplate": fn scaffolder_template(id: &str);
    "Service": fn service(id: &str);
    "User": fn user(id: &EntityRef);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_a_name() -> Result<(), Box<dyn std::error::Error>> {
        let entity: EntityRef = "component:default/a".parse()?;
        let of_text = [
            action,
            annotations,
            labels,
            plugin,
            policy_entity,
            scaffolder_action,
            scaffolder_input,
            scaffolder_task,
            scaffolder_template,
            service,
            unreadable_group,
        ];
        for name in of_text {
            assert_eq!(name("x").id().unescaped(), "x");
        }
        for name in [catalog_entity, group, user] {
            let uid = name(&entity);
            assert_eq!(uid.type_name().namespace(), NAMESPACE);
            assert_eq!(uid.id().unescaped(), "component:default/a");
        }
        Ok(())
    }
}
