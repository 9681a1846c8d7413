//! What of a request the policies of an engine can look at, where requests may hold more than is
//! good for a server: the fields of objects, and `extra`.
//!
//! Who may write an object of megabytes, or impersonate with any `extra`, could otherwise have a
//! server keep many times of it, though no policy asks. What is not mentioned is read and let go.

use std::collections::{BTreeMap, BTreeSet};

use smol_str::SmolStr;
use stagedoor_analysis::expr::walk;
use stagedoor_analysis::{BinaryOp, Expr, ExprKind, Literal, ParsedPolicy};
use stagedoor_core::{Engine, PolicyInfo};

/// A text that holds none of these mentions nothing. A backslash may write any name.
const SIGNS: [&str; 4] = ["Tag", PARTIAL, EXTRA, "\\"];
const PARTIAL: &str = "partial";
const EXTRA: &str = "extra";

/// What policies mention of requests.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mentions {
    /// The fields of objects.
    pub(crate) fields: FieldMentions,
    /// The keys of `extra`.
    pub(crate) extra: ExtraMentions,
}

/// Which fields of objects are mentioned.
#[derive(Debug, Clone)]
pub(crate) enum FieldMentions {
    /// Any of them may be: a policy makes up a path, or a rule is handed the object.
    Every,
    /// Those of these paths.
    Some(FieldTree),
}

/// Which keys of `extra` are mentioned.
#[derive(Debug, Clone)]
pub(crate) enum ExtraMentions {
    /// Any of them may be.
    Every,
    /// These.
    Some(BTreeSet<SmolStr>),
}

/// Fields by the parts of their paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FieldTree {
    /// Whether this very field is mentioned, not only some below it.
    pub(crate) is_mentioned: bool,
    pub(crate) fields: BTreeMap<SmolStr, Self>,
    /// What is mentioned of the elements of a list.
    pub(crate) elements: Option<Box<Self>>,
}

impl Default for FieldMentions {
    fn default() -> Self {
        Self::Some(FieldTree::default())
    }
}

impl Default for ExtraMentions {
    fn default() -> Self {
        Self::Some(BTreeSet::new())
    }
}

impl Mentions {
    /// Returns that everything may be mentioned.
    pub(crate) fn every() -> Self {
        Self { fields: FieldMentions::Every, extra: ExtraMentions::Every }
    }

    /// Returns what the policies of an engine mention.
    pub(crate) fn of(engine: &Engine) -> Self {
        let mut mentions = Self::default();
        engine.policies().for_each(|policy| mentions.add(policy));
        mentions
    }

    /// Returns whether objects are kept whole.
    pub(crate) fn keeps_objects(&self) -> bool {
        matches!(self.fields, FieldMentions::Every)
    }

    fn add(&mut self, policy: PolicyInfo<'_>) {
        for guard in policy.guards() {
            // A rule gets the entity with all that it refers to.
            let inputs = guard.inputs();
            if inputs.resource {
                self.fields = FieldMentions::Every;
            }
            if inputs.principal {
                self.extra = ExtraMentions::Every;
            }
        }
        if !SIGNS.iter().any(|sign| policy.text().contains(sign)) {
            return;
        }
        match ParsedPolicy::of(policy) {
            Ok(policy) => {
                policy.condition.iter().for_each(|condition| self.add_condition(condition))
            }
            // What cannot be read may mention anything.
            Err(_) => *self = Self::every(),
        }
    }

