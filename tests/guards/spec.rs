//! Decisions about random guarded policies are those of the definition, whatever their order.

use anyhow::Result;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use stagedoor_core::{Decision, GuardVerdict};

use crate::table::{Says, Table, builder, request};

const RULES: [&str; 4] = ["r0", "r1", "r2", "r3"];

#[derive(Debug, Clone)]
struct GuardedPolicy {
    id: usize,
    permits: bool,
    satisfied: bool,
    guards: Vec<usize>,
}

impl GuardedPolicy {
    fn text(&self) -> String {
        let effect = if self.permits { "permit" } else { "forbid" };
        let kind = if self.satisfied { "x" } else { "y" };
        let names: Vec<&str> = self.guards.iter().filter_map(|n| RULES.get(*n).copied()).collect();
        let guard = if names.is_empty() {
            String::new()
        } else {
            format!("@guard(\"{}\")", names.join(","))
        };
        format!(
            "@id(\"p{}\") {guard} {effect} (principal, action, resource)
             when {{ resource.kind == \"{kind}\" }};\n",
            self.id
        )
    }

    /// The definition: satisfied, and no guard says no; a permit needs a yes of each.
    fn counts(&self, says: &[Says]) -> bool {
        let said = |wanted| self.guards.iter().any(|n| says.get(*n) == Some(&wanted));
        self.satisfied && !said(Says::No) && !(self.permits && said(Says::Nothing))
    }
}

fn policies() -> impl Strategy<Value = Vec<GuardedPolicy>> {
    let guards = proptest::sample::subsequence((0..RULES.len()).collect::<Vec<_>>(), 0..3);
    let one = (any::<bool>(), prop::bool::weighted(0.8), guards);
    prop::collection::vec(one, 0..7).prop_map(|all| {
        let all = all.into_iter().enumerate();
        all.map(|(id, (permits, satisfied, guards))| GuardedPolicy {
            id,
            permits,
            satisfied,
            guards,
        })
        .collect()
    })
}

fn says() -> impl Strategy<Value = Vec<Says>> {
    let one = prop_oneof![Just(Says::Yes), Just(Says::No), Just(Says::Nothing)];
    prop::collection::vec(one, RULES.len())
}

fn check(
    policies: &[GuardedPolicy],
    says: &[Says],
    shuffled: &[GuardedPolicy],
) -> Result<(), TestCaseError> {
    let failed = |e: &dyn std::fmt::Display| TestCaseError::fail(e.to_string());
    let (request, entities) = request().map_err(|e| failed(&e))?;
    let rules = Table::new(RULES.into_iter().zip(says.iter().copied()));
    let in_force = |permits: bool| -> Vec<&GuardedPolicy> {
        policies.iter().filter(|p| p.permits == permits && p.counts(says)).collect()
    };
    let (permits, forbids) = (in_force(true), in_force(false));
    let expected = match (permits.is_empty(), forbids.is_empty()) {
        (false, true) => Decision::Allow,
        _ => Decision::Deny,
    };
    // Where some count without a guard, those are the reason.
    let deciding = if expected == Decision::Allow { &permits } else { &forbids };
    let plain: Vec<usize> = deciding.iter().filter(|p| p.guards.is_empty()).map(|p| p.id).collect();
    let mut reasons =
        if plain.is_empty() { deciding.iter().map(|p| p.id).collect() } else { plain };
    reasons.sort_unstable();

    for (order, indexed) in [(policies, true), (policies, false), (shuffled, true)] {
        let text: String = order.iter().map(GuardedPolicy::text).collect();
        let engine = builder(&rules, &text).index(indexed).build().map_err(|e| failed(&e))?;
        rules.asked();
        let outcome = engine.decide(&request, &entities).map_err(|e| failed(&e))?;
        prop_assert_eq!(outcome.decision(), expected, "{}", text);
        let mut told: Vec<usize> =
            outcome.reasons().filter_map(|p| p.id().trim_start_matches('p').parse().ok()).collect();
        told.sort_unstable();
        prop_assert_eq!(&told, &reasons, "{}", text);
        prop_assert!(rules.asked().values().all(|times| *times == 1));
        let failures = outcome.guards().iter();
        let failures = failures.filter(|g| matches!(g.verdict(), GuardVerdict::Failed(_)));
        prop_assert_eq!(failures.count(), outcome.errors().len());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn decisions_are_those_of_the_definition(
        (policies, shuffled) in policies().prop_flat_map(|p| (Just(p.clone()), Just(p).prop_shuffle())),
        says in says(),
    ) {
        check(&policies, &says, &shuffled)?;
    }
}
