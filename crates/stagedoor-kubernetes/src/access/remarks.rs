//! What of policies is likely to be meant otherwise than it holds.

use serde::Serialize;
use stagedoor_analysis::expr::walk;
use stagedoor_analysis::{BinaryOp, EntityUID, Expr, ExprKind, Literal, Var};
use stagedoor_core::Effect;

use super::describe::{Presence, ResourceDescription};
use super::policies::{AccessPolicies, ScopedPolicy};
use super::who_can::id;

/// What kind of remark it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[non_exhaustive]
pub enum PolicyRemarkCode {
    /// A principal is named by an entity id, which is the UID where there is one.
    #[serde(rename = "kubernetes::principal-by-id")]
    PrincipalById,
    /// A forbid is on part of what comes to the same.
    #[serde(rename = "kubernetes::part-of-a-family")]
    PartOfAFamily,
}

impl PolicyRemarkCode {
    /// Returns the stable code.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PrincipalById => "kubernetes::principal-by-id",
            Self::PartOfAFamily => "kubernetes::part-of-a-family",
        }
    }
}

/// Something in a policy that its author should look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PolicyRemark {
    /// What kind of remark it is.
    pub code: PolicyRemarkCode,
    /// The policy.
    pub policy: String,
    /// The file that it is in.
    pub file: String,
    /// The line, from 1, where that is known.
    pub line: Option<usize>,
    /// What it is about.
    pub message: String,
    /// What to do.
    pub help: String,
}

/// Verbs that come to the same on resources of the core group, and the words for it.
struct Family {
    resource: &'static str,
    /// Any of these; nothing is the resource itself.
    subresources: &'static [&'static str],
    verbs: &'static [&'static str],
    what: &'static str,
}

const FAMILIES: [Family; 4] = [
    Family {
        resource: "secrets",
        subresources: &[],
        verbs: &["get", "list", "watch"],
        what: "reads secrets: a list and a watch give what they hold",
    },
    Family {
        resource: "pods",
        subresources: &["exec", "attach", "portforward"],
        verbs: &["create", "get"],
        what: "opens it: a WebSocket begins with a get",
    },
    Family {
        resource: "pods",
        subresources: &["ephemeralcontainers"],
        verbs: &["update", "patch"],
        what: "adds a container to a running pod",
    },
    Family {
        resource: "nodes",
        subresources: &["proxy"],
        verbs: &["get", "create", "update", "patch", "delete"],
        what: "reaches the kubelet, which runs commands for a get too",
    },
];

/// The types of principals, and the attribute or parent by which one names them.
const TYPES: [&str; 3] = ["k8s::User", "k8s::ServiceAccount", "k8s::Node"];

impl AccessPolicies<'_> {
    /// Returns what of the policies is likely to be meant otherwise than it holds.
    ///
    /// # Examples
    ///
    /// ```
    /// use stagedoor_core::Engine;
    /// use stagedoor_kubernetes::SCHEMA;
    /// use stagedoor_kubernetes::access::AccessPolicies;
    ///
    /// let engine = Engine::builder()
    ///     .schema("kubernetes.cedarschema", SCHEMA)
    ///     .policies("team.cedar", r#"
    ///         @id("not-carol")
    ///         forbid (principal == k8s::User::"carol", action, resource);"#)
    ///     .build()?;
    /// let remarks = AccessPolicies::of(&engine)?.remarks();
    /// assert_eq!(remarks[0].code.as_str(), "kubernetes::principal-by-id");
    /// assert_eq!(remarks[0].help, r#"write `principal in k8s::UserName::"carol"`"#);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn remarks(&self) -> Vec<PolicyRemark> {
        let mut remarks = Vec::new();
        for policy in self.policies.iter().chain(&self.watched) {
            remarks.extend(by_id(policy));
            if policy.info.effect() == Effect::Forbid {
                remarks.extend(self.parts_of_families(policy));
            }
        }
        remarks
    }

    /// Returns what a forbid leaves open of what comes to the same.
    fn parts_of_families(&self, policy: &ScopedPolicy<'_>) -> Vec<PolicyRemark> {
        let verbs = self.verbs(policy);
        if verbs.iter().any(|verb| verb == "*") {
            return Vec::new();
        }
        let said = ResourceDescription::of(policy.clauses().into_iter().cloned().collect());
        let named = said.resources.as_deref().unwrap_or_default();
        let is_core = said.groups.as_ref().is_none_or(|groups| groups.iter().any(String::is_empty));
        let mut remarks = Vec::new();
        for family in
            FAMILIES.iter().filter(|family| is_core && named.iter().any(|n| n == family.resource))
        {
            let subresource = match (&said.subresource, family.subresources) {
                (Presence::Any | Presence::Absent, []) => String::new(),
                (Presence::OneOf(given), of) => {
                    match given.iter().find(|given| of.contains(&given.as_str())) {
                        Some(given) => format!("/{given}"),
                        None => continue,
                    }
                }
                _ => continue,
            };
            let is_forbidden = |verb: &&&str| verbs.iter().any(|given| given == **verb);
            let missing: Vec<&str> =
                family.verbs.iter().filter(|verb| !is_forbidden(verb)).copied().collect();
            if missing.is_empty() || missing.len() == family.verbs.len() {
                continue;
            }
            let (resource, missing) = (family.resource, missing.join("`, `"));
            let message = format!(
                "it forbids part of what {}: `{missing}` of `{resource}{subresource}` stays open",
                family.what
            );
            let actions: Vec<String> =
                family.verbs.iter().map(|verb| format!("k8s::Action::\"{verb}\"")).collect();
            let help = format!("write `action in [{}]`", actions.join(", "));
            remarks.push(remark(policy, PolicyRemarkCode::PartOfAFamily, message, help));
        }
        remarks
    }
}

