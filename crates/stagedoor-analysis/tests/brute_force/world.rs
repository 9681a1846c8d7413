//! Small worlds: what conditions say of a place, and the values that the place may have.

use anyhow::Result;
use stagedoor_core::{Entities, Entity, EntityUid, Record, Request, Value};

pub(crate) const SCHEMA: &str = r#"
entity Group in [Group];
entity Color enum ["red", "green", "blue"];
entity User in [Group] = {
  level: Long, nick?: String, words: Set<String>, boss?: User, home: ipaddr, price: decimal,
  color: Color, rec: { x: Long, y?: Bool },
} tags Set<String>;
entity Doc in [Group] = { owner: User, name: String, flag: Bool, level: Long, readers: Set<User> };
action view;
action read, write in [view] appliesTo {
  principal: User, resource: Doc, context: { now: datetime, span?: duration },
};"#;

/// One request with its entities, as values to be set.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) principal: Entity,
    pub(crate) principal_exists: bool,
    pub(crate) owner: Option<Entity>,
    pub(crate) resource: Entity,
    pub(crate) context: Record,
    pub(crate) others: Vec<Entity>,
    pub(crate) action: &'static str,
}

/// Gives what a theme is about one of its values.
type Setting = Box<dyn Fn(&mut Draft)>;

/// A place: tests of it in Cedar's words, and values of it.
pub(crate) struct Theme {
    pub(crate) tests: Vec<String>,
    pub(crate) values: Vec<Setting>,
}

fn uid(text: &str) -> EntityUid {
    stagedoor_core::entity_uid(text).unwrap_or_else(|| {
        EntityUid::from_type_name_and_id(
            "Wrong".parse().unwrap_or_else(|_| std::process::abort()),
            cedar_policy::EntityId::new(text),
        )
    })
}

/// The value that a call makes; a text, which does not conform, where there is none.
fn call(text: &str) -> Value {
    text.parse().map_or_else(|_| Value::String(text.into()), Value::Extension)
}

fn user(id: &str) -> Entity {
    let record = Record::from([("x".into(), Value::Long(0))]);
    Entity::new(uid(&format!("User::\"{id}\"")))
        .with_attribute("level", 0)
        .with_attribute("words", Value::Set(Vec::new()))
        .with_attribute("home", call("ip(\"192.0.2.1\")"))
        .with_attribute("price", call("decimal(\"0.0\")"))
        .with_attribute("color", uid("Color::\"blue\""))
        .with_attribute("rec", record)
}

fn draft() -> Draft {
    let resource = Entity::new(uid("Doc::\"d\""))
        .with_attribute("owner", uid("User::\"o\""))
        .with_attribute("name", "other")
        .with_attribute("flag", false)
        .with_attribute("level", 0)
        .with_attribute("readers", Value::Set(Vec::new()));
    Draft {
        principal: user("p"),
        principal_exists: true,
        owner: None,
        resource,
        context: Record::from([("now".into(), call("datetime(\"2020-01-01\")"))]),
        others: Vec::new(),
        action: "read",
    }
}

/// Returns every request of the themes' values.
pub(crate) fn requests(themes: &[&Theme]) -> Result<Vec<(Request, Entities)>> {
    let mut drafts = vec![draft()];
    for theme in themes {
        let mut next = Vec::new();
        for draft in &drafts {
            for value in &theme.values {
                let mut draft = draft.clone();
                value(&mut draft);
                next.push(draft);
            }
        }
        drafts = next;
    }
    drafts.into_iter().map(finished).collect()
}

fn finished(draft: Draft) -> Result<(Request, Entities)> {
    let action = uid(&format!("Action::\"{}\"", draft.action));
    let mut request = Request::new(draft.principal.uid.clone(), action, draft.resource.uid.clone());
    request.context = draft.context;
    let mut entities = vec![draft.resource];
    if draft.principal_exists {
        entities.push(draft.principal);
    }
    for entity in draft.owner.into_iter().chain(draft.others) {
        if entities.iter().all(|known| known.uid != entity.uid) {
            entities.push(entity);
        }
    }
    Ok((request, Entities::from_entities(entities)?))
}

fn theme(tests: &[&str], values: Vec<Setting>) -> Theme {
    Theme { tests: tests.iter().map(|test| (*test).to_owned()).collect(), values }
}

fn set(name: &'static str, value: Value) -> Box<dyn Fn(&mut Draft)> {
    Box::new(move |draft| {
        draft.principal.attributes.insert(name.into(), value.clone());
    })
}

