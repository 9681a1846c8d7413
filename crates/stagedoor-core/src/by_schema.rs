//! Values as the schema types them: what it tells may be left out of a request, such as that a
//! text is an address.
//!
//! Cedar's JSON reader knows this as well, for texts of JSON. Here it is done for values that
//! were read already, once and before anything is decided.

use cedar_policy::{EntityId, EntityUid};
use cedar_policy_core::validator::types::{Attributes, EntityKind, Type};

use crate::engine::Engine;
use crate::entity::Entity;
use crate::extension::Extension;
use crate::request::Request;
use crate::value::{Record, Value};

impl Engine {
    /// Returns a request with its context as the schema types it.
    ///
    /// Where the schema says `ipaddr`, `decimal`, `datetime` or `duration`, a text becomes such a
    /// value, and a record `{fn, arg}` does; where it says an entity, a record `{type, id}` does.
    /// So reads Cedar's JSON form. Whatever fits already stays, and whatever does not fit stays
    /// as well: [`decide`](Self::decide) refuses it. Costs next to nothing where all is typed.
    ///
    /// # Examples
    ///
    /// ```
    /// use stagedoor_core::{Decision, Engine, Entities, Request};
    ///
    /// let engine = Engine::builder()
    ///     .schema("s.cedarschema", "entity U; action go appliesTo {
    ///         principal: U, resource: U, context: { from: ipaddr } };")
    ///     .policies("p.cedar", "permit(principal, action, resource)
    ///         when { context.from.isLoopback() };")
    ///     .build()?;
    /// let user: stagedoor_core::EntityUid = r#"U::"a""#.parse()?;
    /// let request = Request::new(user.clone(), r#"Action::"go""#.parse()?, user)
    ///     .with_context("from", "127.0.0.1");
    /// let outcome = engine.decide(&engine.typed_request(request), &Entities::empty())?;
    /// assert_eq!(outcome.decision(), Decision::Allow);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn typed_request(&self, mut request: Request) -> Request {
        if request.context.is_empty() || self.0.shapes.fits_request(&request) {
            return request;
        }
        let schema = self.schema().map(AsRef::as_ref);
        let action = schema.and_then(|schema| schema.get_action_id(request.action.as_ref()));
        if let Some(Type::Record { attrs, .. }) = action.and_then(|action| action.context_type()) {
            record(&mut request.context, attrs);
        }
        request
    }

    /// Returns an entity with its attributes and tags as the schema types them; see
    /// [`typed_request`](Self::typed_request).
    #[must_use]
    pub fn typed_entity(&self, mut entity: Entity) -> Entity {
        let schema = self.schema().map(AsRef::as_ref);
        let type_ =
            schema.and_then(|schema| schema.get_entity_type(entity.uid.type_name().as_ref()));
        let Some(type_) = type_ else { return entity };
        record(&mut entity.attributes, type_.attributes());
        if let Some(tag) = type_.tag_type() {
            entity.tags.values_mut().for_each(|tag_value| value(tag_value, tag));
        }
        entity
    }
}

fn record(fields: &mut Record, attributes: &Attributes) {
    for (name, field) in fields {
        if let Some(attribute) = attributes.get_attr(name) {
            value(field, &attribute.attr_type);
        }
    }
}

/// Recursive: as deep as the schema's types, which nest within the loader's limit.
fn value(value_: &mut Value, type_: &Type) {
    match (type_, &mut *value_) {
        (Type::ExtensionType { name }, Value::String(text)) => {
            let constructor = match name.to_string().as_str() {
                "ipaddr" => "ip",
                "decimal" => "decimal",
                "datetime" => "datetime",
                "duration" => "duration",
                _ => return,
            };
            if let Ok(made) = Extension::new(constructor, text) {
                *value_ = Value::Extension(made);
            }
        }
        (Type::ExtensionType { .. }, Value::Record(fields)) => {
            if let Some((function, argument)) = two_texts(fields, "fn", "arg")
                && let Ok(made) = Extension::new(function, argument)
            {
                *value_ = Value::Extension(made);
            }
        }
        (Type::Entity(EntityKind::Entity(_)), Value::Record(fields)) => {
            if let Some((type_name, id)) = two_texts(fields, "type", "id")
                && let Ok(type_name) = type_name.parse()
            {
                let uid = EntityUid::from_type_name_and_id(type_name, EntityId::new(id));
                *value_ = Value::Entity(uid);
            }
        }
        (Type::Set { element_type: Some(item) }, Value::Set(items)) => {
            items.iter_mut().for_each(|each| value(each, item));
        }
        (Type::Record { attrs, .. }, Value::Record(fields)) => record(fields, attrs),
        _ => {}
    }
}

