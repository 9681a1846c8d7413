//! What an engine holds: policies, their index, and the schema with what was made of it.

use std::ops::ControlFlow;
use std::sync::Arc;

use cedar_policy::{Effect, EntityUid, Schema};
use cedar_policy_core::ast;
use smol_str::SmolStr;

use crate::conformance::Shapes;
use crate::context::EvalContext;
use crate::entities::Entities;
use crate::ground::Ground;
use crate::guard::GuardBinder;
use crate::hash::{FastMap, FastSet, PersistentMap};
use crate::index::{Candidate, Candidates, Index, IndexInput, Visitor};
use crate::ledger::Ledger;
use crate::limits::Limits;
use crate::node::EntitySymbols;
use crate::number::PolicyNumber;
use crate::policy::{PolicyInfo, Template};
use crate::policy_list::PolicyList;
use crate::problem::Problem;
use crate::request::Request;
use crate::shadow::Shadow;
use crate::source::Source;
use crate::symbols::Symbols;

/// Of so many policies more are told apart: see [`IndexInput::many`].
const MANY_POLICIES: usize = 64;

/// Cheap to clone: what an edit does not change is shared.
#[derive(Clone)]
pub(crate) struct Snapshot {
    pub(crate) policies: PolicyList,
    /// The texts that were loaded.
    pub(crate) sources: Arc<[Arc<Source>]>,
    pub(crate) templates: PersistentMap<SmolStr, Template>,
    /// Digests of all policies and templates.
    pub(crate) ledger: Ledger,
    pub(crate) symbols: Symbols,
    pub(crate) index: Option<Index>,
    pub(crate) schema: Option<Arc<Schema>>,
    pub(crate) shapes: Arc<Shapes>,
    /// The schema's actions with their groups; empty where Cedar takes them from the entities.
    pub(crate) actions: Arc<FastMap<EntityUid, Arc<EntitySymbols>>>,
    /// Entities that conditions name and may read.
    pub(crate) dereferenced: Arc<FastSet<EntityUid>>,
    /// The most steps from entity to entity that a condition makes.
    pub(crate) hops: usize,
    /// The schema's actions as Cedar's entities.
    pub(crate) action_entities: Arc<FastMap<EntityUid, Arc<ast::Entity>>>,
    pub(crate) exact: bool,
    pub(crate) shadow: Option<Arc<Shadow>>,
    pub(crate) limits: Limits,
    pub(crate) revision: String,
    pub(crate) warnings: Arc<[Problem]>,
    pub(crate) guards: GuardBinder,
    pub(crate) ground: Arc<Ground>,
}

impl Snapshot {
    pub(crate) fn policy(&self, number: PolicyNumber) -> Option<PolicyInfo<'_>> {
        self.policies.get(number).map(|policy| PolicyInfo { policy })
    }

    /// Returns all policies with their numbers, in order.
    pub(crate) fn numbered_policies(
        &self,
    ) -> impl ExactSizeIterator<Item = (PolicyNumber, PolicyInfo<'_>)> {
        self.policies.iter().map(|(number, policy)| (number, PolicyInfo { policy }))
    }

    pub(crate) fn view<'a>(
        &'a self,
        request: &'a Request,
        entities: &'a Entities,
    ) -> EvalContext<'a> {
        // Known where a schema tells it.
        let action = self.actions.get(&request.action).map(AsRef::as_ref);
        EvalContext::new(request, entities, &self.symbols, action, &self.action_entities)
    }

    /// Hands over the policies of an effect that can matter, until `take` breaks off. One may come
    /// more than once.
    pub(crate) fn walk(
        &self,
        effect: Effect,
        view: &EvalContext<'_>,
        mut take: impl Visitor,
    ) -> ControlFlow<()> {
        match &self.index {
            Some(index) => index.walk(effect, view, &mut take),
            None => self
                .policies
                .iter()
                .filter(|(_, policy)| policy.effect == effect)
                .try_for_each(|(number, _)| take(Candidate::new(number, false))),
        }
    }

    /// Returns the policies of an effect that can matter, in their order in the policy set.
    pub(crate) fn candidates(&self, effect: Effect, view: &EvalContext<'_>) -> Candidates {
        match &self.index {
            Some(index) => {
                let mut found = Candidates::new();
                index.candidates(effect, view, &mut found);
                found
            }
            None => self
                .policies
                .iter()
                .filter(|(_, policy)| policy.effect == effect)
                .map(|(number, _)| Candidate::new(number, false))
                .collect(),
        }
    }

    /// Returns the numbers of the policies that can matter, in their order in the policy set.
    pub(crate) fn all_candidates(&self, view: &EvalContext<'_>) -> Vec<PolicyNumber> {
        let effects = [Effect::Forbid, Effect::Permit];
        let found = effects.into_iter().flat_map(|effect| self.candidates(effect, view));
        let mut numbers: Vec<PolicyNumber> = found.map(Candidate::policy).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Returns what the index has to know of names and data.
    pub(crate) fn index_input<'a>(&'a self, symbols: &'a Symbols) -> IndexInput<'a> {
        IndexInput {
            symbols,
            validated: !self.exact,
            single_actions: &self.ground.single_actions,
            many: self.policies.len() > MANY_POLICIES,
        }
    }
}
