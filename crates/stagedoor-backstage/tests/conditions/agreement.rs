//! Random policies: the catalog's rules allow what Cedar allows, and never more.

use stagedoor_backstage::PolicyDecision;

use crate::random::{Cases, Seed, scaffolder_cases};
use crate::rules::meets;

#[test]
fn conditions_agree_with_cedar() -> anyhow::Result<()> {
    let mut seed = Seed::new(20_261_122);
    let cases = Cases::new(&mut seed, 100, 100)?;
    let (mut conditional, mut exact, mut allowed_in_all) = (0, 0, 0);
    for case in &cases.cases {
        for decided in &case.users {
            let criteria = match &decided.decision {
                PolicyDecision::Conditional { conditions, .. } => {
                    Some(serde_json::to_value(conditions)?)
                }
                _ => None,
            };
            conditional += usize::from(criteria.is_some());
            exact += usize::from(decided.exact);
            anyhow::ensure!(decided.allowed.len() == cases.entities.len());
            for (entity, cedar) in cases.entities.iter().zip(decided.allowed.chars()) {
                let cedar = cedar == '1';
                let applied = match &criteria {
                    Some(criteria) => meets(entity, criteria)?,
                    None => decided.decision == PolicyDecision::Allow,
                };
                allowed_in_all += usize::from(applied);
                let is_right = if decided.exact { applied == cedar } else { cedar || !applied };
                anyhow::ensure!(
                    is_right,
                    "Cedar says {cedar}, the rules say {applied} (exact: {})\n{}\n{:?}\n{entity}\n{}",
                    decided.exact,
                    decided.user,
                    decided.decision,
                    case.policies,
                );
            }
        }
    }
    // The comparison is about something.
    assert!(
        conditional > 100 && exact > 100 && allowed_in_all > 2_000,
        "{conditional} {exact} {allowed_in_all}"
    );
    Ok(())
}

#[test]
fn conditions_of_the_scaffolder_agree_with_cedar() -> anyhow::Result<()> {
    let cases = scaffolder_cases(&mut Seed::new(42), 300, 40)?;
    let (mut conditional, mut exact) = (0, 0);
    for case in &cases {
        let criteria = match &case.decision {
            PolicyDecision::Conditional { conditions, .. } => {
                Some(serde_json::to_value(conditions)?)
            }
            _ => None,
        };
        conditional += usize::from(criteria.is_some());
        exact += usize::from(case.exact);
        for (resource, cedar) in case.resources.iter().zip(case.allowed.chars()) {
            let cedar = cedar == '1';
            let applied = match &criteria {
                Some(criteria) => meets(resource, criteria)?,
                None => case.decision == PolicyDecision::Allow,
            };
            let is_right = if case.exact { applied == cedar } else { cedar || !applied };
            anyhow::ensure!(
                is_right,
                "Cedar says {cedar}, the rules say {applied} (exact: {}) of {resource}\n{:?}\n{}",
                case.exact,
                case.decision,
                case.policies,
            );
        }
    }
    assert!(conditional > 100 && exact > 100, "{conditional} {exact}");
    Ok(())
}
