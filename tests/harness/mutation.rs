//! Mutants, and the cases that are suggested against them.

use std::time::Duration;

use anyhow::{Result, ensure};
use stagedoor_testing::mutation::{MutantStatus, Operator};
use stagedoor_testing::{Mutation, Options, mutation};

use crate::place::{Place, run};

const SCHEMA: &str = "entity Team; entity User in [Team] { level: Long };
entity Doc { open: Bool, kind: String };
action read, write, drop appliesTo { principal: User, resource: Doc };";

const POLICIES: &str = r#"@id("team")
permit (principal in Team::"a", action in [Action::"read", Action::"write"], resource)
when { resource.open && ["x", "y"].contains(resource.kind) || principal.level > 4 }
unless { resource.kind like "z*" };
@id("kept")
forbid (principal, action == Action::"drop", resource);
"#;

const TESTS: &str = r#"
fixtures:
  entities:
    - { uid: { type: User, id: ana }, attrs: { level: 4 }, parents: [{ type: Team, id: a }] }
    - { uid: { type: User, id: eve }, attrs: { level: 5 }, parents: [] }
    - { uid: { type: Doc, id: x }, attrs: { open: true, kind: x }, parents: [] }
    - { uid: { type: Doc, id: shut }, attrs: { open: false, kind: x }, parents: [] }
cases:
  - { name: c, principal: User::"ana", action: Action::"read", resource: Doc::"x", expect: allow }
"#;

fn mutated(policies: &str, tests: &str) -> Result<Mutation> {
    let files = [("a.cedarschema", SCHEMA), ("a.cedar", policies), ("a.test.yaml", tests)];
    let suite = Place::with(&files)?.suite()?;
    Ok(suite.mutate(&Options::default(), Duration::from_secs(600))?)
}

/// Every suggested case passes with the policies, and kills its mutant once it is added.
#[test]
fn suggested_cases_are_right_and_kill() -> Result<()> {
    let mut tests = TESTS.to_owned();
    let before = mutated(POLICIES, &tests)?;
    ensure!(before.counts().survived > 5, "{before:?}");
    for (number, (_, case)) in before.survivors().enumerate() {
        let named = case.yaml.replacen("name: \"", &format!("name: \"{number} "), 1);
        for line in named.lines() {
            tests.push_str(&format!("  {line}\n"));
        }
    }
    let files = [("a.cedarschema", SCHEMA), ("a.cedar", POLICIES), ("a.test.yaml", &tests)];
    let place = Place::with(&files)?;
    let (report, failures) = run(&place.suite()?);
    ensure!(report.passed(), "{failures}\n{tests}");
    let after = mutated(POLICIES, &tests)?;
    assert_eq!(after.counts().survived, 0, "{}", mutation::text(&after).join("\n"));
    assert_eq!(before.mutants.len(), after.mutants.len());
    Ok(())
}

#[test]
fn mistakes_of_all_kinds_are_made() -> Result<()> {
    let mutants = mutated(POLICIES, TESTS)?.mutants;
    let has = |operator: Operator, original: &str, replacement: &str| {
        mutants.iter().any(|mutant| {
            mutant.operator == operator
                && mutant.original.contains(original)
                && mutant.replacement == replacement
        })
    };
    for (operator, original, replacement) in [
        (Operator::SwapEffect, "permit", "forbid"),
        (Operator::DropPolicy, "@id(\"kept\")", ""),
        (Operator::NegateClause, "resource.open", "!(resource.open)"),
        (Operator::DropConjunct, "resource.open", "true"),
        (Operator::DropDisjunct, "principal.level > 4", "false"),
        (Operator::DropConjunct, "resource.kind like \"z*\"", "false"),
        (Operator::SwapConnective, "||", "&&"),
        (Operator::SwapConnective, "&&", "||"),
        (Operator::WidenScope, "principal in Team::\"a\"", "principal"),
        (Operator::SwapMembership, "principal in Team::\"a\"", "principal == Team::\"a\""),
        (Operator::WidenScope, "action == Action::\"drop\"", "action"),
        (Operator::SwapAction, "Action::\"drop\"", "action == Action::\"read\""),
        (Operator::NarrowScope, "action in", "action in [Action::\"write\"]"),
        (Operator::SwapComparison, ">", ">="),
        (Operator::ChangeConstant, "4", "5"),
        (Operator::ChangeConstant, "like", "resource.kind like \"*\""),
        (Operator::DropElement, "[\"x\", \"y\"]", "[\"y\"]"),
    ] {
        ensure!(has(operator, original, replacement), "{replacement}: {mutants:#?}");
    }
    Ok(())
}

