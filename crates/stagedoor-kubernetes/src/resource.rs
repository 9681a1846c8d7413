//! The Cedar resource that a request is about.

use std::borrow::Cow;

use stagedoor_core::Entity;

use crate::attributes::{Attributes, NonResourceAttributes, ResourceAttributes};
use crate::impersonation::{AUTHENTICATION, Impersonation};
use crate::names::{NAMES, uid};
use crate::subject::{Identity, group, identity_attributes};

/// The kinds of Cedar resources, as bits of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ResourceKind {
    Resource = 1,
    NonResourceUrl = 1 << 1,
    User = 1 << 2,
    ServiceAccount = 1 << 3,
    Node = 1 << 4,
    Group = 1 << 5,
    PrincipalUid = 1 << 6,
    Extra = 1 << 7,
}

/// Returns the kind of resource that a request is about: for most what it says, for
/// impersonation the somebody whom one wants to be.
pub(crate) fn kind(attributes: &Attributes) -> ResourceKind {
    match attributes {
        Attributes::NonResource(_) => ResourceKind::NonResourceUrl,
        Attributes::Resource(attributes) => match Impersonation::of(&attributes.verb) {
            Some(Impersonation::Legacy) => impersonated(attributes),
            Some(Impersonation::Identity) => constrained(attributes),
            // About what is asked for in the name of somebody else.
            Some(Impersonation::Request) | None => ResourceKind::Resource,
        },
    }
}

/// Returns the entity of a request of this kind.
pub(crate) fn entity(kind: ResourceKind, attributes: &Attributes) -> Entity {
    match attributes {
        Attributes::NonResource(attributes) => non_resource_url(attributes),
        Attributes::Resource(attributes) => match kind {
            ResourceKind::User | ResourceKind::Node => user(kind, attributes),
            ResourceKind::ServiceAccount => service_account(attributes),
            ResourceKind::Group => group(&attributes.name),
            ResourceKind::PrincipalUid => Entity::new(uid(&NAMES.principal_uid, &attributes.name)),
            ResourceKind::Extra => extra(attributes),
            ResourceKind::Resource | ResourceKind::NonResourceUrl => resource(attributes),
        },
    }
}

/// Returns whom a request of constrained impersonation is about; all are of one API group, and
/// the name of a user is a user's, whatever it looks like: nodes have a resource of their own.
fn constrained(attributes: &ResourceAttributes) -> ResourceKind {
    let ResourceAttributes { group, resource, subresource, namespace, .. } = attributes;
    if group != AUTHENTICATION {
        return ResourceKind::Resource;
    }
    let plain = namespace.is_empty() && subresource.is_empty();
    match resource.as_str() {
        "users" if plain => ResourceKind::User,
        "groups" if plain => ResourceKind::Group,
        "nodes" if plain => ResourceKind::Node,
        "uids" if plain => ResourceKind::PrincipalUid,
        "serviceaccounts" if subresource.is_empty() => ResourceKind::ServiceAccount,
        "userextras" if namespace.is_empty() => ResourceKind::Extra,
        _ => ResourceKind::Resource,
    }
}

/// Whether a request stands for all of its kind: kube-apiserver asks so before it asks about
/// each of many groups, keys and values, and about the node that a service account is on.
pub(crate) fn stands_for_every_name(attributes: &Attributes) -> bool {
    match attributes {
        Attributes::Resource(attributes) => {
            Impersonation::of(&attributes.verb) == Some(Impersonation::Identity)
                && (attributes.name == "*" || attributes.subresource == "*")
        }
        Attributes::NonResource(_) => false,
    }
}

/// Returns the user name of the node that a request to impersonate is about.
pub(crate) fn node_name(attributes: &ResourceAttributes) -> Cow<'_, str> {
    match Impersonation::of(&attributes.verb) {
        Some(Impersonation::Identity) => format!("system:node:{}", attributes.name).into(),
        _ => attributes.name.as_str().into(),
    }
}

