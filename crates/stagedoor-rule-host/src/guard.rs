//! A rule with a policy's arguments, as the engine asks it.

use std::sync::Arc;

use stagedoor_core::{Entities, Guard, GuardAnswer, GuardFailure, GuardInputs, Request};

use crate::error::WasmRuleError;
use crate::rule::WasmRule;

#[derive(Debug)]
pub(crate) struct WasmGuard {
    pub(crate) rule: Arc<WasmRule>,
    pub(crate) arguments: String,
}

impl Guard for WasmGuard {
    fn inputs(&self) -> GuardInputs {
        self.rule.inputs()
    }

    fn digest(&self) -> &str {
        self.rule.digest()
    }

    fn evaluate(
        &self,
        request: &Request,
        entities: &Entities,
    ) -> Result<GuardAnswer, GuardFailure> {
        let given = self.rule.evaluate(request, entities, &self.arguments)?;
        Ok(GuardAnswer { holds: given.holds, reason: given.reason })
    }
}

/// A guard whose rule is still being compiled. It fails closed.
#[derive(Debug)]
pub(crate) struct PendingGuard {
    digest: String,
}

impl PendingGuard {
    /// Returns the guard of a rule, which is pinned to a digest perhaps.
    pub(crate) fn new(pinned: Option<&str>) -> Self {
        // No digest of a rule, so that the policies have another revision when it is there; a pin
        // is asked about as soon as it can be answered.
        Self { digest: pinned.map_or_else(|| "compiling".to_owned(), str::to_owned) }
    }
}

impl Guard for PendingGuard {
    fn inputs(&self) -> GuardInputs {
        // Whatever it will look at: where the resource is not known yet it is not asked.
        GuardInputs { principal: true, action: true, resource: true, context: true }
    }

    fn digest(&self) -> &str {
        &self.digest
    }

    fn evaluate(&self, _: &Request, _: &Entities) -> Result<GuardAnswer, GuardFailure> {
        Err(WasmRuleError::Compiling.into())
    }
}
