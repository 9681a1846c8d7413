//! Which conditions are decided on typed attributes, and which are left to Cedar: the answer is the
//! same, the time is not.

use std::error::Error;

use super::{Evaluation, Verdict};
use crate::{Engine, Entities, Entity, Extension, Record, Request, Value};

const SCHEMA: &str = r#"
    entity Group in [Group];
    entity User in [Group] {
        level: Long, name: String, admin: Bool, roles: Set<String>, levels: Set<Long>,
        manager: User, friends: Set<User>, meta: { note?: String, depth: Long },
        ip: ipaddr, share: decimal, since: datetime, term: duration, email?: String
    } tags String;
    entity Doc in [Group] { owner: User, kind: String, size: Long };
    action read, write appliesTo {
        principal: User, resource: Doc,
        context: { mfa: Bool, ip: ipaddr, now: datetime, path: String, via?: User }
    };"#;

/// What holds of the request below, and is decided without Cedar.
const HELD: [&str; 66] = [
    "principal == User::\"ana\"",
    "principal != User::\"bob\"",
    "resource == Doc::\"d\"",
    "action == Action::\"read\"",
    "action in [Action::\"read\", Action::\"write\"]",
    "principal in Group::\"staff\"",
    "principal in [Group::\"x\", Group::\"all\"]",
    "resource in Group::\"shared\"",
    "principal is User",
    "principal is User in Group::\"all\"",
    "principal.manager is User",
    "principal.level == 3",
    "principal.level != 4",
    "principal.level < 4",
    "principal.level <= 3",
    "principal.level > 2",
    "principal.level >= 3",
    "principal.level + 1 == 4",
    "principal.level - 1 == 2",
    "principal.level * 2 == 6",
    "-principal.level < 0",
    "principal.level < resource.size",
    "principal.admin",
    "!context.mfa",
    "principal.admin && !context.mfa",
    "context.mfa || principal.admin",
    "if context.mfa then principal.level > 9 else principal.level < 9",
    "(if context.mfa then 1 else principal.level) == 3",
    "principal.name == \"ana\"",
    "principal.name like \"a*a\"",
    "principal.name like \"ana\"",
    "!(principal.name like \"b*\")",
    "context.path like \"/docs/*/x*\"",
    "[\"ana\", \"bob\"].contains(principal.name)",
    "[1, 3].contains(principal.level)",
    "[principal, principal.manager].contains(resource.owner)",
    "principal.roles.contains(\"dev\")",
    "!principal.roles.contains(\"ops\")",
    "principal.roles.contains(principal.name) || true",
    "principal.roles.containsAny([\"ops\", \"dev\"])",
    "principal.roles.containsAll([\"dev\", \"qa\"])",
    "!principal.roles.containsAll([\"dev\", \"ops\"])",
    "principal.levels.containsAll([1, 2])",
    "principal.levels.containsAny([7, 2])",
    "!principal.roles.isEmpty()",
    "principal.friends.contains(User::\"bob\")",
    "principal.roles == [\"qa\", \"dev\"]",
    "principal.manager.level == 9",
    "principal.manager in Group::\"staff\"",
    "!(resource.owner in Group::\"none\")",
    "resource.owner == principal",
    "resource.owner.manager.name == \"bob\"",
    "principal.meta.depth == 2",
    "principal.meta has note && principal.meta.note == \"n\"",
    "!(principal has email)",
    "context has via && context.via == User::\"bob\"",
    "principal.hasTag(\"team\") && principal.getTag(\"team\") == \"core\"",
    "!principal.hasTag(principal.name)",
    "principal.ip == ip(\"10.0.0.1\")",
    "principal.ip.isInRange(ip(\"10.0.0.0/8\"))",
    "principal.ip.isIpv4() && !context.ip.isLoopback()",
    "principal.share.lessThan(decimal(\"0.5\"))",
    "principal.since < context.now",
    "context.now.durationSince(principal.since) > duration(\"1h\")",
    "principal.since.offset(principal.term) >= principal.since",
    "principal.since.toDate() <= context.now.toDate()",
];

/// What has no answer, and why it has none is worded without Cedar.
const FAULTS: [&str; 24] = [
    "User::\"nobody\".level == 1",
    "User::\"nobody\".level < 1",
    "User::\"nobody\".manager.level > 1",
    "User::\"nobody\".admin",
    "!User::\"nobody\".admin",
    "principal.admin && User::\"nobody\".admin",
    "context.mfa || User::\"nobody\".admin",
    "if User::\"nobody\".admin then true else false",
    "if principal.admin then User::\"nobody\".admin else true",
    "if context.mfa then true else User::\"nobody\".admin",
    "(if User::\"nobody\".admin then 1 else 2) == 1",
    "(if principal.admin then User::\"nobody\".level else 1) == 1",
    "(if context.mfa then 1 else User::\"nobody\".level) == 1",
    "User::\"nobody\".name like \"a*\"",
    "[User::\"nobody\".level].contains(3)",
    "User::\"nobody\".roles.contains(\"dev\")",
    "User::\"nobody\".roles.containsAll([\"dev\"])",
    "User::\"nobody\".roles.isEmpty()",
    "User::\"nobody\".manager in Group::\"staff\"",
    "User::\"nobody\".manager is User",
    "User::\"nobody\".meta.depth == 1",
    "principal.hasTag(User::\"nobody\".name)",
    "User::\"nobody\".ip.isIpv4()",
    "-User::\"nobody\".level < 0",
];