/// Returns what is said of principals that a policy names by their ids.
fn by_id(policy: &ScopedPolicy<'_>) -> Option<PolicyRemark> {
    let is_principal = |uid: &&EntityUID| TYPES.contains(&uid.entity_type().to_string().as_str());
    let scope = &policy.parsed.scope.principal;
    let of_scope = scope.entity.as_ref().filter(|_| scope.exact).filter(is_principal);
    let compared = || policy.clauses().into_iter().flat_map(compared_with);
    let uid = of_scope.or_else(|| compared().find(is_principal))?;
    let (type_name, id) = (uid.entity_type().to_string(), id(uid));
    let message = format!(
        "`{type_name}::\"{id}\"` is compared with the UID, where a request has one, and with the \
         name only where it has none"
    );
    let help = format!("write `principal in k8s::UserName::\"{}\"`", user_name(&type_name, &id));
    Some(remark(policy, PolicyRemarkCode::PrincipalById, message, help))
}

/// Returns the entities that a clause compares the principal with.
fn compared_with(clause: &Expr) -> Vec<&EntityUID> {
    let mut found = Vec::new();
    walk(clause, |part| {
        let ExprKind::BinaryApp { op: BinaryOp::Eq | BinaryOp::In, arg1, arg2 } = part.expr_kind()
        else {
            return;
        };
        if matches!(arg1.expr_kind(), ExprKind::Var(Var::Principal)) {
            walk(arg2, |entity| {
                if let ExprKind::Lit(Literal::EntityUID(uid)) = entity.expr_kind() {
                    found.push(uid.as_ref());
                }
            });
        }
    });
    found
}

/// Returns the user name that an id was meant for.
fn user_name(type_name: &str, id: &str) -> String {
    match type_name {
        "k8s::Node" if !id.starts_with("system:node:") => format!("system:node:{id}"),
        "k8s::ServiceAccount" if !id.starts_with("system:serviceaccount:") => {
            format!("system:serviceaccount:NAMESPACE:{id}")
        }
        _ => id.to_owned(),
    }
}

fn remark(
    policy: &ScopedPolicy<'_>,
    code: PolicyRemarkCode,
    message: String,
    help: String,
) -> PolicyRemark {
    let info = &policy.info;
    let (policy, file, line) = (info.id().to_owned(), info.file().to_owned(), info.line());
    PolicyRemark { code, policy, file, line, message, help }
}

#[cfg(test)]
mod tests {
    use stagedoor_core::Engine;

    use super::*;
    use crate::starter::{SCHEMA, STARTER_POLICIES};

    fn codes(policies: &str) -> Result<Vec<&'static str>, Box<dyn std::error::Error>> {
        let engine = Engine::builder().schema("s", SCHEMA).policies("p", policies).build()?;
        Ok(AccessPolicies::of(&engine)?
            .remarks()
            .iter()
            .map(|remark| remark.code.as_str())
            .collect())
    }

    #[test]
    fn what_is_meant_otherwise_is_told() -> Result<(), Box<dyn std::error::Error>> {
        let secrets = "when { resource.resource == \"secrets\" && resource.apiGroup == \"\" }";
        let exec = "when { resource.resource == \"pods\" && resource has subresource && \
                    [\"exec\", \"attach\"].contains(resource.subresource) }";
        let verb = |verb: &str, condition: &str| {
            format!(
                "@id(\"x\") forbid (principal, action == k8s::Action::\"{verb}\", \
                 resource is k8s::Resource) {condition};"
            )
        };
        let by_id = "kubernetes::principal-by-id";
        let part = "kubernetes::part-of-a-family";
        for (policy, expected) in [
            (verb("get", secrets), vec![part]),
            (verb("readOnly", secrets).replace("==", "in").replace("in \"", "== \""), vec![]),
            (verb("create", secrets), vec![]),
            (verb("create", exec), vec![part]),
            (verb("get", ""), vec![]),
            (
                "@id(\"x\") permit (principal == k8s::ServiceAccount::\"bot\", action, resource);"
                    .to_owned(),
                vec![by_id],
            ),
            (
                "@id(\"x\") forbid (principal, action, resource) \
                 when { principal == k8s::User::\"carol\" };"
                    .to_owned(),
                vec![by_id],
            ),
            (
                "@id(\"x\") forbid (principal in k8s::UserName::\"carol\", action, resource);"
                    .to_owned(),
                vec![],
            ),
        ] {
            assert_eq!(codes(&policy)?, expected, "{policy}");
        }
        Ok(())
    }

    #[test]
    fn the_starter_policies_need_no_remark() -> Result<(), Box<dyn std::error::Error>> {
        let builder = Engine::builder().schema("s", SCHEMA);
        let builder =
            STARTER_POLICIES.iter().fold(builder, |b, (name, text)| b.policies(*name, *text));
        assert_eq!(AccessPolicies::of(&builder.build()?)?.remarks(), []);
        Ok(())
    }
}
