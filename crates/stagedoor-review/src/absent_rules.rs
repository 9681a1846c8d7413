//! Rules that are not at hand.

use std::sync::Arc;

use stagedoor_core::{
    Entities, Guard, GuardAnswer, GuardFailure, GuardInputs, GuardRefusal, Request, RuleEvaluator,
};

/// Takes every rule for one that gives no answer, so that guarded policies can be reviewed where
/// their rules are not. A guarded permit is off, a guarded forbid on.
#[derive(Debug)]
pub(crate) struct AbsentRules;

#[derive(Debug)]
struct AbsentGuard;

impl RuleEvaluator for AbsentRules {
    fn guard(&self, _: &str, _: &str) -> Result<Arc<dyn Guard>, GuardRefusal> {
        Ok(Arc::new(AbsentGuard))
    }
}

impl Guard for AbsentGuard {
    fn inputs(&self) -> GuardInputs {
        // What it looks at is not known either.
        GuardInputs { principal: true, action: true, resource: true, context: true }
    }

    fn digest(&self) -> &str {
        "absent"
    }

    fn evaluate(&self, _: &Request, _: &Entities) -> Result<GuardAnswer, GuardFailure> {
        let message = "rules are not run for a review".to_owned();
        Err(GuardFailure { code: "review::no-rules", message })
    }
}
