//! Witnesses as JSON, in the words of test files and of Cedar's entities, and as one line for
//! people.

use serde_json::{Map, Value as Json, json};
use stagedoor_core::{Entity, EntityUid, Record, Value};

use crate::witness::Witness;

impl Witness {
    /// Returns the request as the keys of a case of a test file: `principal`, `action`, `resource`,
    /// `context` and `entities`.
    #[must_use]
    pub fn to_case(&self) -> Map<String, Json> {
        let mut case = Map::new();
        let request = &self.request;
        for (key, uid) in [
            ("principal", &request.principal),
            ("action", &request.action),
            ("resource", &request.resource),
        ] {
            case.insert(key.to_owned(), uid.to_string().into());
        }
        if !request.context.is_empty() {
            case.insert("context".to_owned(), record(&request.context));
        }
        let entities: Vec<Json> = self.sorted().into_iter().map(entity).collect();
        case.insert("entities".to_owned(), entities.into());
        case
    }

    /// Returns the request in one line: who asks for what, and what is said of them.
    #[must_use]
    pub fn in_words(&self) -> String {
        let request = &self.request;
        let mut text = format!("{}: {} on {}", request.principal, request.action, request.resource);
        let mut facts = Vec::new();
        for (name, uid) in [("principal", &request.principal), ("resource", &request.resource)] {
            match self.entities.get(uid) {
                None => facts.push(format!("{name} is not among the entities")),
                Some(entity) => self.facts(name, entity, &mut facts),
            }
        }
        let context = request.context.iter();
        let context = context.filter(|(key, _)| self.mentioned.contains(&(None, (*key).clone())));
        facts.extend(context.map(|(key, value)| format!("context.{key} is {}", short(value))));
        for other in self.sorted() {
            if other.uid != request.principal && other.uid != request.resource {
                self.facts(&other.uid.to_string(), other, &mut facts);
            }
        }
        if !facts.is_empty() {
            text.push_str("; ");
            text.push_str(&facts.join(", "));
        }
        text
    }

    /// Tells what policies speak of, of one entity.
    fn facts(&self, name: &str, entity: &Entity, facts: &mut Vec<String>) {
        facts.extend(entity.parents.iter().map(|parent| format!("{name} in {parent}")));
        let is_mentioned = |(key, _): &(&smol_str::SmolStr, &Value)| {
            self.mentioned.contains(&(Some(entity.uid.clone()), (*key).clone()))
        };
        let attributes = entity.attributes.iter().filter(is_mentioned);
        facts.extend(attributes.map(|(key, value)| format!("{name}.{key} is {}", short(value))));
        let tags = entity.tags.iter().filter(is_mentioned);
        facts.extend(tags.map(|(key, value)| format!("{name} has tag {key:?} {}", short(value))));
    }

    /// Returns the entities by their ids.
    fn sorted(&self) -> Vec<&Entity> {
        let mut entities: Vec<&Entity> = self.entities.iter().collect();
        entities.sort_by_cached_key(|entity| entity.uid.to_string());
        entities
    }
}

/// Writes a value as Cedar does.
pub(crate) fn short(value: &Value) -> String {
    match value {
        Value::Bool(b) => b.to_string(),
        Value::Long(n) => n.to_string(),
        Value::String(s) => format!("{s:?}"),
        Value::Entity(uid) => uid.to_string(),
        Value::Extension(call) => call.to_string(),
        Value::Set(members) => {
            format!("[{}]", members.iter().map(short).collect::<Vec<_>>().join(", "))
        }
        Value::Record(fields) => {
            let field =
                |(name, value): (&smol_str::SmolStr, &Value)| format!("{name}: {}", short(value));
            format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
    }
}

fn entity(entity: &Entity) -> Json {
    let parents: Vec<Json> = entity.parents.iter().map(uid).collect();
    let mut object = json!({
        "uid": uid(&entity.uid), "attrs": record(&entity.attributes), "parents": parents,
    });
    if let (Some(object), false) = (object.as_object_mut(), entity.tags.is_empty()) {
        object.insert("tags".to_owned(), record(&entity.tags));
    }
    object
}

fn uid(uid: &EntityUid) -> Json {
    json!({ "type": uid.type_name().to_string(), "id": uid.id().unescaped() })
}

fn record(record: &Record) -> Json {
    record.iter().map(|(key, of)| (key.to_string(), value(of))).collect::<Map<_, _>>().into()
}

fn value(of: &Value) -> Json {
    match of {
        Value::Bool(b) => (*b).into(),
        Value::Long(n) => (*n).into(),
        Value::String(s) => s.as_str().into(),
        Value::Entity(entity) => json!({ "__entity": uid(entity) }),
        Value::Set(members) => members.iter().map(value).collect::<Vec<_>>().into(),
        Value::Record(fields) => record(fields),
        Value::Extension(call) => extension(&call.to_string()),
    }
}

/// Writes a call such as `ip("::1")`, also with another called on it.
fn extension(call: &str) -> Json {
    let plain = |call: &str| {
        let (name, rest) = call.split_once('(')?;
        let text = rest.strip_prefix('"')?.strip_suffix("\")")?;
        Some(json!({ "__extn": { "fn": name, "arg": text } }))
    };
    let moved = || {
        let (of, by) = call.split_once(").offset(")?;
        let (of, by) = (plain(&format!("{of})"))?, plain(by.strip_suffix(')')?)?);
        Some(json!({ "__extn": { "fn": "offset", "args": [of, by] } }))
    };
    moved().or_else(|| plain(call)).unwrap_or_else(|| call.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extension_values_are_written_as_cedar_reads_them() {
        assert_eq!(extension(r#"ip("::1")"#), json!({ "__extn": { "fn": "ip", "arg": "::1" } }));
        let moved = extension(r#"datetime("1970-01-01").offset(duration("1ms"))"#);
        let of = |name: &str, arg: &str| json!({ "__extn": { "fn": name, "arg": arg } });
        let args = [of("datetime", "1970-01-01"), of("duration", "1ms")];
        assert_eq!(moved, json!({ "__extn": { "fn": "offset", "args": args } }));
    }
}
