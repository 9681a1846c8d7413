//! Policies that custom rules guard: cases, coverage and mutants.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use stagedoor_core::{
    Entities, Guard, GuardAnswer, GuardFailure, GuardInputs, GuardRefusal, Request, RuleEvaluator,
};
use stagedoor_testing::mutation::{Mutant, MutantStatus, Operator};
use stagedoor_testing::{Options, TestSuite, coverage};

use crate::place::{Place, run};

const SCHEMA: &str = "entity User; entity Doc;
action read, drop appliesTo { principal: User, resource: Doc };";

const POLICIES: &str = r#"@id("read")
@guard("on-duty")
permit (principal, action == Action::"read", resource);
@id("drop")
permit (principal, action == Action::"drop", resource);
@id("keep")
@guard("on-duty") @guard_args("{\"not\": true}")
forbid (principal, action == Action::"drop", resource);
"#;

const FIXTURES: &str = r#"
fixtures:
  entities:
    - { uid: { type: User, id: ana }, attrs: {}, parents: [] }
    - { uid: { type: User, id: bob }, attrs: {}, parents: [] }
    - { uid: { type: User, id: lost }, attrs: {}, parents: [] }
    - { uid: { type: Doc, id: d }, attrs: {}, parents: [] }
cases:
"#;

/// Says who is on duty: Ana is, Bob is not, of others it knows nothing.
#[derive(Debug)]
struct OnDuty {
    negated: bool,
}

#[derive(Debug)]
struct Duties;

impl RuleEvaluator for Duties {
    fn guard(&self, rule: &str, arguments: &str) -> Result<Arc<dyn Guard>, GuardRefusal> {
        match rule {
            "on-duty" => Ok(Arc::new(OnDuty { negated: arguments.contains("not") })),
            _ => Err(GuardRefusal::Unknown { known: vec!["on-duty".to_owned()] }),
        }
    }
}

impl Guard for OnDuty {
    fn inputs(&self) -> GuardInputs {
        GuardInputs { principal: true, ..GuardInputs::default() }
    }

    fn digest(&self) -> &str {
        "on-duty"
    }

    fn evaluate(&self, request: &Request, _: &Entities) -> Result<GuardAnswer, GuardFailure> {
        let is_on_duty = match request.principal.id().unescaped() {
            "ana" => true,
            "bob" => false,
            name => {
                let message = format!("nothing is known of {name}");
                return Err(GuardFailure { code: "duty::unknown", message });
            }
        };
        let reason = Some("by the plan".to_owned());
        Ok(GuardAnswer { holds: is_on_duty != self.negated, reason })
    }
}

fn suite(cases: &[[&str; 3]]) -> Result<TestSuite> {
    let mut tests = FIXTURES.to_owned();
    for [principal, action, decision] in cases {
        tests.push_str(&format!(
            "  - {{ name: {principal} {action}, principal: User::\"{principal}\", \
             action: Action::\"{action}\", resource: Doc::\"d\", expect: {decision} }}\n"
        ));
    }
    let files = [("a.cedarschema", SCHEMA), ("a.cedar", POLICIES), ("a.test.yaml", &tests)];
    let place = Place::with(&files)?;
    let paths = [place.path().to_owned()];
    Ok(TestSuite::builder().tests(paths).rules(Arc::new(Duties)).build()?)
}

const ALL: [[&str; 3]; 6] = [
    ["ana", "read", "allow"],
    ["bob", "read", "deny"],
    ["lost", "read", "deny"],
    ["ana", "drop", "allow"],
    ["bob", "drop", "deny"],
    // A forbid whose guard fails denies.
    ["lost", "drop", "deny"],
];

#[test]
fn cases_are_decided_with_guards() -> Result<()> {
    let (report, failures) = run(&suite(&ALL)?);
    // Nobody can tell whether `lost` is on duty, which is an error that has to be expected.
    let failed = report.counts().failed;
    assert_eq!(failed, 2, "{failures}");
    for told in
        ["lost read", "lost drop", "guard on-duty of read: failed: nothing is known of lost"]
    {
        ensure!(failures.contains(told), "{told}: {failures}");
    }
    let (report, failures) = run(&suite(&[["bob", "read", "allow"]])?);
    assert_eq!(report.counts().failed, 1, "{failures}");
    ensure!(failures.contains("guard on-duty of read: no: by the plan"), "{failures}");
    Ok(())
}

#[test]
fn a_guarded_policy_decides_where_its_guard_lets_it() -> Result<()> {
    let determined = |cases: &[[&str; 3]]| -> Result<Vec<u64>> {
        let covered = suite(cases)?.coverage(&Options::default())?;
        ensure!(!coverage::text(&covered).is_empty());
        Ok(covered.policies.iter().map(|policy| policy.determined).collect())
    };
    assert_eq!(determined(&[["ana", "read", "allow"]])?, [1, 0, 0]);
    assert_eq!(determined(&[["bob", "read", "deny"]])?, [0, 0, 0]);
    assert_eq!(determined(&[["ana", "drop", "allow"], ["bob", "drop", "deny"]])?, [0, 1, 1]);
    Ok(())
}

#[test]
fn a_guard_that_is_dropped_is_noticed() -> Result<()> {
    let dropped = |cases: &[[&str; 3]]| -> Result<Vec<Mutant>> {
        let mutation = suite(cases)?.mutate(&Options::default(), Duration::from_secs(600))?;
        let of_guards = |mutant: &Mutant| mutant.operator == Operator::DropGuard;
        Ok(mutation.mutants.into_iter().filter(of_guards).collect())
    };
    let kills = |cases: &[[&str; 3]]| -> Result<Vec<bool>> {
        let mutants = dropped(cases)?;
        Ok(mutants.iter().map(|mutant| matches!(mutant.status, MutantStatus::Killed(_))).collect())
    };
    // One mutant for each guard, the one with arguments among them.
    assert_eq!(kills(&[["ana", "read", "allow"], ["bob", "drop", "deny"]])?, [false, false]);
    assert_eq!(kills(&[["bob", "read", "deny"], ["bob", "drop", "deny"]])?, [true, false]);
    assert_eq!(kills(&[["bob", "read", "deny"], ["ana", "drop", "allow"]])?, [true, true]);

    let survivors = dropped(&[["ana", "read", "allow"]])?;
    let mutant = survivors.first().context("no mutant")?;
    assert_eq!((mutant.line, mutant.original.as_str()), (Some(2), "@guard(\"on-duty\")"));
    let MutantStatus::Survived(case) = &mutant.status else { anyhow::bail!("{mutant:?}") };
    ensure!(case.yaml.contains("decision: deny"), "{}", case.yaml);
    Ok(())
}
