//! What can somebody do?

use serde::Serialize;
use stagedoor_analysis::{ActionScope, KnownEntity, KnownRequest};
use stagedoor_core::Effect;

use super::describe::{Presence, ResourceDescription};
use super::facts::{anything, join, of_subject};
use super::policies::{AccessPolicies, ScopedPolicy, joined};
use super::who_can::{id, namespace};
use crate::impersonation::{AUTHENTICATION, is_constrained};
use crate::names::NAMES;
use crate::subject::Subject;
use crate::vocabulary::UNLISTED_VERB;

/// Whether a policy lets somebody do something or keeps them from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PermissionEffect {
    /// It permits.
    Permit,
    /// It forbids, whatever else permits.
    Forbid,
}

/// What one policy lets somebody do, or keeps them from, in the words of a role's rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Permission {
    /// Which of both.
    pub effect: PermissionEffect,
    /// The verbs; `*` is every verb.
    pub verbs: Vec<String>,
    /// The API groups; `*` is every group, the empty string the core group.
    pub api_groups: Vec<String>,
    /// Resources with their subresources; `*` is every resource and `pods/*` every
    /// subresource of pods, unlike in a role.
    pub resources: Vec<String>,
    /// The names of objects; none given is every name.
    pub resource_names: Vec<String>,
    /// Paths outside the resource API.
    #[serde(rename = "nonResourceURLs")]
    pub non_resource_urls: Vec<String>,
    /// The namespaces; none given is the whole cluster.
    pub namespaces: Vec<String>,
    /// The policy, or the binding that it comes from.
    pub policy: String,
    /// On what else it depends, in Cedar's words.
    pub condition: Option<String>,
    /// The custom rules that have to say yes as well.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub guards: Vec<String>,
}

impl AccessPolicies<'_> {
    /// Returns what policies say of somebody: first what they permit, then what they forbid.
    ///
    /// A service account is in the groups that Kubernetes puts it in, whether given or not.
    #[must_use]
    pub fn what_can(&self, subject: &Subject) -> Vec<Permission> {
        self.permissions(&of_subject(subject), |_| true)
    }

    /// Returns what policies say of the members of a group, whoever else they are.
    #[must_use]
    pub fn what_can_members_of(&self, group: &str) -> Vec<Permission> {
        let mut member = anything();
        join(&mut member, &NAMES.group, group);
        let of_group =
            |policy: &ScopedPolicy<'_>| member.meets(&policy.parsed.scope.principal) == Some(true);
        self.permissions(&member, of_group)
    }

    fn permissions(
        &self,
        principal: &KnownEntity,
        counts: impl Fn(&ScopedPolicy<'_>) -> bool,
    ) -> Vec<Permission> {
        let mut found = Vec::new();
        for (of, effect) in
            [(Effect::Permit, PermissionEffect::Permit), (Effect::Forbid, PermissionEffect::Forbid)]
        {
            for policy in self.of_effect(of).filter(|policy| counts(policy)) {
                found.extend(self.permission(policy, effect, principal));
            }
        }
        found
    }

    fn permission(
        &self,
        policy: &ScopedPolicy<'_>,
        effect: PermissionEffect,
        principal: &KnownEntity,
    ) -> Option<Permission> {
        let scope = &policy.parsed.scope;
        if principal.meets(&scope.principal) == Some(false) {
            return None;
        }
        let mut known = KnownRequest {
            principal: principal.clone(),
            resource: KnownEntity { type_name: scope.resource.is_type.clone(), ..anything() },
            ..KnownRequest::default()
        };
        let namespaces: Vec<String> = namespace(&scope.resource).into_iter().collect();
        for namespace in &namespaces {
            join(&mut known.resource, &NAMES.namespace, namespace);
        }
        let only = scope.resource.entity.as_ref().filter(|_| scope.resource.exact);
        if let Some(uid) = only {
            known.resource.type_name = Some(uid.entity_type().clone());
            known.resource.id = Some(id(uid).into());
        }
        let described = ResourceDescription::of(policy.open(&known, true)?);
        let mut verbs = self.verbs(policy);
        if let Some(named) = &described.verbs {
            verbs.clone_from(named);
        }
        let mut permission = Permission {
            effect,
            verbs,
            api_groups: Vec::new(),
            resources: Vec::new(),
            resource_names: Vec::new(),
            non_resource_urls: Vec::new(),
            namespaces,
            policy: policy.info.id().to_owned(),
            condition: None,
            guards: policy.guards(),
        };
        let type_name = known.resource.type_name.map(|name| name.to_string());
        permission.describe(type_name.as_deref(), described, only.map(id));
        let is_about_something =
            !permission.resources.is_empty() || !permission.non_resource_urls.is_empty();
        is_about_something.then_some(permission)
    }

    pub(super) fn verbs(&self, policy: &ScopedPolicy<'_>) -> Vec<String> {
        let uids = match &policy.parsed.scope.action {
            ActionScope::Is(uid) => std::slice::from_ref(uid),
            ActionScope::In(uids) => uids.as_slice(),
            _ => return vec!["*".to_owned()],
        };
        let mut verbs: Vec<String> = uids.iter().flat_map(|uid| self.members(uid)).collect();
        for verb in &mut verbs {
            if verb == UNLISTED_VERB {
                "(any undeclared verb)".clone_into(verb);
            }
        }
        verbs.dedup();
        verbs
    }
}

