//! A resource as typed attributes in slots.

use cedar_policy::{EntityId, EntityTypeName, EntityUid};
use smallvec::SmallVec;

use super::Principal;
use crate::conformance::{EntityShape, Slot};
use crate::entity::Entity;
use crate::error::{DecideError, RequestError};
use crate::limits::Limits;
use crate::node::EntitySymbols;
use crate::number::{EntityNumber, TypeNumber};
use crate::path_set::PathSet;
use crate::symbols::{Path, Step, Symbols, Var};
use crate::value::{ValueRef, is_within};

/// A type of resources, and the attributes and tags that will be given of each, in order.
///
/// Made for one engine. After a reload it still decides rightly with the new one, only not
/// as fast: make it anew with [`Engine::resource_type`](crate::Engine::resource_type) then.
#[derive(Debug, Clone)]
pub struct ResourceType {
    name: EntityTypeName,
    pub(crate) numbering: u64,
    number: Option<TypeNumber>,
    slots: Box<[Slot]>,
    /// Whether a resource can conform that has no more than the slots.
    is_complete: bool,
    /// The types that a resource can be a member of, with their numbers; any, where nothing is
    /// validated.
    parents: Option<Parents>,
    /// Where each path of the resource leads, in order.
    places: Box<[PathTarget]>,
    /// The paths at which every resource has something that conforms.
    there: PathSet,
}

/// Types with their numbers, if they have any.
type Parents = Box<[(EntityTypeName, Option<TypeNumber>)]>;

/// Where a path of the resource leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PathTarget {
    /// To the resource.
    Itself,
    Slot(usize),
    /// To an attribute that no resource of the type is given.
    NoSlot,
    /// Through a value to something within or behind it.
    Elsewhere,
}

/// A resource: its id, and its attributes and tags in the order of its [`ResourceType`].
#[derive(Debug, Clone, Copy)]
pub struct Resource<'a> {
    type_: &'a ResourceType,
    id: &'a str,
    values: &'a [Option<ValueRef<'a>>],
    parents: &'a [(&'a EntityTypeName, &'a str)],
}

impl ResourceType {
    /// `shape` is what the schema tells of the type; with `exact` that does not matter.
    ///
    /// # Errors
    ///
    /// Why there is no such type: the schema does not have one of the attributes or tags.
    pub(crate) fn new(
        name: &EntityTypeName,
        steps: &[Step],
        symbols: &Symbols,
        shape: Option<&EntityShape>,
        exact: bool,
    ) -> Result<Self, String> {
        let slot = |step: &Step| match shape {
            _ if exact => Ok(Slot::any(step.clone())),
            // Enumerated types and the like are Cedar's to check.
            None => Ok(Slot::unsure(step.clone())),
            Some(shape) => shape.slot(step).ok_or_else(|| format!("it has no {step}")),
        };
        let places: Box<[PathTarget]> =
            symbols.paths_of(Var::Resource).map(|path| place(path, steps)).collect();
        let slots: Box<[Slot]> = steps.iter().map(slot).collect::<Result<_, _>>()?;
        let is_there = |ordinal: usize, _: &Path| match places.get(ordinal) {
            Some(PathTarget::Itself) => true,
            Some(PathTarget::Slot(number)) => slots.get(*number).is_some_and(|slot| slot.required),
            Some(PathTarget::NoSlot | PathTarget::Elsewhere) | None => false,
        };
        Ok(Self {
            there: symbols.path_set(Var::Resource, is_there),
            name: name.clone(),
            numbering: symbols.numbering,
            number: symbols.type_(name),
            slots,
            is_complete: exact || shape.is_some_and(|shape| shape.is_covered_by(steps)),
            parents: shape.map(|shape| {
                let names = shape.ancestors().iter();
                names.map(|name| (name.clone(), symbols.type_(name))).collect()
            }),
            places,
        })
    }

    /// Returns a resource with this id. `values` are those of its attributes and tags, in
    /// order; it does not have those that are `None`, or that are left out at the end.
    #[must_use]
    pub fn resource<'a>(&'a self, id: &'a str, values: &'a [Option<ValueRef<'a>>]) -> Resource<'a> {
        Resource { type_: self, id, values, parents: &[] }
    }

    /// Returns the number of a type, if resources can be members of such; it may not have one.
    fn parent(&self, symbols: &Symbols, name: &EntityTypeName) -> Option<Option<TypeNumber>> {
        match &self.parents {
            Some(known) => known.iter().find(|(known, _)| known == name).map(|(_, number)| *number),
            None => Some(symbols.type_(name)),
        }
    }

    /// Returns the type's name.
    #[must_use]
    pub fn name(&self) -> &EntityTypeName {
        &self.name
    }
}

impl<'a> Resource<'a> {
    /// Sets the entities that the resource is directly a member of, by type and id.
    #[must_use]
    pub fn with_parents(self, parents: &'a [(&'a EntityTypeName, &'a str)]) -> Self {
        Self { parents, ..self }
    }

