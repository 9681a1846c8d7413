//! The YAML file: conditions of roles.
//!
//! The limits are those that the plugin has unless it is configured otherwise.

use std::collections::BTreeMap;

use smol_str::SmolStr;

use super::emit;
use super::policy_file::action;
use crate::criteria::{ConditionParam, Criteria, PermissionCondition};
use crate::fields::{only_fields, word};
use crate::file_error::{FileError, Report};
use crate::permission::PermissionAction;
use crate::permission_rules::PermissionRules;
use crate::yaml::{Content, Node, documents};

const FILE_BYTES: usize = 1 << 20;
const DOCUMENTS: usize = 256;
const DEPTH: usize = 12;
const NODES: usize = 256;
const ITEMS: usize = 64;
const NAMED_PERMISSIONS: usize = 25;

/// One document: the conditions under which a role has permissions.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RoleCondition {
    pub(super) line: u32,
    pub(super) role: SmolStr,
    pub(super) resource_type: SmolStr,
    pub(super) permissions: Vec<Mapping>,
    pub(super) criteria: Criteria,
}

/// Which permissions are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mapping {
    /// None for all permissions of the resource type that have the action.
    pub(super) name: Option<SmolStr>,
    pub(super) action: Option<PermissionAction>,
}

impl Mapping {
    /// Returns whether the plugin takes this for a permission.
    pub(super) fn covers(&self, name: &str, action: Option<PermissionAction>) -> bool {
        self.action == action && self.name.as_ref().is_none_or(|own| own == name)
    }

    /// Returns whether the plugin refuses to keep both for one role and resource type.
    fn overlaps(&self, other: &Self) -> bool {
        let same_name = match (&self.name, &other.name) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        self.action == other.action && same_name
    }
}

/// Reads the documents of a file.
pub(super) fn read(
    file: &str,
    text: &str,
    rules: &PermissionRules,
    error: &mut FileError,
) -> Vec<RoleCondition> {
    let mut read: Vec<RoleCondition> = Vec::new();
    if text.len() > FILE_BYTES {
        error.file(file, format!("{} bytes are more than the limit of {FILE_BYTES}", text.len()));
        return read;
    }
    let documents = match documents(text) {
        Ok(documents) => documents,
        Err(e) => {
            error.yaml(file, e);
            return read;
        }
    };
    if documents.len() > DOCUMENTS {
        error.file(file, format!("more than {DOCUMENTS} documents"));
        return read;
    }
    for document in documents {
        let mut report = Report { file, document: document.number, error: &mut *error };
        let Some(condition) = role_condition(&document.root, rules, &mut report) else { continue };
        let overlaps = |other: &&RoleCondition| {
            other.role == condition.role
                && other.resource_type == condition.resource_type
                && condition
                    .permissions
                    .iter()
                    .any(|one| other.permissions.iter().any(|other| one.overlaps(other)))
        };
        if let Some(first) = read.iter().find(overlaps) {
            let message = format!("overlaps with the document at line {}", first.line);
            let help = "a role has one condition for a permission: put them together by `anyOf`";
            report.problem(document.root.place, message, help);
            continue;
        }
        read.push(condition);
    }
    read
}

fn role_condition(
    node: &Node,
    rules: &PermissionRules,
    report: &mut Report<'_>,
) -> Option<RoleCondition> {
    let fields = [
        "id",
        "result",
        "roleEntityRef",
        "pluginId",
        "resourceType",
        "permissionMapping",
        "conditions",
    ];
    if !only_fields(node, &fields, report) {
        return None;
    }
    let result = word(node, "result", report)?;
    if result != "CONDITIONAL" {
        let place = node.get("result").unwrap_or(node).place;
        report.problem(place, "`result` must be `CONDITIONAL`", "");
    }
    let role = word(node, "roleEntityRef", report)?;
    word(node, "pluginId", report)?;
    let resource_type = word(node, "resourceType", report)?;
    let permissions = mappings(node, report)?;
    if resource_type == "policy-entity"
        && permissions.iter().any(|m| m.action == Some(PermissionAction::Create))
    {
        let message = "the plugin takes no conditions for creating a `policy-entity`";
        report.problem(node.place, message, "");
        return None;
    }
    let Some(conditions) = node.get("conditions") else {
        report.problem(node.place, "`conditions` is missing", "");
        return None;
    };
    let mut reader = CriteriaReader { resource_type, rules, nodes: 0, report };
    let criteria = reader.criteria(conditions, 1)?;
    Some(RoleCondition {
        line: node.place.line,
        role: role.into(),
        resource_type: resource_type.into(),
        permissions,
        criteria,
    })
}

