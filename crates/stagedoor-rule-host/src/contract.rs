//! The contract with rules, as the SDK's `wit/` folder has it.

/// The version that this host speaks.
pub(crate) const VERSION: &str = "0.1.0";
/// What a rule exports, without the version.
pub(crate) const EXPORT: &str = "stagedoor:rule/guard";

mod generated {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "rule",
    });
}

pub(crate) use generated::exports::stagedoor::rule::guard::{
    Entity, EntityUid, Inputs, Request, RuleInfo,
};
pub(crate) use generated::{Rule, RulePre};
