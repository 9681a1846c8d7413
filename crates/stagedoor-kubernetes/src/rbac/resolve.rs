//! Puts bindings, roles and subjects together: who is granted which rule, and where.

use std::collections::HashSet;

use super::aggregation;
use super::object::{Binding, BindingKind, PolicyRule, Role, RoleKind};
use super::objects::{RbacError, RbacObjects};
use super::unmatchable;
use super::warning::RbacWarning;

/// Roles with their aggregated rules, and what is bound of them.
#[derive(Debug, Clone)]
pub struct ResolvedRbac {
    roles: Vec<Role>,
    bindings: Vec<ResolvedBinding>,
    warnings: Vec<RbacWarning>,
}

#[derive(Debug, Clone)]
struct ResolvedBinding {
    binding: Binding,
    role: Option<usize>,
    grantees: Vec<Grantee>,
}

/// Who is granted something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Grantee {
    /// The bearer of this user name, which may be that of a service account.
    User(String),
    /// The members of this group.
    Group(String),
}

impl Grantee {
    /// Returns the kind of subject that is granted something, as a binding writes it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::User(name) if name.starts_with("system:serviceaccount:") => "ServiceAccount",
            Self::User(_) => "User",
            Self::Group(_) => "Group",
        }
    }

    /// Returns the user name or the name of the group.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::User(name) | Self::Group(name) => name,
        }
    }
}

/// A rule of a role that a binding grants to somebody.
#[derive(Debug, Clone, Copy)]
pub struct Grant<'a> {
    pub(crate) binding: &'a Binding,
    pub(crate) grantee: &'a Grantee,
    pub(crate) role: &'a Role,
    pub(crate) number: usize,
    pub(crate) rule: &'a PolicyRule,
}

impl<'a> Grant<'a> {
    /// Returns the binding.
    #[must_use]
    pub fn binding(&self) -> &'a Binding {
        self.binding
    }

    /// Returns who is granted the rule.
    #[must_use]
    pub fn grantee(&self) -> &'a Grantee {
        self.grantee
    }

    /// Returns the role.
    #[must_use]
    pub fn role(&self) -> &'a Role {
        self.role
    }

    /// Returns the rule.
    #[must_use]
    pub fn rule(&self) -> &'a PolicyRule {
        self.rule
    }

    /// Returns the number of the rule in its role, from 0.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// Returns the namespace that the grant is confined to, or nothing for the whole cluster.
    #[must_use]
    pub fn namespace(&self) -> Option<&'a str> {
        match self.binding.kind {
            BindingKind::ClusterRoleBinding => None,
            BindingKind::RoleBinding => Some(&self.binding.namespace),
        }
    }
}

impl RbacObjects {
    /// Puts bindings, roles and subjects together.
    ///
    /// Whatever cannot be put together grants nothing and is warned of, as the authorizer has it.
    ///
    /// # Errors
    ///
    /// [`RbacError::TooManyAggregated`] for aggregation that no cluster could hold.
    pub fn resolve(&self) -> Result<ResolvedRbac, RbacError> {
        let mut warnings = self.warnings().to_vec();
        let mut roles = self.roles().to_vec();
        aggregation::fill(&mut roles, &mut warnings)?;
        for role in &roles {
            warn_of_role(role, &mut warnings);
            unmatchable::warn_of_role(role, &mut warnings);
        }
        let bindings: Vec<ResolvedBinding> = self
            .bindings()
            .iter()
            .map(|binding| ResolvedBinding {
                binding: binding.clone(),
                role: self.role_of(binding, &mut warnings),
                grantees: grantees(binding, &mut warnings),
            })
            .collect();
        for resolved in &bindings {
            let role = resolved.role.and_then(|at| roles.get(at));
            unmatchable::warn_of_binding(&resolved.binding, role, &mut warnings);
        }
        Ok(ResolvedRbac { roles, bindings, warnings })
    }