/// No document of the fixtures is of kind `y`; one may be, and that is the case that is missing.
#[test]
fn what_the_fixtures_cannot_tell_survives_too() -> Result<()> {
    let mutants = mutated(POLICIES, TESTS)?.mutants;
    let y = mutants.iter().find(|mutant| mutant.replacement == "[\"x\"]");
    let Some(MutantStatus::Survived(case)) = y.map(|mutant| &mutant.status) else {
        anyhow::bail!("{y:?}")
    };
    ensure!(case.yaml.contains(r#""kind":"y""#), "{}", case.yaml);
    Ok(())
}

/// What no request tells from the policies is equivalent, by proof: that a document is open is asked
/// for twice, and so is a level that is above another.
#[test]
fn what_no_request_tells_is_equivalent() -> Result<()> {
    let policies = r#"@id("p")
permit (principal, action == Action::"read", resource)
when { principal.level > 4 && principal.level > 2 && resource.open };
"#;
    let mutation = mutated(policies, TESTS)?;
    let counts = mutation.counts();
    let told = mutation::text(&mutation).join("\n");
    ensure!(counts.undecided + counts.timeout == 0 && counts.equivalent > 1, "{told}");
    let without = mutation.mutants.iter().find(|mutant| {
        mutant.operator == Operator::DropConjunct && mutant.original == "principal.level > 2"
    });
    let is_equivalent = without.map(|mutant| mutant.status == MutantStatus::Equivalent);
    assert_eq!(is_equivalent, Some(true), "{told}");
    Ok(())
}

/// A product of attributes is beyond what is decided: that is told, with the part.
#[test]
fn what_is_not_decided_is_told() -> Result<()> {
    let policies = r#"@id("p")
permit (principal, action == Action::"read", resource)
when { principal.level * principal.level == 7 || resource.open };
"#;
    let mutation = mutated(policies, TESTS)?;
    let told = mutation::text(&mutation).join("\n");
    let mut undecided = mutation.undecided();
    ensure!(undecided.any(|(_, why)| why.iter().any(|why| why.contains("level"))), "{told}");
    ensure!(told.contains("is not decided") && told.contains("it depends on"), "{told}");
    Ok(())
}

#[test]
fn a_reason_excuses_and_a_budget_ends() -> Result<()> {
    let policies = POLICIES.replace(
        "@id(\"kept\")",
        "// test:allow(swap-action, widen-scope) nothing else is dropped\n@id(\"kept\")",
    );
    // It is about the line of the annotation alone.
    assert_eq!(mutated(&policies, TESTS)?.counts().ignored, 0);
    let excused = POLICIES.replace(
        "forbid (principal, action",
        "forbid (principal, // test:allow(mutant) nothing else is dropped\n  action",
    );
    let found = mutated(&excused, TESTS)?;
    let kept = |mutants: &Mutation| mutants.survivors().filter(|(m, _)| m.policy == "kept").count();
    ensure!(kept(&found) <= kept(&mutated(POLICIES, TESTS)?), "{found:?}");

    let files = [("a.cedarschema", SCHEMA), ("a.cedar", POLICIES), ("a.test.yaml", TESTS)];
    let suite = Place::with(&files)?.suite()?;
    let none = suite.mutate(&Options::default(), Duration::ZERO)?.counts();
    assert_eq!((none.killed, none.survived, none.equivalent), (0, 0, 0));
    ensure!(none.timeout > 20, "{none:?}");
    Ok(())
}