/// The same, by numbers that are too large.
const OVERFLOWS: [&str; 5] = [
    "principal.level + 9223372036854775807 > 0",
    "-9223372036854775807 - principal.level > 0",
    "principal.level * 9223372036854775807 > 0",
    "-(-9223372036854775807 - 1) > principal.level",
    "[principal.level + 9223372036854775807].contains(1)",
];

/// What is left to Cedar: records that policies write.
const LEFT_TO_CEDAR: [&str; 2] =
    ["principal.level == {level: 3}.level", "{level: principal.level}.level == 3"];

fn store() -> Result<Entities, Box<dyn Error>> {
    let record = |pairs: [(&str, Value); 2]| -> Record {
        pairs.into_iter().map(|(name, value)| (name.into(), value)).collect()
    };
    let user = |name: &str, level: i64, manager: &str| -> Result<Entity, Box<dyn Error>> {
        let uid = |name: &str| format!("User::\"{name}\"").parse::<crate::EntityUid>();
        Ok(Entity::new(uid(name)?)
            .with_attribute("level", level)
            .with_attribute("name", name)
            .with_attribute("admin", true)
            .with_attribute("roles", Value::from_iter(["dev", "qa"]))
            .with_attribute("levels", Value::from_iter([1, 2]))
            .with_attribute("manager", uid(manager)?)
            .with_attribute("friends", Value::from_iter([uid("bob")?]))
            .with_attribute("meta", record([("note", "n".into()), ("depth", 2.into())]))
            .with_attribute("ip", Extension::ip("10.0.0.1")?)
            .with_attribute("share", Extension::decimal("0.25")?)
            .with_attribute("since", Extension::datetime("2026-01-01")?)
            .with_attribute("term", Extension::duration("1d")?)
            .with_tag("team", "core")
            .with_parent("Group::\"staff\"".parse()?))
    };
    let staff = Entity::new("Group::\"staff\"".parse()?).with_parent("Group::\"all\"".parse()?);
    let doc = Entity::new("Doc::\"d\"".parse()?)
        .with_attribute("owner", "User::\"ana\"".parse::<crate::EntityUid>()?)
        .with_attribute("kind", "text")
        .with_attribute("size", 10)
        .with_parent("Group::\"shared\"".parse()?);
    Ok(Entities::from_entities([user("ana", 3, "bob")?, user("bob", 9, "bob")?, staff, doc])?)
}

fn request() -> Result<Request, Box<dyn Error>> {
    let (principal, resource) = ("User::\"ana\"".parse()?, "Doc::\"d\"".parse()?);
    Ok(Request::new(principal, "Action::\"read\"".parse()?, resource)
        .with_context("mfa", false)
        .with_context("ip", Extension::ip("10.0.0.2")?)
        .with_context("now", Extension::datetime("2026-06-01")?)
        .with_context("path", "/docs/a/xyz")
        .with_context("via", "User::\"bob\"".parse::<crate::EntityUid>()?))
}

/// Returns whether a condition holds, and whether Cedar was asked.
fn decided(condition: &str) -> Result<(bool, bool), Box<dyn Error>> {
    let policy = format!("permit (principal, action, resource) when {{ {condition} }};");
    // Without an index the condition decides, and not a question of the tree.
    let builder = Engine::builder().schema("s", SCHEMA).policies("p", policy).unshadowed();
    let engine = builder.index(false).build()?;
    let (request, entities) = (request()?, store()?);
    let snapshot = &engine.0;
    snapshot.check(&request, &entities)?;
    let view = snapshot.view(&request, &entities);
    let evaluation = Evaluation::new(&view, snapshot);
    let policy = engine.policies().next().ok_or("a policy")?;
    let is_satisfied = matches!(evaluation.policy(policy)?, Verdict::Satisfied);
    Ok((is_satisfied, evaluation.cedar.get().is_some()))
}

#[test]
fn plain_conditions_are_decided_without_cedar() -> Result<(), Box<dyn Error>> {
    let mut wrong = Vec::new();
    for condition in HELD {
        for (condition, expected) in
            [(condition.to_owned(), true), (format!("!({condition})"), false)]
        {
            let given = decided(&condition).map_err(|error| format!("{condition}: {error:?}"))?;
            if given != (expected, false) {
                wrong.push(format!("{condition}: held, left to Cedar: {given:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

#[test]
fn faults_are_worded_as_cedar_words_them_and_without_it() -> Result<(), Box<dyn Error>> {
    let mut wrong = Vec::new();
    for condition in FAULTS.into_iter().chain(OVERFLOWS) {
        let policy = format!("permit (principal, action, resource) when {{ {condition} }};");
        let builder = Engine::builder().schema("s", SCHEMA).policies("p", policy).unshadowed();
        let engine = builder.index(false).build().map_err(|e| format!("{condition}: {e}"))?;
        let (request, entities, snapshot) = (request()?, store()?, &engine.0);
        let view = snapshot.view(&request, &entities);
        let evaluation = Evaluation::new(&view, snapshot);
        let policy = engine.policies().next().ok_or("a policy")?;
        let words = |verdict| match verdict {
            Verdict::Errored(fault) => format!("{fault}"),
            other => format!("{other:?}"),
        };
        let own = words(evaluation.policy(policy)?);
        let is_left = evaluation.cedar.get().is_some();
        let cedar = words(evaluation.whole(policy)?);
        if own != cedar || is_left {
            wrong.push(format!("{condition}: `{own}`, Cedar `{cedar}`, left to it: {is_left}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

#[test]
fn records_that_policies_write_are_left_to_cedar() -> Result<(), Box<dyn Error>> {
    for condition in LEFT_TO_CEDAR {
        assert_eq!(decided(condition)?, (true, true), "{condition}");
    }
    Ok(())
}
