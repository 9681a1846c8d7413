//! Which namespaces policies and schemas are about.
//!
//! Found out by parsing them: a word in a string, an annotation or a comment names no type. What
//! does not parse names nothing; loading tells what is wrong with it.

use cedar_policy::SchemaFragment;
use cedar_policy_core::ast::{self, EntityReference, Expr, ExprKind, Literal};
use serde_json::Value;

use crate::limits::Limits;
use crate::load::policies_in_json;
use crate::parse;
use crate::source::{SourceKind, without_byte_order_mark};
use crate::stack::on_large_stack;
use crate::statement::{is_blank, statements, too_deep};

/// Returns whether a text names a type or an action of this namespace, or of one within it.
///
/// # Examples
///
/// ```
/// use stagedoor_core::{Limits, SourceKind, names_namespace};
///
/// let limits = Limits::default();
/// let policy = r#"@doc("k8s::User") permit (principal is k8s::User, action, resource);"#;
/// assert!(names_namespace(SourceKind::Policies, policy, "k8s", &limits));
/// assert!(!names_namespace(SourceKind::Policies, policy, "User", &limits));
/// ```
#[must_use]
pub fn names_namespace(kind: SourceKind, text: &str, namespace: &str, limits: &Limits) -> bool {
    let text = without_byte_order_mark(text);
    // Cedar's names have no escapes, so that a text without the word need not be parsed. JSON's
    // strings have.
    let may_hide =
        matches!(kind, SourceKind::PoliciesJson | SourceKind::SchemaJson) && text.contains("\\u");
    if text.len() > limits.file_bytes || !(may_hide || text.contains(namespace)) {
        return false;
    }
    let names = |policy: &ast::Template| Names { namespace }.in_policy(policy);
    let found = on_large_stack(|| match kind {
        SourceKind::Policies => {
            let statements = statements(text, limits).0;
            let texts = statements.iter().filter_map(|s| text.get(s.span.clone()));
            let mut named = texts.filter(|text| text.contains(namespace));
            named.any(|text| parse::statement(text, "policy").is_ok_and(|tree| names(&tree)))
        }
        SourceKind::PoliciesJson => policies_in_json(text, limits).iter().any(names),
        SourceKind::Schema | SourceKind::SchemaJson => {
            fragment(kind, text, limits).is_some_and(|json| Names { namespace }.in_schema(&json))
        }
    });
    found.unwrap_or_default()
}

/// Returns the full names of the entity types that a schema declares, and does not leave to
/// others by `external`; none of a text that is no schema.
///
/// # Examples
///
/// ```
/// use stagedoor_core::{Limits, SourceKind, declared_entity_types};
///
/// let schema = "namespace Shop { entity User; entity Order; }";
/// let types = declared_entity_types(SourceKind::Schema, schema, &Limits::default());
/// assert_eq!(types, ["Shop::Order", "Shop::User"]);
/// ```
#[must_use]
pub fn declared_entity_types(kind: SourceKind, text: &str, limits: &Limits) -> Vec<String> {
    let text = without_byte_order_mark(text);
    if text.len() > limits.file_bytes || !kind.is_schema() {
        return Vec::new();
    }
    let json = on_large_stack(|| fragment(kind, text, limits)).ok().flatten();
    let namespaces = json.as_ref().and_then(Value::as_object).into_iter().flatten();
    let types = namespaces.flat_map(|(namespace, declared)| {
        let types = declared.get("entityTypes").and_then(Value::as_object).into_iter().flatten();
        let defined = types.filter(|(_, type_)| type_.get("external") != Some(&Value::Bool(true)));
        defined.map(move |(name, _)| match namespace.as_str() {
            "" => name.clone(),
            namespace => format!("{namespace}::{name}"),
        })
    });
    types.collect()
}

