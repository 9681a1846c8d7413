//! Reads policy sets in Cedar's JSON form.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use cedar_policy::{EntityId, EntityTypeName, EntityUid, Policy, PolicyId, Template};
use cedar_policy_core::ast;
use serde::Deserialize;
use serde_json::value::RawValue;
use smol_str::SmolStr;

use super::Report;
use super::compile::{Compiler, positional_id};
use super::policies::check_policy_limit;
use crate::builder::TemplateLink;
use crate::error::error_chain;
use crate::hash::FastMap;
use crate::json::unambiguous;
use crate::limits::{Limits, raise};
use crate::problem::Problem;
use crate::reason::plain_reason;
use crate::source::Source;
use crate::validation::Validation;

/// A policy set; see Cedar's
/// [JSON policy format](https://docs.cedarpolicy.com/policies/json-format.html).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PolicySetJson<'a> {
    #[serde(borrow, default)]
    templates: Entries<'a>,
    #[serde(borrow, default)]
    static_policies: Entries<'a>,
    #[serde(borrow, default)]
    template_links: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LinkJson<'a> {
    template_id: String,
    new_id: String,
    #[serde(borrow)]
    values: Entries<'a>,
}

/// What a text of policies in JSON holds.
enum Document<'a> {
    Set(PolicySetJson<'a>),
    /// One policy or template, as `cedar --policy-format json` takes it.
    Policy(&'a RawValue),
}

impl<'a> Document<'a> {
    fn read(text: &'a str) -> Result<Self, serde_json::Error> {
        // Serde would take a list for the object as well: a set of nothing.
        let Entries(keys) = serde_json::from_str(text)?;
        if keys.iter().any(|(key, _)| key == "effect") {
            return serde_json::from_str(text).map(Self::Policy);
        }
        serde_json::from_str(text).map(Self::Set)
    }
}

/// Returns the policies and templates of a text that read as such.
pub(crate) fn policies_in_json(text: &str, limits: &Limits) -> Vec<ast::Template> {
    let either = |raw: &RawValue| {
        tree("policy", raw, false, limits).or_else(|_| tree("policy", raw, true, limits)).ok()
    };
    match Document::read(text) {
        Ok(Document::Policy(policy)) => either(policy).into_iter().collect(),
        Ok(Document::Set(set)) => {
            let all = set.templates.0.iter().chain(&set.static_policies.0);
            all.filter_map(|(_, raw)| either(raw)).collect()
        }
        Err(_) => Vec::new(),
    }
}

/// Loads a single policy. Without `@id` it has Cedar's positional id, as one in Cedar's syntax.
fn one(
    source: &Arc<Source>,
    policy: &RawValue,
    validation: Option<&Validation>,
    limits: &Limits,
    compiler: &mut Compiler,
    report: &mut Report,
) {
    if !check_policy_limit(compiler, 1, limits, report) {
        return;
    }
    let id = positional_id(compiler.positions(1));
    let tree = match tree(&id, policy, false, limits).or_else(|reason| {
        // What does not read as a template either is told as a policy.
        tree(&id, policy, true, limits).map_err(|_| reason)
    }) {
        Ok(tree) => tree,
        Err(message) => {
            report.error(|| {
                Problem::error("policy::json", message)
                    .with_help("see Cedar's JSON policy format")
                    .at(source, place(source, policy))
            });
            return;
        }
    };
    if let Some(validation) = validation {
        for finding in validation.trees(std::iter::once(&tree)) {
            let problem = finding.problem.with_policy(&*finding.id).in_file(&source.name);
            report.add(finding.severity, || problem);
        }
    }
    if let Err(error) = compiler.add_json(tree, &id, source) {
        report.error(|| compiler.problem(error).in_file(&source.name));
    }
}

/// Loads a policy set, and returns its links, whose templates may stand in any other source.
pub(super) fn load(
    source: &Arc<Source>,
    validation: Option<&Validation>,
    limits: &Limits,
    compiler: &mut Compiler,
    report: &mut Report,
) -> Vec<TemplateLink> {
    let set = match Document::read(&source.text) {
        Ok(Document::Set(set)) => set,
        Ok(Document::Policy(policy)) => {
            one(source, policy, validation, limits, compiler, report);
            return Vec::new();
        }
        Err(error) => {
            report.error(|| {
                let at = offset(&source.text, error.line(), error.column());
                Problem::error("policies::json", plain_reason(&error.to_string()))
                    .with_help(
                        "a policy set is an object with `templates`, `staticPolicies` and \
                         `templateLinks`; a single policy is one with `effect`, `principal`, \
                         `action`, `resource` and `conditions`",
                    )
                    .at(source, at..at)
            });
            return Vec::new();
        }
    };
    let statements = set.templates.0.len() + set.static_policies.0.len();
    if !check_policy_limit(compiler, statements + set.template_links.len(), limits, report) {
        return Vec::new();
    }
    let mut trees = Vec::new();
    for (key, raw, is_template) in set
        .templates
        .0
        .iter()
        .map(|(k, r)| (k, r, true))
        .chain(set.static_policies.0.iter().map(|(k, r)| (k, r, false)))
    {
        match tree(key, raw, is_template, limits) {
            Ok(tree) => trees.push((key.clone(), tree)),
            Err(message) => {
                let at = place(source, raw);
                report.error(|| {
                    Problem::error("policy::json", message)
                        .with_help("see Cedar's JSON policy format")
                        .with_policy(key.as_str())
                        .at(source, at)
                });
            }
        }
    }
    if let Some(validation) = validation {
        for finding in validation.trees(trees.iter().map(|(_, tree)| tree)) {
            let problem = finding.problem.with_policy(&*finding.id).in_file(&source.name);
            report.add(finding.severity, || problem);
        }
    }
    // Links of this file name a template by its key, whatever its `@id` is.
    let mut ids = BTreeMap::new();
    for (key, tree) in trees {
        match compiler.add_json(tree, &key, source) {
            Ok(id) => drop(ids.insert(key, id)),
            Err(error) => report.error(|| compiler.problem(error).in_file(&source.name)),
        }
    }
    let mut linked = Vec::with_capacity(set.template_links.len());
    let mut types = Types::default();
    for raw in set.template_links {
        match template_link(raw, &ids, &mut types) {
            Ok(link) => linked.push(link),
            Err(message) => report.error(|| {
                Problem::error("link::json", message)
                    .with_help("`values` has `?principal`, `?resource` or both, each an entity id")
                    .in_file(&source.name)
            }),
        }
    }
    linked
}

fn tree(
    key: &str,
    raw: &RawValue,
    is_template: bool,
    limits: &Limits,
) -> Result<ast::Template, String> {
    let given = raw.get().len();
    if given > limits.policy_bytes {
        let limit = limits.policy_bytes;
        let help = raise("policyBytes");
        return Err(format!("the policy of {given} bytes is longer than {limit} bytes: {help}"));
    }
    let json = unambiguous(raw.get()).map_err(|e| plain_reason(&e.to_string()))?;
    let id = Some(PolicyId::new(key));
    if is_template {
        let template = Template::from_json(id, json).map_err(|e| plain_reason(&error_chain(&e)))?;
        Ok(template.as_ref().clone())
    } else {
        let policy = Policy::from_json(id, json).map_err(|e| plain_reason(&error_chain(&e)))?;
        Ok(policy.as_ref().template().clone())
    }
}

fn template_link(
    raw: &RawValue,
    ids: &BTreeMap<String, SmolStr>,
    types: &mut Types,
) -> Result<TemplateLink, String> {
    // Serde would take a list for the object as well.
    if !raw.get().starts_with('{') {
        return Err("a link is an object with `templateId`, `newId` and `values`".to_owned());
    }
    let LinkJson { mut template_id, new_id, values } =
        serde_json::from_str(raw.get()).map_err(|e| e.to_string())?;
    if let Some(id) = ids.get(&template_id) {
        template_id = id.to_string();
    }
    let mut slots =
        TemplateLink { template: template_id, id: new_id, principal: None, resource: None };
    for (slot, value) in values.0 {
        let uid = types.uid(value).map_err(|e| format!("`{slot}` of link `{}`: {e}", slots.id))?;
        match slot.as_str() {
            "?principal" => slots.principal = Some(uid),
            "?resource" => slots.resource = Some(uid),
            _ => return Err(format!("link `{}` fills `{slot}`, which is not a slot", slots.id)),
        }
    }
    Ok(slots)
}

/// Entity types by name, as Cedar read them before: links name few, and reading one costs more
/// than all the rest of a link.
#[derive(Default)]
struct Types(FastMap<String, EntityTypeName>);

/// An entity id as nearly every link has it; Cedar knows others.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UidJson<'a> {
    #[serde(rename = "type", borrow)]
    type_: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
}

