//! Functions that decide about one principal, action and type of resources: JavaScript hands over
//! nothing but the resource.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use napi::bindgen_prelude::{Env, Function, FunctionCallContext};
use napi_derive::napi;

use crate::engine::{Engine, closed};
use crate::failure::{Failure, Result};
use crate::loading::Policies;
use crate::prepared::{Action, HandleRequest, NamedType, Principal, ResourceType};

/// What a function of this kind holds.
struct Decider {
    policies: Rc<RefCell<Option<Arc<Policies>>>>,
    principal: Rc<RefCell<stagedoor_core::Principal>>,
    action: Rc<RefCell<stagedoor_core::Action>>,
    resource_type: Rc<NamedType>,
}

#[napi]
impl Engine {
    /// Returns a function that tells whether the principal may do this to a resource of the
    /// type: the fastest way to a decision. Handles cross to Rust when it is made, and only the
    /// resource, as for `isAllowedPrepared`, when it is called.
    ///
    /// It decides by the policies that are in force when it is called, and throws what
    /// `isAllowedPrepared` throws.
    #[napi(catch_unwind, ts_return_type = "(resource: string | ResourceInput) => boolean")]
    pub fn decider<'env>(
        &self,
        env: &'env Env,
        principal: &Principal,
        action: &Action,
        resource_type: &ResourceType,
    ) -> napi::Result<Function<'env, String, bool>> {
        self.policies().map_err(|failure| failure.thrown(env))?;
        let decider = Decider {
            policies: Rc::clone(&self.policies),
            principal: Rc::clone(&principal.0),
            action: Rc::clone(&action.0),
            resource_type: Rc::clone(&resource_type.0),
        };
        env.create_function_from_closure("isAllowed", move |call| {
            // No panic may pass through JavaScript's frames.
            catch_unwind(AssertUnwindSafe(|| decider.is_allowed(&call)))
                .unwrap_or_else(|_| Err(Failure::new("internal::panic", "the decision failed")))
                .map_err(|failure| failure.thrown(call.env))
        })
    }
}

impl Decider {
    fn is_allowed(&self, call: &FunctionCallContext<'_>) -> Result<bool> {
        let resource = call.get(0).map_err(|_| Failure::mistyped("resource", "a string"))?;
        let policies = self.policies.borrow();
        let policies = policies.as_ref().ok_or_else(closed)?;
        let Self { principal, action, resource_type, .. } = self;
        let asked = HandleRequest { principal, action, resource_type };
        asked.ask(policies, |engine| asked.is_allowed(engine, resource))
    }
}