    fn add_condition(&mut self, condition: &Expr) {
        // An attribute that is used in a way that is not understood may be looked at whole.
        let (mut partial, mut extra) = (UseCounts::default(), UseCounts::default());
        walk(condition, |expr| match expr.expr_kind() {
            ExprKind::BinaryApp { op: BinaryOp::HasTag | BinaryOp::GetTag, arg2, .. } => {
                match string(arg2) {
                    Some(path) => self.fields.add(path),
                    None => self.fields = FieldMentions::Every,
                }
            }
            ExprKind::BinaryApp { op, arg1, arg2 } => {
                let Some(members) = members(*op, arg2) else { return };
                match arg1.expr_kind() {
                    ExprKind::GetAttr { attr, .. } if attr == PARTIAL => {
                        let paths: Option<Vec<&str>> =
                            members.iter().map(|member| string(member)).collect();
                        for path in paths.iter().flatten() {
                            self.fields.add(path);
                        }
                        partial.understood += usize::from(paths.is_some());
                    }
                    ExprKind::GetAttr { attr, .. } if attr == EXTRA => {
                        let keys: Option<Vec<&str>> =
                            members.iter().map(|member| key(member)).collect();
                        for key in keys.iter().flatten() {
                            self.extra.add(key);
                        }
                        extra.understood += usize::from(keys.is_some());
                    }
                    _ => {}
                }
            }
            ExprKind::GetAttr { attr, .. } => {
                partial.all += usize::from(attr == PARTIAL);
                extra.all += usize::from(attr == EXTRA);
            }
            // Whether it is there is known without what is in it.
            ExprKind::HasAttr { .. }
            | ExprKind::ExtHasAttr { .. }
            | ExprKind::Lit(_)
            | ExprKind::Var(_)
            | ExprKind::Slot(_)
            | ExprKind::And { .. }
            | ExprKind::Or { .. }
            | ExprKind::UnaryApp { .. }
            | ExprKind::ExtensionFunctionApp { .. }
            | ExprKind::Like { .. }
            | ExprKind::Is { .. }
            | ExprKind::If { .. }
            | ExprKind::Set(_)
            | ExprKind::Record(_) => {}
            // Something that Cedar did not have when this was written.
            _ => *self = Self::every(),
        });
        if partial.all > partial.understood {
            self.fields = FieldMentions::Every;
        }
        if extra.all > extra.understood {
            self.extra = ExtraMentions::Every;
        }
    }
}

/// How often an attribute is used, and how often so that what of it matters is known.
#[derive(Debug, Default)]
struct UseCounts {
    all: usize,
    understood: usize,
}

impl FieldMentions {
    fn add(&mut self, path: &str) {
        if let Self::Some(tree) = self {
            tree.add(path);
        }
    }
}

impl ExtraMentions {
    fn add(&mut self, key: &str) {
        if let Self::Some(keys) = self {
            keys.insert(key.into());
        }
    }

    pub(crate) fn contains(&self, key: &str) -> bool {
        match self {
            Self::Every => true,
            Self::Some(keys) => keys.contains(key),
        }
    }
}

impl FieldTree {
    fn add(&mut self, path: &str) {
        // No other text is the path of a field.
        let Some(path) = path.strip_prefix('/') else { return };
        let mut tree = self;
        for part in path.split('/') {
            tree = match part {
                "*" => tree.elements.get_or_insert_default(),
                key => tree.fields.entry(unescaped(key)).or_default(),
            };
        }
        tree.is_mentioned = true;
    }
}

/// Returns the key that a part of a path stands for.
fn unescaped(part: &str) -> SmolStr {
    if part == "~2" {
        return "*".into();
    }
    part.replace("~1", "/").replace("~0", "~").into()
}

/// Returns what a set is asked for, if it is asked whether that is in it.
fn members(op: BinaryOp, right: &Expr) -> Option<Vec<&Expr>> {
    match (op, right.expr_kind()) {
        (BinaryOp::Contains, _) => Some(vec![right]),
        (BinaryOp::ContainsAll | BinaryOp::ContainsAny, ExprKind::Set(members)) => {
            Some(members.iter().collect())
        }
        _ => None,
    }
}

fn string(expr: &Expr) -> Option<&str> {
    match expr.expr_kind() {
        ExprKind::Lit(Literal::String(text)) => Some(text),
        _ => None,
    }
}

