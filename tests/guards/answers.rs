//! What a decision about guarded policies tells.

use anyhow::{Result, bail, ensure};
use stagedoor_core::{Decision, GuardVerdict, Outcome, PolicyStatus};

use crate::table::{Says, Table, builder, request};

fn reasons(outcome: &Outcome) -> Vec<&str> {
    outcome.reasons().map(|policy| policy.id()).collect()
}

#[test]
fn failure_closes_and_is_told_with_its_code() -> Result<()> {
    let rules = Table::new([("broken", Says::Nothing)]);
    let (request, entities) = request()?;
    let permit =
        builder(&rules, r#"@id("p") @guard("broken") permit (principal, action, resource);"#);
    let outcome = permit.build()?.decide(&request, &entities)?;
    assert_eq!((outcome.decision(), reasons(&outcome)), (Decision::Deny, vec![]));
    let [error] = outcome.errors() else { bail!("{outcome:?}") };
    assert_eq!((error.policy(), error.code()), ("p", "table::broke"));
    assert_eq!(error.message(), "guard `broken`: it broke");

    let forbid = builder(
        &rules,
        r#"@id("p") permit (principal, action, resource);
           @id("f") @guard("broken") forbid (principal, action, resource);"#,
    );
    let outcome = forbid.build()?.decide(&request, &entities)?;
    assert_eq!((outcome.decision(), reasons(&outcome)), (Decision::Deny, vec!["f"]));
    ensure!(matches!(outcome.guards(), [g] if matches!(g.verdict(), GuardVerdict::Failed(_))));
    Ok(())
}

#[test]
fn only_what_can_change_the_answer_is_asked_and_once() -> Result<()> {
    let rules = Table::new([("a", Says::Yes), ("b", Says::Yes), ("never", Says::Nothing)]);
    let (request, entities) = request()?;
    let asked = |policies: &str| -> Result<Vec<(String, usize)>> {
        rules.asked();
        let _ = builder(&rules, policies).build()?.decide(&request, &entities)?;
        Ok(rules.asked().into_iter().collect())
    };
    let permit = r#"@id("p1") @guard("a") permit (principal, action, resource);
                    @id("p2") @guard("a") permit (principal, action, resource);"#;
    assert_eq!(asked(permit)?, [("a{}".to_owned(), 1)]);
    let plain = r#"@id("plain") permit (principal, action, resource);"#;
    assert_eq!(asked(&format!("{permit}{plain}"))?, []);
    let forbid = r#"@id("f") @guard("b") forbid (principal, action, resource);"#;
    assert_eq!(asked(&format!("{permit}{forbid}"))?, [("b{}".to_owned(), 1)]);
    assert_eq!(asked(&format!("{plain}{forbid}"))?, [("b{}".to_owned(), 1)]);
    // Whoever asks others as well has to know a forbid from nothing that permits.
    assert_eq!(asked(forbid)?, [("b{}".to_owned(), 1)]);
    let plain_forbid = r#"@id("pf") forbid (principal, action, resource);"#;
    assert_eq!(asked(&format!("{permit}{forbid}{plain_forbid}"))?, []);
    let unsatisfied = r#"@id("u") @guard("never") forbid (principal, action, resource)
                         when { resource.kind == "y" };"#;
    assert_eq!(asked(&format!("{permit}{unsatisfied}"))?, [("a{}".to_owned(), 1)]);
    Ok(())
}

#[test]
fn a_no_settles_a_policy_whatever_else_fails() -> Result<()> {
    let rules = Table::new([("no", Says::No), ("broken", Says::Nothing)]);
    let (request, entities) = request()?;
    for names in ["no, broken", "broken, no"] {
        let text = format!(
            "@id(\"p\") permit (principal, action, resource);
             @id(\"f\") @guard(\"{names}\") forbid (principal, action, resource);"
        );
        let outcome = builder(&rules, &text).build()?.decide(&request, &entities)?;
        assert_eq!(
            (outcome.decision(), reasons(&outcome)),
            (Decision::Allow, vec!["p"]),
            "{names}"
        );
    }
    Ok(())
}

#[test]
fn explanations_show_guards() -> Result<()> {
    let rules = Table::new([("no", Says::No), ("broken", Says::Nothing), ("yes", Says::Yes)]);
    let (request, entities) = request()?;
    let text = r#"@id("held") @guard("no") permit (principal, action, resource);
        @id("broken") @guard("broken") permit (principal, action, resource);
        @id("off") @guard("yes") permit (principal, action, resource) when { resource.kind == "y" };"#;
    let engine = builder(&rules, text).build()?;
    let explanation = engine.explain(&request, &entities)?;
    let [held, broken, off] = explanation.policies() else { bail!("{explanation:?}") };
    assert_eq!(*held.status(), PolicyStatus::HeldBack);
    assert_eq!(*broken.status(), PolicyStatus::Errored("guard `broken`: it broke".to_owned()));
    ensure!(matches!(off.status(), PolicyStatus::NotSatisfied(_)) && off.guards().is_empty());
    let [guard] = held.guards() else { bail!("{held:?}") };
    assert_eq!(
        (guard.rule(), guard.verdict().to_string().as_str()),
        ("no", "no: `no{}` is in the table")
    );
    let nearest = explanation.nearest().iter().find(|near| near.policy() == "held");
    let failed = nearest.and_then(|near| near.failed().first());
    let failed = failed.map(|clause| (clause.text(), clause.line(), clause.column()));
    assert_eq!(failed, Some((r#"@guard("no")"#, Some(1), Some(13))));
    // The decision asked each rule once, and the explanation asked none again.
    assert_eq!(rules.asked().values().copied().max(), Some(1));
    Ok(())
}
