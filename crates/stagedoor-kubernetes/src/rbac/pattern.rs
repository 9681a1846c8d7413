//! What one rule comes to in Cedar: patterns, each of which is one policy's condition.
//!
//! A rule becomes several patterns where one conjunction does not say it: one for what is
//! named without a subresource, one for each set of resources with the same subresources, and
//! one for each kind of somebody that may be impersonated. Conjunctions of comparisons are
//! what an engine's index can use.
//!
//! INVARIANT: a request matches a rule exactly if it matches one of the rule's patterns.

use std::collections::{BTreeMap, BTreeSet};

use super::object::PolicyRule;
use super::verbs::{Actions, Verbs};
use crate::impersonation::{AUTHENTICATION, Impersonation};
use crate::resource::ResourceKind;
use crate::subject::Identity;

type Names = BTreeSet<String>;

/// One policy's actions, resources and conditions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Pattern {
    pub(crate) actions: Actions,
    pub(crate) target: Target,
}

/// What a pattern is about. `None` in place of names is every name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Target {
    /// Every request to the resource API, impersonation too.
    Everything,
    Objects(Objects),
    /// Somebody to impersonate, by entity id.
    Users(Option<Names>),
    Nodes(Option<Names>),
    Groups(Option<Names>),
    PrincipalUids(Option<Names>),
    /// Service accounts to impersonate, by name.
    ServiceAccounts(Option<Names>),
    /// Keys of extra to impersonate with, and their values.
    Extras {
        keys: Option<Names>,
        value: FieldPattern,
    },
    /// Paths outside the resource API.
    EveryPath,
    Paths(Names),
    /// Paths that start with any of these.
    PathPrefixes(Names),
}

/// Objects of the resource API.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Objects {
    pub(crate) groups: Option<Names>,
    pub(crate) resources: Option<Names>,
    pub(crate) subresource: FieldPattern,
    pub(crate) name: FieldPattern,
}

/// An optional part of a request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum FieldPattern {
    Any,
    Absent,
    OneOf(Names),
}

/// Returns the patterns of a rule, granted in one namespace or in the whole cluster.
pub(crate) fn patterns(rule: &PolicyRule, in_namespace: bool, verbs: &Verbs) -> Vec<Pattern> {
    let mut patterns = Vec::new();
    if !rule.resources.is_empty() && !rule.api_groups.is_empty() {
        resource_patterns(rule, in_namespace, verbs, &mut patterns);
    }
    // A request for a path has no namespace.
    if !in_namespace {
        for target in paths(&rule.non_resource_urls) {
            for actions in verbs.actions(&rule.verbs, ResourceKind::NonResourceUrl) {
                patterns.push(Pattern { actions, target: target.clone() });
            }
        }
    }
    patterns
}

fn resource_patterns(
    rule: &PolicyRule,
    in_namespace: bool,
    verbs: &Verbs,
    patterns: &mut Vec<Pattern>,
) {
    let is_every = |list: &[String]| list.iter().any(|item| item == "*");
    let every_verb = is_every(&rule.verbs);
    let groups = (!is_every(&rule.api_groups)).then(|| names(&rule.api_groups));
    let every_resource = is_every(&rule.resources);
    if every_verb && groups.is_none() && every_resource && rule.resource_names.is_empty() {
        patterns.push(Pattern { actions: Actions::All, target: Target::Everything });
        return;
    }
    for actions in verbs.actions(&rule.verbs, ResourceKind::Resource) {
        for (resources, subresource) in resources(&rule.resources) {
            for name in parts(&rule.resource_names) {
                let (groups, resources) = (groups.clone(), resources.clone());
                let subresource = subresource.clone();
                let target = Target::Objects(Objects { groups, resources, subresource, name });
                patterns.push(Pattern { actions: actions.clone(), target });
            }
        }
    }
    for actions in Verbs::impersonation(&rule.verbs, |asked| asked != Impersonation::Request) {
        let targets = match actions {
            Actions::Impersonate => impersonated(rule, in_namespace),
            _ => constrained(rule, in_namespace),
        };
        patterns
            .extend(targets.into_iter().map(|target| Pattern { actions: actions.clone(), target }));
    }
}

/// Returns resources with their subresources.
///
/// The authorizer compares `resource` or `resource/subresource` with what the rule names, so
/// a name with slashes stands for each way to take it apart, and for the whole as a resource.
fn resources(listed: &[String]) -> Vec<(Option<Names>, FieldPattern)> {
    if listed.iter().any(|resource| resource == "*") {
        return vec![(None, FieldPattern::Any)];
    }
    let mut of_any: Names = Names::new();
    let mut by_subresource: BTreeMap<&str, Names> = BTreeMap::new();
    for resource in listed {
        if let Some(subresource) = resource.strip_prefix("*/").filter(|s| !s.is_empty()) {
            of_any.insert(subresource.to_owned());
        }
        for (slash, _) in resource.match_indices('/') {
            let (before, after) = resource.split_at(slash);
            let after = after.strip_prefix('/').unwrap_or_default();
            if !after.is_empty() {
                by_subresource.entry(after).or_default().insert(before.to_owned());
            }
        }
    }
    // Resources that share their subresources stand together.
    let mut by_resources: BTreeMap<Names, Names> = BTreeMap::new();
    for (subresource, resources) in by_subresource {
        if !of_any.contains(subresource) {
            by_resources.entry(resources).or_default().insert(subresource.to_owned());
        }
    }
    let mut all = vec![(Some(names(listed)), FieldPattern::Absent)];
    all.extend(
        by_resources
            .into_iter()
            .map(|(resources, subs)| (Some(resources), FieldPattern::OneOf(subs))),
    );
    if !of_any.is_empty() {
        all.push((None, FieldPattern::OneOf(of_any)));
    }
    all
}

