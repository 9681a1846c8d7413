//! A world that conforms to a schema, for strict engines: policies that mostly validate,
//! entities and requests that always conform. What still can go wrong is what validation
//! does not see: integers overflow, and entities that attributes name are not in the store.

use anyhow::Result;
use cedar_policy::Schema;
use stagedoor_core::{Entity, Extension, Record, Request, Value};

use crate::bytes::Choices;
use crate::world::{LONGS, Name, STRINGS, uid};

/// The schema, in Cedar's syntax.
pub const SCHEMA: &str = r#"
entity Colour enum ["red", "green"];
entity Group in [Group] { ns: String };
entity User in [Group] {
    ns: String, kind: String, level: Long, flag: Bool, labels: Set<String>,
    owner: User, note?: String,
} tags String;
entity Service in [Group] { ns: String, level: Long, owner: User };
entity Folder in [Folder] { ns: String, flag: Bool, owner: User };
entity Doc in [Folder] {
    ns: String, kind: String, level: Long, flag: Bool, labels: Set<String>, owner: User,
    owners: Set<User>, meta: { level: Long, name?: String }, note?: String, colour: Colour,
} tags String;
action reading, writing;
action read, list in [reading] appliesTo {
    principal: [User, Service], resource: [Doc, Folder],
    context: {
        ns: String, flag: Bool, level: Long, labels: Set<String>, address: ipaddr, note?: String,
    },
};
action write, delete in [writing] appliesTo {
    principal: [User], resource: [Doc],
    context: {
        ns: String, flag: Bool, level: Long, labels: Set<String>, address: ipaddr, note?: String,
    },
};
"#;

const USERS: [Name; 5] =
    [("User", "u0"), ("User", "u1"), ("User", "u2"), ("User", "u\"3"), ("User", "nobody")];
const SERVICES: [Name; 2] = [("Service", "s0"), ("Service", "nobody")];
const GROUPS: [Name; 4] = [("Group", "g0"), ("Group", "g1"), ("Group", "g2"), ("Group", "g3")];
const DOCS: [Name; 5] =
    [("Doc", "d0"), ("Doc", "d1"), ("Doc", "d2"), ("Doc", "d\\3"), ("Doc", "nothing")];
const FOLDERS: [Name; 4] =
    [("Folder", "f0"), ("Folder", "f1"), ("Folder", "f2"), ("Folder", "nothing")];
const ADDRESSES: [&str; 3] = ["ip(\"10.0.0.1\")", "ip(\"192.168.0.1\")", "ip(\"::1\")"];

/// Returns the schema.
///
/// # Errors
///
/// If it does not parse.
pub fn schema() -> Result<Schema> {
    Ok(Schema::from_cedarschema_str(SCHEMA)?.0)
}

/// Returns entities that conform; the store lacks some that attributes name.
///
/// # Errors
///
/// If a name is not one of Cedar's.
pub fn entities(choices: &mut Choices<'_>) -> Result<Vec<Entity>> {
    let mut entities = Vec::new();
    for (members, above) in [
        (USERS.as_slice(), GROUPS.as_slice()),
        (&SERVICES, &GROUPS),
        (&GROUPS, &GROUPS),
        (&DOCS, &FOLDERS),
        (&FOLDERS, &FOLDERS),
    ] {
        for name in members.iter().filter(|(_, id)| !id.starts_with("no")) {
            if choices.chance(30) {
                continue;
            }
            let later = above.iter().position(|other| other == name).map_or(0, |at| at + 1);
            let mut entity = Entity::new(uid(*name)?);
            for parent in above.get(later..).unwrap_or_default() {
                if choices.chance(80) {
                    entity = entity.with_parent(uid(*parent)?);
                }
            }
            for attribute in attributes(name.0) {
                if let Some(value) = value(attribute, choices)? {
                    entity.attributes.insert((*attribute).into(), value);
                }
            }
            if matches!(name.0, "User" | "Doc") {
                for tag in ["t0", "t1"] {
                    if choices.chance(110) {
                        entity = entity.with_tag(tag, choices.pick(&STRINGS));
                    }
                }
            }
            entities.push(entity);
        }
    }
    Ok(entities)
}

