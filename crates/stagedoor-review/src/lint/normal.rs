//! Policies in the form in which they are compared: types and actions that the scope matches, and
//! facts that must hold.

use std::collections::HashMap;
use std::sync::Arc;

use cedar_policy::{Policy, PolicySet, Schema, Template};
use stagedoor_core::pst::{
    self, Clause, EntityOrSlot, EntityType, Expr, PrincipalConstraint, ResourceConstraint,
};
use stagedoor_core::{Effect, Engine, EntityUid, PolicyInfo, visit_conditions};

use super::environments::{Combinations, Environments};
use super::fact::Fact;

/// So many policies are parsed at once: Cedar's parser takes as long to start as it takes for
/// one policy.
const AT_ONCE: usize = 256;

/// Threads have room for conditions as deep as the engine takes them.
pub(super) const STACK_BYTES: usize = 256 << 20;

/// One policy or link.
pub(crate) struct Normal<'e> {
    pub(crate) info: PolicyInfo<'e>,
    pub(crate) tree: Arc<Tree>,
    pub(crate) combinations: Combinations,
    scope: Vec<Fact>,
}

/// What all links of a template share.
pub(crate) struct Tree {
    pub(crate) template: pst::Template,
    facts: Vec<Fact>,
}

impl<'e> Normal<'e> {
    /// Returns the facts that must all hold, those of the scope first.
    pub(crate) fn facts(&self) -> Vec<&Fact> {
        self.scope.iter().chain(&self.tree.facts).collect()
    }

    pub(crate) fn is_permit(&self) -> bool {
        self.info.effect() == Effect::Permit
    }

    /// Returns whether no request has the types and the action of the scope.
    pub(crate) fn is_out_of_reach(&self) -> bool {
        self.combinations.iter().all(|word| *word == 0)
    }

    fn new(info: PolicyInfo<'e>, tree: Arc<Tree>, environments: &mut Environments) -> Self {
        let (principal, resource) = info.link().unwrap_or_default();
        let principal = Constraint::of_principal(&tree.template.principal, principal);
        let resource = Constraint::of_resource(&tree.template.resource, resource);
        let combinations = environments.matching(
            principal.type_name(),
            &tree.template.action,
            resource.type_name(),
        );
        let scope = [principal.fact("principal"), resource.fact("resource")];
        Self { info, tree, combinations, scope: scope.into_iter().flatten().collect() }
    }
}

impl Tree {
    fn of(template: pst::Template) -> Self {
        let mut facts = Vec::new();
        for clause in template.clauses() {
            facts.extend(match clause {
                Clause::When(expr) => Fact::all_of(expr, true),
                Clause::Unless(expr) => Fact::all_of(expr, false),
            });
        }
        // A guard is one more condition, which Cedar does not see.
        let guards = template.annotations.iter().filter(|(name, _)| name.starts_with("guard"));
        facts.extend(guards.map(|(name, value)| {
            let text = format!("@{name}({value:?})").into();
            Fact::Other { text, holds: true }
        }));
        Self { template, facts }
    }

    /// Visits every expression of the conditions.
    pub(crate) fn visit(&self, visitor: &mut impl FnMut(&Expr)) {
        visit_conditions(&self.template, visitor);
    }
}

/// Returns an engine's policies, and how many could not be taken apart.
pub(crate) fn normalized<'e>(
    engine: &'e Engine,
    schema: &Schema,
) -> (Vec<Normal<'e>>, Environments) {
    let mut environments = Environments::of(schema);
    let trees = trees(engine);
    let normal = |info: PolicyInfo<'e>| {
        let tree = trees.get(info.text())?;
        Some(Normal::new(info, Arc::clone(tree), &mut environments))
    };
    let policies = engine.policies().filter_map(normal).collect();
    (policies, environments)
}

