//! Role grants: what Kubernetes' role bindings say, as Cedar policies or as links of templates.

use std::fmt::Write as _;

use crate::names::{self, CLUSTER_WIDE, NAMESPACED, VERBS};
use crate::random::Random;

/// The form in which grants are given to an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Each grant is a policy of its own.
    Text,
    /// Roles' rules are templates; each grant is a link of one.
    Links,
}

/// One grant: members of a group may do this to such objects, in one namespace or in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    pub(crate) group: usize,
    /// Which of [`VERBS`].
    pub(crate) verbs: usize,
    pub(crate) kind: (&'static str, &'static str),
    pub(crate) namespace: Option<usize>,
}

impl Grant {
    pub(crate) fn random(random: &mut Random, groups: usize, namespaces: usize) -> Self {
        let cluster_wide = random.once_in(20);
        let kinds: &[_] = if cluster_wide { &CLUSTER_WIDE } else { &NAMESPACED };
        Self {
            group: random.below(groups),
            verbs: random.below(VERBS.len()),
            kind: random.pick(kinds).unwrap_or_default(),
            namespace: (!cluster_wide).then(|| random.below(namespaces)),
        }
    }

    pub(crate) fn verbs(&self) -> &'static [&'static str] {
        VERBS.get(self.verbs).copied().unwrap_or_default()
    }

    /// Returns the id of the grant with this number.
    #[must_use]
    pub fn id(number: usize) -> String {
        format!("grant-{number}")
    }

    /// Returns the id of the template that the grant is a link of.
    #[must_use]
    pub fn template(&self) -> String {
        let (api_group, resource) = self.kind;
        let scope = if self.namespace.is_some() { "in-namespace" } else { "in-cluster" };
        format!("role-{api_group}-{resource}-{}-{scope}", self.verbs)
    }

    /// Returns the name of the group.
    #[must_use]
    pub fn group(&self) -> String {
        names::group(self.group)
    }

    /// Returns the name of the namespace, unless the grant is for the whole cluster.
    #[must_use]
    pub fn namespace(&self) -> Option<String> {
        self.namespace.map(names::namespace)
    }

    /// Writes the grant as a policy.
    pub(crate) fn write_text(&self, number: usize, text: &mut String) {
        let principal = format!("principal in kube::Group::\"{}\"", self.group());
        self.write(&Self::id(number), &principal, "resource is kube::Resource", text);
        if let Some(namespace) = self.namespace() {
            // Writing to a string does not fail.
            let _ =
                write!(text, " && resource has namespace && resource.namespace == \"{namespace}\"");
        }
        text.push_str(" };\n\n");
    }

    /// Writes the template that the grant is a link of.
    pub(crate) fn write_template(&self, text: &mut String) {
        let resource = match self.namespace {
            Some(_) => "resource is kube::Resource in ?resource",
            None => "resource is kube::Resource",
        };
        self.write(&self.template(), "principal in ?principal", resource, text);
        text.push_str(" };\n\n");
    }

    fn write(&self, id: &str, principal: &str, resource: &str, text: &mut String) {
        let (api_group, kind) = self.kind;
        let _ = write!(text, "@id(\"{id}\")\npermit ({principal}, action in [");
        for (n, verb) in self.verbs().iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            let _ = write!(text, "{comma}kube::Action::\"{verb}\"");
        }
        let _ = write!(
            text,
            "], {resource})\nwhen {{ resource.apiGroup == \"{api_group}\" && resource.resource == \"{kind}\""
        );
    }
}
