//! Guards of policies, whose rules take as long as they take.
//!
//! Requests are decided in turns, by a few threads. A rule that takes its time would hold one of
//! them, and with it requests that no rule guards. So a guard whose rule was slow of late gives
//! its turn away before it is asked. How many calls of one rule there may be at a time is bounded by
//! what runs the rules, which refuses others at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use stagedoor_core::{
    Entities, Guard, GuardAnswer, GuardFailure, GuardInputs, GuardRefusal, Problem, Request,
    RuleEvaluator,
};

use crate::pool::yield_turn;

/// A call that takes longer holds up others.
const SLOW: Duration = Duration::from_micros(500);

/// Rules that give their turn away where they are slow: guards of an engine that decides in a
/// [`Server`](crate::Server).
#[derive(Debug)]
pub struct YieldingRules(Arc<dyn RuleEvaluator>);

impl YieldingRules {
    /// Returns the rules so.
    #[must_use]
    pub fn new(rules: Arc<dyn RuleEvaluator>) -> Self {
        Self(rules)
    }
}

impl RuleEvaluator for YieldingRules {
    fn guard(&self, rule: &str, arguments: &str) -> Result<Arc<dyn Guard>, GuardRefusal> {
        let guard = self.0.guard(rule, arguments)?;
        // The first call tells how long it takes; until then it counts as slow.
        Ok(Arc::new(YieldingGuard { guard, took: AtomicU64::new(u64::MAX) }))
    }

    fn warnings(&self) -> Vec<Problem> {
        self.0.warnings()
    }
}

#[derive(Debug)]
struct YieldingGuard {
    guard: Arc<dyn Guard>,
    /// The longest call of late, in nanoseconds, fading with each that is shorter.
    took: AtomicU64,
}

impl YieldingGuard {
    fn is_slow(&self) -> bool {
        Duration::from_nanos(self.took.load(Ordering::Relaxed)) > SLOW
    }

    fn took(&self, time: Duration) {
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let before = self.took.load(Ordering::Relaxed);
        let faded = if before == u64::MAX { 0 } else { before - before / 16 };
        // A lost update of another thread makes no difference that matters.
        self.took.store(time.max(faded), Ordering::Relaxed);
    }
}

impl Guard for YieldingGuard {
    fn inputs(&self) -> GuardInputs {
        self.guard.inputs()
    }

    fn digest(&self) -> &str {
        self.guard.digest()
    }

    fn evaluate(
        &self,
        request: &Request,
        entities: &Entities,
    ) -> Result<GuardAnswer, GuardFailure> {
        if self.is_slow() {
            yield_turn();
        }
        let begun = Instant::now();
        let answer = self.guard.evaluate(request, entities);
        self.took(begun.elapsed());
        answer
    }
}