/// Returns whether there is anything in a text of policies: a policy, a template, a link, or
/// something that is none of them. A text of blanks and comments has nothing.
///
/// # Examples
///
/// ```
/// use stagedoor_core::{SourceKind, has_policies};
///
/// assert!(has_policies(SourceKind::Policies, "permit(principal, action, resource);"));
/// assert!(!has_policies(SourceKind::Policies, "// nothing yet"));
/// ```
#[must_use]
pub fn has_policies(kind: SourceKind, text: &str) -> bool {
    let text = without_byte_order_mark(text);
    match kind {
        SourceKind::Policies => !is_blank(text),
        SourceKind::PoliciesJson => match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(set)) => set.values().any(|part| match part {
                Value::Object(entries) => !entries.is_empty(),
                Value::Array(entries) => !entries.is_empty(),
                _ => true,
            }),
            // Loading tells what it is.
            Ok(_) => true,
            Err(_) => !text.trim().is_empty(),
        },
        SourceKind::Schema | SourceKind::SchemaJson => false,
    }
}

/// Reads a schema into Cedar's JSON form.
fn fragment(kind: SourceKind, text: &str, limits: &Limits) -> Option<Value> {
    let fragment = match kind {
        SourceKind::Schema if too_deep(text, limits).is_some() => return None,
        SourceKind::Schema => SchemaFragment::from_cedarschema_str(text).ok()?.0,
        _ => SchemaFragment::from_json_str(text).ok()?,
    };
    fragment.to_json_value().ok()
}

/// Looks for names of a namespace.
#[derive(Clone, Copy)]
struct Names<'n> {
    namespace: &'n str,
}

