//! What has gone wrong in permission engines, one test a class; the numbers of advisories
//! and issues name where.

use anyhow::{Result, bail, ensure};
use stagedoor_core::{
    Decision, Engine, EngineBuilder, Entities, Entity, EntityUid, LoadError, Record, Request,
    Schema, Value,
};

#[path = "security/loading.rs"]
mod loading;

const SCHEMA: &str = "
    entity Group;
    entity User in [Group] { level: Long, boss?: User, name: String };
    entity Doc { level: Long, owner: User, kind: String };
    action read, write appliesTo {
        principal: User, resource: Doc, context: { level: Long, note?: String },
    };";

fn strict(policies: &str) -> EngineBuilder {
    Engine::builder().schema("s.cedarschema", SCHEMA).policies("p.cedar", policies)
}

fn exact(policies: &str) -> EngineBuilder {
    Engine::builder().policies("p.cedar", policies).exact_cedar()
}

fn uid(text: &str) -> Result<EntityUid> {
    Ok(text.parse()?)
}

fn user(level: i64) -> Result<Entity> {
    let user = Entity::new(uid("User::\"alice\"")?).with_attribute("level", level);
    Ok(user.with_attribute("name", "alice"))
}

fn doc() -> Result<Entity> {
    let doc = Entity::new(uid("Doc::\"plan\"")?).with_attribute("level", 1);
    Ok(doc.with_attribute("kind", "plan").with_attribute("owner", uid("User::\"gone\"")?))
}

fn request() -> Result<Request> {
    let (user, read, doc) =
        (uid("User::\"alice\"")?, uid("Action::\"read\"")?, uid("Doc::\"plan\"")?);
    Ok(Request::new(user, read, doc).with_context("level", 1))
}

/// Returns the decision, the reasons and the erring policies.
fn decided(
    engine: &Engine,
    request: &Request,
    entities: &Entities,
) -> Result<(bool, Vec<String>, Vec<String>)> {
    let outcome = engine.decide(request, entities)?;
    let reasons = outcome.reasons().map(|policy| policy.id().to_owned()).collect();
    let errors = outcome.errors().iter().map(|error| error.policy().to_owned()).collect();
    Ok((outcome.decision() == Decision::Allow, reasons, errors))
}

fn codes(loaded: Result<Engine, LoadError>) -> Result<Vec<String>> {
    match loaded {
        Ok(_) => bail!("it loaded"),
        Err(error) => Ok(error.problems().iter().map(|p| p.code().to_owned()).collect()),
    }
}