impl Types {
    fn uid(&mut self, raw: &RawValue) -> Result<EntityUid, String> {
        // Serde would take a list for the object as well.
        let is_object = raw.get().starts_with('{');
        let plain: Option<UidJson<'_>> =
            is_object.then(|| serde_json::from_str(raw.get()).ok()).flatten();
        if let Some(UidJson { type_, id }) = &plain
            && let Some(type_) = self.0.get(type_.as_ref())
        {
            return Ok(EntityUid::from_type_name_and_id(type_.clone(), EntityId::new(id)));
        }
        let value = unambiguous(raw.get()).map_err(|e| plain_reason(&e.to_string()))?;
        let uid = EntityUid::from_json(value).map_err(|e| plain_reason(&error_chain(&e)))?;
        if let Some(UidJson { type_, .. }) = plain {
            self.0.insert(type_.into_owned(), uid.type_name().clone());
        }
        Ok(uid)
    }
}

/// Object entries in order; a key given twice is an error, not an overwrite.
#[derive(Default)]
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Self::Value, A::Error> {
                let mut entries = BTreeMap::new();
                let mut order = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, &'de RawValue>()? {
                    if entries.insert(key.clone(), ()).is_some() {
                        let message = format!("key `{key}` is given twice");
                        return Err(serde::de::Error::custom(message));
                    }
                    order.push((key, value));
                }
                Ok(Entries(order))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// Returns where `raw`, a slice of the source's text, stands in it.
fn place(source: &Source, raw: &RawValue) -> std::ops::Range<usize> {
    let start = (raw.get().as_ptr() as usize).saturating_sub(source.text.as_ptr() as usize);
    start..start + raw.get().len()
}

/// Returns the byte offset of a line and column, both from 1.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    (before + column.saturating_sub(1)).min(text.len())
}
