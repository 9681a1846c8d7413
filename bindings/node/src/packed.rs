//! Requests that `requests.js` has packed into one text.
//!
//! The text is the number of its parts, and each part behind a `'\0'`: lists and records say how many
//! items they have, values begin with a mark of their kind.
//!
//! INVARIANT: what a text says is what the object says that it was made of. A text of another number
//! of parts, of which one holds a `'\0'`, is not read, and neither is one that is not read to its end.

use std::str::Split;

use cedar_policy::EntityId;
use stagedoor_core::{Entity, EntityUid, Record, Request, Value};

use crate::uid::{named_type, plain_uid};

/// Values that nest deeper are not packed.
const NESTING: usize = 16;

/// Reads a request; `None` where that is not plain, and the object must be read.
pub(crate) fn request(text: &str) -> Option<(Request, Vec<Entity>)> {
    let (count, rest) = text.split_once('\0')?;
    let mut parts = Parts(rest.split('\0'));
    if parts.0.clone().count() != count.parse::<usize>().ok()? {
        return None;
    }
    let mut request = Request::new(parts.uid()?, parts.uid()?, parts.uid()?);
    request.context = parts.fields()?;
    let entities = parts.list(Parts::entity)?;
    parts.0.next().is_none().then_some((request, entities))
}

/// The parts that are left.
struct Parts<'t>(Split<'t, char>);

impl<'t> Parts<'t> {
    fn entity(&mut self) -> Option<Entity> {
        let mut entity = Entity::new(self.uid()?);
        entity.attributes = self.fields()?;
        entity.tags = self.fields()?;
        entity.parents = self.list(Self::uid)?;
        Some(entity)
    }

    fn uid(&mut self) -> Option<EntityUid> {
        let part = self.0.next()?;
        if let Some(text) = part.strip_prefix('"') {
            return plain_uid(text);
        }
        let type_name = named_type(part.strip_prefix(':')?)?;
        Some(EntityUid::from_type_name_and_id(type_name, EntityId::new(self.0.next()?)))
    }

    fn list<T>(&mut self, item: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count: usize = self.0.next()?.parse().ok()?;
        (0..count).map(|_| item(self)).collect()
    }

    fn fields(&mut self) -> Option<Record> {
        let count = self.0.next()?;
        self.named(count, 1)
    }

    fn named(&mut self, count: &str, depth: usize) -> Option<Record> {
        let count: usize = count.parse().ok()?;
        (0..count).map(|_| Some((self.0.next()?.into(), self.value(depth)?))).collect()
    }

    /// Recursive, as deep as `NESTING` lets it.
    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > NESTING {
            return None;
        }
        let part = self.0.next()?;
        let (mark, rest) = part.split_at_checked(1)?;
        Some(match (mark, rest) {
            ("=", text) => text.into(),
            ("t", "") => true.into(),
            ("f", "") => false.into(),
            ("#", digits) => Value::Long(digits.parse().ok()?),
            ("@", "") => self.uid()?.into(),
            ("{", count) => self.named(count, depth + 1)?.into(),
            ("[", count) => {
                let count: usize = count.parse().ok()?;
                Value::Set((0..count).map(|_| self.value(depth + 1)).collect::<Option<_>>()?)
            }
            _ => return None,
        })
    }
}
