//! How the verbs of rules become actions of a schema.

use std::collections::{BTreeMap, BTreeSet};

use super::object::PolicyRule;
use crate::impersonation::Impersonation;
use crate::resource::ResourceKind;
use crate::vocabulary::Vocabulary;

/// The verbs that a schema declares, and those that an import declares beside it.
#[derive(Debug, Clone)]
pub(crate) struct Verbs {
    vocabulary: Vocabulary,
    /// Verbs to declare, with the kinds of resources they are used on.
    added: BTreeMap<String, BTreeSet<&'static str>>,
}

/// The verbs of a rule as a policy's scope has them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Actions {
    /// Every verb, declared or not.
    All,
    /// Any of these actions.
    Listed(BTreeSet<String>),
    /// The action of verbs that are not declared, where the verb is any of these.
    Unlisted(BTreeSet<String>),
    /// Impersonation by the old verb.
    Impersonate,
    /// Constrained impersonation, where the verb is any of these; by every verb if none is given.
    Constrained(Option<BTreeSet<String>>),
}

impl Verbs {
    /// Returns the verbs of a vocabulary, and what these rules need beside it.
    pub(crate) fn of<'a>(
        vocabulary: &Vocabulary,
        rules: impl Iterator<Item = &'a PolicyRule>,
    ) -> Self {
        let mut added: BTreeMap<String, BTreeSet<&'static str>> = BTreeMap::new();
        for rule in rules {
            let kinds = [
                ("Resource", rule.resources.is_empty()),
                ("NonResourceURL", rule.non_resource_urls.is_empty()),
            ];
            for verb in &rule.verbs {
                if verb == "*" || Impersonation::of(verb).is_some() || vocabulary.knows(verb) {
                    continue;
                }
                for (kind, unused) in kinds {
                    if !unused {
                        added.entry(verb.clone()).or_default().insert(kind);
                    }
                }
            }
        }
        Self { vocabulary: vocabulary.clone(), added }
    }

    /// Returns the declarations of added verbs, for a schema beside the one that is there.
    pub(crate) fn schema(&self) -> Option<String> {
        if self.added.is_empty() {
            return None;
        }
        let mut text = String::from(
            "// Verbs that imported roles name and Kubernetes' schema does not declare.\n\
             namespace k8s {\n",
        );
        for (verb, kinds) in &self.added {
            let kinds: Vec<&str> = kinds.iter().copied().collect();
            text.push_str(&format!(
                "  action \"{}\" appliesTo {{\n    \
                 principal: [User, ServiceAccount, Node, Group],\n    \
                 resource: [{}],\n  }};\n",
                verb.escape_debug(),
                kinds.join(", ")
            ));
        }
        text.push_str("}\n");
        Some(text)
    }

    /// Returns the actions of those verbs of impersonation among these that ask this.
    pub(crate) fn impersonation(
        verbs: &[String],
        asks: impl Fn(Impersonation) -> bool,
    ) -> Vec<Actions> {
        let mut actions = Vec::new();
        let every = verbs.iter().any(|verb| verb == "*");
        let of = |verb: &String| Impersonation::of(verb).filter(|asked| asks(*asked));
        let is_legacy = |verb: &String| of(verb) == Some(Impersonation::Legacy);
        if (every && asks(Impersonation::Legacy)) || verbs.iter().any(is_legacy) {
            actions.push(Actions::Impersonate);
        }
        let newer = |verb: &&String| of(verb).is_some() && !is_legacy(verb);
        let constrained: BTreeSet<String> = verbs.iter().filter(newer).cloned().collect();
        if every && (asks(Impersonation::Identity) || asks(Impersonation::Request)) {
            actions.push(Actions::Constrained(None));
        } else if !constrained.is_empty() {
            actions.push(Actions::Constrained(Some(constrained)));
        }
        actions
    }

    /// Returns the actions of verbs on one kind of resource: none, one or two sets of them.
    ///
    /// A verb that is declared for some principals only is both listed and unlisted.
    pub(crate) fn actions(&self, verbs: &[String], kind: ResourceKind) -> Vec<Actions> {
        if verbs.iter().any(|verb| verb == "*") {
            return vec![Actions::All];
        }
        let (mut listed, mut unlisted) = (BTreeSet::new(), BTreeSet::new());
        let mut actions = Self::impersonation(verbs, |_| true);
        for verb in verbs.iter().filter(|verb| Impersonation::of(verb).is_none()) {
            let added = self.added.get(verb).is_some_and(|kinds| kinds.contains(kind_name(kind)));
            let (some, all) = self.vocabulary.declares(verb, kind);
            if added || some {
                listed.insert(verb.clone());
            }
            if !added && !all {
                unlisted.insert(verb.clone());
            }
        }
        if !listed.is_empty() {
            actions.push(Actions::Listed(listed));
        }
        if !unlisted.is_empty() {
            actions.push(Actions::Unlisted(unlisted));
        }
        actions
    }
}

fn kind_name(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::NonResourceUrl => "NonResourceURL",
        _ => "Resource",
    }
}