fn attributes(type_: &str) -> &'static [&'static str] {
    match type_ {
        "User" => &["ns", "kind", "level", "flag", "labels", "owner", "note"],
        "Service" => &["ns", "level", "owner"],
        "Folder" => &["ns", "flag", "owner"],
        "Doc" => {
            &["ns", "kind", "level", "flag", "labels", "owner", "owners", "meta", "note", "colour"]
        }
        _ => &["ns"],
    }
}

fn value(attribute: &str, choices: &mut Choices<'_>) -> Result<Option<Value>> {
    Ok(Some(match attribute {
        "level" => choices.pick(&LONGS).into(),
        "flag" => (choices.below(2) == 1).into(),
        "labels" => (0..choices.below(4)).map(|_| choices.pick(&STRINGS)).collect(),
        "owner" => uid(choices.pick(&USERS))?.into(),
        "owners" => Value::Set(
            (0..choices.below(3))
                .map(|_| Ok(uid(choices.pick(&USERS))?.into()))
                .collect::<Result<_>>()?,
        ),
        "meta" => {
            let mut meta = Record::from([("level".into(), choices.pick(&LONGS).into())]);
            if choices.chance(128) {
                meta.insert("name".into(), choices.pick(&STRINGS).into());
            }
            Value::Record(meta)
        }
        "colour" => uid(("Colour", choices.pick(&["red", "green"])))?.into(),
        "address" => choices.pick(&ADDRESSES).parse::<Extension>()?.into(),
        "note" if !choices.chance(128) => return Ok(None),
        _ => choices.pick(&STRINGS).into(),
    }))
}

/// Returns a request that conforms.
///
/// # Errors
///
/// If a name is not one of Cedar's.
pub fn request(choices: &mut Choices<'_>) -> Result<Request> {
    let action = choices.pick(&["read", "list", "write", "delete"]);
    let may_vary = matches!(action, "read" | "list");
    let service = may_vary && choices.chance(60);
    let folder = may_vary && choices.chance(60);
    let principal = if service { choices.pick(&SERVICES) } else { choices.pick(&USERS) };
    let resource = if folder { choices.pick(&FOLDERS) } else { choices.pick(&DOCS) };
    let mut request = Request::new(uid(principal)?, uid(("Action", action))?, uid(resource)?);
    for attribute in ["ns", "flag", "level", "labels", "address", "note"] {
        if let Some(value) = value(attribute, choices)? {
            request.context.insert(attribute.into(), value);
        }
    }
    Ok(request)
}

/// Damages an entity, so that it may not conform any more.
///
/// # Errors
///
/// If a name is not one of Cedar's.
pub fn damage_entity(mut entity: Entity, choices: &mut Choices<'_>) -> Result<Entity> {
    match choices.below(6) {
        0 => damage(&mut entity.attributes, choices)?,
        1 => entity = entity.with_parent(uid(choices.pick(&DAMAGED_UIDS))?),
        2 => entity = entity.with_tag("t0", odd_value(choices)?),
        3 => {
            let above = [("Folder", "f9"), ("Group", "g9"), ("Colour", "red")];
            entity = entity.with_parent(uid(choices.pick(&above))?);
        }
        4 => entity.uid = uid(choices.pick(&DAMAGED_UIDS))?,
        _ => {
            if let Some(Value::Record(meta)) = entity.attributes.get_mut("meta") {
                damage(meta, choices)?;
            }
        }
    }
    Ok(entity)
}

/// Damages a request, so that it may not conform any more.
///
/// # Errors
///
/// If a name is not one of Cedar's.
pub fn damage_request(mut request: Request, choices: &mut Choices<'_>) -> Result<Request> {
    match choices.below(6) {
        0 | 1 => damage(&mut request.context, choices)?,
        2 => request.principal = uid(choices.pick(&DAMAGED_UIDS))?,
        3 => request.resource = uid(choices.pick(&DAMAGED_UIDS))?,
        4 => request.action = uid(choices.pick(&DAMAGED_UIDS))?,
        _ => {
            request.principal = uid(choices.pick(&SERVICES))?;
            request.resource = uid(choices.pick(&FOLDERS))?;
        }
    }
    Ok(request)
}

