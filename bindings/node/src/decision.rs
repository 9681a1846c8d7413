//! Decisions, as JavaScript gets them.
//!
//! Made by hand, since callers wait for them: `stagedoor_wire::Decision` is the same form, and the
//! corpus of `tests/cases/wire` holds these against it.

use napi::bindgen_prelude::{Env, FromNapiValue as _, JsObjectValue as _, Object};
use stagedoor_core::Outcome;
use stagedoor_wire::{Decision, GuardOutcome, PolicyFailure, Verdict};

use crate::failure::{Failure, Result};

/// Returns the answer to a request.
pub(crate) fn decided<'env>(env: &'env Env, outcome: &Outcome) -> Result<Object<'env>> {
    let mut object = Object::new(env)?;
    object.set_c_named_property(c"decision", Verdict::from(outcome.decision()).as_str())?;
    let reasons: Vec<&str> = outcome.reasons().map(|policy| policy.id()).collect();
    object.set_c_named_property(c"reasons", reasons)?;
    let errors = outcome.errors().iter().map(PolicyFailure::from).collect::<Vec<_>>();
    match errors.is_empty() {
        true => object.set_c_named_property(c"errors", env.create_array(0)?)?,
        false => object.set_c_named_property(c"errors", env.to_js_value(&errors)?)?,
    }
    if !outcome.guards().is_empty() {
        let guards: Vec<_> = outcome.guards().iter().map(GuardOutcome::from).collect();
        object.set_c_named_property(c"guards", env.to_js_value(&guards)?)?;
    }
    object.set_c_named_property(c"revision", outcome.revision())?;
    Ok(object)
}

/// Returns the denial of what could not be put to the policies of this revision.
pub(crate) fn refused<'env>(
    env: &'env Env,
    failure: Failure,
    revision: &str,
) -> Result<Object<'env>> {
    let value = env.to_js_value(&Decision::refused(failure.into_wire(), revision))?;
    Ok(Object::from_unknown(value)?)
}
