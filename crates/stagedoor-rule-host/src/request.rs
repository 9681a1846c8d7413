//! Requests in the contract's words.

use std::collections::BTreeSet;

use serde::ser::{Serialize, Serializer};
use stagedoor_core::{Entities, EntityUid, GuardInputs, Record, Request, Value};

use crate::contract;
use crate::error::WasmRuleError;

/// Returns a request with the inputs that a rule declares, and nothing else; and how many bytes of
/// text there are in it.
pub(crate) fn request(
    request: &Request,
    entities: &Entities,
    inputs: GuardInputs,
    arguments: &str,
    limit: usize,
) -> Result<(contract::Request, usize), WasmRuleError> {
    let mut writer =
        Writer { entities, limit, left: limit, seen: BTreeSet::new(), open: Vec::new() };
    writer.take(arguments.len())?;
    let principal = inputs.principal.then(|| writer.entity(&request.principal)).transpose()?;
    let resource = inputs.resource.then(|| writer.entity(&request.resource)).transpose()?;
    let action = inputs.action.then(|| uid(&request.action));
    let context = inputs.context.then(|| writer.record(&request.context)).transpose()?;
    let related = writer.related()?;
    let arguments = arguments.to_owned();
    let bytes = limit.saturating_sub(writer.left);
    Ok((contract::Request { principal, action, resource, context, related, arguments }, bytes))
}

struct Writer<'a> {
    entities: &'a Entities,
    limit: usize,
    /// Bytes that may still be written.
    left: usize,
    seen: BTreeSet<&'a EntityUid>,
    /// Entities that were referred to.
    open: Vec<&'a EntityUid>,
}

impl<'a> Writer<'a> {
    fn take(&mut self, bytes: usize) -> Result<(), WasmRuleError> {
        let left = self.left.checked_sub(bytes);
        self.left = left.ok_or(WasmRuleError::InputTooLarge(self.limit))?;
        Ok(())
    }

    fn record(&mut self, record: &'a Record) -> Result<String, WasmRuleError> {
        record.values().for_each(|value| references(value, &mut self.open));
        // Fails for what JSON cannot tell.
        let json = serde_json::to_string(&Fields(record))
            .map_err(|error| WasmRuleError::Input(error.to_string()))?;
        self.take(json.len())?;
        Ok(json)
    }

    fn entity(&mut self, own: &'a EntityUid) -> Result<contract::Entity, WasmRuleError> {
        self.seen.insert(own);
        let known = self.entities.get(own);
        let (attributes, tags) = match known {
            Some(entity) => (self.record(&entity.attributes)?, self.record(&entity.tags)?),
            None => ("{}".to_owned(), "{}".to_owned()),
        };
        let mut ancestors = Vec::new();
        for ancestor in self.entities.ancestors(own) {
            let ancestor = uid(ancestor);
            self.take(ancestor.type_.len() + ancestor.id.len())?;
            ancestors.push(ancestor);
        }
        // One order for one request, however the store keeps them.
        ancestors.sort_unstable_by(|a, b| (&a.type_, &a.id).cmp(&(&b.type_, &b.id)));
        Ok(contract::Entity { uid: uid(own), attributes, tags, ancestors })
    }

    /// Returns the entities that were referred to, and what these refer to.
    fn related(&mut self) -> Result<Vec<contract::Entity>, WasmRuleError> {
        let mut related = Vec::new();
        while let Some(uid) = self.open.pop() {
            let says_nothing = self
                .entities
                .get(uid)
                .is_none_or(|entity| entity.attributes.is_empty() && entity.tags.is_empty());
            if !says_nothing && !self.seen.contains(uid) {
                related.push(self.entity(uid)?);
            }
        }
        related.sort_unstable_by(|a, b| (&a.uid.type_, &a.uid.id).cmp(&(&b.uid.type_, &b.uid.id)));
        Ok(related)
    }
}

fn key(uid: &EntityUid) -> (String, String) {
    (uid.type_name().to_string(), uid.id().unescaped().to_owned())
}

fn uid(uid: &EntityUid) -> contract::EntityUid {
    let (type_, id) = key(uid);
    contract::EntityUid { type_, id }
}

fn references<'v>(value: &'v Value, found: &mut Vec<&'v EntityUid>) {
    match value {
        Value::Entity(uid) => found.push(uid),
        Value::Set(items) => items.iter().for_each(|item| references(item, found)),
        Value::Record(fields) => fields.values().for_each(|field| references(field, found)),
        Value::Bool(_) | Value::Long(_) | Value::String(_) | Value::Extension(_) => {}
    }
}

/// A record in Cedar's JSON form.
struct Fields<'a>(&'a Record);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        stagedoor_core::serialize_record(self.0, serializer)
    }
}

#[cfg(test)]
mod tests {
    use stagedoor_core::Extension;

    use super::*;

    #[test]
    fn values_are_written_as_cedar_does() -> Result<(), Box<dyn std::error::Error>> {
        let record = Record::from([
            ("at".into(), Extension::datetime("2026-01-01")?.into()),
            (
                "in".into(),
                r#"datetime("2026-01-01").offset(duration("1d"))"#.parse::<Extension>()?.into(),
            ),
            ("owner".into(), Value::Entity(r#"User::"al\"ice""#.parse()?)),
            ("tags".into(), Value::from_iter(["a\n", "b"])),
            ("deep".into(), Value::Record(Record::from([("n".into(), Value::Long(i64::MIN))]))),
        ]);
        let expected = r#"{"at":{"__extn":{"fn":"datetime","arg":"2026-01-01"}},"deep":{"n":-9223372036854775808},"in":{"__extn":{"fn":"datetime","arg":"2026-01-02T00:00:00.000Z"}},"owner":{"__entity":{"type":"User","id":"al\"ice"}},"tags":["a\n","b"]}"#;
        assert_eq!(serde_json::to_string(&Fields(&record))?, expected);
        let reserved = Record::from([("__extn".into(), Value::Record(record))]);
        assert!(serde_json::to_string(&Fields(&reserved)).is_err());
        Ok(())
    }
}
