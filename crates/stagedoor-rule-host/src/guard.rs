//! A rule with a policy's arguments, as the engine asks it.

use std::sync::Arc;

use stagedoor_core::{Entities, Guard, GuardAnswer, GuardFailure, GuardInputs, Request};

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