/// Returns the texts of a record that holds these two fields and no other.
fn two_texts<'r>(fields: &'r Record, first: &str, second: &str) -> Option<(&'r str, &'r str)> {
    match fields.len() {
        2 => Some((fields.get(first)?.as_str()?, fields.get(second)?.as_str()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entities::Entities;
    use crate::error::DecideError;

    const SCHEMA: &str = "
        entity U { home?: ipaddr } tags decimal;
        action go appliesTo { principal: U, resource: U, context: {
          ip?: ipaddr, many?: Set<decimal>, deep?: { at: datetime, who?: U }, name?: String,
          lasts?: duration, record?: { type: String, id: String },
        } };";

    fn engine() -> Result<Engine, crate::LoadError> {
        let policies = "permit(principal, action, resource);";
        Engine::builder().schema("s", SCHEMA).policies("p", policies).build()
    }

    /// Whatever Cedar's reader of JSON makes of a context with the schema is made of it here
    /// without JSON.
    #[test]
    fn contexts_are_typed_as_cedars_reader_types_them() -> Result<(), Box<dyn std::error::Error>> {
        let engine = engine()?;
        let contexts = [
            r#"{}"#,
            r#"{"ip": "10.0.0.1"}"#,
            r#"{"ip": {"__extn": {"fn": "ip", "arg": "::1"}}}"#,
            r#"{"ip": {"fn": "ip", "arg": "10.0.0.0/8"}}"#,
            r#"{"many": ["1.5", {"__extn": {"fn": "decimal", "arg": "2.0"}}], "name": "10.0.0.1"}"#,
            r#"{"deep": {"at": "2024-01-01", "who": {"type": "U", "id": "o'b\"\\"}}}"#,
            r#"{"deep": {"at": "2024-01-01T00:00:00Z", "who": {"__entity": {"type": "U", "id": ""}}}}"#,
            r#"{"lasts": "1h30m", "record": {"type": "U", "id": "x"}}"#,
        ];
        for context in contexts {
            let json = format!(
                r#"{{"principal": "U::\"a\"", "action": "Action::\"go\"", "resource": "U::\"a\"",
                     "context": {context}}}"#
            );
            let by_cedar = Request::from_json_str(&json, engine.schema())?;
            let untyped = Request::from_json_str(&json, None)?;
            assert_eq!(engine.typed_request(untyped), by_cedar, "{context}");
            // And once typed, it stays.
            assert_eq!(engine.typed_request(by_cedar.clone()), by_cedar, "{context}");
            let _ = engine.decide(&by_cedar, &Entities::empty())?;
        }
        Ok(())
    }

    #[test]
    fn what_cannot_be_typed_is_refused_when_it_is_decided() -> Result<(), Box<dyn std::error::Error>>
    {
        let engine = engine()?;
        let uid: EntityUid = r#"U::"a""#.parse()?;
        let request = Request::new(uid.clone(), r#"Action::"go""#.parse()?, uid);
        for (name, given) in [
            ("ip", Value::from("at home")),
            ("ip", Value::from("1\") || ip(\"2")),
            ("ip", Value::Long(1)),
            ("name", Value::from_iter(["x"])),
            ("other", Value::from("10.0.0.1")),
        ] {
            let request = engine.typed_request(request.clone().with_context(name, given));
            let refused = engine.decide(&request, &Entities::empty());
            assert!(matches!(refused, Err(DecideError::Request(_))), "{name}: {refused:?}");
        }
        Ok(())
    }

    #[test]
    fn entities_are_typed_as_well() -> Result<(), Box<dyn std::error::Error>> {
        let engine = engine()?;
        let json = r#"[{"uid": {"type": "U", "id": "a"}, "attrs": {"home": "10.0.0.1"},
                        "tags": {"t": "1.0"}, "parents": []}]"#;
        let by_cedar = Entities::from_json_str(json, engine.schema())?;
        let uid: EntityUid = r#"U::"a""#.parse()?;
        let entity =
            Entity::new(uid.clone()).with_attribute("home", "10.0.0.1").with_tag("t", "1.0");
        assert_eq!(Some(&engine.typed_entity(entity)), by_cedar.get(&uid));
        Ok(())
    }
}