/// Returns whom a request to impersonate is about.
///
/// Only what kube-apiserver itself asks: the resource in its own API group, and neither
/// namespace nor subresource where it has none. Everything else that calls itself
/// impersonation is an ordinary resource, so that a grant to impersonate reaches no further.
fn impersonated(attributes: &ResourceAttributes) -> ResourceKind {
    let ResourceAttributes { group, resource, subresource, namespace, .. } = attributes;
    let plain = namespace.is_empty() && subresource.is_empty();
    match (group.as_str(), resource.as_str()) {
        ("", "users") if plain => match Identity::of(&attributes.name) {
            Identity::Node { .. } => ResourceKind::Node,
            Identity::User | Identity::ServiceAccount { .. } => ResourceKind::User,
        },
        ("", "groups") if plain => ResourceKind::Group,
        ("", "serviceaccounts") if subresource.is_empty() => ResourceKind::ServiceAccount,
        (AUTHENTICATION, "uids") if plain => ResourceKind::PrincipalUid,
        (AUTHENTICATION, "userextras") if namespace.is_empty() => ResourceKind::Extra,
        _ => ResourceKind::Resource,
    }
}

fn user(kind: ResourceKind, attributes: &ResourceAttributes) -> Entity {
    if kind == ResourceKind::Node {
        let name = node_name(attributes);
        let mut entity = Entity::new(uid(&NAMES.node, &name));
        entity.attributes = identity_attributes(&name);
        if Impersonation::of(&attributes.verb) == Some(Impersonation::Identity) {
            // Also where it cannot be the name of a node.
            entity.attributes.insert("name".into(), attributes.name.as_str().into());
        }
        entity
    } else {
        let name = attributes.name.as_str();
        // Also a service account's name, asked for as a user: it stays what was asked for.
        Entity::new(uid(&NAMES.user, name)).with_attribute("name", name)
    }
}

fn service_account(attributes: &ResourceAttributes) -> Entity {
    let ResourceAttributes { namespace, name, .. } = attributes;
    let id = format!("system:serviceaccount:{namespace}:{name}");
    let entity = Entity::new(uid(&NAMES.service_account, &id))
        .with_attribute("namespace", namespace.as_str())
        .with_attribute("name", name.as_str());
    in_namespace(entity, namespace)
}

/// Returns the entity with its namespace as a parent; what a request leaves empty is none.
fn in_namespace(entity: Entity, namespace: &str) -> Entity {
    if namespace.is_empty() { entity } else { entity.with_parent(uid(&NAMES.namespace, namespace)) }
}

fn extra(attributes: &ResourceAttributes) -> Entity {
    let entity = Entity::new(uid(&NAMES.extra, &attributes.subresource))
        .with_attribute("key", attributes.subresource.as_str());
    if attributes.name.is_empty() {
        entity
    } else {
        entity.with_attribute("value", attributes.name.as_str())
    }
}

fn non_resource_url(attributes: &NonResourceAttributes) -> Entity {
    Entity::new(uid(&NAMES.non_resource_url, &attributes.path))
        .with_attribute(PATH, attributes.path.as_str())
}

fn resource(attributes: &ResourceAttributes) -> Entity {
    let mut entity = Entity::new(uid(&NAMES.resource, &resource_path(attributes)));
    for (name, value) in RESOURCE_ATTRIBUTES.into_iter().zip(resource_values(attributes)) {
        if let Some(value) = value {
            entity = entity.with_attribute(name, value);
        }
    }
    if let Some(selector) = attributes.label_selector.as_ref().and_then(|s| s.to_value()) {
        entity = entity.with_attribute("labelSelector", selector);
    }
    if let Some(selector) = attributes.field_selector.as_ref().and_then(|s| s.to_value()) {
        entity = entity.with_attribute("fieldSelector", selector);
    }
    in_namespace(entity, &attributes.namespace)
}