impl Permission {
    /// Puts what clauses say in the words of a rule.
    fn describe(
        &mut self,
        type_name: Option<&str>,
        mut said: ResourceDescription,
        only: Option<String>,
    ) {
        if let Presence::OneOf(namespaces) = &said.namespace {
            self.namespaces.extend(namespaces.iter().cloned());
        }
        let star = || vec!["*".to_owned()];
        let ids = said.ids.take().or_else(|| only.map(|id| vec![id]));
        let kind = type_name.and_then(|name| name.strip_prefix("k8s::"));
        let is_constrained = self.verbs.iter().all(|verb| is_constrained(verb));
        let core = if is_constrained { AUTHENTICATION } else { "" };
        let (group, resource) = match kind {
            Some("NonResourceURL") => {
                self.non_resource_urls = said.paths.take().or(ids).unwrap_or_else(star);
                self.note(&said);
                return;
            }
            Some("Node") if is_constrained => (AUTHENTICATION, "nodes"),
            Some("User" | "Node") => (core, "users"),
            Some("Group") => (core, "groups"),
            Some("ServiceAccount") => (core, "serviceaccounts"),
            Some("PrincipalUID") => (AUTHENTICATION, "uids"),
            Some("Extra") => {
                let keys = ids.or(match &said.key {
                    Presence::OneOf(keys) => Some(keys.clone()),
                    _ => None,
                });
                self.api_groups = vec![AUTHENTICATION.to_owned()];
                self.resources = keys
                    .unwrap_or_else(star)
                    .iter()
                    .map(|key| format!("userextras/{key}"))
                    .collect();
                self.names(&said, None);
                self.note(&said);
                return;
            }
            _ => {
                self.api_groups = said.groups.take().unwrap_or_else(star);
                self.resources = resources(&said);
                if kind.is_none() && !said.no_paths && self.namespaces.is_empty() {
                    self.non_resource_urls = said.paths.take().unwrap_or_else(star);
                }
                self.names(&said, ids);
                self.note(&said);
                return;
            }
        };
        self.api_groups = vec![group.to_owned()];
        self.resources = vec![resource.to_owned()];
        self.names(&said, ids);
        self.note(&said);
    }

    fn names(&mut self, said: &ResourceDescription, ids: Option<Vec<String>>) {
        if let Presence::OneOf(names) = &said.name {
            self.resource_names.clone_from(names);
        }
        self.resource_names.extend(ids.into_iter().flatten());
    }

    /// Keeps what there are no words for.
    fn note(&mut self, said: &ResourceDescription) {
        let mut notes = Vec::new();
        for (part, name) in [(&said.name, "name"), (&said.namespace, "namespace")] {
            match part {
                Presence::Absent => notes.push(format!("!(resource has {name})")),
                Presence::Present => notes.push(format!("resource has {name}")),
                Presence::Any | Presence::OneOf(_) => {}
            }
        }
        notes.extend(joined(&said.rest));
        self.condition = (!notes.is_empty()).then(|| notes.join(" && "));
    }
}

fn resources(said: &ResourceDescription) -> Vec<String> {
    let star = ["*".to_owned()];
    let named = said.resources.as_deref().unwrap_or(&star);
    let with = |subresource: &str| named.iter().map(|r| format!("{r}/{subresource}")).collect();
    match &said.subresource {
        // RBAC takes `pods/log` for the name of a resource, too, and none is called that.
        Presence::Absent => named.iter().filter(|name| !name.contains('/')).cloned().collect(),
        Presence::Any if said.resources.is_none() => star.to_vec(),
        Presence::Any => {
            let all: Vec<String> = with("*");
            named.iter().cloned().chain(all).collect()
        }
        Presence::Present => with("*"),
        Presence::OneOf(subresources) => named
            .iter()
            .flat_map(|r| subresources.iter().map(move |s| format!("{r}/{s}")))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use stagedoor_core::Engine;

    use super::*;

    /// Authorization and admission have actions of the same ids, in groups of their own.
    #[test]
    fn verbs_of_admission_are_its_own() -> Result<(), Box<dyn std::error::Error>> {
        let engine = Engine::builder()
            .schema("kubernetes.cedarschema", crate::SCHEMA)
            .schema("admission.cedarschema", crate::admission::SCHEMA)
            .policies(
                "a.cedar",
                r#"permit (principal, action in k8s::admission::Action::"all", resource);"#,
            )
            .build()?;
        // More than once: which of the two was found first was a matter of chance.
        for _ in 0..8 {
            let found = AccessPolicies::of(&engine)?.what_can(&Subject::new("vera"));
            let verbs = found.first().map(|permission| permission.verbs.as_slice());
            let expected = ["connect", "create", "delete", "update"].map(str::to_owned);
            assert_eq!(verbs, Some(expected.as_slice()));
        }
        Ok(())
    }
}