impl Names<'_> {
    /// Whether a full name is one of the namespace.
    fn has(self, name: &str) -> bool {
        name.strip_prefix(self.namespace).is_some_and(|rest| rest.starts_with("::"))
    }

    fn in_policy(self, policy: &ast::Template) -> bool {
        let of_uid = |uid: &ast::EntityUID| self.has(&uid.entity_type().to_string());
        let of_type = |type_: &ast::EntityType| self.has(&type_.to_string());
        let of_reference = |reference: &EntityReference| match reference {
            EntityReference::EUID(uid) => of_uid(uid),
            EntityReference::Slot(_) => false,
        };
        let of_scope = |scope: &ast::PrincipalOrResourceConstraint| match scope {
            ast::PrincipalOrResourceConstraint::Any => false,
            ast::PrincipalOrResourceConstraint::Eq(entity)
            | ast::PrincipalOrResourceConstraint::In(entity) => of_reference(entity),
            ast::PrincipalOrResourceConstraint::Is(type_) => of_type(type_),
            ast::PrincipalOrResourceConstraint::IsIn(type_, entity) => {
                of_type(type_) || of_reference(entity)
            }
        };
        let of_action = match policy.action_constraint() {
            ast::ActionConstraint::Any => false,
            ast::ActionConstraint::Eq(uid) => of_uid(uid),
            ast::ActionConstraint::In(uids) => uids.iter().any(|uid| of_uid(uid)),
        };
        let of_expr = |expr: &Expr| match expr.expr_kind() {
            ExprKind::Lit(Literal::EntityUID(uid)) => of_uid(uid),
            ExprKind::Is { entity_type, .. } => of_type(entity_type),
            _ => false,
        };
        of_action
            || of_scope(policy.principal_constraint().as_inner())
            || of_scope(policy.resource_constraint().as_inner())
            || policy.non_scope_constraints().is_some_and(|e| e.subexpressions().any(of_expr))
    }

    /// Whether a schema declares something in the namespace, or names a type of it.
    fn in_schema(self, schema: &Value) -> bool {
        let Some(namespaces) = schema.as_object() else { return false };
        let declares = |name: &String| name == self.namespace || self.has(name);
        namespaces.keys().any(declares) || namespaces.values().any(|json| self.in_types(json))
    }

    fn in_types(self, json: &Value) -> bool {
        match json {
            Value::String(name) => self.has(name),
            Value::Array(items) => items.iter().any(|item| self.in_types(item)),
            Value::Object(fields) => {
                // Texts of people, and ids.
                let is_name = |key: &str| key != "annotations" && key != "enum";
                fields.iter().any(|(key, value)| is_name(key) && self.in_types(value))
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(kind: SourceKind, text: &str) -> bool {
        names_namespace(kind, text, "k8s", &Limits::default())
    }

    #[test]
    fn policies_name_what_their_types_say() {
        for text in [
            "permit(principal is k8s::User, action, resource);",
            "permit(principal == k8s::User::\"a\", action, resource);",
            "permit(principal, action in [k8s::Action::\"get\"], resource);",
            "permit(principal, action == k8s::admission::Action::\"create\", resource);",
            "permit(principal, action, resource) when { resource is k8s::Resource };",
            "permit(principal, action, resource) when { principal in [A::\"b\", k8s::Group::\"g\"] };",
            "permit(principal in ?principal, action, resource is k8s::Resource);",
            "permit(oops; permit(principal, action == k8s::Action::\"get\", resource);",
        ] {
            assert!(named(SourceKind::Policies, text), "{text}");
            assert!(named(SourceKind::Policies, &format!("\u{feff}// k8s\n{text}")), "{text}");
        }
        for text in [
            "// k8s::User\npermit(principal, action, resource);",
            "@doc(\"k8s::User\") permit(principal, action, resource);",
            "permit(principal, action, resource) when { context.x == \"k8s::User\" };",
            "permit(principal == User::\"k8s::User::x\", action, resource);",
            "permit(principal is k8sx::User, action, resource);",
            "permit(principal is my::k8s::User, action, resource);",
            "permit(principal is k8s, action, resource);",
            "",
        ] {
            assert!(!named(SourceKind::Policies, text), "{text}");
        }
    }

    #[test]
    fn json_names_the_same() {
        let policy = r#"{"effect": "permit", "principal": {"op": "is", "entity_type": "TYPE"},
            "action": {"op": "All"}, "resource": {"op": "All"}, "conditions": []}"#;
        for (type_, expected) in [("k8s::User", true), (r"k8\u0073::User", true), ("K::k8s", false)]
        {
            let text = policy.replace("TYPE", type_);
            assert_eq!(named(SourceKind::PoliciesJson, &text), expected, "{text}");
            let set = format!(r#"{{"staticPolicies": {{"a": {text}}}}}"#);
            assert_eq!(named(SourceKind::PoliciesJson, &set), expected, "{set}");
        }
    }

    #[test]
    fn schemas_name_what_they_declare_and_use() {
        let declared = |kind, text| declared_entity_types(kind, text, &Limits::default());
        let text = "namespace k8s { entity A, NonResourceURL; external entity B; }
            namespace Other { entity NonResourceURL; } entity C in [k8s::A];";
        let expected = ["C", "Other::NonResourceURL", "k8s::A", "k8s::NonResourceURL"];
        assert_eq!(declared(SourceKind::Schema, text), expected);
        assert!(named(SourceKind::Schema, text));
        assert!(named(SourceKind::Schema, "entity C in [k8s::A];"));
        let uses = "action x appliesTo { principal: [k8s::User], resource: [k8s::Resource] };";
        assert!(named(SourceKind::Schema, uses));
        for text in [
            "@doc(\"k8s::A\") entity C; // k8s::A",
            "entity C enum [\"k8s::A\"];",
            "namespace My { @doc(\"entity NonResourceURL\") entity k8s; }",
        ] {
            assert!(!named(SourceKind::Schema, text), "{text}");
        }
        let json = r#"{"k8s": {"entityTypes": {"A": {}, "B": {"external": true}}, "actions": {}}}"#;
        assert_eq!(declared(SourceKind::SchemaJson, json), ["k8s::A"]);
        assert!(named(SourceKind::SchemaJson, json));
        assert!(declared(SourceKind::SchemaJson, "{ not json").is_empty());
    }

    #[test]
    fn blanks_and_comments_are_no_policies() {
        for text in ["", " \n", "// only this", "\u{feff}"] {
            assert!(!has_policies(SourceKind::Policies, text), "{text:?}");
        }
        for text in ["permit(", "x", "// a\n;"] {
            assert!(has_policies(SourceKind::Policies, text), "{text:?}");
        }
        for text in ["", " ", "{}", r#"{"staticPolicies": {}, "templateLinks": []}"#] {
            assert!(!has_policies(SourceKind::PoliciesJson, text), "{text:?}");
        }
        for text in ["[]", "{", r#"{"effect": "permit"}"#, r#"{"templateLinks": [{}]}"#] {
            assert!(has_policies(SourceKind::PoliciesJson, text), "{text:?}");
        }
    }
}
