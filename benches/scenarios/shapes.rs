//! Shapes on which decision diagrams multiply, or fall back to asking each policy.

use std::fmt::Write as _;

use stagedoor_core::{Entity, Value, uid};

use super::{REQUESTS, Scenario, Words};
use crate::random::Random;

const SCHEMA: &str = "
    entity User { level: Long };
    entity Thing { role: String, kind: String };
    action use appliesTo { principal: User, resource: Thing, context: { amount: Long } };";

fn scenario(name: String, n: usize, policy: impl Fn(usize) -> String) -> Scenario {
    let mut policies = String::new();
    for number in 0..n {
        // Writing to a text does not fail.
        let _ = writeln!(
            policies,
            "permit(principal, action, resource) when {{ {} }};",
            policy(number)
        );
    }
    let mut random = Random::new(6);
    let user = |number: usize| {
        let level = i64::try_from(number).unwrap_or_default();
        Some(Entity::new(uid("User", number.to_string()).ok()?).with_attribute("level", level))
    };
    // One in two names something that policies know.
    let mut word = |letter: char| {
        let number = random.below(2 * n);
        (Value::from(format!("{letter}{number}")), random.below(50))
    };
    let request = |number: usize| {
        let ((role, who), (kind, amount)) = (word('r'), word('k'));
        Words {
            principal: ("User", who.to_string()),
            action: "use",
            resource: ("Thing", format!("t{number}")),
            attributes: vec![role, kind],
            context: vec![Value::Long(i64::try_from(amount).unwrap_or_default())],
        }
    };
    Scenario {
        name,
        schema: SCHEMA.to_owned(),
        policies,
        entities: (0..50).filter_map(user).collect(),
        resource_attributes: &["role", "kind"],
        context_fields: &["amount"],
        requests: (0..REQUESTS).map(request).collect(),
    }
}

/// Policies of `a || b` over different paths.
pub(super) fn either(n: usize) -> Scenario {
    scenario(format!("a || b {n}"), n, |number| {
        format!("resource.role == \"r{number}\" || resource.kind == \"k{number}\"")
    })
}

/// Policies with a key and a comparison each.
pub(super) fn compared(n: usize) -> Scenario {
    scenario(format!("key and < {n}"), n, |number| {
        format!("resource.kind == \"k{number}\" && principal.level < {}", number % 50)
    })
}

/// Policies without a key: comparisons and patterns that many of them share.
pub(super) fn shared(n: usize) -> Scenario {
    scenario(format!("no key, 60 tests {n}"), n, |number| match number % 3 {
        0 => format!("context.amount > {}", 60 + number % 20),
        1 => format!("resource.role like \"x{}*\"", number % 20),
        _ => format!("principal.level != 7 && context.amount * 2 > {}", 200 + number % 20),
    })
}
