//! A context as typed values in slots.

use cedar_policy::EntityUid;

use crate::conformance::{ActionShape, Slot};
use crate::limits::Limits;
use crate::prepared::PathTarget;
use crate::symbols::{Step, Symbols, Var};
use crate::value::{Record, ValueRef};

use super::resource::{are_plain, place};

/// The context of an action's requests: the fields that each will be given, in order.
///
/// Made for one engine. After a reload it still decides rightly with the new one, only not
/// as fast: make it anew with [`Engine::context_type`](crate::Engine::context_type) then.
///
/// # Examples
///
/// ```
/// use stagedoor_core::{Decision, Engine, Entities, PreparedRequest};
///
/// let engine = Engine::builder()
///     .schema("s.cedarschema", "entity User; entity Doc; action view appliesTo {
///         principal: User, resource: Doc, context: { role: String, level: Long } };")
///     .policies("p.cedar", r#"permit(principal, action, resource)
///         when { context.role == "nurse" && context.level > 2 };"#)
///     .build()?;
/// let ana = engine.principal(&r#"User::"ana""#.parse()?, &Entities::empty())?;
/// let view = engine.action(&r#"Action::"view""#.parse()?)?;
/// let docs = engine.resource_type(&"Doc".parse()?, &[], &[])?;
/// let contexts = engine.context_type(&view, &["role", "level"])?;
///
/// // For each request:
/// let values = [Some("nurse".into()), Some(3.into())];
/// let request = PreparedRequest::new(&ana, &view, docs.resource("1", &[]))
///     .with_context_values(contexts.context(&values));
/// assert_eq!(engine.ruling_prepared(&request)?.decision(), Decision::Allow);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ContextType {
    action: EntityUid,
    pub(crate) numbering: u64,
    slots: Box<[Slot]>,
    /// Whether a context can conform that has no more than the slots.
    is_complete: bool,
    /// Where each path of the context leads, in order.
    places: Box<[PathTarget]>,
}

/// A context: its values in the order of its [`ContextType`].
#[derive(Debug, Clone, Copy)]
pub struct ContextValues<'a> {
    type_: &'a ContextType,
    values: &'a [Option<ValueRef<'a>>],
}

impl ContextType {
    /// `shape` is what the schema tells of the action; with `exact` that does not matter.
    ///
    /// # Errors
    ///
    /// Why there is no such context: the schema does not have one of the fields.
    pub(crate) fn new(
        action: &EntityUid,
        steps: &[Step],
        symbols: &Symbols,
        shape: Option<&ActionShape>,
        exact: bool,
    ) -> Result<Self, String> {
        let slot = |step: &Step| match shape {
            _ if exact => Ok(Slot::any(step.clone())),
            None => Ok(Slot::unsure(step.clone())),
            Some(shape) => shape.slot(step).ok_or_else(|| format!("it has no {step}")),
        };
        Ok(Self {
            action: action.clone(),
            numbering: symbols.numbering,
            slots: steps.iter().map(slot).collect::<Result<_, _>>()?,
            is_complete: exact || shape.is_some_and(|shape| shape.is_covered_by(steps)),
            places: symbols.paths_of(Var::Context).map(|path| place(path, steps)).collect(),
        })
    }

    /// Returns a context. `values` are those of its fields, in order; it does not have those that
    /// are `None`, or that are left out at the end.
    #[must_use]
    pub fn context<'a>(&'a self, values: &'a [Option<ValueRef<'a>>]) -> ContextValues<'a> {
        ContextValues { type_: self, values }
    }

    /// Returns the action that the contexts are for.
    #[must_use]
    pub fn action(&self) -> &EntityUid {
        &self.action
    }
}

impl<'a> ContextValues<'a> {
    #[inline]
    pub(super) fn numbering(&self) -> u64 {
        self.type_.numbering
    }

    /// Returns how many slots the context has.
    pub(super) fn len(&self) -> usize {
        self.type_.slots.len()
    }

    /// Returns the value in a slot.
    #[inline]
    pub(crate) fn value(&self, slot: usize) -> Option<ValueRef<'a>> {
        self.raw_value(slot).map(ValueRef::normal)
    }

    /// Returns the value in a slot as it was given.
    #[inline]
    pub(crate) fn raw_value(&self, slot: usize) -> Option<ValueRef<'a>> {
        self.values.get(slot).copied().flatten()
    }

    /// Returns the value of a field.
    pub(crate) fn step(&self, step: &Step) -> Option<ValueRef<'a>> {
        self.value(self.type_.slots.iter().position(|slot| slot.step == *step)?)
    }

    /// Returns where the context's path with this number leads.
    #[inline]
    pub(crate) fn place_at(&self, ordinal: usize) -> Option<PathTarget> {
        self.type_.places.get(ordinal).copied()
    }

    /// Returns whether the context surely conforms to the schema of the engine that its type was
    /// made for, as that of such an action's request.
    pub(super) fn is_plain(&self, action: &EntityUid, limits: &Limits) -> bool {
        let Self { type_, values } = self;
        type_.action == *action
            && type_.is_complete
            && are_plain(&type_.slots, values, limits.string_bytes, limits.nesting)
    }

    /// Returns the context as a record.
    ///
    /// # Errors
    ///
    /// What is wrong if there are more values than slots.
    pub(super) fn to_record(self) -> Result<Record, String> {
        let (given, slots) = (self.values.len(), self.len());
        if given > slots {
            return Err(format!("{given} values were given for {slots} fields"));
        }
        let fields = self.type_.slots.iter().enumerate();
        let field = |(number, slot): (usize, &Slot)| match &slot.step {
            Step::Attribute(name) => Some((name.clone(), self.value(number)?.to_value())),
            Step::Tag(_) => None,
        };
        Ok(fields.filter_map(field).collect())
    }
}