const DAMAGED_UIDS: [Name; 8] = [
    ("Action", "writing"),
    ("Action", "write"),
    ("Action", "unheard"),
    ("User", "other"),
    ("Colour", "red"),
    ("Colour", "blue"),
    ("Stranger", "s"),
    ("Doc", "other"),
];

fn damage(record: &mut Record, choices: &mut Choices<'_>) -> Result<()> {
    let names: Vec<_> = record.keys().cloned().collect();
    let name = names.get(choices.below(names.len())).cloned().unwrap_or_default();
    match choices.below(4) {
        0 => drop(record.remove(&name)),
        1 => drop(record.insert("extra".into(), odd_value(choices)?)),
        _ => drop(record.insert(name, odd_value(choices)?)),
    }
    Ok(())
}

fn odd_value(choices: &mut Choices<'_>) -> Result<Value> {
    Ok(match choices.below(9) {
        0 => "text".into(),
        1 => 1.into(),
        2 => true.into(),
        3 => Value::Set(Vec::new()),
        4 => Value::Set(vec!["text".into(), 1.into()]),
        5 => uid(choices.pick(&DAMAGED_UIDS))?.into(),
        6 => Value::Record(Record::new()),
        7 => Value::Record(Record::from([("level".into(), choices.pick(&LONGS).into())])),
        _ => Extension::decimal("1.0")?.into(),
    })
}

/// Returns a policy that may validate: it looks where its scope says something is, or,
/// where `careless`, wherever.
#[must_use]
pub fn policy(shape: &mut Choices<'_>, fill: &mut Choices<'_>, careless: bool) -> String {
    let effect = if shape.chance(70) { "forbid" } else { "permit" };
    let mut clauses = Vec::new();
    let principal = match shape.below(8) {
        0 | 1 => "principal is User".to_owned(),
        2 => format!("principal == {}", entity(&USERS, fill)),
        3 => format!("principal is User in {}", entity(&GROUPS, fill)),
        4 => format!("principal in {}", entity(&GROUPS, fill)),
        5 => {
            clauses.push("principal is User".to_owned());
            "principal".to_owned()
        }
        6 => "principal is Service".to_owned(),
        _ => "principal".to_owned(),
    };
    let user = principal.contains("User") || !clauses.is_empty();
    let action = match shape.below(5) {
        0 | 1 => "action".to_owned(),
        2 => format!("action == {}", entity(&[("Action", "read"), ("Action", "write")], fill)),
        3 => format!("action in {}", entity(&[("Action", "reading"), ("Action", "writing")], fill)),
        _ => format!("action in [{}, Action::\"delete\"]", entity(&[("Action", "list")], fill)),
    };
    let resource = match shape.below(6) {
        0 | 1 => "resource is Doc".to_owned(),
        2 => format!("resource == {}", entity(&DOCS, fill)),
        3 => format!("resource is Doc in {}", entity(&FOLDERS, fill)),
        4 => {
            clauses.push("resource is Doc".to_owned());
            "resource".to_owned()
        }
        _ => "resource".to_owned(),
    };
    let doc = resource.contains("Doc") || clauses.iter().any(|c| c.contains("Doc"));
    for _ in 0..shape.below(5) {
        clauses.push(clause(user || careless, doc || careless, shape, fill, 2));
    }
    let mut text = format!("{effect}({principal}, {action}, {resource})");
    for clause in clauses {
        if let (true, Some(start)) = (shape.chance(100), text.strip_suffix(" }")) {
            text = format!("{start} && {clause} }}");
        } else {
            let word = if shape.chance(40) { "unless" } else { "when" };
            text.push_str(&format!(" {word} {{ {clause} }}"));
        }
    }
    text + ";"
}

