//! What a schema says of requests and entities, in a form that is quick to check.
//!
//! A fit found here is a fit for Cedar. What does not fit here may still do so for Cedar
//! (enumerated entities), which is then asked and words the error.

use std::sync::Arc;

use cedar_policy::{EntityTypeName, EntityUid, Schema};
use cedar_policy_core::validator::ValidatorEntityTypeKind;
use cedar_policy_core::validator::types::{Attributes, EntityKind, OpenTag, Type};
use smol_str::SmolStr;

use crate::extension::ExtensionType;
use crate::hash::FastMap;
use crate::node::Node;
use crate::number::TypeNumber;
use crate::request::Request;
use crate::symbols::{Step, Symbols};
use crate::value::{Record, Value, ValueRef};

/// The shapes of one schema.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    /// Entity types but enumerated ones.
    entities: FastMap<EntityTypeName, EntityShape>,
    actions: FastMap<EntityUid, Arc<ActionShape>>,
}

#[derive(Debug)]
pub(crate) struct EntityShape {
    attributes: Fields,
    tags: Option<Shape>,
    ancestors: Vec<EntityTypeName>,
}

#[derive(Debug)]
pub(crate) struct ActionShape {
    principals: Vec<EntityTypeName>,
    resources: Vec<EntityTypeName>,
    context: Fields,
}

/// An attribute or tag that resources are given, and what it may be.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) step: Step,
    pub(crate) required: bool,
    expected: ExpectedShape,
}

#[derive(Debug, Clone)]
enum ExpectedShape {
    Any,
    Shape(Shape),
    /// Cedar's to check.
    Unsure,
}

/// Attributes by name, sorted.
#[derive(Debug, Clone)]
struct Fields(Vec<Field>);

#[derive(Debug, Clone)]
struct Field {
    name: SmolStr,
    shape: Shape,
    required: bool,
}

#[derive(Debug, Clone)]
enum Shape {
    Bool,
    Long,
    String,
    Entity(EntityTypeName),
    Set(Box<Shape>),
    Record(Fields),
    Extension(ExtensionType),
    /// Cedar's to check.
    Other,
}

impl Shapes {
    pub(crate) fn of(schema: &Schema) -> Self {
        let core = schema.as_ref();
        let mut entities = FastMap::default();
        for name in schema.entity_types() {
            let Some(type_) = core.get_entity_type(name.as_ref()) else { continue };
            let closed = type_.open_attributes() == OpenTag::ClosedAttributes;
            if !matches!(type_.kind, ValidatorEntityTypeKind::Standard(_)) || !closed {
                continue;
            }
            let Some(attributes) = fields(type_.attributes(), schema) else { continue };
            let tags = type_.tag_type().map(|type_| shape(type_, schema));
            let ancestors = schema.ancestors(name).into_iter().flatten();
            let ancestors = ancestors.filter(|a| is_standard(a, schema)).cloned().collect();
            entities.insert(name.clone(), EntityShape { attributes, tags, ancestors });
        }
        let mut actions = FastMap::default();
        for uid in schema.actions() {
            let Some(action) = core.get_action_id(uid.as_ref()) else { continue };
            let Some(Shape::Record(context)) = action.context_type().map(|t| shape(t, schema))
            else {
                continue;
            };
            let standard = |types: &mut dyn Iterator<Item = EntityTypeName>| {
                types.filter(|name| is_standard(name, schema)).collect::<Vec<_>>()
            };
            let principals = standard(&mut action.principals().map(|name| name.clone().into()));
            let resources = standard(&mut action.resources().map(|name| name.clone().into()));
            let shape = ActionShape { principals, resources, context };
            actions.insert(uid.clone(), Arc::new(shape));
        }
        Self { entities, actions }
    }

    pub(crate) fn entity(&self, name: &EntityTypeName) -> Option<&EntityShape> {
        self.entities.get(name)
    }

    pub(crate) fn action(&self, uid: &EntityUid) -> Option<&Arc<ActionShape>> {
        self.actions.get(uid)
    }

    /// Returns whether a request surely conforms to the schema.
    pub(crate) fn fits_request(&self, request: &Request) -> bool {
        self.actions.get(&request.action).is_some_and(|action| {
            action.principals.contains(request.principal.type_name())
                && action.resources.contains(request.resource.type_name())
                && action.context.fit(&request.context)
        })
    }

    /// Returns whether an entity surely conforms to the schema.
    pub(crate) fn fits_entity(&self, node: &Node) -> bool {
        let entity = &node.entity;
        self.entities.get(entity.uid.type_name()).is_some_and(|shape| {
            shape.attributes.fit(&entity.attributes)
                && node.ancestors.iter().all(|a| shape.ancestors.contains(a.type_name()))
                && match &shape.tags {
                    Some(tag) => entity.tags.values().all(|value| tag.fits(value)),
                    None => entity.tags.is_empty(),
                }
        })
    }
}

impl EntityShape {
    /// Returns the slot for an attribute or tag, if entities of the type can have it.
    pub(crate) fn slot(&self, step: &Step) -> Option<Slot> {
        let (shape, required) = match step {
            Step::Attribute(name) => {
                let field = self.attributes.named(name)?;
                (&field.shape, field.required)
            }
            Step::Tag(_) => (self.tags.as_ref()?, false),
        };
        Some(Slot { step: step.clone(), required, expected: ExpectedShape::Shape(shape.clone()) })
    }

    /// Returns whether every attribute that entities of the type must have is among `steps`.
    pub(crate) fn is_covered_by(&self, steps: &[Step]) -> bool {
        self.attributes.are_covered_by(steps)
    }

