//! Guards while the resource, or some of its attributes, is not known.

use anyhow::{Result, ensure};
use stagedoor_core::{
    ConditionalEngine, Decision, Effect, PartialContext, Request, ResidualCondition,
};

use crate::table::{Says, Table, builder, request};

const POLICIES: &str = r#"
    @id("permit") @guard("rule") permit (principal, action, resource) when { resource.kind == "x" };
    @id("forbid") @guard("rule") forbid (principal, action, resource) when { resource.kind == "y" };"#;

#[test]
fn residuals_keep_what_their_guards_let_through() -> Result<()> {
    use ResidualCondition::{Expression, Failed, Never};
    let (request, entities) = request()?;
    let Request { principal, action, .. } = &request;
    for (resource, says) in [
        (false, Says::Yes),
        (false, Says::No),
        (false, Says::Nothing),
        (true, Says::Yes),
        (true, Says::No),
    ] {
        let make = if resource { Table::about_resources } else { Table::new };
        let rules = make([("rule", says)]);
        let engine = builder(&rules, POLICIES).build()?;
        let context = PartialContext::Known(request.context.clone());
        let residuals =
            engine.residuals(principal, action, &"Thing".parse()?, &context, &entities)?;
        ensure!(residuals.len() == 2);
        for residual in residuals {
            let is_permit = residual.policy.effect() == Effect::Permit;
            let as_expected = match (resource, says, &residual.condition) {
                (false, Says::Yes, Expression(_)) | (false, Says::No, Never) => true,
                (false, Says::Nothing, condition) | (true, _, condition) => match condition {
                    Failed(_) => is_permit,
                    Expression(_) => !is_permit,
                    _ => false,
                },
                _ => false,
            };
            ensure!(as_expected, "{says:?} {resource}: {residual:?}");
            ensure!(residual.guards.len() == 1, "{residual:?}");
        }
        let asked = rules.asked().values().sum::<usize>();
        ensure!(asked == usize::from(!resource), "asked {asked} times");
    }
    Ok(())
}

#[test]
fn open_attributes_close_guards_that_look_at_the_resource() -> Result<()> {
    let (request, entities) = request()?;
    for (rules, says, left) in [
        (Table::new([("rule", Says::Yes)]), "yes", vec![("permit", true), ("forbid", true)]),
        (Table::new([("rule", Says::No)]), "no", vec![]),
        (Table::new([("rule", Says::Nothing)]), "fails", vec![("permit", false), ("forbid", true)]),
        (
            Table::about_resources([("rule", Says::No)]),
            "unknown",
            vec![("permit", false), ("forbid", true)],
        ),
    ] {
        let open = ConditionalEngine::new(builder(&rules, POLICIES).build()?, ["kind"])?;
        let outcome = open.decide(&request, &entities)?;
        let residuals = outcome.residuals().iter();
        let residuals: Vec<_> = residuals.map(|r| (r.policy(), r.condition().is_ok())).collect();
        assert_eq!(residuals, left, "{says}");
        ensure!(rules.asked().values().all(|times| *times == 1));
    }
    // A policy that mentions no open attribute, guarded by a rule that looks at the resource.
    let rules = Table::about_resources([("rule", Says::No)]);
    let text = r#"@id("p") permit (principal, action, resource);
                  @id("f") @guard("rule") forbid (principal, action, resource);"#;
    let engine = builder(&rules, text).build()?;
    assert_eq!(engine.decide(&request, &entities)?.decision(), Decision::Allow);
    let outcome = ConditionalEngine::new(engine, ["kind"])?.decide(&request, &entities)?;
    assert_eq!(outcome.known().decision(), Decision::Deny);
    let codes = outcome.known().errors().iter().map(|e| e.code()).collect::<Vec<_>>();
    assert_eq!(codes, ["guard::resource-unknown"]);
    Ok(())
}