/// Returns the key of an attribute of `extra` that is written out.
fn key(expr: &Expr) -> Option<&str> {
    match expr.expr_kind() {
        ExprKind::Record(fields) => string(fields.get("key")?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use stagedoor_core::Engine;

    use super::{ExtraMentions, FieldMentions, FieldTree, Mentions};

    fn mentions(condition: &str) -> Result<Mentions, stagedoor_core::LoadError> {
        let policies = format!("permit (principal, action, resource) when {{ {condition} }};");
        let engine = Engine::builder().exact_cedar().policies("p.cedar", policies).build()?;
        Ok(Mentions::of(&engine))
    }

    fn paths(tree: &FieldTree, path: &str) -> Vec<String> {
        let mut found: Vec<String> =
            tree.is_mentioned.then(|| path.to_owned()).into_iter().collect();
        for (key, tree) in &tree.fields {
            found.extend(paths(tree, &format!("{path}/{key}")));
        }
        if let Some(elements) = &tree.elements {
            found.extend(paths(elements, &format!("{path}/[]")));
        }
        found
    }

    #[test]
    fn paths_that_are_written_out_are_what_is_kept() -> Result<(), stagedoor_core::LoadError> {
        let cases: [(&str, &[&str]); 6] = [
            ("principal.name == \"x\"", &[]),
            ("resource has object && resource.object.hasTag(\"/spec/a\")", &["/spec/a"]),
            (
                "resource.object.getTag(\"/spec/c/*/i\").contains(\"x\") && \
                 resource.object.numbers.getTag(\"/spec/n\") > 1",
                &["/spec/c/[]/i", "/spec/n"],
            ),
            (
                "resource.object.hasTag(\"/m/app~1n\") || resource.object.hasTag(\"/m/~2/a~0b\")",
                &["/m/*/a~b", "/m/app/n"],
            ),
            (
                "resource.object.partial.contains(\"/a/*/b\") || \
                 resource.object.partial.containsAny([\"/a/*/c\", \"/d\"])",
                &["/a/[]/b", "/a/[]/c", "/d"],
            ),
            ("resource[\"ob\\u{6a}ect\"].hasTag(\"\\u{2f}x\")", &["/x"]),
        ];
        for (condition, expected) in cases {
            let FieldMentions::Some(tree) = mentions(condition)?.fields else {
                assert!(expected.is_empty(), "{condition}: everything");
                continue;
            };
            assert_eq!(paths(&tree, ""), expected, "{condition}");
        }
        Ok(())
    }

    #[test]
    fn what_is_not_understood_may_be_everything() -> Result<(), stagedoor_core::LoadError> {
        let everything = [
            "resource.object.hasTag(resource.name)",
            "resource.object.getTag(if true then \"/a\" else \"/b\").isEmpty()",
            "resource.object.partial.isEmpty()",
            "resource.object.partial.contains(resource.name)",
            "resource.object.partial.containsAll(resource.oldObject.partial)",
            "[resource.object.partial].contains([\"/a\"])",
            "resource.object[\"part\\u{69}al\"] == [\"/a\"]",
            "resource.object.partial.contains(\"/a\") && resource.object.partial.isEmpty()",
        ];
        for condition in everything {
            assert!(mentions(condition)?.keeps_objects(), "{condition}");
        }
        let extra = [
            ("principal has extra", Some(&[][..])),
            ("principal.extra.contains({key: \"a\", values: [\"x\"]})", Some(&["a"])),
            (
                "principal.extra.containsAny([{key: \"b\", values: []}, {values: [], \"key\": \"a\"}])",
                Some(&["a", "b"]),
            ),
            ("principal.extra.isEmpty()", None),
            ("principal.extra.contains({key: principal.name, values: []})", None),
            ("principal.extra == resource.extra", None),
        ];
        for (condition, expected) in extra {
            let keys = match mentions(condition)?.extra {
                ExtraMentions::Every => None,
                ExtraMentions::Some(keys) => Some(keys.into_iter().collect::<Vec<_>>()),
            };
            let expected =
                expected.map(|keys| keys.iter().map(|k| (*k).into()).collect::<Vec<_>>());
            assert_eq!(keys, expected, "{condition}");
        }
        Ok(())
    }
}