fn mappings(node: &Node, report: &mut Report<'_>) -> Option<Vec<Mapping>> {
    let Some(Node { content: Content::List(items), place }) = node.get("permissionMapping") else {
        let place = node.get("permissionMapping").unwrap_or(node).place;
        report.problem(place, "`permissionMapping` must be a list", "name actions: `[read]`");
        return None;
    };
    let mut read: Vec<Mapping> = Vec::with_capacity(items.len());
    for item in items {
        let mapping = mapping(item, report)?;
        if read.first().is_some_and(|first| first.name.is_some() != mapping.name.is_some()) {
            let message = "actions and permissions cannot stand in one list";
            report.problem(item.place, message, "make two documents of it");
            return None;
        }
        if read.contains(&mapping) {
            report.problem(item.place, "given twice", "leave one out");
            return None;
        }
        read.push(mapping);
    }
    if read.is_empty() || read.len() > NAMED_PERMISSIONS {
        let message = format!("`permissionMapping` must have 1 to {NAMED_PERMISSIONS} items");
        report.problem(*place, message, "");
        return None;
    }
    Some(read)
}

fn mapping(item: &Node, report: &mut Report<'_>) -> Option<Mapping> {
    let (name, of_action) = match &item.content {
        Content::Map(_) => {
            if !only_fields(item, &["name", "action"], report) {
                return None;
            }
            (Some(word(item, "name", report)?), word(item, "action", report)?)
        }
        _ => (None, item.as_str().unwrap_or_default()),
    };
    let Some(action) = action(of_action) else {
        let help = "write `create`, `read`, `update`, `delete` or `use`, or `{name, action}`";
        report.problem(item.place, format!("`{of_action}` is not an action"), help);
        return None;
    };
    Some(Mapping { name: name.map(SmolStr::from), action })
}

struct CriteriaReader<'a, 'r> {
    resource_type: &'a str,
    rules: &'a PermissionRules,
    nodes: usize,
    report: &'a mut Report<'r>,
}

impl CriteriaReader<'_, '_> {
    fn criteria(&mut self, node: &Node, depth: usize) -> Option<Criteria> {
        self.nodes += 1;
        if depth > DEPTH || self.nodes > NODES {
            let message = if depth > DEPTH {
                format!("conditions nest deeper than {DEPTH}")
            } else {
                format!("conditions have more than {NODES} parts")
            };
            self.report.problem(node.place, message, "the plugin's limit, unless configured");
            return None;
        }
        let combined: Vec<&str> =
            ["allOf", "anyOf", "not"].into_iter().filter(|key| node.get(key).is_some()).collect();
        match combined.as_slice() {
            [] => self.condition(node),
            [key] => {
                let inner = node.get(key)?;
                if !only_fields(node, &[key], self.report) {
                    return None;
                }
                Some(match *key {
                    "allOf" => Criteria::AllOf(self.list(inner, depth)?),
                    "anyOf" => Criteria::AnyOf(self.list(inner, depth)?),
                    _ => Criteria::Not(Box::new(self.criteria(inner, depth + 1)?)),
                })
            }
            keys => {
                let message = format!("{} stand beside each other", keys.join(" and "));
                self.report.problem(node.place, message, "nest one in the other");
                None
            }
        }
    }

    fn list(&mut self, node: &Node, depth: usize) -> Option<Vec<Criteria>> {
        match &node.content {
            Content::List(items) if (1..=ITEMS).contains(&items.len()) => {
                items.iter().map(|item| self.criteria(item, depth + 1)).collect()
            }
            _ => {
                let message = format!("a list of 1 to {ITEMS} conditions is expected here");
                self.report.problem(node.place, message, "");
                None
            }
        }
    }

    fn condition(&mut self, node: &Node) -> Option<Criteria> {
        if !only_fields(node, &["rule", "resourceType", "params"], self.report) {
            return None;
        }
        let rule = word(node, "rule", self.report)?;
        // Backstage reads the rule by its name alone.
        word(node, "resourceType", self.report)?;
        let params = match node.get("params") {
            Some(node) => self.params(node)?,
            None => BTreeMap::new(),
        };
        let (resource_type, rule) = (SmolStr::from(self.resource_type), SmolStr::from(rule));
        let condition = PermissionCondition { resource_type, rule, params };
        if let Err(message) = emit::check(&condition, self.rules) {
            let help = "Backstage refuses requests with such a condition";
            self.report.problem(node.place, message, help);
            return None;
        }
        Some(Criteria::Condition(condition))
    }

    fn params(&mut self, node: &Node) -> Option<BTreeMap<SmolStr, ConditionParam>> {
        let Content::Map(fields) = &node.content else {
            let message = format!("`params` must be a mapping, not {}", node.noun());
            self.report.problem(node.place, message, "");
            return None;
        };
        let mut params = BTreeMap::new();
        for (key, value) in fields {
            match param(value) {
                Some(param) => {
                    params.insert(SmolStr::from(key.text.as_str()), param);
                }
                None => {
                    let message = format!("`{}` must be a text or a list of texts", key.text);
                    self.report.problem(value.place, message, "put quotes around it");
                    return None;
                }
            }
        }
        Some(params)
    }
}

fn param(node: &Node) -> Option<ConditionParam> {
    Some(match &node.content {
        Content::String(text) => ConditionParam::String(text.into()),
        Content::Bool(value) => ConditionParam::Bool(*value),
        Content::Number(value) => ConditionParam::Number(*value),
        Content::List(items) => ConditionParam::Strings(
            items.iter().map(|item| item.as_str().map(SmolStr::from)).collect::<Option<_>>()?,
        ),
        Content::Null | Content::Map(_) => return None,
    })
}
