//! How many policies the index leaves to be looked at.

use std::error::Error;
use std::fmt::Write as _;

use super::*;
use crate::{Engine, Entities, Entity, Request};

const SCHEMA: &str = "
    entity Group; entity User in [Group];
    entity Account in [Group] { namespace: String };
    entity Thing { kind: String, namespace?: String };
    action look appliesTo { principal: [User, Account], resource: Thing };";

/// Grants to a hundred groups, and one policy that reads what users do not have.
fn grants() -> Result<String, std::fmt::Error> {
    let mut text = String::from(
        r#"forbid (principal, action, resource is Thing)
           unless { principal is User || principal.namespace == "a" };
           permit (principal is Account, action, resource)
           when { principal.namespace == "b" && resource.kind == "kind-0" };"#,
    );
    for n in 0..3_000 {
        let (group, kind, namespace) = (n % 100, n % 7, n % 30);
        write!(
            text,
            r#"permit (principal in Group::"g{group}", action, resource is Thing)
               when {{ resource.kind == "kind-{kind}" && resource has namespace
                       && resource.namespace == "n{namespace}" }};"#
        )?;
    }
    Ok(text)
}

/// Compiled conditions have no answer for such tests, and leave them to Cedar.
#[test]
fn what_only_cedar_can_tell_keeps_no_policy_out() -> Result<(), Box<dyn Error>> {
    let mut text = String::new();
    for effect in ["permit", "forbid"] {
        for (number, test) in
            [r#"(context == "a") == false"#, r#"!(context == "a")"#, "(context has b) == false"]
                .into_iter()
                .enumerate()
        {
            for n in 0..30 {
                writeln!(
                    text,
                    r#"{effect} (principal, action == Action::"{effect}{number}", resource)
                       when {{ {test} && resource.kind == "k{}" }};"#,
                    n % 2
                )?;
            }
        }
    }
    let engine = Engine::builder().exact_cedar().policies("p", &*text).build()?;
    let entities = Entities::from_entities([
        Entity::new(r#"Thing::"t""#.parse()?).with_attribute("kind", "k0")
    ])?;
    for number in 0..3 {
        for (effect, expected) in [("permit", 15), ("forbid", 15)] {
            let request = Request::new(
                r#"User::"u""#.parse()?,
                format!(r#"Action::"{effect}{number}""#).parse()?,
                r#"Thing::"t""#.parse()?,
            );
            let outcome = engine.decide(&request, &entities)?;
            assert_eq!(outcome.errors().len(), 0);
            assert_eq!(outcome.reasons().count(), expected, "{effect}{number}");
        }
    }
    Ok(())
}

#[test]
fn few_policies_matter_to_a_request() -> Result<(), Box<dyn Error>> {
    let text = grants()?;
    let engine = Engine::builder().schema("s", SCHEMA).policies("p", text).build()?;
    let mut user = Entity::new(r#"User::"u""#.parse()?);
    for n in 0..50 {
        user = user.with_parent(format!(r#"Group::"g{n}""#).parse()?);
    }
    let entities = Entities::from_entities([
        user,
        Entity::new(r#"Thing::"t""#.parse()?)
            .with_attribute("kind", "kind-2")
            .with_attribute("namespace", "n2"),
    ])?;
    let request = Request::new(
        r#"User::"u""#.parse()?,
        r#"Action::"look""#.parse()?,
        r#"Thing::"t""#.parse()?,
    );
    let snapshot = &engine.0;
    let view = snapshot.view(&request, &entities);
    let mut candidates = Candidates::new();
    let index = snapshot.index.as_ref().ok_or("an index")?;
    index.candidates(Effect::Forbid, &view, &mut candidates);
    index.candidates(Effect::Permit, &view, &mut candidates);

    let satisfied = engine.decide(&request, &entities)?.reasons().count();
    assert!(satisfied > 5, "{satisfied}");
    // The forbid and, in a leaf that is not worth a branch, a few more.
    assert!(candidates.len() <= satisfied + 4, "{} of {satisfied}", candidates.len());
    Ok(())
}

/// How many policies of each kind there are.
const MANY: usize = 120;

const ATTRIBUTES: &str = "
    entity Group; entity Account in [Group];
    entity User in [Group] { name: String, roles: Set<String>, peer: User };
    entity Doc in [Group] {
        kind: String, n: Long, tags: Set<String>, owner: User, open: Bool, note?: String
    };
    action a0, a1, a2, a3, a4, a5, a6, a7, a8, a9 appliesTo {
        principal: [User, Account], resource: Doc, context: { via: String, by: User }
    };";

/// Scopes and conditions in which `#` is the number of the policy, and how many are left at the most.
const KEYS: [(&str, &str, usize); 21] = [
    ("principal == User::\"u#\", action, resource", "true", 1),
    ("principal in Group::\"g#\", action, resource", "true", 1),
    ("principal is User in Group::\"g#\", action, resource", "true", 1),
    ("principal, action, resource == Doc::\"d#\"", "true", 1),
    ("principal, action, resource in Group::\"g#\"", "true", 1),
    ("principal, action == Action::\"a%\", resource", "true", MANY / 10),
    ("principal is User, action, resource", "principal.name == \"u#\"", 1),
    ("principal, action, resource", "principal == User::\"u#\"", 1),
    ("principal, action, resource", "principal in Group::\"g#\"", 1),
    ("principal, action, resource", "resource in Group::\"g#\"", 1),
    ("principal, action, resource", "resource.kind == \"k#\"", 1),
    ("principal, action, resource", "resource.n == #", 1),
    ("principal, action, resource", "[\"k#\", \"x#\"].contains(resource.kind)", 1),
    ("principal, action, resource", "resource.kind == \"k#\" || resource.kind == \"x#\"", 1),
    ("principal, action, resource", "resource.tags.contains(\"t#\")", 1),
    ("principal, action, resource", "resource.tags.containsAny([\"t#\", \"x#\"])", 1),
    ("principal is User, action, resource", "principal.roles.contains(\"r#\")", 1),
    ("principal, action, resource", "resource.owner == User::\"u#\"", 1),
    ("principal, action, resource", "resource.owner.name == \"u#\"", 1),
    ("principal, action, resource", "context.via == \"v#\"", 1),
    ("principal, action, resource", "context.by == User::\"u#\"", 1),
];

/// The same, where two kinds of policies are told apart, and the rest is left to conditions.
const HALVES: [(&str, &str); 5] = [
    ("resource.open", "!resource.open"),
    ("principal is User", "principal is Account"),
    ("!resource.open", "resource.open"),
    ("resource has note && resource.note == \"x\"", "resource.kind == \"other\""),
    ("resource.tags.contains(\"all\")", "resource.tags.contains(\"none\")"),
];

fn world() -> Result<(Request, Entities), Box<dyn Error>> {
    let user = |name: &str| format!("User::\"{name}\"").parse::<crate::EntityUid>();
    let entity = |uid: crate::EntityUid| {
        Entity::new(uid).with_attribute("roles", crate::Value::from_iter(["r0"]))
    };
    let entities = Entities::from_entities([
        entity(user("u0")?)
            .with_attribute("name", "u0")
            .with_attribute("peer", user("u0")?)
            .with_parent("Group::\"g0\"".parse()?),
        Entity::new("Doc::\"d0\"".parse()?)
            .with_attribute("kind", "k0")
            .with_attribute("n", 0)
            .with_attribute("tags", crate::Value::from_iter(["t0", "all"]))
            .with_attribute("owner", user("u0")?)
            .with_attribute("open", true)
            .with_parent("Group::\"g0\"".parse()?),
    ])?;
    let request = Request::new(user("u0")?, "Action::\"a0\"".parse()?, "Doc::\"d0\"".parse()?);
    Ok((request.with_context("via", "v0").with_context("by", user("u0")?), entities))
}

/// Returns how many policies are left, and checks that those are decided as all would be.
fn left(policies: &str) -> Result<usize, Box<dyn Error>> {
    let (request, entities) = world()?;
    let build = |index: bool| {
        let builder = Engine::builder().schema("s", ATTRIBUTES).policies("p", policies);
        builder.index(index).unshadowed().build()
    };
    let (engine, plain) = (build(true)?, build(false)?);
    let ids = |engine: &Engine| -> Result<Vec<String>, crate::DecideError> {
        let outcome = engine.decide(&request, &entities)?;
        Ok(outcome.reasons().map(|policy| policy.id().to_owned()).collect())
    };
    assert_eq!(ids(&engine)?, ids(&plain)?, "{}", policies.lines().next().unwrap_or_default());
    let snapshot = &engine.0;
    Ok(snapshot.all_candidates(&snapshot.view(&request, &entities)).len())
}

#[test]
fn each_kind_of_key_keeps_other_policies_out() -> Result<(), Box<dyn Error>> {
    let mut wrong = Vec::new();
    for effect in ["permit", "forbid"] {
        for (scope, condition, most) in KEYS {
            let mut text = String::new();
            for n in 0..MANY {
                let policy = format!("{effect}({scope}) when {{ {condition} }};");
                let policy = policy.replace('#', &n.to_string());
                writeln!(text, "{}", policy.replace('%', &(n % 10).to_string()))?;
            }
            let left = left(&text)?;
            if left == 0 || left > most {
                wrong.push(format!("{effect} ({scope}) {condition}: {left}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

#[test]
fn what_holds_of_half_of_them_keeps_the_other_half_out() -> Result<(), Box<dyn Error>> {
    let mut wrong = Vec::new();
    for (one, other) in HALVES {
        let mut text = String::new();
        for n in 0..MANY {
            let condition = if n % 2 == 0 { one } else { other };
            writeln!(
                text,
                "permit(principal, action, resource) when {{ {condition} && resource.n < {n} }};"
            )?;
        }
        let left = left(&text)?;
        if left > MANY / 2 {
            wrong.push(format!("{one} or {other}: {left}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}
