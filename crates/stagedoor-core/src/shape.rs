//! What a schema says of requests and entities, in a form that is quick to check.
//!
//! A fit found here is a fit for Cedar. What does not fit here may still do so for Cedar
//! (extension values, enumerated entities), which is then asked and words the error.

use cedar_policy::{EntityTypeName, EntityUid, Schema};
use cedar_policy_core::validator::ValidatorEntityTypeKind;
use cedar_policy_core::validator::types::{Attributes, EntityKind, OpenTag, Type};
use smol_str::SmolStr;

use crate::hash::FastMap;
use crate::node::Node;
use crate::request::Request;
use crate::value::{Record, Value};

/// The shapes of one schema.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    /// Entity types but enumerated ones.
    entities: FastMap<EntityTypeName, EntityShape>,
    actions: FastMap<EntityUid, ActionShape>,
}

#[derive(Debug)]
struct EntityShape {
    attributes: Fields,
    tags: Option<Shape>,
    ancestors: Vec<EntityTypeName>,
}

#[derive(Debug)]
struct ActionShape {
    principals: Vec<EntityTypeName>,
    resources: Vec<EntityTypeName>,
    context: Fields,
}

/// Attributes by name, sorted.
#[derive(Debug)]
struct Fields(Vec<Field>);

#[derive(Debug)]
struct Field {
    name: SmolStr,
    shape: Shape,
    required: bool,
}

#[derive(Debug)]
enum Shape {
    Bool,
    Long,
    String,
    Entity(EntityTypeName),
    Set(Box<Shape>),
    Record(Fields),
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
            actions.insert(uid.clone(), ActionShape { principals, resources, context });
        }
        Self { entities, actions }
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

impl Fields {
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
