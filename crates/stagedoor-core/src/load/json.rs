//! Reads policy sets in Cedar's JSON form.

use std::borrow::Cow;
use std::collections::BTreeMap;

use cedar_policy::{EntityId, EntityTypeName, EntityUid, Policy, PolicyId, Schema, Template};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Report;
use super::compile::Compiler;
use super::policies::fits;
use super::validate::Validation;
use crate::builder::TemplateLink;
use crate::error::causes;
use crate::hash::FastMap;
use crate::json::unambiguous;
use crate::limits::Limits;
use crate::problem::Problem;
use crate::source::Source;

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
    template_links: Vec<LinkJson<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LinkJson<'a> {
    template_id: String,
    new_id: String,
    #[serde(borrow)]
    values: Entries<'a>,
}

/// Loads a policy set, and returns its links, whose templates may stand in any other source.
pub(super) fn load(
    number: u32,
    source: &Source,
    schema: Option<&Schema>,
    limits: &Limits,
    compiler: &mut Compiler,
    report: &mut Report,
) -> Vec<TemplateLink> {
    let set: PolicySetJson<'_> = match serde_json::from_str(&source.text) {
        Ok(set) => set,
        Err(error) => {
            report.error(|| {
                let at = offset(&source.text, error.line(), error.column());
                Problem::error("policies::json", error.to_string())
                    .with_help(
                        "a policy set is an object with `templates`, `staticPolicies` and \
                         `templateLinks`",
                    )
                    .at(source, at..at)
            });
            return Vec::new();
        }
    };
    let statements = set.templates.0.len() + set.static_policies.0.len();
    if !fits(compiler, statements + set.template_links.len(), limits, report) {
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
    if let Some(schema) = schema {
        for finding in Validation::new(schema).trees(trees.iter().map(|(_, tree)| tree)) {
            let problem = finding.problem.with_policy(&*finding.id).in_file(&source.name);
            report.add(finding.severity, || problem);
        }
    }
    // Links of this file name a template by its key, whatever its `@id` is.
    let mut ids = BTreeMap::new();
    for (key, tree) in trees {
        match compiler.add_json(tree, &key, number) {
            Ok(id) => drop(ids.insert(key, id)),
            Err(not_taken) => report.error(|| not_taken.into_problem().in_file(&source.name)),
        }
    }
    let mut linked = Vec::with_capacity(set.template_links.len());
    let mut types = Types::default();
    for mut link in set.template_links {
        if let Some(id) = ids.get(&link.template_id) {
            link.template_id = id.to_string();
        }
        match template_link(link, &mut types) {
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
) -> Result<cedar_policy_core::ast::Template, String> {
    let given = raw.get().len();
    if given > limits.policy_bytes {
        let limit = limits.policy_bytes;
        return Err(format!("the policy of {given} bytes is longer than {limit} bytes"));
    }
    let json = unambiguous(raw.get()).map_err(|e| e.to_string())?;
    let id = Some(PolicyId::new(key));
    if is_template {
        let template = Template::from_json(id, json).map_err(|e| causes(&e))?;
        Ok(template.as_ref().clone())
    } else {
        let policy = Policy::from_json(id, json).map_err(|e| causes(&e))?;
        Ok(policy.as_ref().template().clone())
    }
}

fn template_link(link: LinkJson<'_>, types: &mut Types) -> Result<TemplateLink, String> {
    let LinkJson { template_id, new_id, values } = link;
    let mut slots =
        TemplateLink { template: template_id, id: new_id, principal: None, resource: None };
    for (slot, value) in values.0 {
        let uid = types.uid(value).map_err(|e| format!("`{slot}` of link `{}`: {e}", slots.id))?;
        match slot.as_str() {
            "?principal" => slots.principal = Some(uid),
            "?resource" => slots.resource = Some(uid),
            _ => return Err(format!("link `{}` fills `{slot}`, which is no slot", slots.id)),
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
        let value = unambiguous(raw.get()).map_err(|e| e.to_string())?;
        let uid = EntityUid::from_json(value).map_err(|e| causes(&e))?;
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