    fn role_of(&self, binding: &Binding, warnings: &mut Vec<RbacWarning>) -> Option<usize> {
        let name = &binding.role.name;
        let object = binding.to_string();
        let is_namespaced = binding.kind == BindingKind::RoleBinding;
        if is_namespaced && binding.namespace.is_empty() {
            warnings.push(RbacWarning::NoNamespace { object });
            return None;
        }
        let (kind, namespace) = match binding.role.kind.as_str() {
            "ClusterRole" => (RoleKind::ClusterRole, ""),
            "Role" if is_namespaced => (RoleKind::Role, binding.namespace.as_str()),
            "Role" => {
                let role = name.clone();
                warnings.push(RbacWarning::ClusterBindingToRole { binding: object, role });
                return None;
            }
            kind => {
                let kind = kind.to_owned();
                warnings.push(RbacWarning::UnknownRoleKind { binding: object, kind });
                return None;
            }
        };
        let found = self.role_at(kind, namespace, name);
        if found.is_none() {
            let role = match kind {
                RoleKind::ClusterRole => format!("ClusterRole/{name}"),
                RoleKind::Role => format!("Role/{namespace}/{name}"),
            };
            warnings.push(RbacWarning::MissingRole { binding: object, role });
        }
        found
    }
}

fn warn_of_role(role: &Role, warnings: &mut Vec<RbacWarning>) {
    if role.kind == RoleKind::Role && role.namespace.is_empty() {
        warnings.push(RbacWarning::NoNamespace { object: role.to_string() });
    }
    for (number, rule) in role.rules.iter().enumerate() {
        let reason = if rule.verbs.is_empty() {
            "it has no verbs"
        } else if rule.non_resource_urls.is_empty() && rule.resources.is_empty() {
            "it has neither resources nor nonResourceURLs"
        } else if rule.non_resource_urls.is_empty() && rule.api_groups.is_empty() {
            "it has no apiGroups"
        } else if rule.resources.is_empty() && role.kind == RoleKind::Role {
            "a Role reaches no nonResourceURLs"
        } else {
            continue;
        };
        let role = role.to_string();
        warnings.push(RbacWarning::EmptyRule { role, rule: number, reason });
    }
}

/// Returns whom a binding grants something, each once.
fn grantees(binding: &Binding, warnings: &mut Vec<RbacWarning>) -> Vec<Grantee> {
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    for (number, subject) in binding.subjects.iter().enumerate() {
        let grantee = match subject.kind.as_str() {
            "User" => Grantee::User(subject.name.clone()),
            "Group" => Grantee::Group(subject.name.clone()),
            "ServiceAccount" => {
                let own = Some(&subject.namespace).filter(|namespace| !namespace.is_empty());
                let namespace = own.unwrap_or(&binding.namespace);
                if namespace.is_empty() {
                    let binding = binding.to_string();
                    let subject = number;
                    warnings.push(RbacWarning::SubjectWithoutNamespace { binding, subject });
                    continue;
                }
                Grantee::User(format!("system:serviceaccount:{namespace}:{}", subject.name))
            }
            kind => {
                warnings.push(RbacWarning::UnknownSubjectKind {
                    binding: binding.to_string(),
                    subject: number,
                    kind: kind.to_owned(),
                });
                continue;
            }
        };
        if seen.insert(grantee.clone()) {
            found.push(grantee);
        }
    }
    found
}

impl ResolvedRbac {
    /// Returns everything that is granted, binding by binding.
    pub fn grants(&self) -> impl Iterator<Item = Grant<'_>> {
        self.bindings.iter().flat_map(|resolved| {
            let ResolvedBinding { binding, role, grantees } = resolved;
            let role = role.and_then(|at| self.roles.get(at));
            grantees.iter().flat_map(move |grantee| {
                role.into_iter().flat_map(move |role| {
                    role.rules.iter().enumerate().map(move |(number, rule)| Grant {
                        binding,
                        grantee,
                        role,
                        number,
                        rule,
                    })
                })
            })
        })
    }

    /// Returns the bindings, each with its role and whom it is for.
    pub(crate) fn bindings(&self) -> impl Iterator<Item = (&Binding, Option<&Role>, &[Grantee])> {
        self.bindings.iter().map(|resolved| {
            let role = resolved.role.and_then(|at| self.roles.get(at));
            (&resolved.binding, role, resolved.grantees.as_slice())
        })
    }

    /// Returns the roles, with aggregated rules.
    #[must_use]
    pub fn roles(&self) -> &[Role] {
        &self.roles
    }

    /// Returns what grants nothing.
    #[must_use]
    pub fn warnings(&self) -> &[RbacWarning] {
        &self.warnings
    }
}
