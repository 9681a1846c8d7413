//! What a question tells of a request.

use stagedoor_analysis::{EntityType, EntityUID, KnownEntity};
use stagedoor_core::EntityTypeName;

use crate::names::{NAMES, uid};
use crate::subject::{Identity, Subject};

/// Returns a type as the analysis has it.
pub(crate) fn of_type(name: &EntityTypeName) -> EntityType {
    name.as_ref().clone()
}

/// Returns an entity as the analysis has it.
pub(crate) fn entity(of_type: &EntityTypeName, id: &str) -> EntityUID {
    uid(of_type, id).into()
}

/// Returns what is known of anybody and anything: only that it may be a member.
pub(crate) fn anything() -> KnownEntity {
    let types = [&NAMES.group, &NAMES.user_name, &NAMES.namespace];
    KnownEntity { open: types.into_iter().map(of_type).collect(), ..KnownEntity::default() }
}

/// Tells that something is a member of this.
pub(crate) fn join(member: &mut KnownEntity, type_name: &EntityTypeName, id: &str) {
    member.ancestors.insert(entity(type_name, id));
}

/// Tells that all ancestors of this type are known.
pub(crate) fn close(member: &mut KnownEntity, type_name: &EntityTypeName) {
    member.open.remove(type_name.as_ref());
}

/// Tells the value of an attribute, or that it is absent.
pub(crate) fn tell(of: &mut KnownEntity, attribute: &str, value: Option<&str>) {
    of.attributes.insert(attribute.into(), value.map(Into::into));
}

/// Returns what is known of whoever bears a user name.
pub(crate) fn of_user(user: &str) -> KnownEntity {
    let (type_name, name, namespace) = match Identity::of(user) {
        Identity::User => (&NAMES.user, user, None),
        Identity::Node { name } => (&NAMES.node, name, None),
        Identity::ServiceAccount { namespace, name } => {
            (&NAMES.service_account, name, Some(namespace))
        }
    };
    let mut known = KnownEntity { type_name: Some(of_type(type_name)), ..anything() };
    close(&mut known, &NAMES.user_name);
    close(&mut known, &NAMES.namespace);
    tell(&mut known, "name", Some(name));
    tell(&mut known, "namespace", namespace);
    join(&mut known, &NAMES.user_name, user);
    if let Some(namespace) = namespace {
        join(&mut known, &NAMES.namespace, namespace);
        // As the authenticator has it.
        join(&mut known, &NAMES.group, "system:serviceaccounts");
        join(&mut known, &NAMES.group, &format!("system:serviceaccounts:{namespace}"));
        join(&mut known, &NAMES.group, "system:authenticated");
    }
    known
}

/// Returns what is known of somebody whose groups are known too.
pub(crate) fn of_subject(subject: &Subject) -> KnownEntity {
    let mut known = of_user(&subject.user);
    let id = if subject.uid.is_empty() { &subject.user } else { &subject.uid };
    known.id = Some(id.into());
    for group in &subject.groups {
        join(&mut known, &NAMES.group, group);
    }
    close(&mut known, &NAMES.group);
    known
}
