//! A schema as the analysis reads it: which requests there are, and what may stand in entities.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cedar_policy::Schema;
use cedar_policy_core::ast::{EntityType, EntityUID};
use cedar_policy_core::validator::types::{Attributes, EntityKind, OpenTag, Type};
use cedar_policy_core::validator::{ValidatorEntityTypeKind, ValidatorSchema};
use smol_str::SmolStr;

/// The type of a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ValueType {
    /// True or false.
    Bool,
    /// A number of 64 bits.
    Long,
    /// A text.
    String,
    /// A number with four places behind the point.
    Decimal,
    /// A moment, in milliseconds.
    Datetime,
    /// A span of time, in milliseconds.
    Duration,
    /// An address or a range of addresses.
    Ip,
    /// An entity of this type.
    Entity(EntityType),
    /// A set of values of one type.
    Set(Arc<ValueType>),
    /// A record.
    Record(Arc<Fields>),
    /// A type that the analysis does not know.
    Other,
}

/// The attributes of a record, an entity or a context, by name.
pub type Fields = BTreeMap<SmolStr, Field>;

/// One attribute.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Field {
    /// Its type.
    pub ty: ValueType,
    /// Whether it is always there.
    pub required: bool,
}

/// What a schema says of one entity type.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EntityShape {
    /// The attributes.
    pub fields: Arc<Fields>,
    /// The type of tags; none where there are no tags.
    pub tags: Option<ValueType>,
    /// The types that an entity of this type can be a member of, at any distance.
    pub ancestors: BTreeSet<EntityType>,
    /// The ids of an enumerated type.
    pub choices: Option<Vec<SmolStr>>,
}

/// Requests of one action by one type of principal about one type of resource.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Environment {
    /// The type of the principal.
    pub principal: EntityType,
    /// The action.
    pub action: EntityUID,
    /// The action and all groups above it.
    pub action_groups: BTreeSet<EntityUID>,
    /// The type of the resource.
    pub resource: EntityType,
    /// What the context holds.
    pub context: Arc<Fields>,
}

/// A schema, read for analysis.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SchemaView {
    /// The entity types by name.
    pub entities: BTreeMap<EntityType, EntityShape>,
    /// The requests that conform, by their types; sorted.
    pub environments: Vec<Arc<Environment>>,
    /// The groups above each action, itself included.
    pub actions: BTreeMap<EntityUID, BTreeSet<EntityUID>>,
    /// Types of which the analysis cannot make entities: external or open ones.
    pub unknown: BTreeSet<EntityType>,
}

impl SchemaView {
    /// Reads a schema.
    #[must_use]
    pub fn of(schema: &Schema) -> Self {
        let core: &ValidatorSchema = schema.as_ref();
        let mut view = Self::default();
        for name in core.entity_type_names() {
            let Some(entity) = core.get_entity_type(name) else { continue };
            let choices = match &entity.kind {
                ValidatorEntityTypeKind::Enum(ids) => {
                    Some(ids.iter().map(|id| AsRef::<str>::as_ref(id).into()).collect())
                }
                ValidatorEntityTypeKind::Standard(_)
                    if entity.open_attributes() == OpenTag::ClosedAttributes =>
                {
                    None
                }
                _ => {
                    view.unknown.insert(name.clone());
                    None
                }
            };
            let above = core.entity_types().filter(|other| other.has_descendant_entity_type(name));
            let shape = EntityShape {
                fields: Arc::new(fields(entity.attributes())),
                tags: entity.tag_type().map(value_type),
                ancestors: above.map(|other| other.name().clone()).collect(),
                choices,
            };
            view.entities.insert(name.clone(), shape);
        }
        for uid in core.actions() {
            view.actions.entry(uid.clone()).or_default().insert(uid.clone());
        }
        for action in core.action_ids() {
            for below in action.descendants() {
                view.actions.entry(below.clone()).or_default().insert(action.name().clone());
            }
        }
        for action in core.action_ids() {
            let context = match action.context_type() {
                Some(Type::Record { attrs, .. }) => fields(attrs),
                _ => Fields::new(),
            };
            let context = Arc::new(context);
            let groups = view.actions.get(action.name()).cloned().unwrap_or_default();
            let resources: Vec<&EntityType> = action.applies_to_resources().collect();
            for principal in action.applies_to_principals() {
                for resource in &resources {
                    view.environments.push(Arc::new(Environment {
                        principal: principal.clone(),
                        action: action.name().clone(),
                        action_groups: groups.clone(),
                        resource: (*resource).clone(),
                        context: Arc::clone(&context),
                    }));
                }
            }
        }
        let key = |env: &Arc<Environment>| {
            (env.action.clone(), env.principal.clone(), env.resource.clone())
        };
        view.environments.sort_by_cached_key(key);
        view
    }

    /// Returns what the schema says of an entity type.
    #[must_use]
    pub fn entity(&self, name: &EntityType) -> Option<&EntityShape> {
        self.entities.get(name)
    }