/// The attribute of a `k8s::NonResourceURL`.
pub(crate) const PATH: &str = "path";

/// The attributes of a `k8s::Resource` that are texts.
pub(crate) const RESOURCE_ATTRIBUTES: [&str; 5] =
    ["apiGroup", "resource", "namespace", "name", "subresource"];

/// Returns the values of [`RESOURCE_ATTRIBUTES`]: what a request leaves empty is absent, except for
/// the core API group and the resource.
pub(crate) fn resource_values(attributes: &ResourceAttributes) -> [Option<&str>; 5] {
    let ResourceAttributes { group, resource, namespace, name, subresource, .. } = attributes;
    let [namespace, name, subresource] =
        [namespace, name, subresource].map(|text| Some(text.as_str()).filter(|t| !t.is_empty()));
    [Some(group), Some(resource), namespace, name, subresource]
}

/// Returns the entity id of a resource: the path of the API that serves it.
///
/// No two requests that differ in a field share an id: `/` and `%` within a field are
/// percent-encoded, and a field that is left out while a later one is given leaves an empty
/// segment where the path would read as another request.
pub(crate) fn resource_path(attributes: &ResourceAttributes) -> String {
    let ResourceAttributes { group, version, namespace, resource, name, subresource, .. } =
        attributes;
    let mut path = String::with_capacity(96);
    if group.is_empty() {
        path.push_str("/api");
    } else {
        path.push_str("/apis");
        push_segment(&mut path, group);
    }
    push_segment(&mut path, version);
    // `/namespaces/NAME/SUBRESOURCE` is also the path of a collection in a namespace.
    let cluster_scoped_but_reads_namespaced = resource == "namespaces" && !subresource.is_empty();
    if !namespace.is_empty() || cluster_scoped_but_reads_namespaced {
        path.push_str("/namespaces");
        push_segment(&mut path, namespace);
    }
    push_segment(&mut path, resource);
    if !name.is_empty() || !subresource.is_empty() {
        push_segment(&mut path, name);
    }
    if !subresource.is_empty() {
        push_segment(&mut path, subresource);
    }
    path
}

fn push_segment(path: &mut String, segment: &str) {
    path.push('/');
    for c in segment.chars() {
        match c {
            '/' => path.push_str("%2F"),
            '%' => path.push_str("%25"),
            c => path.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::resource_path;
    use crate::attributes::ResourceAttributes;

    #[test]
    fn ids_are_paths_of_the_api() {
        let pod = ResourceAttributes::new("get", "", "pods")
            .with_version("v1")
            .with_namespace("payments")
            .with_name("ledger-0");
        let cases = [
            (pod.clone(), "/api/v1/namespaces/payments/pods/ledger-0"),
            (pod.with_subresource("exec"), "/api/v1/namespaces/payments/pods/ledger-0/exec"),
            (
                ResourceAttributes::new("list", "apps", "deployments").with_version("v1"),
                "/apis/apps/v1/deployments",
            ),
            (ResourceAttributes::new("get", "", "a/b").with_name("%2F"), "/api//a%2Fb/%252F"),
        ];
        for (attributes, path) in cases {
            assert_eq!(resource_path(&attributes), path);
        }
    }

    #[test]
    fn ids_of_different_requests_differ() {
        let pieces = ["", "namespaces", "a", "a/b", "status", "%2F"];
        let mut seen = HashMap::new();
        for namespace in pieces {
            for resource in pieces {
                for name in pieces {
                    for subresource in pieces {
                        let attributes = ResourceAttributes::new("get", "", resource)
                            .with_namespace(namespace)
                            .with_name(name)
                            .with_subresource(subresource);
                        let id = resource_path(&attributes);
                        if let Some(twin) = seen.insert(id.clone(), attributes.clone()) {
                            assert_eq!(twin, attributes, "`{id}`");
                        }
                    }
                }
            }
        }
        assert_eq!(seen.len(), pieces.len().pow(4));
    }
}
