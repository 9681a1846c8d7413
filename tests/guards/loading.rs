//! What keeps guarded policies from loading.

use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use stagedoor_core::{Engine, EngineBuilder, LoadError, TemplateLink};

use crate::table::{SCHEMA, Says, Table, builder};

fn refused(builder: EngineBuilder) -> Result<LoadError> {
    match builder.build() {
        Ok(_) => bail!("the policies were loaded"),
        Err(error) => Ok(error),
    }
}

const SCOPE: &str = "permit (principal, action, resource);";

#[test]
fn annotations_that_guard_nothing_are_refused_with_their_place() -> Result<()> {
    let rules = Table::new([("a", Says::Yes), ("b", Says::Yes)]);
    for (annotations, code, says) in [
        (r#"@guard("c")"#, "guard::unknown-rule", "no rule `c`"),
        (r#"@guard("")"#, "guard::name", "names no rule"),
        (r#"@guard"#, "guard::name", "names no rule"),
        (r#"@guard(" , ")"#, "guard::name", "names no rule"),
        (r#"@guard("A")"#, "guard::name", "invalid rule name `A`"),
        (r#"@guard("a/../b")"#, "guard::name", "invalid rule name"),
        (r#"@guard("a;b")"#, "guard::name", "invalid rule name"),
        (r#"@guard("a a")"#, "guard::name", "named twice"),
        (r#"@guards("a")"#, "guard::annotation", "`@guards` guards nothing"),
        (r#"@guard_arg("{}") @guard("a")"#, "guard::annotation", "`@guard_arg` guards nothing"),
        (r#"@guard_args("{}")"#, "guard::annotation", "without `@guard`"),
        (r#"@guard("a") @guard_args("")"#, "guard::arguments", "not JSON"),
        (r#"@guard("a") @guard_args("[]")"#, "guard::arguments", "not a JSON object"),
        (r#"@guard("a") @guard_args("{\"x\":1,\"x\":2}")"#, "guard::arguments", "not JSON"),
        (r#"@guard("a") @guard_args("{\"refuse\":1}")"#, "guard::arguments", "not taken"),
        (r#"@guard("a b") @guard_args("{\"c\":{}}")"#, "guard::arguments", "not named"),
        (r#"@guard("a b") @guard_args("{\"a\":1}")"#, "guard::arguments", "no JSON object"),
    ] {
        let text = format!("@id(\"first\") {SCOPE}\n  {annotations}\n@id(\"second\")\n{SCOPE}");
        let error = refused(builder(&rules, &text))?;
        let [problem] = error.problems() else { bail!("{annotations}: {error}") };
        ensure!(problem.code() == code, "{annotations}: {error}");
        ensure!(problem.message().contains(says), "{annotations}: {error}");
        ensure!(problem.line() == Some(2), "{annotations}: {:?}", problem.line());
        ensure!(problem.policy() == Some("second") && problem.help().is_some(), "{problem:?}");
    }
    Ok(())
}

#[test]
fn guards_need_rules() -> Result<()> {
    let text = format!("@guard(\"a\") {SCOPE}");
    let error = refused(Engine::builder().schema("s", SCHEMA).policies("p.cedar", text.as_str()))?;
    ensure!(error.problems().iter().any(|p| p.code() == "guard::no-rules"), "{error}");

    // Cedar would take the policy as if nothing guarded it.
    let rules = Table::new([("a", Says::Yes)]);
    let error = refused(builder(&rules, &text).exact_cedar())?;
    ensure!(error.problems().iter().any(|p| p.code() == "guard::exact-cedar"), "{error}");
    Ok(())
}

#[test]
fn policies_in_json_are_guarded_too() -> Result<()> {
    let policy = |annotations: &str| {
        format!(
            r#"{{"staticPolicies": {{"p": {{"effect": "permit", "principal": {{"op": "All"}},
                "action": {{"op": "All"}}, "resource": {{"op": "All"}}, "conditions": [],
                "annotations": {{{annotations}}}}}}}}}"#
        )
    };
    let rules = Table::new([("a", Says::Yes)]);
    let load = |annotations: &str| {
        let rules = Arc::clone(&rules);
        Engine::builder().schema("s", SCHEMA).policies_json("p", policy(annotations)).rules(rules)
    };
    let engine = load(r#""guard": "a", "guard_args": "{\"n\": 1}""#).build()?;
    let guards = engine.policies().flat_map(|p| p.guards().collect::<Vec<_>>());
    let guards: Vec<_> = guards.map(|g| (g.rule().to_owned(), g.arguments().to_owned())).collect();
    assert_eq!(guards, [("a".to_owned(), r#"{"n":1}"#.to_owned())]);
    let error = refused(load(r#""guard": "b""#))?;
    ensure!(error.problems().iter().any(|p| p.code() == "guard::unknown-rule"), "{error}");
    Ok(())
}

#[test]
fn equal_pairs_are_bound_once() -> Result<()> {
    let rules = Table::new([("a", Says::Yes), ("b", Says::Yes)]);
    let text = format!(
        "@id(\"1\") @guard(\"a\") {SCOPE} @id(\"2\") @guard(\"a\") @guard_args(\"{{ }}\") {SCOPE}
         @id(\"3\") @guard(\"a, b\") @guard_args(\"{{\\\"a\\\": {{\\\"n\\\": 1}}}}\") {SCOPE}
         @id(\"t\") @guard(\"b\") permit (principal == ?principal, action, resource);"
    );
    let link = |id: &str| -> Result<TemplateLink> {
        Ok(TemplateLink {
            template: "t".to_owned(),
            id: id.to_owned(),
            principal: Some(r#"User::"u""#.parse()?),
            resource: None,
        })
    };
    let engine = builder(&rules, &text).link(link("l1")?).link(link("l2")?).build()?;
    assert_eq!(rules.bound(), 3, "a, a with n, b");
    assert_eq!(engine.policies().map(|p| p.guards().len()).collect::<Vec<_>>(), [1, 1, 2, 1, 1]);
    Ok(())
}

#[test]
fn another_rule_makes_another_revision() -> Result<()> {
    let text = format!("@guard(\"a\") {SCOPE}");
    let revision = |says, text: &str| -> Result<String> {
        Ok(builder(&Table::new([("a", says)]), text).build()?.revision().to_owned())
    };
    assert_eq!(revision(Says::Yes, &text)?, revision(Says::Yes, &text)?);
    assert_ne!(revision(Says::Yes, &text)?, revision(Says::No, &text)?);
    assert_eq!(revision(Says::Yes, SCOPE)?, revision(Says::No, SCOPE)?);
    Ok(())
}