    /// Returns the environment of the same types in this schema.
    #[must_use]
    pub fn environment(&self, like: &Environment) -> Option<&Arc<Environment>> {
        self.environments.iter().find(|env| {
            env.principal == like.principal
                && env.action == like.action
                && env.resource == like.resource
        })
    }

    /// Returns the entity types that requests of an environment can lead to.
    #[must_use]
    pub fn reachable<'s>(&'s self, env: &'s Environment) -> BTreeSet<&'s EntityType> {
        let mut reached = BTreeSet::new();
        let mut open: Vec<&EntityType> = vec![&env.principal, &env.resource];
        env.context.values().for_each(|field| field.ty.entities(&mut open));
        while let Some(name) = open.pop() {
            if !reached.insert(name) {
                continue;
            }
            if let Some(shape) = self.entities.get(name) {
                shape.fields.values().for_each(|field| field.ty.entities(&mut open));
                shape.tags.iter().for_each(|tag| tag.entities(&mut open));
                open.extend(&shape.ancestors);
            }
        }
        reached
    }

    /// Returns what requests and entities look like that conform to this schema and to another:
    /// attributes that only one of them has are left out, unless it demands them.
    #[must_use]
    pub fn shared(&self, other: &Self) -> Self {
        let mut view = self.clone();
        view.environments.retain(|env| other.environment(env).is_some());
        for env in &mut view.environments {
            let Some(theirs) = other.environment(env) else { continue };
            if theirs != env {
                let mut own = env.as_ref().clone();
                own.context = Arc::new(shared_fields(&own.context, &theirs.context));
                *env = Arc::new(own);
            }
        }
        for (name, shape) in &mut view.entities {
            let Some(theirs) = other.entities.get(name) else { continue };
            shape.fields = Arc::new(shared_fields(&shape.fields, &theirs.fields));
            shape.ancestors.retain(|ancestor| theirs.ancestors.contains(ancestor));
            if theirs.tags != shape.tags {
                shape.tags = None;
            }
            if let (Some(own), Some(theirs)) = (&mut shape.choices, &theirs.choices) {
                own.retain(|id| theirs.contains(id));
            }
        }
        view
    }

    /// Returns the entity types that differ between two schemas, of those that an environment of
    /// both leads to; the context counts as the action's.
    #[must_use]
    pub fn differences(&self, other: &Self, env: &Environment) -> BTreeSet<String> {
        let mut names: BTreeSet<&EntityType> = self.reachable(env);
        let Some(theirs) = other.environment(env) else {
            return BTreeSet::from([env.action.to_string()]);
        };
        names.extend(other.reachable(theirs));
        let mut differ: BTreeSet<String> = names
            .into_iter()
            .filter(|name| self.entities.get(*name) != other.entities.get(*name))
            .map(ToString::to_string)
            .collect();
        if theirs.context != env.context || theirs.action_groups != env.action_groups {
            differ.insert(env.action.to_string());
        }
        differ
    }
}

impl ValueType {
    fn entities<'t>(&'t self, names: &mut Vec<&'t EntityType>) {
        match self {
            Self::Entity(name) => names.push(name),
            Self::Set(element) => element.entities(names),
            Self::Record(fields) => fields.values().for_each(|field| field.ty.entities(names)),
            _ => {}
        }
    }

    /// Returns whether values are numbers of 64 bits inside.
    #[must_use]
    pub fn is_numeric(&self) -> bool {
        matches!(self, Self::Long | Self::Decimal | Self::Datetime | Self::Duration)
    }
}

fn shared_fields(own: &Fields, theirs: &Fields) -> Fields {
    own.iter()
        .filter_map(|(name, field)| match theirs.get(name) {
            Some(other) if other.ty == field.ty => {
                let required = field.required || other.required;
                Some((name.clone(), Field { ty: field.ty.clone(), required }))
            }
            _ if field.required => Some((name.clone(), field.clone())),
            _ => None,
        })
        .collect()
}

fn fields(attributes: &Attributes) -> Fields {
    let field =
        |(name, attribute): (&SmolStr, &cedar_policy_core::validator::types::AttributeType)| {
            let field =
                Field { ty: value_type(&attribute.attr_type), required: attribute.is_required() };
            (name.clone(), field)
        };
    attributes.iter().map(field).collect()
}

fn value_type(ty: &Type) -> ValueType {
    match ty {
        Type::Bool(_) => ValueType::Bool,
        Type::Long => ValueType::Long,
        Type::String => ValueType::String,
        Type::Entity(EntityKind::Entity(names)) => names
            .get_single_entity()
            .map_or(ValueType::Other, |name| ValueType::Entity(name.clone())),
        Type::Set { element_type: Some(element) } => ValueType::Set(Arc::new(value_type(element))),
        Type::Record { attrs, open_attributes: OpenTag::ClosedAttributes } => {
            ValueType::Record(Arc::new(fields(attrs)))
        }
        Type::ExtensionType { name } => match name.to_string().as_str() {
            "decimal" => ValueType::Decimal,
            "datetime" => ValueType::Datetime,
            "duration" => ValueType::Duration,
            "ipaddr" => ValueType::Ip,
            _ => ValueType::Other,
        },
        _ => ValueType::Other,
    }
}
