//! Finds the policies that can matter to a request without looking at the others.
//!
//! Cedar walks all policies for each request. Its proof of
//! [policy slicing](https://docs.cedarpolicy.com/) says that a policy may be left out
//! when its scope cannot match; [`keys`] extends that to clauses of the condition, and
//! [`tree`] arranges policies by whichever of these tell them apart best.
//!
//! INVARIANT: a policy that is left out is neither satisfied nor errs for the request.

mod keys;
mod tree;

use smallvec::SmallVec;

use crate::hash::FastMap;
use crate::policy::StoredPolicy;
use crate::symbols::Symbols;
use crate::view::View;

use keys::{PolicyKeys, Required};
use tree::Tree;

/// The policies that can matter to one request.
pub(crate) type Candidates = SmallVec<[u32; 32]>;

/// So many policies that require the same paths, of all policies, are a group of their own.
const OWN_GROUP: usize = 64;

/// The index over one engine's policies.
///
/// They are grouped by the paths that they require: a request without one of these
/// affects that group and no other.
#[derive(Debug)]
pub(crate) struct Index(Box<[Group]>);

#[derive(Debug)]
struct Group {
    required: Box<[Required]>,
    /// Everything known of a policy, sound where all required paths are there.
    tree: Tree,
    /// Only what holds whatever is there.
    fallback: Tree,
}

type Keyed = (u32, PolicyKeys);

impl Index {
    /// Indexes policies. `validated` tells that policies and data are well typed.
    pub(crate) fn new(policies: &[StoredPolicy], symbols: &Symbols, validated: bool) -> Self {
        let mut alike: FastMap<SmallVec<[Required; 4]>, Vec<Keyed>> = FastMap::default();
        for (number, policy) in (0_u32..).zip(policies) {
            let keys = keys::of(policy, symbols, validated);
            alike.entry(keys.requires.clone()).or_default().push((number, keys));
        }
        let own = OWN_GROUP.max(policies.len() / OWN_GROUP);
        let mut groups = Vec::new();
        let mut others = Vec::new();
        for (required, keyed) in alike {
            // Policies that require nothing must not suffer from others' requirements.
            if required.is_empty() || keyed.len() >= own {
                groups.push(Group::new(keyed));
            } else {
                others.extend(keyed);
            }
        }
        if !others.is_empty() {
            groups.push(Group::new(others));
        }
        Self(groups.into_boxed_slice())
    }

    /// Returns the policies that can matter, in their order in the policy set.
    pub(crate) fn candidates(&self, view: &View<'_>, candidates: &mut Candidates) {
        for group in &self.0 {
            let is_met = group.required.iter().all(|required| required.is_met(view));
            let tree = if is_met { &group.tree } else { &group.fallback };
            tree.collect(view, candidates);
        }
        candidates.sort_unstable();
        candidates.dedup();
    }
}

impl Group {
    fn new(policies: Vec<Keyed>) -> Self {
        let mut required: Vec<Required> = Vec::new();
        let mut indexed = Vec::with_capacity(policies.len());
        let mut careful = Vec::new();
        for (number, PolicyKeys { safe, late, requires, .. }) in policies {
            required.extend(requires);
            careful.push((number, safe.clone()));
            let mut all = safe;
            all.extend(late);
            indexed.push((number, all));
        }
        required.sort_unstable();
        required.dedup();
        if required.is_empty() {
            careful.clear();
        }
        Self {
            required: required.into_boxed_slice(),
            tree: Tree::build(indexed),
            fallback: Tree::build(careful),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::fmt::Write as _;

    use super::*;
    use crate::{Engine, Entities, Entity, Request};

    const SCHEMA: &str = "
        entity Group; entity User in [Group];
        entity Account in [Group] { namespace: String };
        entity Thing { kind: String, namespace?: String };
        action look appliesTo { principal: [User, Account], resource: Thing };";

    /// Grants to a hundred groups, and one policy that reads what users do not have.
    fn grants() -> Result<String, std::fmt::Error> {
        let mut text = String::from(
            r#"forbid (principal, action, resource is Thing)
               unless { principal is User || principal.namespace == "a" };
               permit (principal is Account, action, resource)
               when { principal.namespace == "b" && resource.kind == "kind-0" };"#,
        );
        for n in 0..3_000 {
            let (group, kind, namespace) = (n % 100, n % 7, n % 30);
            write!(
                text,
                r#"permit (principal in Group::"g{group}", action, resource is Thing)
                   when {{ resource.kind == "kind-{kind}" && resource has namespace
                           && resource.namespace == "n{namespace}" }};"#
            )?;
        }
        Ok(text)
    }

    #[test]
    fn few_policies_matter_to_a_request() -> Result<(), Box<dyn Error>> {
        let text = grants()?;
        let engine = Engine::builder().schema("s", SCHEMA).policies("p", text).build()?;
        let mut user = Entity::new(r#"User::"u""#.parse()?);
        for n in 0..50 {
            user = user.with_parent(format!(r#"Group::"g{n}""#).parse()?);
        }
        let entities = Entities::from_entities([
            user,
            Entity::new(r#"Thing::"t""#.parse()?)
                .with_attribute("kind", "kind-2")
                .with_attribute("namespace", "n2"),
        ])?;
        let request = Request::new(
            r#"User::"u""#.parse()?,
            r#"Action::"look""#.parse()?,
            r#"Thing::"t""#.parse()?,
        );
        let snapshot = &engine.0;
        let action = snapshot.actions.get(&request.action);
        let view = View::new(&request, &entities, &snapshot.symbols, action);
        let mut candidates = Candidates::new();
        let index = snapshot.index.as_ref().ok_or("an index")?;
        index.candidates(&view, &mut candidates);

        let satisfied = engine.decide(&request, &entities)?.reasons().count();
        assert!(satisfied > 5, "{satisfied}");
        // The forbid and, in a leaf that is not worth a branch, a few more.
        assert!(candidates.len() <= satisfied + 4, "{} of {satisfied}", candidates.len());
        Ok(())
    }
}