/// Returns what a list of names lets through; the empty name is that of a request without one.
fn parts(names: &[String]) -> Vec<FieldPattern> {
    if names.is_empty() {
        return vec![FieldPattern::Any];
    }
    let given: Names = names.iter().filter(|name| !name.is_empty()).cloned().collect();
    let mut parts = Vec::new();
    if names.iter().any(String::is_empty) {
        parts.push(FieldPattern::Absent);
    }
    if !given.is_empty() {
        parts.push(FieldPattern::OneOf(given));
    }
    parts
}

/// Returns whom a rule lets one impersonate: the requests that are about somebody, not a
/// `k8s::Resource`. Only service accounts have a namespace.
fn impersonated(rule: &PolicyRule, in_namespace: bool) -> Vec<Target> {
    let has = |list: &[String], wanted: &str| list.iter().any(|i| i == "*" || i == wanted);
    let core = has(&rule.api_groups, "");
    let every_name = rule.resource_names.is_empty();
    let given = || (!every_name).then(|| names(&rule.resource_names));
    let mut targets = Vec::new();
    if core && has(&rule.resources, "serviceaccounts") {
        targets.push(Target::ServiceAccounts(given()));
    }
    if in_namespace {
        return targets;
    }
    if core && has(&rule.resources, "users") {
        let is_node = |name: &&String| matches!(Identity::of(name), Identity::Node { .. });
        let (nodes, users): (Names, Names) =
            rule.resource_names.iter().cloned().partition(|name| is_node(&name));
        targets.extend(
            (every_name || !users.is_empty())
                .then(|| Target::Users((!every_name).then_some(users))),
        );
        targets.extend(
            (every_name || !nodes.is_empty())
                .then(|| Target::Nodes((!every_name).then_some(nodes))),
        );
    }
    if core && has(&rule.resources, "groups") {
        targets.push(Target::Groups(given()));
    }
    if has(&rule.api_groups, AUTHENTICATION) {
        if has(&rule.resources, "uids") {
            targets.push(Target::PrincipalUids(given()));
        }
        if let Some(keys) = extra_keys(&rule.resources) {
            let extras = |value| Target::Extras { keys: keys.clone(), value };
            targets.extend(parts(&rule.resource_names).into_iter().map(extras));
        }
    }
    targets
}

/// Returns whom a rule lets one impersonate for some requests, by the newer verbs.
fn constrained(rule: &PolicyRule, in_namespace: bool) -> Vec<Target> {
    let has = |list: &[String], wanted: &str| list.iter().any(|i| i == "*" || i == wanted);
    let mut targets = Vec::new();
    if !has(&rule.api_groups, AUTHENTICATION) {
        return targets;
    }
    let given = || (!rule.resource_names.is_empty()).then(|| names(&rule.resource_names));
    if has(&rule.resources, "serviceaccounts") {
        targets.push(Target::ServiceAccounts(given()));
    }
    if in_namespace {
        return targets;
    }
    if has(&rule.resources, "users") {
        targets.push(Target::Users(given()));
    }
    if has(&rule.resources, "nodes") {
        let named = |names: Names| names.iter().map(|name| format!("system:node:{name}")).collect();
        targets.push(Target::Nodes(given().map(named)));
    }
    if has(&rule.resources, "groups") {
        targets.push(Target::Groups(given()));
    }
    if has(&rule.resources, "uids") {
        targets.push(Target::PrincipalUids(given()));
    }
    if let Some(keys) = extra_keys(&rule.resources) {
        let extras = |value| Target::Extras { keys: keys.clone(), value };
        targets.extend(parts(&rule.resource_names).into_iter().map(extras));
    }
    targets
}

/// Returns the keys of extra that are among resources, `Some(None)` for every key.
fn extra_keys(resources: &[String]) -> Option<Option<Names>> {
    if resources.iter().any(|resource| resource == "*") {
        return Some(None);
    }
    let key = |resource: &String| match resource.as_str() {
        "userextras" => Some(String::new()),
        other => ["userextras/", "*/"]
            .iter()
            .find_map(|prefix| other.strip_prefix(prefix))
            .filter(|key| !key.is_empty())
            .map(str::to_owned),
    };
    let keys: Names = resources.iter().filter_map(key).collect();
    (!keys.is_empty()).then_some(Some(keys))
}

/// Returns the paths of a rule: `*` at the end makes a prefix, and alone every path.
fn paths(listed: &[String]) -> Vec<Target> {
    let (mut exact, mut prefixes) = (Names::new(), Names::new());
    for path in listed {
        match path.strip_suffix('*') {
            // All trailing stars count as one.
            Some(_) => prefixes.insert(path.trim_end_matches('*').to_owned()),
            None => exact.insert(path.clone()),
        };
    }
    if prefixes.contains("") {
        return vec![Target::EveryPath];
    }
    let mut targets = Vec::new();
    if !exact.is_empty() {
        targets.push(Target::Paths(exact));
    }
    if !prefixes.is_empty() {
        targets.push(Target::PathPrefixes(prefixes));
    }
    targets
}

fn names(list: &[String]) -> Names {
    list.iter().cloned().collect()
}
