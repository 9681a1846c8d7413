//! Looking values up, step by step.

use crate::node::Node;
use crate::symbols::{Key, Step};
use crate::value::{Record, Value, ValueRef};

/// What stands at a path.
#[derive(Clone, Copy)]
pub(crate) enum Lookup<'a> {
    Value(ValueRef<'a>),
    /// The last step is not there.
    Missing,
    /// An earlier step is not there or is not something to take a step from: Cedar errs.
    Broken,
}

/// The literal at a path, where it was looked up beforehand.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PathKey {
    /// Looked up when it is asked for.
    Unknown,
    /// There is nothing at the path.
    Missing,
    /// What is there equals no literal of a policy, or this one.
    There(Option<Key>),
}

/// The value at a path, where it was looked up beforehand.
#[derive(Debug, Clone)]
pub(crate) enum PathValue {
    /// Looked up when it is asked for.
    Unknown,
    /// There is nothing at the path.
    Missing,
    /// The entity itself, whose id its handle has.
    Itself,
    There(Value),
}

pub(crate) fn field<'a>(fields: &'a Record, name: &str) -> Lookup<'a> {
    fields.get(name).map_or(Lookup::Missing, |value| Lookup::Value(value.into()))
}

/// An entity that is not there has neither attributes nor tags.
pub(crate) fn step_into<'a>(node: Option<&'a Node>, step: &Step) -> Lookup<'a> {
    let Some(node) = node else { return Lookup::Missing };
    match step {
        Step::Attribute(name) => field(&node.entity.attributes, name),
        Step::Tag(name) => field(&node.entity.tags, name),
    }
}
