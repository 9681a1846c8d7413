//! What keeps guarded policies from loading.

use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use stagedoor_core::{
    Engine, EngineBuilder, Entities, Guard, GuardAnswer, GuardFailure, GuardInputs, GuardRefusal,
    LoadError, Request, RuleEvaluator, TemplateLink,
};

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
        (r#"@guard("a b") @guard_args("a: 1")"#, "guard::arguments", "no JSON object"),
        (r#"@guard("a") @guard_args("n: one")"#, "guard::arguments", "a value of `n`"),
        ("@guard(\"a\") @guard_args(\"n: 1\nn: 2\")", "guard::arguments", "names `n` twice"),
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

/// A rule whose digest is one that policies can name.
#[derive(Debug)]
struct Reviewed(String);

impl RuleEvaluator for Reviewed {
    fn guard(&self, _: &str, _: &str) -> Result<Arc<dyn Guard>, GuardRefusal> {
        Ok(Arc::new(Self(self.0.clone())))
    }
}

impl Guard for Reviewed {
    fn inputs(&self) -> GuardInputs {
        GuardInputs::default()
    }

    fn digest(&self) -> &str {
        &self.0
    }

    fn evaluate(&self, _: &Request, _: &Entities) -> Result<GuardAnswer, GuardFailure> {
        Ok(GuardAnswer { holds: true, reason: None })
    }
}

#[test]
fn a_pinned_rule_is_the_one_that_was_reviewed() -> Result<()> {
    let (digest, long) = ("0123456789abcdef".repeat(4), "r".repeat(64));
    let load = |guard: &str| {
        let text = format!("@guard(\"{guard}\") {SCOPE}");
        let rules = Arc::new(Reviewed(digest.clone()));
        Engine::builder().schema("s", SCHEMA).policies("p.cedar", text).rules(rules)
    };
    for guard in [format!("a@sha256:{digest}"), long.clone(), format!("a, {long}@sha256:{digest}")]
    {
        let engine = load(&guard).build()?;
        let policies: Vec<_> = engine.policies().collect();
        let told: Vec<_> = policies.iter().flat_map(|p| p.guards()).map(|g| g.rule()).collect();
        ensure!(
            told == guard.replace(&format!("@sha256:{digest}"), "").split(", ").collect::<Vec<_>>()
        );
    }
    let other = digest.replace('0', "1");
    for (guard, code, says) in [
        (format!("a@sha256:{other}"), "guard::digest", other.as_str()),
        (format!("a@sha256:{other}"), "guard::digest", digest.as_str()),
        (format!("a@sha256:{}", digest.to_uppercase()), "guard::name", "invalid rule name"),
        (format!("a@sha256:{}", digest.replace('a', "g")), "guard::name", "invalid rule name"),
        (format!("a@sha256:{}", digest.replace('a', "-")), "guard::name", "invalid rule name"),
        (format!("a@sha256:{digest}0"), "guard::name", "invalid rule name"),
        ("a@sha256:0123".to_owned(), "guard::name", "invalid rule name"),
        ("a@sha256:".to_owned(), "guard::name", "invalid rule name"),
        (format!("@sha256:{digest}"), "guard::name", "invalid rule name"),
        (format!("{long}r"), "guard::name", "invalid rule name"),
        (format!("a, a@sha256:{digest}"), "guard::name", "named twice"),
    ] {
        let error = refused(load(&guard))?;
        let [problem] = error.problems() else { bail!("{guard}: {error}") };
        ensure!(problem.code() == code && problem.message().contains(says), "{guard}: {error}");
    }
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
fn arguments_are_lines_or_json() -> Result<()> {
    let rules = Table::new([("a", Says::Yes), ("b", Says::Yes)]);
    for (annotations, bound) in [
        (
            "@guard(\"a\") @guard_args(\"\n  n: 1\n  of: ['x', 'y']\n\")",
            vec![r#"{"n":1,"of":["x","y"]}"#],
        ),
        (r#"@guard("a") @guard_args("{'n': 'it\\'s'}")"#, vec![r#"{"n":"it's"}"#]),
        ("@guard(\"a, b\") @guard_args(\"b: {'n': 1}\")", vec!["{}", r#"{"n":1}"#]),
    ] {
        let text = format!("@id(\"1\") {annotations} {SCOPE}");
        let engine = builder(&rules, &text).build()?;
        let guards = engine.policies().flat_map(|p| p.guards().collect::<Vec<_>>());
        let arguments: Vec<_> = guards.map(|guard| guard.arguments().to_owned()).collect();
        assert_eq!(arguments, bound, "{annotations}");
    }
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