    pub(crate) fn type_name(&self) -> &'a EntityTypeName {
        &self.type_.name
    }

    pub(super) fn type_number(&self) -> Option<TypeNumber> {
        self.type_.number
    }

    #[inline]
    pub(super) fn numbering(&self) -> u64 {
        self.type_.numbering
    }

    /// Returns the paths at which there is something, if the resource conforms.
    #[inline]
    pub(super) fn there(&self) -> PathSet {
        self.type_.there
    }

    /// Returns how many slots the resource has.
    pub(crate) fn len(&self) -> usize {
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

    /// Returns the value of an attribute or tag.
    pub(crate) fn step(&self, step: &Step) -> Option<ValueRef<'a>> {
        self.value(self.type_.slots.iter().position(|slot| slot.step == *step)?)
    }

    /// Returns where the resource's path with this number leads.
    #[inline]
    pub(crate) fn place_at(&self, ordinal: usize) -> Option<PathTarget> {
        self.type_.places.get(ordinal).copied()
    }

    /// Returns the resource's numbers. Parents have no ancestors: see
    /// [`plain_symbols`](Self::plain_symbols).
    pub(crate) fn interned(&self, symbols: &Symbols) -> EntitySymbols {
        let type_ = self.type_.number;
        let own = type_.and_then(|type_| symbols.id(type_, self.id));
        let parents = self.parents.iter();
        let parents =
            parents.filter_map(|(name, id)| symbols.id(self.type_.parent(symbols, name)??, id));
        EntitySymbols::of(symbols, own, type_, parents)
    }

    /// Returns the resource's numbers, if it surely conforms to the schema of the engine that its type
    /// was made for, and its parents are none of the principal's entities. They have no ancestors then.
    pub(super) fn plain_symbols(
        &self,
        symbols: &Symbols,
        limits: &Limits,
        principal: &Principal,
    ) -> Option<EntitySymbols> {
        let Self { type_, id, values, parents } = self;
        let laid_over = principal.entities.limits();
        let longest = limits.string_bytes.min(laid_over.string_bytes);
        let is_plain = type_.is_complete
            && id.len() <= longest
            && are_plain(&type_.slots, values, longest, laid_over.nesting);
        if !is_plain {
            return None;
        }
        let own = type_.number.and_then(|number| symbols.id(number, id));
        let mut ids: SmallVec<[EntityNumber; 8]> = own.into_iter().collect();
        for (name, id) in *parents {
            // INVARIANT: a parent that is no entity has no ancestors, which the resource would have too.
            let number = type_.parent(symbols, name)??;
            let is_top = principal.holds_none(number) && Some(number) != type_.number;
            if !is_top || id.len() > longest {
                return None;
            }
            ids.extend(symbols.id(number, id));
        }
        Some(EntitySymbols::of_ids(symbols, own, type_.number, ids))
    }

    /// Returns the resource as an entity.
    ///
    /// # Errors
    ///
    /// [`RequestError::ResourceType`] if there are more values than slots.
    pub(super) fn to_entity(self) -> Result<Entity, DecideError> {
        let Self { type_, id, values, parents } = self;
        let (given, slots) = (values.len(), type_.slots.len());
        if given > slots {
            let reason = format!("{given} values were given for {slots} attributes and tags");
            return Err(RequestError::ResourceType { name: type_.name.to_string(), reason }.into());
        }
        let uid = |name: &EntityTypeName, id: &str| {
            EntityUid::from_type_name_and_id(name.clone(), EntityId::new(id))
        };
        let mut entity = Entity::new(uid(&type_.name, id));
        for (number, slot) in type_.slots.iter().enumerate() {
            let Some(value) = self.value(number) else { continue };
            match &slot.step {
                Step::Attribute(name) => entity.attributes.insert(name.clone(), value.to_value()),
                Step::Tag(name) => entity.tags.insert(name.clone(), value.to_value()),
            };
        }
        for (name, id) in parents {
            entity = entity.with_parent(uid(name, id));
        }
        Ok(entity)
    }
}

/// Returns whether values surely fit slots, those that are left out at the end among them.
pub(super) fn are_plain(
    slots: &[Slot],
    values: &[Option<ValueRef<'_>>],
    longest: usize,
    deepest: usize,
) -> bool {
    let Some((given, left_out)) = slots.split_at_checked(values.len()) else { return false };
    let is_plain = |(slot, value): (&Slot, &Option<ValueRef<'_>>)| match value {
        Some(value) => {
            let value = value.normal();
            slot.fits(value) && is_within(value, longest, deepest)
        }
        None => !slot.required,
    };
    given.iter().zip(values).all(is_plain) && left_out.iter().all(|slot| !slot.required)
}

/// Returns where a path leads among slots for these steps.
pub(super) fn place(path: &Path, steps: &[Step]) -> PathTarget {
    match path.steps.as_slice() {
        [] => PathTarget::Itself,
        [step] => steps.iter().position(|s| s == step).map_or(PathTarget::NoSlot, PathTarget::Slot),
        _ => PathTarget::Elsewhere,
    }
}
