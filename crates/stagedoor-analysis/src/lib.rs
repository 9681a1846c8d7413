//! What Cedar policies mean.
//!
//! A condition has three outcomes: true, false, or an error. This crate turns policies into
//! formulas that say when each comes about, and decides questions about **all** requests that
//! conform to a schema:
//!
//! - [`compare`]: which requests two policy sets decide differently.
//! - [`Bound`]: whether some request is allowed that never must be, or denied that never must be.
//! - [`Library::effect_of`]: what another policy in the place of one would change.
//!
//! - [`Library::covers`], [`Library::oddities`]: which policies and parts of them say nothing.
//!
//! Whatever is found is a [`Witness`]: a request with its entities that the engines themselves
//! decide so. Nothing found means that there is nothing. What is neither is told as undecided.
//!
//! # What is decided
//!
//! For one principal type, action and resource type at a time (an [`Environment`]), all
//! requests and all stores of entities that conform to the schema, with any hierarchy that it
//! allows, and with principal, resource or an entity that is referred to among the entities or not.
//! Conditions are decided exactly if they consist of:
//!
//! - `&&`, `||`, `!`, `if`, in any depth; and `has`, `is`, `hasTag` with a constant key;
//! - attributes, tags, and attributes of entities in attributes (`resource.owner.level`), each
//!   compared with constants: `==`, `!=`, `in` an entity or a list of them, `like`; `<` and its
//!   kin on numbers, decimals, datetimes and durations, also after a constant was added or
//!   subtracted (with overflow); `isIpv4`, `isIpv6`, `isLoopback`, `isMulticast`, `isInRange`;
//! - sets: `contains`, `containsAll`, `containsAny`, `isEmpty` and `==` with constants;
//! - whether two values that are no sets, records or sums are the same: `resource.owner ==
//!   principal`;
//! - expressions without variables, which Cedar's own evaluator computes.
//!
//! Beyond that a request may still be found, but that there is none is told only if it follows
//! without looking into what is beyond: other comparisons of two attributes (`<`, sets with sets,
//! `in` an attribute), arithmetic between attributes, products, `toDate`, `toTime` and divisions of
//! time, comparisons of records, tags with a key that is no constant; more than 32 cases of
//! nested `if` within one value; and guards, whose answers are not known. Two expressions of the
//! same text count as the same there, so that policies that agree in them are still compared.
//!
//! Effort is bounded, and what passes a bound is undecided as well. Of one question: 20,000
//! assignments of its atoms, 12 million atoms looked at in them, 200,000 conflicts of the solver, 24
//! assignments that came to nothing, 2,000 policies that stood in the way; of one text, 20,000 states of
//! its patterns. What is found within the bounds is exact.
//!
//! # Why that is sound
//!
//! Each test of a value with constants becomes an atom; a request makes every atom true or false,
//! so a formula that no assignment of its atoms satisfies holds for no request. Conversely, an
//! assignment is taken apart into places. For each type there is a finite list of candidates that
//! holds a value of every kind that the tests at one place can tell apart (a small model): numbers
//! are told apart at constants only, so the constants and their neighbours will do; texts by
//! patterns, of which all are run side by side over one text until no new state is reached;
//! networks contain each other or share nothing; a set may contain any constants and one thing
//! more. Places that are the same share their value, and entities their attributes, through
//! congruence. Groups are free but for transitivity and the absence of cycles. So an assignment
//! that no candidates satisfy is satisfied by no request, and the literals at fault are excluded;
//! one that they do satisfy is a request.
//!
//! An erroring permit does not count and an erroring forbid denies, as
//! [`Engine`](stagedoor_core::Engine) decides; not as Cedar's authorizer does, which skips both.

mod atom;
mod bound;
mod compare;
mod constant;
mod evaluate;
mod fact;
mod formula;
mod inspect;
mod known;
mod library;
mod policy;
mod question;
mod schema;
mod scope;
mod search;
mod solver;
mod stack;
mod theory;
mod translate;
mod witness;
mod written;

pub use cedar_policy_core::ast::{
    BinaryOp, EntityType, EntityUID, Expr, ExprKind, Literal, Pattern, PatternElem, Var,
};
pub use stagedoor_core::expr;

pub use bound::{Bound, BoundError, BoundKind, Violation};
pub use compare::{
    Difference, Differences, Direction, Finding, Keep, ReplacementEffect, Verdict, compare,
    compare_keeping,
};
pub use fact::{Fact, Implication, Test, Text, contradiction, follows};
pub use inspect::Oddity;
pub use known::{KnownEntity, KnownRequest, Truth};
pub use library::Library;
pub use policy::{ParseError, ParsedPolicy};
pub use schema::{EntityShape, Environment, Field, Fields, SchemaView, ValueType};
pub use scope::{ActionScope, Scope, ScopeConstraint};
pub use witness::Witness;
