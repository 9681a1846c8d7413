//! The rule as a component: [`export!`](crate::export) calls it, nobody else has to.

use alloc::borrow::ToOwned as _;
use alloc::string::ToString as _;

pub use alloc::string::String;

use crate::request::{self, Entity, EntityUid};
use crate::rule::Rule;

#[expect(missing_docs, reason = "generated from the contract")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "rule",
        pub_export_macro: true,
        export_macro_name: "export_rule",
        default_bindings_module: "stagedoor_rule_sdk::guest::bindings",
    });
}

pub use bindings::export_rule;
use bindings::exports::stagedoor::rule::guard as contract;
pub use bindings::exports::stagedoor::rule::guard::{Guest, Request, RuleInfo, Verdict};

/// Describes a rule.
pub fn describe<R: Rule>(name: &str, version: &str) -> RuleInfo {
    let mut inputs = contract::Inputs::empty();
    inputs.set(contract::Inputs::PRINCIPAL, R::INPUTS.principal);
    inputs.set(contract::Inputs::ACTION, R::INPUTS.action);
    inputs.set(contract::Inputs::RESOURCE, R::INPUTS.resource);
    inputs.set(contract::Inputs::CONTEXT, R::INPUTS.context);
    let (name, version) = (name.to_owned(), version.to_owned());
    RuleInfo { name, version, inputs, arguments_schema: R::ARGUMENTS.to_owned() }
}

/// Checks the arguments of a policy.
///
/// # Errors
///
/// What is wrong, as text.
pub fn validate<R: Rule>(arguments: &str) -> Result<(), String> {
    R::validate_json(arguments).map_err(|e| e.to_string())
}

/// Answers a request.
///
/// # Errors
///
/// The rule's own error, as text.
pub fn evaluate<R: Rule>(request: Request) -> Result<Verdict, String> {
    let Request { principal, action, resource, context, related, arguments } = request;
    let request = request::Request {
        principal: principal.map(entity),
        action: action.map(uid),
        resource: resource.map(entity),
        context,
        related: related.into_iter().map(entity).collect(),
    };
    let verdict = R::evaluate_json(&request, &arguments).map_err(|e| e.to_string());
    // The instance ends with the call.
    core::mem::forget((request, arguments));
    let verdict = verdict?;
    Ok(Verdict { holds: verdict.holds, reason: verdict.reason })
}

fn entity(entity: contract::Entity) -> Entity {
    let contract::Entity { uid: own, attributes, tags, ancestors } = entity;
    let ancestors = ancestors.into_iter().map(uid).collect();
    Entity { uid: uid(own), ancestors, attributes, tags }
}

fn uid(uid: contract::EntityUid) -> EntityUid {
    EntityUid { type_: uid.type_, id: uid.id }
}