/// Parses every text once.
fn trees<'e>(engine: &'e Engine) -> HashMap<&'e str, Arc<Tree>> {
    let mut texts: HashMap<&'e str, bool> = HashMap::new();
    for info in engine.policies() {
        texts.insert(info.text(), info.link().is_some());
    }
    let is_template = |(_, linked): &(&str, bool)| *linked;
    let (templates, own): (Vec<_>, Vec<_>) = texts.into_iter().partition(is_template);
    let of_template = |text: &str| Template::parse(None, text).ok()?.to_pst().ok();
    let of_policy =
        |text: &str| Some(Policy::parse(None, text).ok()?.to_pst().ok()?.body().clone());

    let mut parsed: Vec<(&str, pst::Template)> =
        templates.into_iter().filter_map(|(text, _)| Some((text, of_template(text)?))).collect();
    let own: Vec<&str> = own.into_iter().map(|(text, _)| text).collect();
    let chunks: Vec<&[&str]> = own.chunks(AT_ONCE).collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let parse = |chunks: &[&[&'e str]]| -> Vec<(&'e str, pst::Template)> {
        let of_chunk = |texts: &&[&'e str]| match together(texts) {
            Some(trees) => texts.iter().copied().zip(trees).collect(),
            None => texts.iter().filter_map(|text| Some((*text, of_policy(text)?))).collect(),
        };
        chunks.iter().flat_map(|texts: &&[&str]| -> Vec<_> { of_chunk(texts) }).collect()
    };
    let share = chunks.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let shares: Vec<_> = chunks
            .chunks(share)
            .map(|chunks| {
                let builder = std::thread::Builder::new().stack_size(STACK_BYTES);
                (chunks, builder.spawn_scoped(scope, move || parse(chunks)))
            })
            .collect();
        for (chunks, thread) in shares {
            // Where there is no thread, or none any more, it is done here.
            let done = thread.ok().and_then(|thread| thread.join().ok());
            parsed.extend(done.unwrap_or_else(|| parse(chunks)));
        }
    });
    parsed.into_iter().map(|(text, tree)| (text, Arc::new(Tree::of(tree)))).collect()
}

/// Parses policies in one go.
fn together(texts: &[&str]) -> Option<Vec<pst::Template>> {
    let set: PolicySet = texts.join("\n").parse().ok()?;
    let trees: Vec<pst::Template> = (0..texts.len())
        .map(|number| {
            let id = cedar_policy::PolicyId::new(format!("policy{number}"));
            Some(set.policy(&id)?.to_pst().ok()?.body().clone())
        })
        .collect::<Option<_>>()?;
    (set.policies().count() == texts.len()).then_some(trees)
}

/// A scope constraint on principal or resource.
#[derive(Default)]
struct Constraint {
    type_name: Option<String>,
    uid: Option<String>,
    /// The entity itself, not also its members.
    exact: bool,
}

impl Constraint {
    fn of_principal(constraint: &PrincipalConstraint, slot: Option<&EntityUid>) -> Self {
        match constraint {
            PrincipalConstraint::Any => Self::default(),
            PrincipalConstraint::Is(name) => Self::is(name),
            PrincipalConstraint::Eq(entity) => Self::entity(entity, slot, true),
            PrincipalConstraint::In(entity) => Self::entity(entity, slot, false),
            PrincipalConstraint::IsIn(name, entity) => {
                Self { type_name: Self::is(name).type_name, ..Self::entity(entity, slot, false) }
            }
        }
    }

    fn of_resource(constraint: &ResourceConstraint, slot: Option<&EntityUid>) -> Self {
        match constraint {
            ResourceConstraint::Any => Self::default(),
            ResourceConstraint::Is(name) => Self::is(name),
            ResourceConstraint::Eq(entity) => Self::entity(entity, slot, true),
            ResourceConstraint::In(entity) => Self::entity(entity, slot, false),
            ResourceConstraint::IsIn(name, entity) => {
                Self { type_name: Self::is(name).type_name, ..Self::entity(entity, slot, false) }
            }
        }
    }

    fn is(name: &EntityType) -> Self {
        Self { type_name: Some(name.to_string()), ..Self::default() }
    }

    fn entity(entity: &EntityOrSlot, slot: Option<&EntityUid>, exact: bool) -> Self {
        let (uid, type_name) = match entity {
            EntityOrSlot::Entity(uid) => (Some(uid.to_string()), Some(uid.ty.to_string())),
            EntityOrSlot::Slot(_) => {
                (slot.map(ToString::to_string), slot.map(|uid| uid.type_name().to_string()))
            }
        };
        Self { uid, type_name: type_name.filter(|_| exact), exact }
    }

    /// Returns the type that the entity must have.
    fn type_name(&self) -> Option<String> {
        self.type_name.clone()
    }

    fn fact(&self, variable: &str) -> Option<Fact> {
        let uid = self.uid.as_deref()?;
        Some(if self.exact {
            Fact::is_entity(variable, uid)
        } else {
            Fact::in_entity(variable, uid)
        })
    }
}
