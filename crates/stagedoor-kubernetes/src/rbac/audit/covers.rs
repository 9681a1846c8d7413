//! What a rule covers, as the authorizer has it.

use super::super::object::PolicyRule;

/// Verbs on resources of an API group, any of each.
#[derive(Debug, Clone, Copy)]
pub(super) struct Access {
    pub(super) verbs: &'static [&'static str],
    pub(super) group: &'static str,
    pub(super) resources: &'static [&'static str],
}

/// A rule, asked what it covers.
#[derive(Debug, Clone, Copy)]
pub(super) struct RuleCoverage<'a> {
    pub(super) rule: &'a PolicyRule,
}

impl RuleCoverage<'_> {
    fn has(list: &[String], wanted: &str) -> bool {
        list.iter().any(|item| item == "*" || item == wanted)
    }

    fn star(list: &[String]) -> bool {
        list.iter().any(|item| item == "*")
    }

    /// Whether it covers every verb on every resource.
    pub(super) fn everything(&self) -> bool {
        Self::star(&self.rule.verbs) && self.every_resource()
    }

    /// Whether it is about every resource of every API group.
    pub(super) fn every_resource(&self) -> bool {
        let PolicyRule { api_groups, resources, resource_names, .. } = self.rule;
        Self::star(api_groups) && Self::star(resources) && resource_names.is_empty()
    }

    pub(super) fn has_verb(&self, verb: &str) -> bool {
        Self::has(&self.rule.verbs, verb)
    }

    /// Returns where there are stars.
    pub(super) fn wildcard(&self) -> Option<&'static str> {
        let PolicyRule { verbs, api_groups, resources, .. } = self.rule;
        if resources.is_empty() {
            return None;
        }
        match (Self::star(verbs), Self::star(resources), Self::star(api_groups)) {
            (true, true, _) => Some("verbs and resources"),
            (true, false, _) => Some("verbs"),
            (false, true, _) => Some("resources"),
            (false, false, true) => Some("apiGroups"),
            (false, false, false) => None,
        }
    }

    pub(super) fn writes(&self) -> bool {
        let reads = ["get", "list", "watch"];
        self.rule.verbs.iter().any(|verb| !reads.contains(&verb.as_str()))
    }

    fn resource(&self, resource: &str) -> bool {
        let by_subresource = resource.split_once('/').map(|(_, sub)| format!("*/{sub}"));
        Self::has(&self.rule.resources, resource)
            || by_subresource.is_some_and(|any| self.rule.resources.contains(&any))
    }

    /// Whether it covers any of these verbs on any of these resources.
    pub(super) fn any(&self, verbs: &[&str], group: &str, resources: &[&str]) -> bool {
        verbs.iter().any(|verb| self.has_verb(verb))
            && Self::has(&self.rule.api_groups, group)
            && resources.iter().any(|resource| self.resource(resource))
    }

    pub(super) fn covers(&self, access: &Access) -> bool {
        // Group `*` means an API group of whatever name.
        let group = if access.group == "*" { None } else { Some(access.group) };
        match group {
            Some(group) => self.any(access.verbs, group, access.resources),
            None => {
                access.verbs.iter().any(|verb| self.has_verb(verb))
                    && access.resources.iter().any(|resource| self.resource(resource))
            }
        }
    }

    /// Whether it covers a key of extra that somebody may impersonate with.
    pub(super) fn extras(&self) -> bool {
        Self::has(&self.rule.api_groups, "authentication.k8s.io")
            && self.rule.resources.iter().any(|resource| {
                resource == "*" || resource.starts_with("userextras/") || resource.starts_with("*/")
            })
    }
}
