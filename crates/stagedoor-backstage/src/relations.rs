//! Who owns an entity, and which groups it belongs to.
//!
//! The catalog works relations out of a few fields of the kinds that it knows
//! (`BuiltinKindsEntityProcessor`), and so does this module. Entities as the
//! catalog's API returns them bring their relations along; those count alone.

use crate::entity_ref::EntityRef;
use crate::file_error::Report;
use crate::yaml::{Content, Node, Position};

/// Kinds whose `spec.owner` the catalog reads.
const OWNED: [&str; 7] =
    ["AiResource", "API", "Component", "Domain", "Resource", "System", "Template"];

/// One entity's relations, as far as permissions depend on them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Relations {
    /// The owners.
    pub(crate) owned_by: Vec<EntityRef>,
    /// Groups that this user is a member of.
    pub(crate) member_of: Vec<EntityRef>,
    /// Users that are members of this group.
    pub(crate) has_member: Vec<EntityRef>,
    /// Groups that this group is below.
    pub(crate) child_of: Vec<EntityRef>,
    /// Groups that are below this group.
    pub(crate) parent_of: Vec<EntityRef>,
    /// What could not be read, and is set aside.
    pub(crate) set_aside: Vec<UnreadableRelation>,
}

/// A relation that cannot be read. The others hold without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnreadableRelation {
    pub(crate) place: Position,
    pub(crate) message: String,
    pub(crate) help: &'static str,
    /// It may tell an owner: without it the entity would be another one.
    pub(crate) may_be_owner: bool,
}

impl Relations {
    /// Reads the relations of an entity of this kind and namespace.
    pub(crate) fn read(
        entity: &Node,
        kind: &str,
        namespace: &str,
        report: &mut Report<'_>,
    ) -> Option<Self> {
        if let Some(relations) = entity.get("relations") {
            return Self::stated(relations, report);
        }
        let spec = entity.get("spec");
        let mut set_aside = Vec::new();
        let mut field = |field: &str, default_kind: &str| {
            let node = spec.and_then(|spec| spec.get(field));
            let (read, wrong) = node.map_or_else(Default::default, |node| {
                references(node, field, default_kind, namespace)
            });
            set_aside.extend(wrong);
            read
        };
        let mut relations = Self::default();
        match kind {
            "User" => relations.member_of = field("memberOf", "Group"),
            "Group" => {
                relations.child_of = field("parent", "Group");
                relations.parent_of = field("children", "Group");
                relations.has_member = field("members", "User");
            }
            kind if OWNED.contains(&kind) => relations.owned_by = field("owner", "Group"),
            _ => {}
        }
        // An entity without the owner that it states would be another one: the catalog refuses it.
        if OWNED.contains(&kind) && !set_aside.is_empty() {
            for UnreadableRelation { place, message, help, .. } in set_aside {
                report.problem(place, message, help);
            }
            return None;
        }
        relations.set_aside = set_aside;
        Some(relations)
    }

    /// Reads relations as the catalog's API returns them.
    fn stated(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let items: &[Node] = match &node.content {
            Content::Null => &[],
            Content::List(items) => items,
            _ => {
                let message = format!("`relations` must be a list, not {}", node.noun());
                report.problem(node.place, message, "only the catalog itself writes this field");
                return None;
            }
        };
        let mut relations = Self::default();
        for item in items {
            let text = |field: &str| item.get(field).and_then(Node::as_str);
            let may_be_owner = matches!(text("type"), None | Some("ownedBy"));
            let mut set_aside = |message: String| {
                let help = "only the catalog itself writes this field";
                let place = item.place;
                relations.set_aside.push(UnreadableRelation { place, message, help, may_be_owner });
            };
            let (Some(relation), Some(target)) = (text("type"), text("targetRef")) else {
                set_aside("a relation needs `type` and `targetRef`".to_owned());
                continue;
            };
            let target = match target.parse() {
                Ok(target) => target,
                Err(error) => {
                    set_aside(format!("relation `{relation}`: {error}"));
                    continue;
                }
            };
            let into = match relation {
                "ownedBy" => &mut relations.owned_by,
                "memberOf" => &mut relations.member_of,
                "hasMember" => &mut relations.has_member,
                "childOf" => &mut relations.child_of,
                "parentOf" => &mut relations.parent_of,
                _ => continue,
            };
            into.push(target);
        }
        Some(relations)
    }
}

/// Reads one reference or a list of them, and tells what is none. Like the catalog, passes over
/// an empty string or nothing where one reference is expected.
fn references(
    node: &Node,
    field: &str,
    default_kind: &str,
    namespace: &str,
) -> (Vec<EntityRef>, Vec<UnreadableRelation>) {
    let one = [node];
    let items: Vec<&Node> = match &node.content {
        Content::Null => return Default::default(),
        Content::String(text) if text.is_empty() => return Default::default(),
        Content::List(items) => items.iter().collect(),
        _ => one.to_vec(),
    };
    let (mut read, mut wrong) = (Vec::with_capacity(items.len()), Vec::new());
    for item in items {
        let reference = match item.as_str() {
            Some(text) => EntityRef::parse_within(text, default_kind, namespace)
                .map_err(|e| format!("`spec.{field}`: {e}")),
            None => Err(format!("`spec.{field}` must be a string, not {}", item.noun())),
        };
        match reference {
            Ok(reference) => read.push(reference),
            Err(message) => {
                let help = "write it as `kind:namespace/name`";
                let (place, may_be_owner) = (item.place, false);
                wrong.push(UnreadableRelation { place, message, help, may_be_owner });
            }
        }
    }
    (read, wrong)
}
