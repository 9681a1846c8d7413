//! A small world in which generated policies and requests meet: few names, many collisions.
//!
//! Nothing here is well typed on purpose: attributes are missing or of another type now and
//! then, entities are not in the store, strings hold quotes and line breaks.

use anyhow::Result;
use cedar_policy::{EntityId, EntityUid};
use stagedoor_core::{Entity, Extension, Record, Request, Value};

use crate::bytes::Choices;

/// An entity's type and id.
pub type Name = (&'static str, &'static str);

/// Strings that values and literals share.
pub const STRINGS: [&str; 7] = ["n0", "n1", "n2", "n3", "", "q\"uo\\te", "é\n*"];
/// Integers that values and literals share.
pub const LONGS: [i64; 5] = [0, 1, 2, i64::MAX, i64::MIN];
/// Entity types, one of them never in the store.
pub const TYPES: [&str; 6] = ["User", "Doc", "Group", "Service", "N::Doc", "Absent"];
/// Who may ask.
pub const PRINCIPALS: [Name; 8] = [
    ("User", "u0"),
    ("User", "u1"),
    ("User", "u2"),
    ("User", "u\"3"),
    ("Service", "s0"),
    ("Group", "g0"),
    ("User", "nobody"),
    ("Doc", "d0"),
];
/// What principals are members of.
pub const GROUPS: [Name; 5] =
    [("Group", "g0"), ("Group", "g1"), ("Group", "g2"), ("Group", "g3"), ("Absent", "a")];
/// What may be asked for.
pub const RESOURCES: [Name; 8] = [
    ("Doc", "d0"),
    ("Doc", "d1"),
    ("Doc", "d2"),
    ("Doc", "d\\3"),
    ("N::Doc", "d0"),
    ("Folder", "f0"),
    ("Doc", "nothing"),
    ("User", "u0"),
];
/// What resources are members of.
pub const FOLDERS: [Name; 4] =
    [("Folder", "f0"), ("Folder", "f1"), ("Folder", "f2"), ("Group", "g0")];
/// What may be done.
pub const ACTIONS: [Name; 5] = [
    ("Action", "read"),
    ("Action", "write"),
    ("Action", "list"),
    ("Action", "delete"),
    ("Action", "unheard"),
];
/// What actions are members of.
pub const ACTION_GROUPS: [Name; 3] =
    [("Action", "reading"), ("Action", "writing"), ("Action", "any")];
/// Attribute names.
pub const ATTRIBUTES: [&str; 8] =
    ["ns", "kind", "tags", "size", "flag", "owner", "meta", "a \"b\""];
/// Tag names.
pub const TAGS: [&str; 3] = ["t0", "t1", "n0"];

/// Returns the id of a named entity.
///
/// # Errors
///
/// If the name is not one of Cedar's.
pub fn uid((type_, id): Name) -> Result<EntityUid> {
    Ok(EntityUid::from_type_name_and_id(type_.parse()?, EntityId::new(id)))
}

/// Returns all entities that a store may hold, each there or not.
///
/// # Errors
///
/// If a name is not one of Cedar's.
pub fn entities(choices: &mut Choices<'_>) -> Result<Vec<Entity>> {
    let mut entities: Vec<Entity> = Vec::new();
    // A level's members have parents among what follows them, so nothing is its own ancestor.
    let principals = PRINCIPALS.iter().take(5);
    let groups = GROUPS.iter().take(4);
    let docs = RESOURCES.iter().take(5);
    let folders = FOLDERS.iter().take(3);
    let actions = ACTIONS.iter().take(4);
    for (members, above) in [
        (principals.collect::<Vec<_>>(), GROUPS.as_slice()),
        (groups.collect(), &GROUPS),
        (docs.collect(), &FOLDERS),
        (folders.collect(), &FOLDERS),
        (actions.collect(), &ACTION_GROUPS),
        (ACTION_GROUPS.iter().collect(), &ACTION_GROUPS),
    ] {
        for name in members {
            if !choices.chance(30) {
                let later = above.iter().position(|other| other == name).map_or(0, |at| at + 1);
                entities.push(entity(*name, above.get(later..).unwrap_or_default(), choices)?);
            }
        }
    }
    Ok(entities)
}

fn entity(name: Name, above: &[Name], choices: &mut Choices<'_>) -> Result<Entity> {
    let mut entity = Entity::new(uid(name)?);
    for parent in above {
        if choices.chance(70) {
            entity = entity.with_parent(uid(*parent)?);
        }
    }
    // Cedar gives actions no attributes.
    if name.0 != "Action" {
        entity.attributes = record(choices)?;
        for tag in TAGS {
            if choices.chance(110) {
                entity = entity.with_tag(tag, value(choices, 1)?);
            }
        }
    }
    Ok(entity)
}

/// Returns attributes: most of them there, and most of those of the usual type.
fn record(choices: &mut Choices<'_>) -> Result<Record> {
    let mut record = Record::new();
    for name in ATTRIBUTES {
        if choices.chance(36) {
            continue;
        }
        let value = if choices.chance(20) { value(choices, 2)? } else { usual(name, choices)? };
        record.insert(name.into(), value);
    }
    Ok(record)
}

fn usual(name: &str, choices: &mut Choices<'_>) -> Result<Value> {
    Ok(match name {
        "tags" => (0..choices.below(4)).map(|_| choices.pick(&STRINGS)).collect(),
        "size" => choices.pick(&LONGS).into(),
        "flag" => (choices.below(2) == 1).into(),
        "owner" => uid(choices.pick(&PRINCIPALS))?.into(),
        "meta" => Value::Record(Record::from([
            ("level".into(), choices.pick(&LONGS).into()),
            ("name".into(), choices.pick(&STRINGS).into()),
        ])),
        _ => choices.pick(&STRINGS).into(),
    })
}

/// Returns any value.
fn value(choices: &mut Choices<'_>, depth: usize) -> Result<Value> {
    let kinds = if depth == 0 { 6 } else { 9 };
    Ok(match choices.below(kinds) {
        0 => choices.pick(&STRINGS).into(),
        1 => choices.pick(&LONGS).into(),
        2 => (choices.below(2) == 1).into(),
        3 => uid(choices.pick(&PRINCIPALS))?.into(),
        4 => uid(choices.pick(&GROUPS))?.into(),
        5 => {
            let calls = ["ip(\"10.0.0.1\")", "ip(\"::1\")", "decimal(\"1.5\")"];
            choices.pick(&calls).parse::<Extension>()?.into()
        }
        6 => {
            let length = choices.below(4);
            Value::Set((0..length).map(|_| value(choices, depth - 1)).collect::<Result<_>>()?)
        }
        7 => (0..choices.below(5)).map(|_| choices.pick(&STRINGS)).collect(),
        _ => {
            let name = choices.pick(&["level", "name", "ns"]);
            Value::Record(Record::from([(name.into(), value(choices, depth - 1)?)]))
        }
    })
}

/// Returns a request; its principal and resource may be anything, there or not.
///
/// # Errors
///
/// If a name is not one of Cedar's.
pub fn request(choices: &mut Choices<'_>) -> Result<Request> {
    let principal = uid(choices.pick(&PRINCIPALS))?;
    let action = uid(choices.pick(&ACTIONS))?;
    let resource = uid(choices.pick(&RESOURCES))?;
    let mut request = Request::new(principal, action, resource);
    request.context = record(choices)?;
    Ok(request)
}
