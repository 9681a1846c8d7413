//! Literals that a platform never has: a kind in upper case, an API group with a version.

use std::collections::BTreeSet;

use stagedoor_analysis::{BinaryOp, EntityUID, Expr, ExprKind, Fact, Literal, Var};
use stagedoor_backstage::EntityRef;
use stagedoor_kubernetes::rbac::{
    unmatchable_in_namespace, unmatchable_path, unmatchable_resource,
};

use super::codes::LintCode;
use super::finding::{LintFinding, LintPlace};
use super::normal::Normal;
use crate::platform::Platform;

/// Types whose ids are full references in lower case.
const REFERENCES: [&str; 3] = ["Backstage::User", "Backstage::Group", "Backstage::CatalogEntity"];

/// Returns the findings about words of a platform.
pub(super) fn of(policies: &[Normal<'_>], platform: Platform) -> Vec<LintFinding> {
    let mut findings = Vec::new();
    let mut seen = BTreeSet::new();
    for policy in policies {
        // Links share the text with their template, not the entities of its slots.
        let told = match platform {
            Platform::Backstage => backstage(policy),
            Platform::Kubernetes => kubernetes(policy),
            Platform::Cedar => return findings,
        };
        for message in told {
            if seen.insert((policy.info.file(), policy.info.line(), message.clone())) {
                let place = LintPlace::of(policy.info);
                findings.push(LintFinding::new(LintCode::Unmatchable, place, message));
            }
        }
    }
    findings
}

fn backstage(policy: &Normal<'_>) -> BTreeSet<String> {
    let mut told = BTreeSet::new();
    let mut add = |message: Option<String>| told.extend(message);
    policy.visit(|expr| match expr.expr_kind() {
        ExprKind::Lit(Literal::EntityUID(uid)) => add(about_entity(uid)),
        ExprKind::BinaryApp { op, arg1, arg2 } => match op {
            BinaryOp::Eq | BinaryOp::Contains | BinaryOp::ContainsAny | BinaryOp::ContainsAll => {
                add(compared(arg1, arg2).or_else(|| compared(arg2, arg1)))
            }
            BinaryOp::HasTag | BinaryOp::GetTag => {
                strings(arg2).into_iter().for_each(|key| add(about_tag(arg1, key)));
            }
            _ => {}
        },
        _ => {}
    });
    // Those of the scope.
    for fact in policy.facts() {
        if matches!(fact.term(), "principal" | "resource") {
            told.extend(fact.entities().filter_map(about_entity));
        }
    }
    told
}

fn about_entity(uid: &EntityUID) -> Option<String> {
    let is_reference = REFERENCES.contains(&uid.entity_type().to_string().as_str());
    is_reference.then(|| about_reference(uid.eid().as_ref())).flatten()
}

fn about_reference(id: &str) -> Option<String> {
    let is_full = id.contains(':') && id.contains('/');
    match id.parse::<EntityRef>() {
        Ok(reference) if is_full => {
            let meant = reference.to_string();
            (meant != id).then(|| {
                format!("nothing is called `{id}`: references are in lower case, `{meant}`")
            })
        }
        _ => Some(format!("`{id}` is not a full reference: write `kind:namespace/name`")),
    }
}

/// Returns what is wrong with literals that something of the resource is compared with.
fn compared(of: &Expr, literals: &Expr) -> Option<String> {
    let of = part_of_resource(of).or_else(|| is_reference(of).then_some(WordPart::Owners))?;
    let wrong = |text: &str| match of {
        WordPart::Owners => about_reference(text),
        WordPart::Row | WordPart::Word => (text != text.to_lowercase()).then(|| {
            let meant = text.to_lowercase();
            format!("the catalog has no `{text}` here: its words are in lower case, `{meant}`")
        }),
    };
    strings(literals).into_iter().find_map(wrong)
}

/// What of a catalog entity a condition reads.
#[derive(Clone, Copy)]
enum WordPart {
    /// `kind`, `namespace`, `name`.
    Word,
    /// References of owners.
    Owners,
    /// A row of the search.
    Row,
}

fn part_of_resource(expr: &Expr) -> Option<WordPart> {
    match expr.expr_kind() {
        ExprKind::GetAttr { expr, attr } if is_resource(expr) => match attr.as_str() {
            "kind" | "namespace" | "name" => Some(WordPart::Word),
            "owners" => Some(WordPart::Owners),
            _ => None,
        },
        ExprKind::BinaryApp { op: BinaryOp::GetTag, arg1, .. } if is_resource(arg1) => {
            Some(WordPart::Row)
        }
        _ => None,
    }
}

/// Whether an expression is a reference of whoever asks, or a set of references.
fn is_reference(expr: &Expr) -> bool {
    matches!(expr.expr_kind(), ExprKind::GetAttr { expr, attr }
        if matches!(expr.expr_kind(), ExprKind::Var(Var::Principal))
            && matches!(attr.as_str(), "claims" | "entityRef"))
}

/// Returns what is wrong with the key of a tag.
fn about_tag(of: &Expr, key: &str) -> Option<String> {
    if is_resource(of) {
        if key != key.to_lowercase() {
            let meant = key.to_lowercase();
            return Some(format!(
                "no entity has a tag `{key}`: paths are in lower case, `{meant}`"
            ));
        }
        let is_row = key.starts_with("metadata.") || key.starts_with("spec.");
        return (!is_row).then(|| {
            format!(
                "no entity has a tag `{key}`: tags are paths such as `spec.{key}` or \
                 `metadata.{key}`"
            )
        });
    }
    let ExprKind::GetAttr { expr, attr } = of.expr_kind() else { return None };
    let (prefix, _) = key.split_once('/')?;
    let is_texts = is_resource(expr) && matches!(attr.as_str(), "annotations" | "labels");
    (is_texts && prefix != prefix.to_lowercase()).then(|| {
        format!("the catalog takes no `{key}`: what stands before `/` is a domain in lower case")
    })
}

fn is_resource(expr: &Expr) -> bool {
    matches!(expr.expr_kind(), ExprKind::Var(Var::Resource))
}

/// Returns the texts of a literal, or of a set of literals.
fn strings(expr: &Expr) -> Vec<&str> {
    match expr.expr_kind() {
        ExprKind::Lit(Literal::String(text)) => vec![text.as_str()],
        ExprKind::Set(items) => items.iter().flat_map(|item| strings(item)).collect(),
        _ => Vec::new(),
    }
}

fn kubernetes(policy: &Normal<'_>) -> BTreeSet<String> {
    let facts = policy.facts();
    let values = |wanted: &str| -> Vec<String> {
        let one_of = |fact: &&Fact| match fact {
            Fact::OneOf { term, values, holds: true } if &**term == wanted => {
                let text = |value: &Literal| match value {
                    Literal::String(text) => text.to_string(),
                    other => other.to_string(),
                };
                Some(values.iter().map(text).collect::<Vec<_>>())
            }
            _ => None,
        };
        facts.iter().find_map(one_of).unwrap_or_default()
    };
    let (groups, resources) = (values("resource.apiGroup"), values("resource.resource"));
    let subresources = values("resource.subresource");
    let is_within = |fact: &&Fact| {
        matches!(fact, Fact::Within { term, groups, holds: true }
            if &**term == "resource" && groups.iter().all(|g| g.entity_type().to_string() == "k8s::Namespace"))
    };
    let is_in_namespace = facts.iter().any(is_within);
    let mut told = BTreeSet::new();
    told.extend(values("resource.path").iter().flat_map(|path| unmatchable_path("*", path)));
    for resource in &resources {
        if let Some((of, sub)) = resource.split_once('/') {
            told.insert(format!(
                "no request has the resource `{resource}`: compare `resource.resource` with `{of}` \
                 and `resource.subresource` with `{sub}`"
            ));
            continue;
        }
        if let Some((of, group)) = resource.split_once('.') {
            told.insert(format!(
                "no request has the resource `{resource}`: compare `resource.resource` with `{of}` \
                 and `resource.apiGroup` with `{group}`"
            ));
            continue;
        }
        let wholes: Vec<String> = match subresources.is_empty() {
            true => vec![resource.clone()],
            false => subresources.iter().map(|sub| format!("{resource}/{sub}")).collect(),
        };
        let any = ["*".to_owned()];
        let among = if groups.is_empty() { &any[..] } else { &groups };
        let is_in_namespace = is_in_namespace || !values("resource.namespace").is_empty();
        for whole in wholes {
            let wrong: Vec<Vec<String>> = among
                .iter()
                .map(|group| {
                    let mut wrong = unmatchable_resource("*", group, &whole);
                    if is_in_namespace {
                        wrong.extend(unmatchable_in_namespace(group, &whole));
                    }
                    wrong
                })
                .collect();
            // Of several groups one may have it.
            if wrong.iter().all(|wrong| !wrong.is_empty()) {
                told.extend(wrong.into_iter().flatten());
            }
        }
    }
    if resources.is_empty() {
        let of_group = |group: &String| unmatchable_resource("*", group, "*");
        told.extend(groups.iter().flat_map(of_group));
    }
    told
}