fn clause(
    user: bool,
    doc: bool,
    shape: &mut Choices<'_>,
    fill: &mut Choices<'_>,
    depth: usize,
) -> String {
    // What validates whatever principal and resource are.
    let any = ["context", "principal", "resource"];
    let rich: &[&str] = match (user, doc) {
        (true, true) => &["context", "principal", "resource", "resource.owner", "principal.owner"],
        (true, false) => &["context", "principal", "resource.owner"],
        (false, true) => &["context", "resource", "resource.owner", "principal.owner"],
        (false, false) => &["context"],
    };
    let entities: &[&str] = match (user, doc) {
        (true, true) => &["principal", "resource", "resource.owner"],
        (true, false) => &["principal", "resource.owner"],
        (false, true) => &["resource", "resource.owner"],
        (false, false) => &["resource.owner", "principal.owner"],
    };
    match shape.below(if depth == 0 { 23 } else { 29 }) {
        0..=3 => format!("{}.ns == {:?}", shape.pick(&any), fill.pick(&STRINGS)),
        4 => format!("{}.kind == {:?}", shape.pick(entities), fill.pick(&STRINGS)),
        5 => format!("{:?} == {}.ns", fill.pick(&STRINGS), shape.pick(rich)),
        6 => format!("[{}].contains({}.ns)", strings(fill), shape.pick(&any)),
        7 => format!("{}.labels.contains({:?})", shape.pick(rich), fill.pick(&STRINGS)),
        8 => format!("{}.labels.containsAny([{}])", shape.pick(rich), strings(fill)),
        9 => format!("{}.labels.containsAll([{}])", shape.pick(rich), strings(fill)),
        10 => format!("{}.flag", shape.pick(rich)),
        11 => {
            let base = shape.pick(rich);
            format!("{base} has note && {base}.note == {:?}", fill.pick(&STRINGS))
        }
        12 => {
            let (base, tag) = (shape.pick(entities), shape.pick(&["t0", "t1"]));
            let value = fill.pick(&STRINGS);
            format!("{base}.hasTag({tag:?}) && {base}.getTag({tag:?}) == {value:?}")
        }
        13 => format!("principal in {}", entity(&GROUPS, fill)),
        14 => format!("{} in [{}]", shape.pick(&["principal"]), entity(&GROUPS, fill)),
        15 => format!("resource.owner == {}", entity(&USERS, fill)),
        16 => "principal == resource.owner".to_owned(),
        17 => format!("resource.owner in {}", entity(&GROUPS, fill)),
        18 => format!("{}.level + {} > 1", shape.pick(rich), fill.pick(&["1", "2", "100"])),
        19 => format!("{}.level < {}", shape.pick(rich), fill.pick(&["0", "2"])),
        20 => {
            format!("context.address.isInRange(ip(\"{}/8\"))", fill.pick(&["10.0.0.0", "1.0.0.0"]))
        }
        21 if doc && user => "resource.owners.contains(principal)".to_owned(),
        21 => format!("resource.owner.owner.ns == {:?}", fill.pick(&STRINGS)),
        22 if doc && shape.chance(128) => {
            format!("resource.colour == Colour::{:?}", fill.pick(&["red", "green", "blue"]))
        }
        22 if doc => "resource.meta has name && resource.meta.name == \"n1\"".to_owned(),
        22 => format!("{}.ns like \"n*\"", shape.pick(&any)),
        23 => format!("!({})", clause(user, doc, shape, fill, depth - 1)),
        24 => "principal is User && principal.flag".to_owned(),
        25 | 26 => format!(
            "({} || {})",
            clause(user, doc, shape, fill, depth - 1),
            clause(user, doc, shape, fill, depth - 1)
        ),
        27 => {
            let path = format!("{}.ns", shape.pick(&any));
            format!("({path} == {:?} || {path} == \"n1\")", fill.pick(&STRINGS))
        }
        _ => format!(
            "(if {} then {} else {})",
            clause(user, doc, shape, fill, depth - 1),
            clause(user, doc, shape, fill, depth - 1),
            clause(user, doc, shape, fill, depth - 1)
        ),
    }
}

fn entity(names: &[Name], fill: &mut Choices<'_>) -> String {
    let (type_, id) = fill.pick(names);
    format!("{type_}::{id:?}")
}

fn strings(fill: &mut Choices<'_>) -> String {
    let first = format!("{:?}", fill.pick(&STRINGS));
    let more = (0..fill.below(3)).map(|_| format!("{:?}", fill.pick(&STRINGS)));
    std::iter::once(first).chain(more).collect::<Vec<_>>().join(", ")
}
