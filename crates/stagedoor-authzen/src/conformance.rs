//! What the schema declares.

use cedar_policy_core::validator::types::{Attributes, EntityKind, Type};
use smol_str::SmolStr;

/// What a value may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shape {
    Bool,
    Long,
    String,
    Entity,
    Set(Box<Shape>),
    Record(Fields),
    Extension(Constructor),
    /// Something that no JSON value can be said to be.
    Never,
}

/// The attributes of an entity, a record or a context, with what each may be.
pub(crate) type Fields = Vec<(SmolStr, Shape)>;

/// The function that makes a value of an extension type from a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Constructor {
    Ip,
    Decimal,
    Datetime,
    Duration,
}

impl Constructor {
    fn of_type(name: &str) -> Option<Self> {
        Some(match name {
            "ipaddr" => Self::Ip,
            "decimal" => Self::Decimal,
            "datetime" => Self::Datetime,
            "duration" => Self::Duration,
            _ => return None,
        })
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Decimal => "decimal",
            Self::Datetime => "datetime",
            Self::Duration => "duration",
        }
    }
}

impl Shape {
    fn of(type_: &Type) -> Self {
        match type_ {
            Type::Bool(_) => Self::Bool,
            Type::Long => Self::Long,
            Type::String => Self::String,
            // Which type, the engine checks.
            Type::Entity(EntityKind::Entity(_)) => Self::Entity,
            Type::Set { element_type: Some(element) } => Self::Set(Box::new(Self::of(element))),
            Type::Record { attrs, .. } => Self::Record(fields(attrs)),
            Type::ExtensionType { name } => {
                Constructor::of_type(&name.to_string()).map_or(Self::Never, Self::Extension)
            }
            Type::Never
            | Type::Entity(EntityKind::AnyEntity)
            | Type::Set { element_type: None } => Self::Never,
        }
    }

    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Self::Bool => "a boolean",
            Self::Long => "an integer",
            Self::String => "a string",
            Self::Entity => "an entity, as {\"type\", \"id\"}",
            Self::Set(_) => "an array",
            Self::Record(_) => "an object",
            Self::Extension(Constructor::Ip) => "an IP address, as a string",
            Self::Extension(Constructor::Decimal) => "a decimal, as a string",
            Self::Extension(Constructor::Datetime) => "a time, as a string of RFC 3339",
            Self::Extension(Constructor::Duration) => "a duration, as a string such as `1h30m`",
            Self::Never => "something that JSON cannot say",
        }
    }
}

/// Returns what attributes may be.
pub(crate) fn fields(attributes: &Attributes) -> Fields {
    let shape = |(name, type_): (&SmolStr, _)| (name.clone(), shape_of(type_));
    attributes.iter().map(shape).collect()
}

fn shape_of(attribute: &cedar_policy_core::validator::types::AttributeType) -> Shape {
    Shape::of(&attribute.attr_type)
}
