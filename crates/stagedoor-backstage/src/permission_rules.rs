//! Rules of plugins that are not known here, as permission files list them.
//!
//! A resource of such a plugin has tags in Cedar, and each rule says what one of them
//! means: `IS_OWNER` with `values: owners` tells whether the tag `owners` contains one of
//! the parameter's values. The rules define the tags, so that conditions are exact.

use std::collections::BTreeMap;

use smol_str::SmolStr;

use crate::criteria::ConditionParam;
use crate::fields::{only_fields, word};
use crate::file_error::Report;
use crate::yaml::{Content, Node};

/// Resource types whose rules are known here.
const KNOWN: [&str; 4] =
    ["catalog-entity", "scaffolder-action", "scaffolder-task", "scaffolder-template"];

/// Returns whether the rules of a resource type are known here.
pub(crate) fn is_known_type(resource_type: &str) -> bool {
    KNOWN.contains(&resource_type)
}

/// The rules that permission files list, by resource type.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PermissionRules {
    of_type: BTreeMap<SmolStr, OfType>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct OfType {
    plugin_id: SmolStr,
    rules: Vec<TagRule>,
}

/// What a rule says of a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TagRule {
    pub(crate) rule: SmolStr,
    /// The tag, or what its name starts with if `key` names a parameter for the rest.
    tag: SmolStr,
    key: Option<SmolStr>,
    pub(crate) params: RuleParams,
}

/// How values of a tag become parameters of its rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RuleParams {
    /// There is none: the rule holds where the tag is there.
    None,
    /// This one takes one value.
    Value(SmolStr),
    /// This one takes a list, of which one must match.
    Values(SmolStr),
}

impl TagRule {
    fn matches(&self, tag: &str) -> bool {
        match self.key {
            None => self.tag == tag,
            Some(_) => tag.len() > self.tag.len() && tag.starts_with(self.tag.as_str()),
        }
    }

    /// Returns the parameter that fills a part of the tag's name.
    pub(crate) fn key(&self) -> Option<&SmolStr> {
        self.key.as_ref()
    }

    /// Returns the tag that these parameters are about.
    pub(crate) fn tag(&self, params: &BTreeMap<SmolStr, ConditionParam>) -> Option<String> {
        let rest = match &self.key {
            None => "",
            Some(key) => match params.get(key)? {
                ConditionParam::String(rest) => rest.as_str(),
                _ => return None,
            },
        };
        Some(format!("{}{rest}", self.tag))
    }

    /// Returns the parameters that the tag's name fills.
    pub(crate) fn fixed(&self, tag: &str) -> BTreeMap<SmolStr, ConditionParam> {
        let key = self.key.clone().zip(tag.strip_prefix(self.tag.as_str()));
        key.into_iter().map(|(name, rest)| (name, ConditionParam::String(rest.into()))).collect()
    }
}

impl PermissionRules {
    /// Returns whether rules are listed for a resource type.
    pub(crate) fn has(&self, resource_type: &str) -> bool {
        self.of_type.contains_key(resource_type)
    }

    /// Returns the plugin that listed the rules of a resource type.
    pub(crate) fn plugin_id(&self, resource_type: &str) -> Option<&SmolStr> {
        self.of_type.get(resource_type).map(|of| &of.plugin_id)
    }

    /// Returns the rule about a tag. A tag that is named counts before the start of one.
    pub(crate) fn of_tag(&self, resource_type: &str, tag: &str) -> Option<&TagRule> {
        let rules = || self.of_type.get(resource_type).into_iter().flat_map(|of| &of.rules);
        let exact = rules().find(|rule| rule.key.is_none() && rule.matches(tag));
        exact.or_else(|| rules().filter(|rule| rule.matches(tag)).max_by_key(|rule| rule.tag.len()))
    }

    /// Returns the rule of a name.
    pub(crate) fn of_rule(&self, resource_type: &str, rule: &str) -> Option<&TagRule> {
        self.of_type.get(resource_type)?.rules.iter().find(|known| known.rule == rule)
    }

    /// Reads the rules of one plugin.
    pub(crate) fn read(&mut self, rules: &Node, plugin_id: &str, report: &mut Report<'_>) {
        let Content::List(items) = &rules.content else {
            report.problem(rules.place, "`rules` must be a list", "");
            return;
        };
        for item in items {
            self.read_rule(item, plugin_id, report);
        }
    }

    fn read_rule(&mut self, item: &Node, plugin_id: &str, report: &mut Report<'_>) {
        let fields = ["rule", "resourceType", "tag", "key", "value", "values", "description"];
        if !only_fields(item, &fields, report) {
            return;
        }
        let mut optional = |field: &str| match item.get(field) {
            Some(_) => word(item, field, report).map(|text| Some(SmolStr::from(text))),
            None => Some(None),
        };
        let (Some(key), Some(value), Some(values)) =
            (optional("key"), optional("value"), optional("values"))
        else {
            return;
        };
        let (Some(rule), Some(resource_type), Some(tag)) =
            (word(item, "rule", report), word(item, "resourceType", report), tag(item, report))
        else {
            return;
        };
        if KNOWN.contains(&resource_type) {
            let message = format!("the rules of `{resource_type}` are known");
            report.problem(item.place, message, "leave them out");
            return;
        }
        let params = match (value, values) {
            (None, None) => RuleParams::None,
            (Some(name), None) => RuleParams::Value(name),
            (None, Some(name)) => RuleParams::Values(name),
            (Some(_), Some(_)) => {
                let help =
                    "`values` names a parameter that takes a list, `value` one that takes a string";
                report.problem(item.place, "either `value` or `values` is meant", help);
                return;
            }
        };
        let tag = match (tag.strip_suffix('*'), &key) {
            (Some(start), Some(_)) => start,
            (None, None) => tag,
            _ => {
                let help =
                    "`tag: color:*` with `key: name` makes `color:red` the parameter `name: red`";
                report.problem(item.place, "`key` and a `*` at the end of `tag` go together", help);
                return;
            }
        };
        let new = TagRule { rule: rule.into(), tag: tag.into(), key, params };
        let of_type = self
            .of_type
            .entry(resource_type.into())
            .or_insert_with(|| OfType { plugin_id: plugin_id.into(), rules: Vec::new() });
        if of_type.plugin_id != plugin_id {
            let message = format!(
                "the rules of `{resource_type}` are those of the plugin `{}` already",
                of_type.plugin_id
            );
            report.problem(item.place, message, "list them once");
            return;
        }
        let known =
            |other: &TagRule| other.tag == new.tag && other.key.is_some() == new.key.is_some();
        if of_type.rules.iter().any(known) {
            let message = format!("the tag `{tag}` of `{resource_type}` has a rule already");
            report.problem(item.place, message, "a tag means what one rule says");
            return;
        }
        of_type.rules.push(new);
    }
}

/// Returns the tag, which may be any text that is not empty.
fn tag<'a>(item: &'a Node, report: &mut Report<'_>) -> Option<&'a str> {
    let tag = item.get("tag").and_then(Node::as_str).filter(|tag| !tag.is_empty() && *tag != "*");
    if tag.is_none() {
        let place = item.get("tag").unwrap_or(item).place;
        report.problem(place, "`tag` must name a tag of the resource", "");
    }
    tag
}
