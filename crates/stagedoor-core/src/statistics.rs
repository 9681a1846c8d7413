//! Figures about an engine.

use std::sync::atomic::Ordering;

use crate::engine::Engine;
use crate::ir::Clause;

/// How an engine evaluates its policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Policies and links.
    pub policies: usize,
    /// Those with a clause that only Cedar's evaluator decides; see
    /// [`PolicyInfo::is_compiled`](crate::PolicyInfo::is_compiled).
    pub interpreted: usize,
    /// Decisions that Cedar's evaluator has made as well; see
    /// [`EngineBuilder::shadow`](crate::EngineBuilder::shadow).
    pub compared: u64,
    /// Those of them that differed.
    pub differences: u64,
}

impl Engine {
    /// Returns how the engine evaluates its policies. Looks at each of them.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let interpreted = self.policies().filter(|policy| !policy.is_compiled()).count();
        let shadow = self.0.shadow.as_ref();
        Statistics {
            policies: self.0.policies.len(),
            interpreted,
            compared: shadow.map_or(0, |shadow| shadow.compared.load(Ordering::Relaxed)),
            differences: shadow.map_or(0, |shadow| shadow.differences.load(Ordering::Relaxed)),
        }
    }
}

impl crate::PolicyInfo<'_> {
    /// Returns whether every clause is decided on typed attributes. The others are left to
    /// Cedar's evaluator, which costs microseconds more where they are reached: those with
    /// records in them, or all, if
    /// [nothing is to be compiled](crate::EngineBuilder::compiled).
    #[must_use]
    pub fn is_compiled(&self) -> bool {
        let body = &self.policy.body;
        body.exprs.is_none() && body.clauses.iter().all(|c| matches!(c, Clause::Predicate(_)))
    }
}