fn of_resource(name: &'static str, value: Value) -> Box<dyn Fn(&mut Draft)> {
    Box::new(move |draft| {
        draft.resource.attributes.insert(name.into(), value.clone());
    })
}

fn renamed(entity: &Entity, text: &str) -> Entity {
    let mut renamed = entity.clone();
    renamed.uid = uid(text);
    renamed
}

pub(crate) fn themes() -> Vec<Theme> {
    let numbers = [i64::MIN, -1, 2, 3, 4, 5, 6, i64::MAX];
    let levels = numbers.into_iter().map(|n| set("level", Value::Long(n))).collect();
    let memberships = ["", "a", "b", "ab", "A"].into_iter().map(|groups| {
        let member: Box<dyn Fn(&mut Draft)> = Box::new(move |draft| {
            for c in groups.chars() {
                let group = uid(&format!("Group::\"{}\"", c.to_lowercase()));
                draft.principal = draft.principal.clone().with_parent(group.clone());
                if c == 'A' {
                    draft.others.push(Entity::new(group).with_parent(uid("Group::\"b\"")));
                }
            }
        });
        member
    });
    let identities = ["a", "b", "p", "-"].into_iter().map(|id| {
        let named: Box<dyn Fn(&mut Draft)> = Box::new(move |draft| match id {
            "-" => draft.principal_exists = false,
            id => draft.principal = renamed(&draft.principal, &format!("User::\"{id}\"")),
        });
        named
    });
    let nicks = ["", "x", "y", "z"].into_iter().map(|nick| {
        let named: Box<dyn Fn(&mut Draft)> = Box::new(move |draft| {
            if !nick.is_empty() {
                draft.principal.attributes.insert("nick".into(), nick.into());
            }
        });
        named
    });
    let subsets = |items: [&'static str; 3]| {
        (0..8_usize).map(move |bits| {
            let chosen = items.into_iter().enumerate().filter(|(n, _)| bits >> n & 1 == 1);
            Value::Set(chosen.map(|(_, item)| Value::from(item)).collect())
        })
    };
    let words = subsets(["x", "y", "z"]).map(|value| set("words", value)).collect();
    let names = ["", "a", "b", "ab", "aab", "ba", "acb", "c", "bc", "aa", "a*b"];
    let names = names.into_iter().map(|name| of_resource("name", name.into())).collect();
    let homes = [
        "10.0.0.1",
        "10.0.255.255",
        "10.1.0.0",
        "9.255.255.255",
        "11.0.0.0",
        "10.0.0.0/8",
        "127.0.0.1",
        "224.0.0.1",
        "::1",
        "2001:db8::1",
        "10.0.0.0/16",
        "10.0.0.0/12",
    ];
    let homes = homes.into_iter().map(|ip| set("home", call(&format!("ip(\"{ip}\")")))).collect();
    let prices = ["1.4999", "1.5", "1.5001", "-2.0", "2.0"]
        .into_iter()
        .map(|price| set("price", call(&format!("decimal(\"{price}\")"))))
        .collect();
    let moments = [
        "2023-12-31T23:59:59.999Z",
        "2024-01-01T00:00:00.000Z",
        "2024-01-01T00:00:00.001Z",
        "2024-01-02T00:00:00.000Z",
        "2024-01-02T00:00:00.001Z",
        "1960-01-01T00:00:00.000Z",
    ];
    let moments = moments.into_iter().map(|now| {
        let value = call(&format!("datetime(\"{now}\")"));
        let moment: Box<dyn Fn(&mut Draft)> = Box::new(move |draft| {
            draft.context.insert("now".into(), value.clone());
        });
        moment
    });
    let spans = ["", "0ms", "1h", "3600001ms", "-1d"].into_iter().map(|span| {
        let lasting: Box<dyn Fn(&mut Draft)> = Box::new(move |draft| {
            if !span.is_empty() {
                let value = call(&format!("duration(\"{span}\")"));
                draft.context.insert("span".into(), value);
            }
        });
        lasting
    });
    let colors = ["red", "green", "blue"]
        .into_iter()
        .map(|color| set("color", Value::Entity(uid(&format!("Color::\"{color}\"")))))
        .collect();
    let records = [(1, None), (2, None), (3, Some(true)), (2, Some(false)), (1, Some(true))];
    let records = records
        .into_iter()
        .map(|(x, y)| {
            let mut record = Record::from([("x".into(), Value::Long(x))]);
            record.extend(y.map(|y| ("y".into(), Value::Bool(y))));
            set("rec", Value::Record(record))
        })
        .collect();
    let tags = [None, Some(vec![]), Some(vec!["x"]), Some(vec!["y"]), Some(vec!["x", "y"])];
    let tags = tags.into_iter().map(|tag| {
        let tagged: Box<dyn Fn(&mut Draft)> = Box::new(move |draft| {
            if let Some(tag) = &tag {
                let value = Value::Set(tag.iter().map(|word| Value::from(*word)).collect());
                draft.principal.tags.insert("t".into(), value);
            }
        });
        tagged
    });
    // Who owns the resource, and whether the owner is among the entities.
    let owners = ["p", "a", "a!", "o", "o!", "o3", "o5"].into_iter().map(|owner| {
        let owned: Box<dyn Fn(&mut Draft)> = Box::new(move |draft| {
            let name = owner.trim_end_matches(['!', '3', '5']);
            let of = match name {
                "p" => draft.principal.uid.clone(),
                name => uid(&format!("User::\"{name}\"")),
            };
            draft.resource.attributes.insert("owner".into(), Value::Entity(of.clone()));
            if owner.ends_with('!') {
                draft.owner = Some(renamed(&user("o"), &of.to_string()));
            } else if let Some(level) = owner.strip_prefix('o').and_then(|l| l.parse::<i64>().ok())
            {
                draft.owner = Some(user("o").with_attribute("level", level));
            }
        });
        owned
    });
    let bosses = ["", "a", "p", "-"].into_iter().map(|boss| {
        let with: Box<dyn Fn(&mut Draft)> = Box::new(move |draft| match boss {
            "" => {}
            "p" => {
                let own = Value::Entity(draft.principal.uid.clone());
                draft.principal.attributes.insert("boss".into(), own);
            }
            boss => {
                let of = uid(&format!("User::\"boss{boss}\""));
                draft.principal.attributes.insert("boss".into(), Value::Entity(of));
                if boss == "a" {
                    let known =
                        user("bossa").with_attribute("level", 4).with_parent(uid("Group::\"a\""));
                    draft.others.push(known);
                }
            }
        });
        with
    });
    let readers = ["", "a", "p", "ap"].into_iter().map(|readers| {
        let read: Box<dyn Fn(&mut Draft)> = Box::new(move |draft| {
            let own = draft.principal.uid.clone();
            let reader = |c| if c == 'p' { own.clone() } else { uid("User::\"a\"") };
            let all = readers.chars().map(reader).map(Value::Entity).collect();
            draft.resource.attributes.insert("readers".into(), Value::Set(all));
        });
        read
    });
    let literal = [(false, 0, false), (true, 3, false), (true, 5, false), (true, 4, true)];
    let literal = literal.into_iter().map(|(exists, level, member)| {
        let named: Box<dyn Fn(&mut Draft)> = Box::new(move |draft| {
            if exists {
                let mut root = user("root").with_attribute("level", level);
                if member {
                    root = root.with_parent(uid("Group::\"a\""));
                }
                draft.others.push(root);
            }
        });
        named
    });
    let actions = ["read", "write"].into_iter().map(|action| {
        let chosen: Box<dyn Fn(&mut Draft)> = Box::new(move |draft| draft.action = action);
        chosen
    });
    let flags = [false, true].into_iter().map(|flag| of_resource("flag", Value::Bool(flag)));
    vec![
        theme(
            &[
                "principal.level == 5",
                "principal.level < 5",
                "principal.level <= 3",
                "principal.level > 3",
                "principal.level >= 6",
                "principal.level != 4",
                "principal.level + 1 > 5",
                "principal.level - 1 < 3",
                "2 < principal.level",
                "principal.level + 9223372036854775800 > 5",
                "[3, 5].contains(principal.level)",
                "(if principal.level > 3 then principal.level - 4 else principal.level) == 1",
            ],
            levels,
        ),
        theme(
            &[
                "principal in Group::\"a\"",
                "principal in Group::\"b\"",
                "principal in [Group::\"a\", Group::\"b\"]",
                "Group::\"a\" in Group::\"b\"",
            ],
            memberships.collect(),
        ),
        theme(
            &[
                "principal == User::\"a\"",
                "principal != User::\"b\"",
                "principal in User::\"a\"",
                "[User::\"a\", User::\"b\"].contains(principal)",
                "principal has level",
                "principal.level == 0",
            ],
            identities.collect(),
        ),
        theme(
            &[
                "principal has nick",
                "(principal has nick && principal.nick == \"x\")",
                "(principal has nick && principal.nick != \"y\")",
                "(principal has nick && principal.nick like \"*\")",
            ],
            nicks.collect(),
        ),
        theme(
            &[
                "principal.words.contains(\"x\")",
                "principal.words.isEmpty()",
                "principal.words.containsAll([\"x\", \"y\"])",
                "principal.words.containsAny([\"y\", \"z\"])",
                "principal.words == [\"x\", \"y\"]",
                "[\"x\", \"y\"].containsAll(principal.words)",
                "[\"x\"].containsAny(principal.words)",
            ],
            words,
        ),
        theme(
            &[
                "resource.name like \"a*\"",
                "resource.name like \"*b\"",
                "resource.name like \"a*b\"",
                "resource.name == \"ab\"",
                "resource.name like \"*a*\"",
                "resource.name like \"a\\*b\"",
                "resource.name like \"\"",
                "resource.name != \"c\"",
            ],
            names,
        ),
        theme(
            &[
                "principal.home.isInRange(ip(\"10.0.0.0/8\"))",
                "principal.home.isInRange(ip(\"10.0.0.0/16\"))",
                "principal.home.isLoopback()",
                "principal.home == ip(\"10.0.0.1\")",
                "principal.home.isIpv4()",
                "principal.home.isIpv6()",
                "principal.home.isMulticast()",
            ],
            homes,
        ),
        theme(
            &[
                "principal.price.lessThan(decimal(\"1.5\"))",
                "principal.price == decimal(\"1.5\")",
                "principal.price.greaterThanOrEqual(decimal(\"1.5\"))",
                "principal.price.greaterThan(decimal(\"-2.0\"))",
            ],
            prices,
        ),
        theme(
            &[
                "context.now < datetime(\"2024-01-01\")",
                "context.now >= datetime(\"2024-01-02\")",
                "context.now == datetime(\"2024-01-01\")",
                "context.now.offset(duration(\"1d\")) > datetime(\"2024-01-02\")",
                "context.now.durationSince(datetime(\"2024-01-01\")) <= duration(\"0ms\")",
            ],
            moments.collect(),
        ),
        theme(
            &[
                "context has span",
                "(context has span && context.span > duration(\"1h\"))",
                "(context has span && context.span == duration(\"0ms\"))",
                "(context has span && context.span.toMilliseconds() < 0)",
            ],
            spans.collect(),
        ),
        theme(
            &[
                "principal.color == Color::\"red\"",
                "principal.color != Color::\"green\"",
                "principal.color in [Color::\"green\", Color::\"blue\"]",
            ],
            colors,
        ),
        theme(
            &[
                "principal.rec.x == 2",
                "principal.rec.x < 2",
                "principal.rec has y",
                "(principal.rec has y && principal.rec.y)",
                "(principal has rec.y && principal.rec.x > 1)",
            ],
            records,
        ),
        theme(
            &[
                "principal.hasTag(\"t\")",
                "(principal.hasTag(\"t\") && principal.getTag(\"t\").contains(\"x\"))",
                "(principal.hasTag(\"t\") && principal.getTag(\"t\").isEmpty())",
            ],
            tags.collect(),
        ),
        theme(
            &[
                "resource.owner == principal",
                "resource.owner == User::\"a\"",
                "resource.owner.level > 3",
                "resource.owner.level == 5",
                "(resource.owner == principal && principal.level < 4)",
                "resource.owner has level",
            ],
            owners.collect(),
        ),
        theme(
            &[
                "principal has boss",
                "(principal has boss && principal.boss == principal)",
                "(principal has boss && principal.boss.level == 4)",
                "(principal has boss && principal.boss in Group::\"a\")",
            ],
            bosses.collect(),
        ),
        theme(
            &[
                "resource.readers.contains(principal)",
                "resource.readers.contains(User::\"a\")",
                "principal in resource.readers",
                "resource.readers.isEmpty()",
            ],
            readers.collect(),
        ),
        theme(
            &[
                "User::\"root\".level > 3",
                "User::\"root\" has level",
                "User::\"root\" in Group::\"a\"",
                "principal == User::\"root\"",
                "User::\"root\".level == principal.level",
            ],
            literal.collect(),
        ),
        theme(
            &[
                "action == Action::\"read\"",
                "action in Action::\"view\"",
                "action in [Action::\"write\"]",
            ],
            actions.collect(),
        ),
        theme(
            &["resource.flag", "resource.flag == true", "(resource.flag == resource.flag)"],
            flags.collect(),
        ),
    ]
}