/// Class 1: cedar#2428, GHSA-hm46-7j72-rpv9.
#[test]
fn a_forbid_that_errs_denies() -> Result<()> {
    let reasons_to_err = [
        // Overflows.
        "principal.level + 1 > 0",
        // Reads an entity that is not in the store.
        "resource.owner.level > 3",
        // Errs after a clause that holds, and before one that does not.
        "resource.level == 1 && principal.level * 2 > 0 && resource.kind == \"other\"",
    ];
    let entities = Entities::from_entities([user(i64::MAX)?, doc()?])?;
    for condition in reasons_to_err {
        let policies = format!(
            "@id(\"all\") permit(principal, action, resource);
             @id(\"guard\") forbid(principal, action, resource) when {{ {condition} }};"
        );
        for index in [true, false] {
            let engine = strict(&policies).index(index).build()?;
            let decided = decided(&engine, &request()?, &entities)?;
            ensure!(decided == (false, vec!["guard".into()], vec!["guard".into()]), "{decided:?}");
        }
        let engine = exact(&policies).build()?;
        let decided = decided(&engine, &request()?, &entities)?;
        let (all, guard) = (vec!["policy0".into()], vec!["policy1".into()]);
        ensure!(decided == (true, all, guard), "exact Cedar: {decided:?}");
    }
    Ok(())
}

/// Class 1, the other way round: a permit that errs permits nothing.
#[test]
fn a_permit_that_errs_permits_nothing() -> Result<()> {
    let engine = strict(
        "@id(\"p\") permit(principal, action, resource)
         unless { principal.level + 1 == 0 };",
    )
    .build()?;
    let entities = Entities::from_entities([user(i64::MAX)?, doc()?])?;
    let decided = decided(&engine, &request()?, &entities)?;
    ensure!(decided == (false, vec![], vec!["p".into()]), "{decided:?}");
    Ok(())
}

/// Class 1: what cannot be checked is refused with an error, never decided.
#[test]
fn what_does_not_conform_is_not_decided() -> Result<()> {
    let engine = strict("permit(principal, action, resource);").build()?;
    let entities = Entities::from_entities([user(1)?, doc()?])?;
    ensure!(decided(&engine, &request()?, &entities)?.0);
    let mut other_principal = request()?;
    other_principal.principal = uid("Group::\"g\"")?;
    let mut other_action = request()?;
    other_action.action = uid("Action::\"delete\"")?;
    let mut other_resource = request()?;
    other_resource.resource = uid("Stranger::\"x\"")?;
    let more_context = request()?.with_context("admin", true);
    let mut less_context = request()?;
    less_context.context = Record::new();
    let other_type = request()?.with_context("level", "1");
    for request in
        [other_principal, other_action, other_resource, more_context, less_context, other_type]
    {
        ensure!(engine.decide(&request, &entities).is_err(), "{request:?}");
    }
    for entity in [
        user(1)?.with_attribute("level", "1"),
        user(1)?.with_attribute("admin", true),
        user(1)?.with_parent(uid("Doc::\"plan\"")?),
        user(1)?.with_tag("t", "v"),
        Entity::new(uid("User::\"alice\"")?),
    ] {
        let entities = Entities::from_entities([entity.clone(), doc()?])?;
        ensure!(engine.decide(&request()?, &entities).is_err(), "{entity:?}");
        let laid_over = Entities::from_entities([doc()?])?.with([entity])?;
        ensure!(engine.decide(&request()?, &laid_over).is_err(), "laid over");
    }
    Ok(())
}

/// Class 9: cedar-go#137. A JSON value is what it looks like, or it is refused.
#[test]
fn json_values_keep_their_type() -> Result<()> {
    let engine = exact(
        "permit(principal, action, resource) when { context.v == 1 };
         permit(principal, action, resource) when { context.v == \"1\" };
         permit(principal, action, resource) when { context.v == true };
         permit(principal, action, resource) when { context.v == User::\"1\" };
         permit(principal, action, resource) when { context.v == [1] };
         permit(principal, action, resource) when { context.v == {a: 1} };
         permit(principal, action, resource) when { context.v == -9223372036854775808 };",
    )
    .build()?;
    let read = |value: &str| {
        let json = format!(
            "{{\"principal\": \"User::\\\"a\\\"\", \"action\": \"Action::\\\"r\\\"\",
               \"resource\": \"Doc::\\\"d\\\"\", \"context\": {{\"v\": {value}}}}}"
        );
        Request::from_json_str(&json, None)
    };
    for (value, policy) in [
        ("1", Some("policy0")),
        ("\"1\"", Some("policy1")),
        ("\"\\u0031\"", Some("policy1")),
        ("true", Some("policy2")),
        ("\"true\"", None),
        ("0", None),
        ("{\"__entity\": {\"type\": \"User\", \"id\": \"1\"}}", Some("policy3")),
        ("{\"type\": \"User\", \"id\": \"1\"}", None),
        ("\"User::\\\"1\\\"\"", None),
        ("[1, 1]", Some("policy4")),
        ("[\"1\"]", None),
        ("{\"a\": 1}", Some("policy5")),
        ("-9223372036854775808", Some("policy6")),
    ] {
        let (allowed, reasons, errors) = decided(&engine, &read(value)?, &Entities::empty())?;
        let expected: Vec<String> = policy.into_iter().map(str::to_owned).collect();
        ensure!(reasons == expected && errors.is_empty(), "{value}: {reasons:?}, {errors:?}");
        ensure!(allowed == policy.is_some(), "{value}");
    }
    let refused = [
        "null",
        "1.0",
        "1e0",
        "1.5",
        "-0.0",
        "9223372036854775808",
        "-9223372036854775809",
        "1e400",
        "[null]",
        "{\"a\": null}",
        "\"\\ud800\"",
        "NaN",
        "01",
        "+1",
        "0x1",
        "'1'",
        "tru",
        "{\"__extn\": {\"fn\": \"ip\", \"arg\": \"no\"}}",
        "{\"__expr\": \"1\"}",
    ];
    for value in refused {
        ensure!(read(value).is_err(), "{value} was read as {:?}", read(value));
        let entities = format!(
            "[{{\"uid\": {{\"type\": \"User\", \"id\": \"a\"}}, \"parents\": [], \
              \"attrs\": {{\"v\": {value}}}}}]"
        );
        ensure!(Entities::from_json_str(&entities, None).is_err(), "{value} in entities");
    }
    Ok(())
}

/// Class 9: an id is an id, whichever way it is written.
#[test]
fn entity_ids_are_read_strictly() -> Result<()> {
    let read = |principal: &str| {
        Request::from_json_str(
            &format!(
                "{{\"principal\": {principal}, \"action\": \"Action::\\\"r\\\"\",
                   \"resource\": \"Doc::\\\"d\\\"\"}}"
            ),
            None,
        )
    };
    let plain = read("\"User::\\\"a\\\"\"")?.principal;
    ensure!(read("{\"type\": \"User\", \"id\": \"a\"}")?.principal == plain);
    for refused in [
        "1",
        "null",
        "[]",
        "{}",
        "\"\"",
        "\"User\"",
        "\"User::a\"",
        "\"User::\\\"a\"",
        "\"User::\\\"a\\\" \\\"b\\\"\"",
        "{\"type\": \"User\", \"id\": 1}",
        "{\"type\": \"User\", \"id\": null}",
        "{\"type\": \"\", \"id\": \"a\"}",
        "{\"type\": \"User::\\\"a\\\"\", \"id\": \"a\"}",
        "\"User::\\\"a\\\" || true\"",
        "{\"type\": \"User\", \"id\": \"a\", \"type\": \"Group\"}",
    ] {
        ensure!(read(refused).is_err(), "{refused} was read as {:?}", read(refused));
    }
    Ok(())
}

/// Class 13: backstage/community-plugins#9121. Quotes neither end a literal nor start one.
#[test]
fn quotes_and_escapes_stay_inside_their_literal() -> Result<()> {
    let odd = [
        "a\"b",
        "a\\",
        "\\\"",
        "a\nb",
        "a\r\nb",
        "a\tb",
        "\0",
        "'",
        "a;b",
        "// no",
        "é\u{301}",
        "\u{202e}x",
        "\"; permit(principal, action, resource); //",
        "*",
        "${x}",
        "a,b",
        "",
    ];
    let mut text = String::new();
    for (number, value) in odd.iter().enumerate() {
        let literal = value.escape_debug();
        text.push_str(&format!(
            "@id(\"{number}: {literal}\")\npermit(principal == User::\"{literal}\", action, resource)
             when {{ resource.kind == \"{literal}\" && resource[\"{literal}\"] }};\n"
        ));
    }
    let exact_engine = exact(&text).build()?;
    ensure!(exact_engine.policies().len() == odd.len());
    let json = text.parse::<cedar_policy::PolicySet>()?.to_json()?.to_string();
    let from_json = Engine::builder().policies_json("p.json", json).exact_cedar().build()?;
    for engine in [exact_engine, from_json] {
        for (number, value) in odd.iter().enumerate() {
            for (other, kind) in odd.iter().enumerate() {
                let principal = EntityUid::from_type_name_and_id(
                    "User".parse()?,
                    cedar_policy::EntityId::new(value),
                );
                let resource = Entity::new(uid("Doc::\"d\"")?)
                    .with_attribute("kind", *kind)
                    .with_attribute(value, true);
                let request = Request::new(principal, uid("Action::\"r\"")?, resource.uid.clone());
                let entities = Entities::from_entities([resource])?;
                let (allowed, reasons, _) = decided(&engine, &request, &entities)?;
                ensure!(allowed == (number == other), "{value:?} against {kind:?}");
                ensure!(!allowed || reasons == [format!("policy{number}")], "{reasons:?}");
            }
        }
    }
    Ok(())
}

/// Class 15: CVE-2019-11247, CVE-2022-3162. A name of another type is another name.
#[test]
fn types_and_ids_are_not_confused() -> Result<()> {
    let engine = exact(
        "permit(principal == User::\"a\", action, resource);
         permit(principal is Team::User, action, resource);
         permit(principal, action, resource) when { resource.v == \"1\" };
         permit(principal, action, resource) when { resource.v == 1 };
         permit(principal, action, resource) when { resource.v == \"User::\\\"a\\\"\" };
         permit(principal, action, resource) when { resource.v == User::\"a\" };
         permit(principal, action, resource) when { resource.v == [\"1\"] };
         permit(principal, action, resource) when { resource.v.contains(\"1\") };",
    )
    .build()?;
    for (principal, value, expected) in [
        ("User::\"a\"", Value::from(0), vec![0]),
        ("Team::User::\"a\"", Value::from(0), vec![1]),
        ("Team::User::\"User\"", Value::from(0), vec![1]),
        ("Group::\"a\"", Value::from("1"), vec![2]),
        ("Group::\"a\"", Value::from(1), vec![3]),
        ("Group::\"a\"", Value::from("User::\"a\""), vec![4]),
        ("Group::\"a\"", Value::from(uid("User::\"a\"")?), vec![5]),
        ("Group::\"a\"", Value::from_iter(["1", "1"]), vec![6, 7]),
        ("Group::\"a\"", Value::from_iter([1]), vec![]),
        ("Group::\"a\"", Value::from(true), vec![]),
    ] {
        let resource = Entity::new(uid("Doc::\"d\"")?).with_attribute("v", value.clone());
        let entities = Entities::from_entities([resource])?;
        let request = Request::new(uid(principal)?, uid("Action::\"r\"")?, uid("Doc::\"d\"")?);
        let (_, reasons, _) = decided(&engine, &request, &entities)?;
        let expected: Vec<String> = expected.iter().map(|n: &usize| format!("policy{n}")).collect();
        ensure!(reasons == expected, "{principal} {value:?}: {reasons:?}");
    }
    Ok(())
}

/// The schema that was checked is the one that is in force.
#[test]
fn entities_checked_against_one_schema_are_checked_again_against_another() -> Result<()> {
    let policies = "permit(principal, action, resource);";
    let first = strict(policies).build()?;
    let schema = SCHEMA.replace("level: Long, boss", "level: String, boss");
    let second = Engine::builder().schema("s", schema).policies("p", policies).build()?;
    let entities = Entities::from_entities([user(1)?])?.with([doc()?])?;
    for _ in 0..3 {
        ensure!(first.decide(&request()?, &entities).is_ok());
        ensure!(second.decide(&request()?, &entities).is_err());
    }
    let read: Result<Schema, _> = SCHEMA.parse();
    let json = "[{\"uid\": \"User::\\\"a\\\"\", \"attrs\": {}, \"parents\": []}]";
    ensure!(Entities::from_json_str(json, Some(&read?)).is_err());
    Ok(())
}