    /// Returns the types that an entity of the type can be a member of.
    pub(crate) fn ancestors(&self) -> &[EntityTypeName] {
        &self.ancestors
    }
}

impl ActionShape {
    /// Returns the numbers of the types that principals and resources can be of.
    pub(crate) fn types(&self, symbols: &Symbols) -> (Arc<[TypeNumber]>, Arc<[TypeNumber]>) {
        let numbers =
            |names: &[EntityTypeName]| names.iter().filter_map(|n| symbols.type_(n)).collect();
        (numbers(&self.principals), numbers(&self.resources))
    }

    pub(crate) fn fits_context(&self, context: &Record) -> bool {
        self.context.fit(context)
    }

    /// Returns the slot for a field of the context, if it can have that.
    pub(crate) fn slot(&self, step: &Step) -> Option<Slot> {
        let Step::Attribute(name) = step else { return None };
        let field = self.context.named(name)?;
        let expected = ExpectedShape::Shape(field.shape.clone());
        Some(Slot { step: step.clone(), required: field.required, expected })
    }

    /// Returns whether every field that the context must have is among `steps`.
    pub(crate) fn is_covered_by(&self, steps: &[Step]) -> bool {
        self.context.are_covered_by(steps)
    }
}

impl Slot {
    /// Returns a slot for anything.
    pub(crate) fn any(step: Step) -> Self {
        Self { step, required: false, expected: ExpectedShape::Any }
    }

    /// Returns a slot of which it is not known here what fits it.
    pub(crate) fn unsure(step: Step) -> Self {
        Self { step, required: false, expected: ExpectedShape::Unsure }
    }

    /// Returns whether a value surely fits.
    pub(crate) fn fits(&self, value: ValueRef<'_>) -> bool {
        match (&self.expected, value) {
            (ExpectedShape::Any, _) => true,
            (ExpectedShape::Unsure, _) => false,
            (ExpectedShape::Shape(Shape::Bool), ValueRef::Bool(_))
            | (ExpectedShape::Shape(Shape::Long), ValueRef::Long(_))
            | (ExpectedShape::Shape(Shape::String), ValueRef::String(_)) => true,
            (ExpectedShape::Shape(Shape::Entity(name)), ValueRef::Entity(uid)) => {
                uid.type_name() == name
            }
            (ExpectedShape::Shape(shape), ValueRef::Value(value)) => shape.fits(value),
            (ExpectedShape::Shape(_), _) => false,
        }
    }
}

impl Fields {
    fn named(&self, name: &str) -> Option<&Field> {
        self.0.iter().find(|field| field.name == name)
    }

    /// Returns whether all that must be there are among `steps`.
    fn are_covered_by(&self, steps: &[Step]) -> bool {
        let is_named = |field: &Field| {
            steps.iter().any(|s| matches!(s, Step::Attribute(name) if *name == field.name))
        };
        self.0.iter().all(|field| !field.required || is_named(field))
    }

    /// Both are sorted by name, so one walk compares them.
    fn fit(&self, record: &Record) -> bool {
        let mut values = record.iter().peekable();
        for field in &self.0 {
            match values.next_if(|(name, _)| **name == field.name) {
                Some((_, value)) if !field.shape.fits(value) => return false,
                None if field.required => return false,
                _ => {}
            }
        }
        values.next().is_none()
    }
}

impl Shape {
    fn fits(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Bool, Value::Bool(_))
            | (Self::Long, Value::Long(_))
            | (Self::String, Value::String(_)) => true,
            (Self::Entity(name), Value::Entity(uid)) => uid.type_name() == name,
            (Self::Set(item), Value::Set(items)) => items.iter().all(|value| item.fits(value)),
            (Self::Record(fields), Value::Record(record)) => fields.fit(record),
            (Self::Extension(type_), Value::Extension(value)) => value.extension_type() == *type_,
            _ => false,
        }
    }
}

fn shape(type_: &Type, schema: &Schema) -> Shape {
    match type_ {
        Type::Bool(_) => Shape::Bool,
        Type::Long => Shape::Long,
        Type::String => Shape::String,
        Type::Entity(EntityKind::Entity(lub)) => match lub.get_single_entity() {
            Some(name) => {
                let name = EntityTypeName::from(name.clone());
                if is_standard(&name, schema) { Shape::Entity(name) } else { Shape::Other }
            }
            None => Shape::Other,
        },
        Type::Set { element_type: Some(item) } => Shape::Set(Box::new(shape(item, schema))),
        Type::Record { attrs, open_attributes: OpenTag::ClosedAttributes } => {
            fields(attrs, schema).map_or(Shape::Other, Shape::Record)
        }
        Type::ExtensionType { name } => {
            ExtensionType::named(&name.to_string()).map_or(Shape::Other, Shape::Extension)
        }
        _ => Shape::Other,
    }
}

fn fields(attributes: &Attributes, schema: &Schema) -> Option<Fields> {
    let fields: Vec<Field> = attributes
        .iter()
        .map(|(name, attribute)| Field {
            name: name.clone(),
            shape: shape(&attribute.attr_type, schema),
            required: attribute.is_required,
        })
        .collect();
    fields.is_sorted_by(|a, b| a.name < b.name).then_some(Fields(fields))
}

/// Ids of enumerated types are limited by the schema, as are those of actions.
fn is_standard(name: &EntityTypeName, schema: &Schema) -> bool {
    let type_ = schema.as_ref().get_entity_type(name.as_ref());
    type_.is_some_and(|t| matches!(t.kind, ValidatorEntityTypeKind::Standard(_)))
}
