#![doc = include_str!("../README.md")]

#[cfg(feature = "backstage")]
pub use stagedoor_backstage as backstage;
// A list, so that what changes here is seen; Cedar's syntax trees and what measures tests of
// policies are in `stagedoor_core` alone.
pub use stagedoor_core::{
    Action, Change, ChangedTo, ConditionalEngine, ConditionalError, ConditionalOutcome,
    ConditionalResidual, ContextType, ContextValues, Counterfactual, DecideError, Decision,
    DeferredCondition, DeferredConditionError, DifferenceSink, Effect, Engine, EngineBuilder,
    EngineHolder, Entities, EntitiesError, Entity, EntityId, EntityLoader, EntityTypeName,
    EntityUid, Explanation, Extension, ExtensionType, FailedClause, Guard, GuardAnswer,
    GuardFailure, GuardInfo, GuardInputs, GuardOutcome, GuardRefusal, GuardVerdict,
    HeldAlternative, HeldClause, Limits, LoadError, MetValue, NearPermit, Outcome, PolicyEdit,
    PolicyError, PolicyExplanation, PolicyInfo, PolicyStatus, PreparedRequest, Principal, Problem,
    Record, Request, RequestError, Residual, ResidualCondition, Resource, ResourceType,
    RuleEvaluator, Ruling, Schema, Severity, Statistics, StoredResource, TemplateLink, Value,
    ValueError, ValueRef, entity_uid, uid,
};
#[cfg(feature = "kubernetes")]
pub use stagedoor_kubernetes as kubernetes;
#[cfg(feature = "rules")]
pub use stagedoor_rule_host as rules;
pub use stagedoor_source as source;
